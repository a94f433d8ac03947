"""Chips per second in tars and as single objects: planned, and read and decoded.

    python -m benchmarks.shards --chips FOLDER --count 20000 --members 5000

`--address` may name a prefix in a bucket; by default both are in a scratch folder.
"""

from __future__ import annotations

import argparse
import io
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from pipelines.elements import Unit
from pipelines.planning.archive import list_chips
from pipelines.planning.done import CHIP_VERSIONS
from pipelines.planning.selection import select_chips
from pipelines.reading.reading_ahead import ReadAhead
from pipelines.runs import run_plan
from pipelines.storage import store
from schemas.artifact import Preprocessing

_COLOURS = ("red", "green", "blue")
_PREPROCESSING = Preprocessing("jpg", 64, _COLOURS, None, (64, 1024))
_BATCH_CHIPS = 256
_WRITE_THREADS = 16


def main() -> None:
    """Write both archives, then measure each, in turns."""
    given = _parser().parse_args()
    pictures = [path.read_bytes() for path in sorted(Path(given.chips).glob("*.jpg"))]
    with tempfile.TemporaryDirectory(prefix="shards-") as folder:
        address = given.address or folder
        write_loose(f"{address}/loose", pictures, given.count)
        write_tars(f"{address}/tars", pictures, given.count, given.members)
        for _ in range(given.repeats):
            for kind in ("loose", "tars"):
                print(f"{kind:<6}{measure(f'{address}/{kind}', given.count)}", flush=True)


def measure(uri: str, count: int) -> str:
    """Chips planned per second, and chips read and decoded per second."""
    started = time.perf_counter()
    nothing = CHIP_VERSIONS.empty_table().to_reader()
    chips = select_chips(list_chips(uri, None).chips, nothing).chips.read_all()
    planned = time.perf_counter()
    decoded = sum(read_all(chips))
    ended = time.perf_counter()
    if decoded != count:
        raise RuntimeError(f"{decoded} of {count} chips decoded")
    planned_a_second, decoded_a_second = count / (planned - started), count / (ended - planned)
    return f"{planned_a_second:>10,.0f} planned/s{decoded_a_second:>10,.0f} decoded/s"


def read_all(chips: pa.Table) -> Iterator[int]:
    """Chips decoded, batch after batch, as a worker reads them."""
    ahead = ReadAhead(_PREPROCESSING, _BATCH_CHIPS)
    for number, start in enumerate(range(0, chips.num_rows, run_plan.UNIT_CHIPS)):
        unit = Unit(number, chips.slice(start, run_plan.UNIT_CHIPS))
        yield from (len(batch.pixels) for batch in ahead.read(unit))
    yield from (len(batch.pixels) for batch in ahead.drain())


def write_loose(uri: str, pictures: list[bytes], count: int) -> None:
    """The pictures again and again, each as one object."""

    def write(number: int) -> None:
        name = f"{uri}/{number // 1000:04d}/chip_{number:07d}.jpg"
        store.write_bytes(name, pictures[number % len(pictures)])

    with ThreadPoolExecutor(_WRITE_THREADS) as pool:
        list(pool.map(write, range(count)))


def write_tars(uri: str, pictures: list[bytes], count: int, members: int) -> None:
    """The same pictures in tars of `members` each."""
    for start in range(0, count, members):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for number in range(start, min(start + members, count)):
                data = pictures[number % len(pictures)]
                info = tarfile.TarInfo(f"chips/chip_{number:07d}.jpg")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        store.write_bytes(f"{uri}/shard-{start:09d}.tar", buffer.getvalue())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shards")
    parser.add_argument("--chips", required=True, help="folder of jpg chips")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--members", type=int, default=5_000, help="chips a tar")
    parser.add_argument("--address", help="where to write; default: a scratch folder")
    parser.add_argument("--repeats", type=int, default=2)
    return parser


if __name__ == "__main__":
    main()
