"""A proxy in front of a server; it fails as object stores do.

It is a child process, as the servers are (child_server.py says why). Which requests fail is
drawn from a seed: a share of them is answered 500, 503 or 429, kept waiting, dropped, or cut short
in mid-body. A share of 1 is a store that is down: 503 for all. Names with `always503` are that
on any day; of names with `answerlost` the first request is carried out and not answered.

Use it as `with FaultyStore(server.url, share=0.2, seed=1) as store`, and `store.url`.
"""

from __future__ import annotations

import http.client
import random
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

STALL_S = 0.8
FAULTS = (500, 503, 429, "stall", "drop", "cut", "cut")
_NOT_PASSED_ON = {"transfer-encoding", "content-length", "connection", "date", "server"}


class FaultyStore:
    """The proxy's address while it runs; `failed` is the number of requests that it made fail."""

    def __init__(self, upstream: str, share: float, seed: int) -> None:
        self._arguments = [upstream, str(share), str(seed)]
        self.url, self.failed = "", 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{self._process.stdout.readline().strip()}"
        return self

    def __exit__(self, *_: object) -> None:
        printed, _ = self._process.communicate("")
        self.failed = int(printed)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str, share: float, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.share = urlsplit(upstream).netloc, share
        self.chance, self.lock, self.failed = random.Random(seed), threading.Lock(), 0
        self.lost: set[str] = set()

    def draw(self, path: str) -> int | str | None:
        with self.lock:
            if "answerlost" in path and path not in self.lost:
                self.lost.add(path)
                return "lose"
            if self.share == 1 or "always503" in path:
                return 503
            if self.chance.random() >= self.share:
                return None
            self.failed += 1
            return self.chance.choice(FAULTS)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.draw(self.path)
        if isinstance(fault, int):
            self._answer(fault, [], b"", 0)
        elif fault in ("stall", "drop"):
            time.sleep(STALL_S if fault == "stall" else 0)
            self.close_connection = True
        else:
            self._pass_on(body, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def _pass_on(self, body: bytes, fault: str | None) -> None:
        connection = http.client.HTTPConnection(self.server.upstream)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        size = int(answer.getheader("Content-Length") or len(data))
        connection.close()
        self.close_connection = fault is not None
        if fault != "lose":
            data = data[: size // 2] if fault == "cut" else data
            self._answer(answer.status, answer.getheaders(), data, size)

    def _answer(self, status: int, headers: Any, data: bytes, size: int) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _NOT_PASSED_ON:
                self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    proxy = _Server(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
    print(proxy.server_port, flush=True)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    sys.stdin.read()
    print(proxy.failed, flush=True)
