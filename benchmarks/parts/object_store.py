"""What reading small objects over HTTP costs: a server on loopback, and its clients.

    python -m benchmarks.parts.object_store server            # prints its port
    python -m benchmarks.parts.object_store ours 127.0.0.1:PORT --objects 20000

The server does as little as it can, so that the client is what is measured: it answers each GET,
of Google's XML interface as of its JSON interface, with the same object. CPU time is only
the client's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from benchmarks.harness.own_process import ROOT, run_module

OBJECT_BYTES = 15_800
"""Mean size of a real jpg chip."""

_BUCKET = "bench"
_THREADS = 16
_OBJECTS_A_TASK = 16
_WARM_UP = 200
_NO_LIMIT = 1e9


@contextmanager
def serving() -> Iterator[str]:
    """Run a server in its own process; yields its address."""
    command = [sys.executable, "-m", __spec__.name, "server"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield f"127.0.0.1:{int(process.stdout.readline())}"  # type: ignore[union-attr]
    finally:
        process.terminate()
        process.wait()


def measure(client: str, address: str, objects: int) -> dict[str, Any]:
    """Read objects with a client in a process of its own.

    Raises:
        RuntimeError: it failed; with its last line.
    """
    environment = {"STORAGE_EMULATOR_HOST": f"http://{address}", "NO_GCE_CHECK": "true"}
    return run_module(__spec__.name, client, address, "--objects", objects, **environment)


def read_all(read: Callable[[int], bytes], objects: int) -> dict[str, float]:
    """Objects/s and CPU milliseconds an object, on as many threads as the scoring job has."""

    def read_some(start: int) -> int:
        return sum(len(read(number)) for number in range(start, start + _OBJECTS_A_TASK))

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(read_some, range(0, _WARM_UP, _OBJECTS_A_TASK)))
        starts = range(0, objects, _OBJECTS_A_TASK)
        start, cpu_start = time.perf_counter(), time.process_time()
        size = sum(pool.map(read_some, starts))
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    count = len(starts) * _OBJECTS_A_TASK
    if size != count * OBJECT_BYTES:
        raise RuntimeError(f"read {size} bytes, not {count * OBJECT_BYTES}")
    return {"objects_per_s": count / seconds, "cpu_ms_per_object": 1000 * cpu / count}


def our_client() -> Callable[[int], bytes]:
    """The project's way to read an object, as fast as it goes: a thread that waits for its turn, as
    `--gcs_reads_per_second` makes it, costs more than a read."""
    from pipelines.storage.store import StoreSettings, configure, read_bytes

    configure(StoreSettings(gcs_reads_per_second=_NO_LIMIT))
    return lambda number: read_bytes(f"gs://{_BUCKET}/chips/chip_{number:07d}.jpg")


def google_client(address: str) -> Callable[[int], bytes]:
    """google-cloud-storage, as its guide shows."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client(
        project="bench",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": f"http://{address}"},
    )
    bucket = client.bucket(_BUCKET)
    return lambda number: bucket.blob(f"chips/chip_{number:07d}.jpg").download_as_bytes()


class _Answer(asyncio.Protocol):
    """Answers every request that comes over one connection with the one object."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        requests, end, rest = (self._waiting + data).rpartition(b"\r\n\r\n")
        self._waiting = rest
        if end:
            count = requests.count(b"\r\n\r\n") + 1
            self._transport.write(self._answer * count)  # type: ignore[attr-defined]


def _answer() -> bytes:
    content = os.urandom(OBJECT_BYTES)
    heads = [
        "HTTP/1.1 200 OK",
        "Content-Type: image/jpeg",
        f"Content-Length: {len(content)}",
        'ETag: "3f2e1d0c"',
        "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT",
        "x-goog-generation: 1",
        *_checksum(content),
    ]
    return "\r\n".join([*heads, "", ""]).encode() + content


def _checksum(content: bytes) -> list[str]:
    """The header from which google-cloud-storage checks what it has read."""
    try:
        import base64

        import google_crc32c
    except ImportError:
        return []
    digest = google_crc32c.value(content).to_bytes(4, "big")
    return [f"x-goog-hash: crc32c={base64.b64encode(digest).decode()}"]


async def _serve() -> None:
    answer = _answer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answer(answer), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve, or read with one of the clients and print its cost as a line of JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parts.object_store", allow_abbrev=False
    )
    parser.add_argument("part", choices=("server", "ours", "google"))
    parser.add_argument("address", nargs="?", default="")
    parser.add_argument("--objects", type=int, default=10_000)
    asked = parser.parse_args()
    if asked.part == "server":
        asyncio.run(_serve())
        return
    read = our_client() if asked.part == "ours" else google_client(asked.address)
    print(json.dumps(read_all(read, asked.objects)))


if __name__ == "__main__":
    main()
