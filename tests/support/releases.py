"""What earlier releases left in an OUTPUT (tests/releases), put where tests can work on it."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.store import S3Store

from tests.support.object_stores import S3Server

BUCKET = "s3://forest-chips-release"
"""All addresses in the tables begin with it."""

RELEASES = Path(__file__).parents[1] / "releases"
DATED = "2026-11-29.tar.xz"


@dataclass(frozen=True)
class Release:
    """An OUTPUT of an earlier release.

    Attributes:
        output: address of the tables, which are a copy of one test.
        artifact: local folder of the model that made them.
    """

    output: str
    artifact: str

    @staticmethod
    def chips(name: str) -> str:
        """Address of a night's chips."""
        return f"{BUCKET}/chips/{name}"


def local_release(folder: Path, server: S3Server) -> Release:
    """The tables in a local folder; their chips are in the emulated bucket."""
    files = unpack(folder)
    _fill(server, {key: data for key, data in files.items() if not key.startswith("tables/")})
    for path in (folder / "tables" / "_staging").rglob("*.json"):
        path.write_text(path.read_text().replace(f"{BUCKET}/tables", str(folder / "tables")))
    return Release(str(folder / "tables"), str(folder / "model"))


def remote_release(folder: Path, server: S3Server) -> Release:
    """The tables in the bucket in which they were written."""
    _fill(server, unpack(folder))
    return Release(f"{BUCKET}/tables", str(folder / "model"))


def put_chip(key: str, like: str) -> None:
    """Copy a chip in the bucket, as in `put_chip("chips/new/00.jpg", "chips/six/03.jpg")`."""
    bucket = S3Store(BUCKET.removeprefix("s3://"))
    obstore.put(bucket, key, bytes(obstore.get(bucket, like).bytes()))


def unpack(folder: Path) -> dict[str, bytes]:
    """Write what the release left, the model among it; returns the bytes of each file."""
    with tarfile.open(RELEASES / DATED) as tar:
        if hasattr(tarfile, "data_filter"):  # the default since Python 3.14; 3.11.3 has none
            tar.extraction_filter = tarfile.data_filter
        tar.extractall(folder)
    paths = (path for path in folder.rglob("*") if path.is_file())
    files = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    chips: dict[str, str] = json.loads(files.pop("chips.json"))
    pictures = {key: files[f"pictures/{picture}"] for key, picture in chips.items()}
    return files | pictures


def _fill(server: S3Server, files: dict[str, bytes]) -> None:
    """Make the bucket hold these files and no others."""
    server.create_bucket(BUCKET.removeprefix("s3://"))
    bucket = S3Store(BUCKET.removeprefix("s3://"))
    old = [each["path"] for page in obstore.list(bucket) for each in page]
    _each((lambda key: obstore.delete(bucket, key)), old)
    _each((lambda item: obstore.put(bucket, item[0], item[1])), files.items())


def _each(call: object, items: Iterable[object]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, items))  # type: ignore[arg-type]
