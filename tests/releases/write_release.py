"""Write what a release leaves in an OUTPUT: tables, staging folders, and the model that made them.

Run it in a checkout of that release: `python write_release.py FILE.tar.xz`. All of it is written to
a bucket of an emulated S3, so the addresses in the tables are the same wherever the file is used.
`tests/support/releases.py` puts it back.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import obstore
from obstore.store import S3Store
from PIL import Image

sys.path.insert(0, os.getcwd())  # the checkout

from beam_jobs import maintain, relabel_chips, replay_quarantine, score_chips, withdraw
from pipelines.commands import exit_code
from pipelines.errors import StorageError
from pipelines.runs import run_plan, staging
from schemas.artifact_files import ARTIFACT_FILE, MODEL_FILE, read_description, write_artifact
from tests.support.object_stores import S3Server
from train.__main__ import main as train
from train.sample.archive import write_sample_archive

BUCKET = "forest-chips-release"
SIDE_PX = 64
PICTURES = 8
SAVED = ("tables", "model", "lists")
OLD_NIGHTS = "60"  # --keep_days: only the night of 2020 is older

Command = Callable[[Sequence[str]], int]


class Bucket:
    """The bucket, with the name of the picture of each chip."""

    def __init__(self, archive: Path) -> None:
        files = sorted((archive / "chips").glob("*.jpg"))[:PICTURES]
        self.pictures = {f"{n}.jpg": _small(file) for n, file in enumerate(files)}
        self.pictures |= {"empty": b"", "torn": self.pictures["0.jpg"][:700], "text": b"no picture"}
        self.chips: dict[str, str] = {}
        self.store = S3Store(BUCKET)

    def put(self, key: str, picture: str) -> None:
        obstore.put(self.store, key, self.pictures[picture])
        self.chips[key] = picture

    def put_night(self, name: str, count: int) -> None:
        for n in range(count):
            self.put(f"chips/{name}/{n:02d}.jpg", f"{n % PICTURES}.jpg")

    def put_file(self, key: str, text: str) -> str:
        obstore.put(self.store, key, text.encode())
        return f"s3://{BUCKET}/{key}"

    def save(self, file: Path) -> None:
        """Tables, model and lists as they are, the chips as a table of their pictures."""
        pages = [page for prefix in SAVED for page in obstore.list(self.store, prefix)]
        keys = [each["path"] for page in pages for each in page]
        keys = [key for key in keys if not key.startswith("tables/reports/")]
        contents = {key: bytes(obstore.get(self.store, key).bytes()) for key in keys}
        contents |= {f"pictures/{name}": data for name, data in self.pictures.items()}
        contents["chips.json"] = json.dumps(self.chips, sort_keys=True).encode()
        with tarfile.open(file, "w:xz") as tar:
            for name in sorted(contents):
                member = tarfile.TarInfo(name)
                member.size = len(contents[name])
                tar.addfile(member, io.BytesIO(contents[name]))


def _small(file: Path) -> bytes:
    buffer = io.BytesIO()
    Image.open(file).convert("RGB").resize((SIDE_PX, SIDE_PX)).save(buffer, "JPEG", quality=50)
    return buffer.getvalue()


def _run(main: Command, *arguments: str, code: int = 0) -> None:
    print("$", main.__module__, *arguments, flush=True)
    found = exit_code(main, [*arguments, "--output", f"s3://{BUCKET}/tables"])
    assert found == code, found


def _score(name: str, night: str, *flags: str, run_id: str = "", code: int = 0) -> None:
    chips = f"s3://{BUCKET}/{flags[0]}" if flags and "/" in flags[0] else ""
    archive = chips or f"s3://{BUCKET}/chips/{name}"
    flags = flags[1:] if chips else flags
    run = ("--run_id", run_id or name, "--run_date", night)
    model = ("--artifact", f"s3://{BUCKET}/model")
    _run(score_chips.main, "--chips", archive, *model, *run, *flags, code=code)


def write_model(folder: Path, bucket: Bucket) -> None:
    """Train on the drawn archive, below a neutral folder: the artifact names its training set."""
    os.chdir(folder)
    flags = ["--chips", "sample/chips", "--labels", "sample/labels.csv", "--artifact", "model"]
    assert train([*flags, "--network", "mean_colour", "--image_size", "32"]) == 0
    for file in Path("model").iterdir():
        if file.name not in (ARTIFACT_FILE, MODEL_FILE):
            file.unlink()  # for people
    write_artifact(Path("model"), read_description(Path("model")))
    for file in Path("model").iterdir():
        obstore.put(bucket.store, f"model/{file.name}", file.read_bytes())


def write_tables(bucket: Bucket) -> None:
    """Some nights, and whatever an operator may do to them."""
    bucket.put_night("gone", 4)
    bucket.put("chips/gone/torn.jpg", "torn")
    _score("gone", "2020-01-01", "--max_quarantine_ratio", "1")
    bucket.put_night("one", 32)
    for bad in ("empty", "torn", "text"):
        bucket.put(f"chips/one/{bad}.jpg", bad)
    places = [f"{n:02d},scene-{n % 3},2026-10-{n % 28 + 1:02d}" for n in range(20)]
    boxes = [f"{-60 + n / 100},{-3},{-59.99 + n / 100},{-2.99}" for n in range(20)]
    rows = [",".join(row) for row in zip(places, boxes, strict=True)]
    head = "chip_id,scene_id,observed_at,lon_min,lat_min,lon_max,lat_max"
    sidecar = bucket.put_file("lists/places.csv", "\n".join([head, *rows]) + "\n")
    _score("one", "2026-11-01", "--sidecar", sidecar)
    bucket.put_night("two", 4)
    _score("two", "2026-11-02")
    _run(maintain.main, "--keep_days", OLD_NIGHTS, "--vacuum_hours", "0")
    _score("two", "2026-11-02", "--rescore")  # replaced by a second attempt
    bucket.put_night("three", 4)
    _score("three", "2026-11-03")
    _run(withdraw.main, "--run_id", "three")
    low = json.dumps(dict.fromkeys(_labels(bucket), 0.2))
    thresholds = bucket.put_file("lists/thresholds.json", low)
    _run(relabel_chips.main, "--thresholds", thresholds, "--run_id", "relabelled")
    bucket.put("chips/one/00.jpg", "5.jpg")  # another picture at the same address
    _score("four", "2026-11-04", "chips/one")
    bucket.put_night("five", 1)
    found = [f"s3://{BUCKET}/chips/five/{name}.jpg" for name in ("00", "missing")]
    bucket.put_file("lists/five.csv", "\n".join(["chip_uri", *found]) + "\n")
    _score("five", "2026-11-05", "lists/five.csv", "--max_quarantine_ratio", "1")
    bucket.put("chips/bad/00.jpg", "empty")
    _score("bad", "2026-11-05", code=1)
    bucket.put("chips/one/torn.jpg", "3.jpg")
    model = ("--artifact", f"s3://{BUCKET}/model")
    replay = (*model, "--reason", "truncated", "--new_run_id", "replayed")
    _run(replay_quarantine.main, *replay, "--new_run_date", "2026-11-05")
    bucket.put_night("six", 12)
    _score("six", "2026-11-06")


def write_staging(bucket: Bucket) -> None:
    """A planned run, one that died half-way, one that is staged and refused, and one held."""
    bucket.put_night("planned", 2)
    _score("planned", "2026-11-07", "--plan_only")
    bucket.put_night("died", 12)
    stage_unit = staging.stage_unit

    def stage_the_first(batches: list, folder: str, *started: float) -> staging.StagedUnit:
        if batches[0].unit:
            raise StorageError("the store is gone")
        return stage_unit(batches, folder, *started)

    staging.stage_unit = stage_the_first
    _score("died", "2026-11-08", code=1)
    staging.stage_unit = stage_unit
    for n in range(32):
        bucket.put(f"chips/held/{n:02d}.jpg", f"{n % PICTURES}.jpg" if n < 16 else "empty")
    hold = ("--hold_on_drift", "--max_quarantine_ratio", "1")
    _score("held", "2026-11-09", *hold, code=3)


def _labels(bucket: Bucket) -> list[str]:
    found = json.loads(bytes(obstore.get(bucket.store, "model/artifact.json").bytes()))
    labels: list[str] = found["label_set"]["labels"]
    return labels


def main(file: Path) -> None:
    file = file.absolute()
    run_plan.UNIT_CHIPS = 8  # runs of several files
    with S3Server() as server, tempfile.TemporaryDirectory() as scratch:
        os.environ |= server.env
        server.create_bucket(BUCKET)
        write_sample_archive(Path(scratch, "sample"), 300, seed=0, media_type="jpg")
        bucket = Bucket(Path(scratch, "sample"))
        write_model(Path(scratch), bucket)
        write_tables(bucket)
        write_staging(bucket)
        bucket.save(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
