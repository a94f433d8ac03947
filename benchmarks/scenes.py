"""Windows of a drawn COG as chips: this project, bare range reads with decoding, and others.

    python -m benchmarks.scenes --folder FOLDER --side 10980
    python -m benchmarks.scenes --folder FOLDER --side 10980 --torchgeo /other/venv/bin/python

Each way runs in a process of its own, in turns, over local files and over HTTP on loopback. All
take the mean colour of each chip. Start-up (imports, the header, the list of windows) is not
counted. On a busy machine compare CPU time; wall time is for a quiet one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.harness.own_process import ROOT, run_module
from benchmarks.parts import range_server
from pipelines.elements import Unit
from pipelines.reading.reading_ahead import ReadAhead
from pipelines.runs.run_plan import UNIT_CHIPS
from pipelines.scenes.block_decoding import decode_block
from pipelines.scenes.block_reader import MOST_RANGE_BYTES
from pipelines.scenes.header_cache import HeaderCache, open_scene
from pipelines.scenes.lattice import Cut
from pipelines.scenes.scene_windows import SceneWindows, list_windows
from pipelines.storage import store
from pipelines.tables.delta_tables import with_columns
from schemas.artifact import Preprocessing
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST

_BANDS = ("blue", "green", "red", "near_infrared")
_PREPROCESSING = Preprocessing("tif", 64, _BANDS, ((2000.0, 12000.0),) * 4, (64, 1024))
_BATCH_CHIPS = 256
_TILE_PX = 512
_WAYS = ("ours", "bare", "rasterio")
_RATES = (("seconds", "s"), ("cpu_seconds", "CPU s"))


def main() -> None:
    """Draw the scene, then measure each way in turns; or measure one way, and print it as JSON."""
    asked = _parser().parse_args()
    if asked.way:
        print(
            json.dumps(
                _MEASURES[asked.way](asked.uri, Cut(asked.cut_px, asked.overlap_px), asked.folder)
            )
        )
        return
    scene = Path(asked.folder) / f"scene_{asked.side}.tif"
    if not scene.is_file():
        scene.parent.mkdir(parents=True, exist_ok=True)
        draw(scene, asked.side)
    with range_server.serving(asked.folder) as address:
        places = {"local": str(scene), "http": f"gs://{range_server.BUCKET}/{scene.name}"}
        for _ in range(asked.repeats):
            for over in asked.over:
                for way in asked.ways:
                    found = _run(way, places[over], address, asked)
                    print(f"{over:<6} {way:<9} {_line(found)}", flush=True)
                if asked.torchgeo:
                    print(
                        f"{over:<6} torchgeo  {_line(_torchgeo(places[over], address, asked))}",
                        flush=True,
                    )


def draw(path: Path, side: int) -> None:
    """A COG of 4 bands of uint16, deflate, blocks of 512 px; it compresses by about a third."""
    import rasterio
    from rasterio.shutil import copy

    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 1, (64, 64))
    smooth = np.kron(coarse, np.ones((16, 16))) * 600
    tile = np.stack(
        [5000 + smooth * (band + 1) / 2 + rng.normal(0, 60, smooth.shape) for band in range(4)]
    )
    profile: dict[str, Any] = {
        "width": side,
        "height": side,
        "count": 4,
        "dtype": "uint16",
        "crs": "EPSG:32720",
        "transform": rasterio.Affine(10, 0, 600_000, 0, -10, 9_000_040),
    }
    plain = path.with_suffix(".plain")
    with rasterio.open(
        plain, "w", driver="GTiff", tiled=True, BIGTIFF="IF_SAFER", **profile
    ) as target:
        for top in range(0, side, 1024):
            height = min(1024, side - top)
            row = np.tile(tile.astype(np.uint16), (1, 1, -(-side // 1024)))[:, :height, :side]
            target.write(row + np.uint16(top // 1024), window=((top, top + height), (0, side)))
    copy(
        plain,
        path,
        driver="COG",
        COMPRESS="DEFLATE",
        PREDICTOR="YES",
        BLOCKSIZE=_TILE_PX,
        OVERVIEWS="NONE",
        NUM_THREADS="2",
        LEVEL="1",
        INTERLEAVE="PIXEL",
    )
    plain.unlink()


def plan(uri: str, cut: Cut, output: str) -> SceneWindows:
    """The windows of a scene, its header stored below `output`."""
    head = store.head_object(uri)
    listing = pa.Table.from_pylist([{**(head or {}), "chip_uri": uri}])
    (found,) = list_windows(listing, cut, HeaderCache(f"{output}/out"), _PREPROCESSING)
    return found


def ours(uri: str, cut: Cut, folder: str) -> dict[str, Any]:
    """As a worker reads them: units, batches ahead, threads."""
    windows = plan(uri, cut, folder)
    chips = with_columns(windows.rows, file_schema(CHIP_MANIFEST))
    units = [
        Unit(n, chips.slice(at, UNIT_CHIPS))
        for n, at in enumerate(range(0, chips.num_rows, UNIT_CHIPS))
    ]
    ranges = _count_ranges()

    def read() -> int:
        ahead, count = ReadAhead(_PREPROCESSING, _BATCH_CHIPS), 0
        for unit in units:
            count += sum(len(batch.pixels.mean((1, 2))) for batch in ahead.read(unit))
        return count + sum(len(batch.pixels.mean((1, 2))) for batch in ahead.drain())

    found = _measured(read)
    of_scene = [length for where, length in ranges if where == uri]
    return {
        **found,
        "bytes_ratio": sum(of_scene) / windows.needed_bytes,
        "requests_per_chip": len(of_scene) / found["chips"],
    }


def bare(uri: str, cut: Cut, folder: str) -> dict[str, Any]:
    """Ranges of the needed blocks, fetched and decoded by as many threads as cores; no windows."""
    windows = plan(uri, cut, folder)
    blocks = open_scene(uri, None, None).pixels
    needed = _needed(windows.rows, blocks)
    groups: list[list[int]] = []
    for index in needed:
        first = groups[-1][0] if groups else index
        end = int(blocks.offsets[index] + blocks.counts[index])
        if groups and end - int(blocks.offsets[first]) <= MOST_RANGE_BYTES:
            groups[-1].append(index)
        else:
            groups.append([index])
    fetch = _fetcher(uri)

    def read(group: list[int]) -> None:
        start, last = int(blocks.offsets[group[0]]), group[-1]
        data = fetch(start, int(blocks.offsets[last] + blocks.counts[last]))
        for index in group:
            at = int(blocks.offsets[index]) - start
            decode_block(blocks, index, data[at : at + int(blocks.counts[index])])

    def read_all() -> int:
        with ThreadPoolExecutor(_cores()) as pool:
            list(pool.map(read, groups))
        return windows.rows.num_rows

    return _measured(read_all)


def by_rasterio(uri: str, cut: Cut, folder: str) -> dict[str, Any]:
    """A loop over windows in as many processes as cores, the file opened once in each."""
    rows = plan(uri, cut, folder).rows
    windows = list(zip(*(rows[name].to_pylist() for name in ("x_px", "y_px")), strict=True))
    windows.sort(key=lambda window: window[::-1])
    host = os.environ.get("STORAGE_EMULATOR_HOST", "")
    path = uri.replace("gs://", f"/vsicurl/{host}/") if store.is_remote(uri) else uri
    share = -(-len(windows) // _cores())
    parts = [(path, windows[at : at + share], cut.cut_px) for at in range(0, len(windows), share)]
    with ProcessPoolExecutor(_cores()) as pool:
        list(pool.map(_rasterio_part, [(path, windows[:1], cut.cut_px)] * _cores()))  # imports
        return _measured(lambda: sum(pool.map(_rasterio_part, parts)), children=True)


def _rasterio_part(part: tuple[str, list[tuple[int, int]], int]) -> int:
    import rasterio
    from rasterio.windows import Window

    path, windows, size = part
    with rasterio.open(path) as source:
        for x, y in windows:
            source.read(window=Window(x, y, size, size)).mean((1, 2))
    return len(windows)


_MEASURES: dict[str, Callable[[str, Cut, str], dict[str, Any]]] = {
    "ours": ours,
    "bare": bare,
    "rasterio": by_rasterio,
}


def _needed(rows: pa.Table, blocks: Any) -> list[int]:
    """Indexes of the blocks that windows touch, in the order of the file."""
    touched = np.zeros((blocks.down, blocks.across), bool)
    for x, y, w, h in zip(
        *(rows[n].to_pylist() for n in ("x_px", "y_px", "width_px", "height_px")), strict=True
    ):
        touched[
            y // blocks.block_height_px : -(-(y + h) // blocks.block_height_px),
            x // blocks.block_width_px : -(-(x + w) // blocks.block_width_px),
        ] = True
    indexes = np.flatnonzero(np.tile(touched.ravel(), blocks.planes))
    return [int(index) for index in indexes[np.argsort(blocks.offsets[indexes])]]


def _fetcher(uri: str) -> Callable[[int, int], bytes]:
    """Bytes from a start to an end: by the operating system, or by obstore alone."""
    if not store.is_remote(uri):
        handle = os.open(uri, os.O_RDONLY)
        return lambda start, end: os.pread(handle, end - start, start)
    from pipelines.storage._connections import connect

    client, key = connect(uri)
    return lambda start, end: bytes(client.get_range(key, start=start, end=end))


def _count_ranges() -> list[tuple[str, int]]:
    """Address and length of every range that is read from now on."""
    seen: list[tuple[str, int]] = []
    read = store.read_range

    def counted(uri: str, start: int, length: int, etag: str | None = None) -> bytes:
        seen.append((uri, length))
        return read(uri, start, length, etag)

    store.read_range = counted
    return seen


def _measured(read: Callable[[], int], children: bool = False) -> dict[str, Any]:
    who = (resource.RUSAGE_SELF, *([resource.RUSAGE_CHILDREN] if children else []))
    began, cpu = time.perf_counter(), _cpu(children)
    chips = read()
    seconds, spent = time.perf_counter() - began, _cpu(children) - cpu
    peak = max(resource.getrusage(each).ru_maxrss for each in who)
    return {"chips": chips, "seconds": seconds, "cpu_seconds": spent, "peak_mb": peak / 1000}


def _cpu(children: bool) -> float:
    """CPU seconds of this process, and of its living children."""
    own = time.process_time()
    if not children:
        return own
    tick = os.sysconf("SC_CLK_TCK")
    spent = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            spent += int(fields[11]) + int(fields[12])
    return own + spent / tick


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _run(way: str, uri: str, address: str, asked: argparse.Namespace) -> dict[str, Any]:
    arguments = (
        "--way",
        way,
        "--uri",
        uri,
        "--folder",
        asked.folder,
        "--cut_px",
        asked.cut_px,
        "--overlap_px",
        asked.overlap_px,
    )
    environment = {"STORAGE_EMULATOR_HOST": f"http://{address}", "NO_GCE_CHECK": "true"}
    return run_module("benchmarks.scenes", *arguments, **environment)


def _torchgeo(uri: str, address: str, asked: argparse.Namespace) -> dict[str, Any]:
    scene = uri.replace("gs://", f"/vsicurl/http://{address}/")
    script = ROOT / "benchmarks" / "peers" / "torchgeo_grid.py"
    command = [
        asked.torchgeo,
        str(script),
        scene,
        "--cut_px",
        str(asked.cut_px),
        "--workers",
        str(_cores()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["failed"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _line(found: dict[str, Any]) -> str:
    if "error" in found:
        return str(found["error"])
    chips = found["chips"]
    rates = [f"{chips / found[n]:>8,.0f}/{unit}" for n, unit in _RATES]
    text = f"{chips:>7,} chips {' '.join(rates)}"
    more = [
        f"{name} {found[name]:.4g}"
        for name in ("peak_mb", "bytes_ratio", "requests_per_chip")
        if name in found
    ]
    return "  ".join([text, *more])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenes", allow_abbrev=False)
    parser.add_argument("--folder", required=True, help="where the scene is drawn")
    parser.add_argument("--side", type=int, default=10_980)
    parser.add_argument("--cut_px", type=int, default=256)
    parser.add_argument("--overlap_px", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--over", nargs="+", choices=("local", "http"), default=("local", "http"))
    parser.add_argument("--ways", nargs="+", choices=_WAYS, default=_WAYS)
    parser.add_argument("--torchgeo", help="a Python with torchgeo")
    parser.add_argument("--way", choices=_WAYS, help="measure only this, in this process")
    parser.add_argument("--uri", help="the scene that --way reads")
    return parser


if __name__ == "__main__":
    main()
