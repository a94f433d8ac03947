"""The scoring job as its users run it: a command line, chips in, tables out."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from contextvars import Context
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from PIL import Image
from rasterio.warp import transform_bounds

from beam_jobs import score_chips
from beam_jobs.options.run_options import parse_score_options
from beam_jobs.query import ask
from pipelines.artifacts.opening import open_artifact
from pipelines.commands import exit_code
from pipelines.imaging import decoding
from pipelines.publishing.publishing import publish_run
from pipelines.runs import committing, records, run_plan
from pipelines.runs.attempts import find_attempt
from pipelines.scoring.classifier import Classifier
from pipelines.scoring.devices import Gpu
from pipelines.storage import store
from pipelines.tables import delta_tables
from schemas.labels import LabelSet
from tests.support.forked import fork
from tests.support.samples import JPG, TIF, jpg_bytes, make_artifact, write_chips
from tests.support.staged_runs import dying_at
from train.sample.archive import write_sample_archive

ADVICE = "another --run_id scores new chips, --rescore replaces this run"

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def score(artifact, tmp_path, capsys):
    """Runs the command in this process; returns exit code, standard output and error."""

    def run(chips, *flags, artifact=artifact, output=tmp_path / "out"):
        arguments = ["--chips", chips, "--artifact", artifact, "--output", output, *flags]
        code = exit_code(score_chips.main, [str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def rows(output, name: str) -> list[dict]:
    """A table's rows; none if there is no table."""
    table = delta_tables.open_table(str(output), name)
    if table is None:
        return []
    return delta_tables.open_dataset(table).to_table().sort_by("run_id").to_pylist()


def _scores(rows_: list[dict]) -> dict[str, list[float]]:
    return {r["chip_id"]: [v for k, v in r.items() if k.startswith("score_")] for r in rows_}


def test_every_chip_has_the_scores_of_its_own_pixels(score, artifact, tmp_path):
    paths = write_chips(tmp_path / "chips", 30)
    code, out, _ = score(tmp_path / "chips", "--batch_size", "7", "--run_date", "2026-11-20")
    assert code == 0

    found = rows(tmp_path / "out", "chip_scores")
    assert sorted(row["chip_uri"] for row in found) == [str(path) for path in paths]
    opened = open_artifact(str(artifact))
    pixels = np.stack([decoding.decode_chip(path.read_bytes(), JPG) for path in paths])
    expected = Classifier(*opened, "float32").score(pixels)
    by_chip = _scores(found)
    actual = np.array([by_chip[path.stem] for path in paths])
    np.testing.assert_allclose(actual, expected, atol=1e-6)

    names = opened[1].label_set.names
    for row, scores in zip(sorted(found, key=lambda r: r["chip_id"]), actual, strict=True):
        assert row["labels"] == [n for n, s in zip(names, scores, strict=True) if s >= 0.5]
        assert row["sky_label"] == names[int(np.argmax(scores[:4]))]
        assert str(row["run_date"]) == "2026-11-20"
        assert row["model_digest"] == opened[1].model_digest
    assert "published: 30 scored, 0 quarantined, 0 skipped" in out
    assert f"chip_scores {tmp_path / 'out' / 'chip_scores'}" in out


def test_overlapping_calls_as_on_a_gpu_produce_the_same_rows(score, tmp_path, monkeypatch):
    paths = write_chips(tmp_path / "chips", 30)
    paths[11].write_bytes(b"")
    flags = ["--batch_size", "4", "--precision", "float32"]
    monkeypatch.setattr(run_plan, "UNIT_CHIPS", 9)
    assert score(tmp_path / "chips", *flags)[0] == 0

    monkeypatch.setattr(
        "pipelines.scoring.tensorflow_model.find_gpu", lambda: Gpu("CPU:0", "none", None)
    )
    assert score(tmp_path / "chips", *flags, output=tmp_path / "overlapping")[0] == 0
    expected = _scores(rows(tmp_path / "out", "chip_scores"))
    found = _scores(rows(tmp_path / "overlapping", "chip_scores"))
    assert len(expected) == 29
    assert found == expected
    (quarantined,) = rows(tmp_path / "overlapping", "quarantine")
    assert quarantined["chip_uri"] == str(paths[11])


def _picture(mode: str, size: tuple[int, int], kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 90).save(buffer, kind)
    return buffer.getvalue()


def _broken_chips() -> dict[str, tuple[bytes, str]]:
    good = jpg_bytes()
    kinds = {
        "empty": b"",
        "truncated": good[: len(good) // 2],
        "not_an_image": b"<html>no chip here</html>",
        "unsupported_media_type": _picture("RGB", (256, 256), "GIF"),
        "media_type": b"II*\0" + bytes(100),
        "wrong_bands": _picture("L", (256, 256), "JPEG"),
        "too_large": _picture("RGB", (9000, 100), "JPEG"),
        "wrong_size": _picture("RGB", (2, 2), "JPEG"),
    }
    return {f"bad_{i}_{r}": (data, r) for i in range(5) for r, data in kinds.items()}


def test_each_broken_file_is_quarantined_with_its_reason_and_affects_no_other(score, tmp_path):
    write_chips(tmp_path / "chips", 100)
    assert score(tmp_path / "chips", output=tmp_path / "clean")[0] == 0
    broken = _broken_chips()
    assert len(broken) == 40
    for name, (data, _) in broken.items():
        (tmp_path / "chips" / f"{name}.jpg").write_bytes(data)
    code, out, _ = score(tmp_path / "chips", "--max_quarantine_ratio", "0.3")
    assert code == 0

    quarantined = rows(tmp_path / "out", "quarantine")
    assert {r["chip_id"]: r["reason"] for r in quarantined} == {
        n: r for n, (_, r) in broken.items()
    }
    assert all(row["message"] for row in quarantined)
    clean = _scores(rows(tmp_path / "clean", "chip_scores"))
    beside_broken = _scores(rows(tmp_path / "out", "chip_scores"))
    assert beside_broken.keys() == clean.keys()
    for chip, scores in clean.items():
        np.testing.assert_allclose(beside_broken[chip], scores, atol=1e-6)
    (record,) = rows(tmp_path / "out", "runs")
    assert (record["listed"], record["scored"], record["quarantined"]) == (140, 100, 40)
    assert json.loads(record["quarantined_by_reason"])["empty"] == 5
    assert re.search(r"quarantined .*empty 5", out)


def test_chips_without_data_are_quarantined_for_good_and_refuse_no_run(score, tmp_path):
    chips = tmp_path / "chips"
    chips.mkdir()
    pictures = {
        "night": (4, 4, 4),
        "cloud": (255, 255, 255),
        **{f"edge{i}": (0, 0, 0) for i in range(8)},
    }
    for name, colour in pictures.items():
        (chips / f"{name}.jpg").write_bytes(jpg_bytes(colour))
    code, out, _ = score(chips, "--max_quarantine_ratio", "0")
    assert code == 0
    assert "published: 2 scored, 8 quarantined (8 no data), 0 skipped" in out
    assert {row["chip_id"] for row in rows(tmp_path / "out", "chip_scores")} == {"night", "cloud"}
    quarantined = rows(tmp_path / "out", "quarantine")
    assert {row["reason"] for row in quarantined} == {"no_data"}
    assert "0 scored, 0 quarantined, 10 skipped" in score(chips)[1]

    (chips / "empty.jpg").write_bytes(b"")
    (chips / "edge9.jpg").write_bytes(jpg_bytes((0, 0, 0)))
    code, _, err = score(chips, "--rescore", "--max_quarantine_ratio", "0.3")
    assert code == 1
    assert "no_data" in err


def test_the_next_run_scores_new_and_replaced_chips_and_skips_the_others(score, tmp_path):
    paths = write_chips(tmp_path / "chips", 6)
    paths[5].write_bytes(b"")
    assert score(tmp_path / "chips", "--run_id", "first")[0] == 0
    paths[0].write_bytes(jpg_bytes((1, 2, 3)))
    (tmp_path / "chips" / "new.jpg").write_bytes(jpg_bytes((9, 9, 9)))
    code, out, _ = score(tmp_path / "chips", "--run_id", "second")
    assert code == 0
    assert "2 scored, 0 quarantined, 5 skipped" in out
    second = [
        r["chip_id"] for r in rows(tmp_path / "out", "chip_scores") if r["run_id"] == "second"
    ]
    assert sorted(second) == ["chip_00000", "new"]

    code, out, _ = score(tmp_path / "chips", "--run_id", "third")
    assert code == 0
    assert "0 scored, 0 quarantined, 7 skipped" in out
    assert [r["scored"] for r in rows(tmp_path / "out", "runs")] == [5, 2, 0]


def test_a_new_model_scores_everything_again(score, tmp_path):
    write_chips(tmp_path / "chips", 3)
    make_artifact(tmp_path / "other", seed=5)
    assert score(tmp_path / "chips")[0] == 0
    code, out, _ = score(tmp_path / "chips", artifact=tmp_path / "other")
    assert code == 0
    assert "3 scored, 0 quarantined, 0 skipped" in out


def test_a_published_run_stays_unchanged_without_rescore(score, tmp_path):
    (path, _) = write_chips(tmp_path / "chips", 2)
    assert score(tmp_path / "chips", "--run_id", "night")[0] == 0
    before = rows(tmp_path / "out", "chip_scores")
    path.write_bytes(jpg_bytes((200, 10, 10)))
    code, out, _ = score(tmp_path / "chips", "--run_id", "night")
    assert (code, out) == (0, f"run night is published already; {ADVICE}\n")
    assert rows(tmp_path / "out", "chip_scores") == before

    assert score(tmp_path / "chips", "--run_id", "night", "--rescore")[0] == 0
    after = rows(tmp_path / "out", "chip_scores")
    assert len(after) == 2
    assert _scores(after)["chip_00000"] != _scores(before)["chip_00000"]
    assert len(rows(tmp_path / "out", "runs")) == 1


def test_a_run_rescored_on_another_day_has_one_set_of_rows(score, tmp_path):
    write_chips(tmp_path / "chips", 3)
    run = ("--run_id", "night", "--run_date")
    assert score(tmp_path / "chips", *run, "2026-11-20")[0] == 0
    assert score(tmp_path / "chips", *run, "2026-11-21", "--rescore")[0] == 0
    assert [str(r["run_date"]) for r in rows(tmp_path / "out", "chip_scores")] == ["2026-11-21"] * 3
    assert len(rows(tmp_path / "out", "runs")) == 1


def test_a_run_that_another_launcher_publishes_while_this_one_looks_for_its_plan_stays(
    score, tmp_path, monkeypatch
):
    write_chips(tmp_path / "chips", 3)
    with monkeypatch.context() as patch:
        patch.setattr(committing, "commit_rows", dying_at("chip_scores"))
        with pytest.raises(RuntimeError, match="KeyboardInterrupt"):
            score(tmp_path / "chips", "--run_id", "night")
    _, plan = find_attempt(str(tmp_path / "out"), "night")
    read_plan = run_plan.read_plan

    def publish_then_read(*asked):
        monkeypatch.setattr(run_plan, "read_plan", read_plan)
        Context().run(publish_run, plan, [])  # as another process does
        return read_plan(*asked)

    monkeypatch.setattr(run_plan, "read_plan", publish_then_read)
    code, out, _ = score(tmp_path / "chips", "--run_id", "night")
    assert (code, "published already" in out) == (0, True)
    assert len(rows(tmp_path / "out", "chip_scores")) == 3


def test_a_run_that_died_just_before_its_record_gets_it_when_it_is_started_again(
    score, tmp_path, monkeypatch
):
    write_chips(tmp_path / "chips", 3)

    def die(plan, counts, verdict):
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(records, "publish_record", die)
        with pytest.raises(RuntimeError, match="the power went"):
            score(tmp_path / "chips", "--run_id", "night")
    assert rows(tmp_path / "out", "runs") == []
    code, out, _ = score(tmp_path / "chips", "--run_id", "night")
    assert code == 0
    assert "published already" in out
    (record,) = rows(tmp_path / "out", "runs")
    assert (record["listed"], record["scored"]) == (3, 3)
    assert not list((tmp_path / "out" / "_staging").iterdir())


def test_an_artifact_that_changes_during_the_run_fails_it_in_one_line(
    score, artifact, tmp_path, monkeypatch
):
    write_chips(tmp_path / "chips", 1)
    shutil.copytree(artifact, tmp_path / "model")
    store_plan = run_plan.store_plan

    def store_plan_and_change_the_model(*args):
        (tmp_path / "model" / "model.keras").write_bytes(b"another")
        return store_plan(*args)

    monkeypatch.setattr(run_plan, "store_plan", store_plan_and_change_the_model)
    code, _, err = score(tmp_path / "chips", artifact=tmp_path / "model")
    assert code == 1
    assert len(err.strip().splitlines()) == 1
    assert "sha256 of model.keras differs" in err
    assert rows(tmp_path / "out", "chip_scores") == []


def test_an_output_that_becomes_unwritable_fails_the_run_in_one_line(score, tmp_path, monkeypatch):
    write_chips(tmp_path / "chips", 1)
    store_plan = run_plan.store_plan

    def store_plan_and_stand_in_the_way(plan, manifest):
        stored = store_plan(plan, manifest)
        Path(plan.staging, "units").write_text("no folder")
        return stored

    monkeypatch.setattr(run_plan, "store_plan", store_plan_and_stand_in_the_way)
    code, _, err = score(tmp_path / "chips")
    assert code == 1
    assert len(err.strip().splitlines()) == 1
    assert "cannot write" in err


def test_with_too_many_broken_chips_nothing_is_published_and_staging_is_kept(score, tmp_path):
    for i, path in enumerate(write_chips(tmp_path / "chips", 10)):
        if i < 3:
            path.write_bytes(b"")
    code, _, err = score(tmp_path / "chips", "--run_id", "ill")
    assert code == 1
    assert len(err.strip().splitlines()) == 1
    assert (
        "3 of 10 chips were quarantined (empty 3; the first of empty: the object has no bytes)"
        in err
    )
    assert [rows(tmp_path / "out", name) for name in ("chip_scores", "quarantine")] == [[], []]
    (record,) = rows(tmp_path / "out", "runs")
    assert (record["status"], record["published_at"]) == ("failed", None)
    assert f"error: {record['reason']}" == err.strip()
    pattern = re.search(r"their rows: (\S+)", err).group(1)
    (staged,) = Path(pattern).parent.glob(Path(pattern).name)
    assert pq.read_table(staged)["reason"].to_pylist() == ["empty"] * 3

    assert score(tmp_path / "chips", "--run_id", "ill", "--max_quarantine_ratio", "0.3")[0] == 0
    assert len(rows(tmp_path / "out", "chip_scores")) == 7
    (record,) = rows(tmp_path / "out", "runs")
    assert (record["status"], record["reason"], record["scored"]) == ("published", None, 7)


def test_a_published_run_keeps_its_row_when_its_replacement_fails(score, tmp_path):
    paths = write_chips(tmp_path / "chips", 4)
    assert score(tmp_path / "chips", "--run_id", "night")[0] == 0
    for path in paths[:3]:
        path.write_bytes(b"")
    assert score(tmp_path / "chips", "--run_id", "night", "--rescore")[0] == 1
    (record,) = rows(tmp_path / "out", "runs")
    assert (record["status"], record["scored"]) == ("published", 4)
    assert ask(str(tmp_path / "out"), "SELECT status, scored FROM runs").to_pylist() == [
        {"status": "published", "scored": 4}
    ]


def test_a_failed_run_is_shown_by_a_query(score, tmp_path):
    for path in write_chips(tmp_path / "chips", 3):
        path.write_bytes(b"")
    assert score(tmp_path / "chips", "--run_id", "ill", "--run_date", "2026-11-20")[0] == 1
    (answer,) = ask(
        str(tmp_path / "out"), "SELECT run_id, status, reason, listed, scored FROM runs"
    ).to_pylist()
    assert answer["reason"].startswith("run ill: 3 of 3 chips were quarantined (empty 3; the first")
    assert {**answer, "reason": ""} == {
        "run_id": "ill", "status": "failed", "reason": "", "listed": 3, "scored": 0
    }  # fmt: skip


def test_bytes_read_and_times_are_in_the_row_of_the_run(score, tmp_path):
    paths = write_chips(tmp_path / "chips", 5)
    assert score(tmp_path / "chips")[0] == 0
    (record,) = rows(tmp_path / "out", "runs")
    assert record["bytes_read"] == sum(path.stat().st_size for path in paths)
    seconds = json.loads(record["stage_seconds"])
    assert set(seconds) == {"read", "decode", "wait", "score", "stage"}
    assert all(value >= 0 for value in seconds.values())
    assert seconds["score"] > 0


def test_a_chip_named_twice_counts_once(score, tmp_path):
    (path, other) = write_chips(tmp_path / "chips", 2)
    manifest = tmp_path / "manifest.parquet"
    pq.write_table(pa.table({"chip_uri": [str(path), str(other), str(path)]}), manifest)
    assert score(manifest)[0] == 0
    assert len(rows(tmp_path / "out", "chip_scores")) == 2
    assert rows(tmp_path / "out", "runs")[0]["listed"] == 2


def test_chips_can_be_chosen_by_a_glob_and_by_a_manifest(score, tmp_path):
    paths = write_chips(tmp_path / "chips", 12)
    assert score(tmp_path / "chips" / "chip_0000?.jpg", output=tmp_path / "a")[0] == 0
    assert len(rows(tmp_path / "a", "chip_scores")) == 10
    manifest = tmp_path / "night.csv"
    manifest.write_text(f"chip_uri,scene_id\n{paths[11]},S7\n")
    assert score(manifest, output=tmp_path / "b")[0] == 0
    (row,) = rows(tmp_path / "b", "chip_scores")
    assert (row["chip_id"], row["scene_id"]) == ("chip_00011", "S7")


def test_tifs_are_scored_by_a_tif_model_and_have_their_position(score, tmp_path):
    archive = write_sample_archive(tmp_path / "archive", 3, media_type="tif")
    make_artifact(tmp_path / "tif_model", TIF)
    assert score(tmp_path / "archive", artifact=tmp_path / "tif_model")[0] == 0
    found = {r["chip_id"]: r for r in rows(tmp_path / "out", "chip_scores")}
    for path in archive.chip_paths:
        with rasterio.open(path) as source:
            expected = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
        row = found[path.stem]
        box = (row["lon_min"], row["lat_min"], row["lon_max"], row["lat_max"])
        assert box == pytest.approx(expected, abs=1e-6)
        assert row["media_type"] == "tif"


def test_of_a_mixed_archive_a_model_quarantines_the_chips_of_the_other_kind(score, tmp_path):
    write_sample_archive(tmp_path / "archive", 2, media_type="both")
    make_artifact(tmp_path / "tif_model", TIF)
    lenient = ("--max_quarantine_ratio", "1")
    for output, model in {"a": {}, "b": {"artifact": tmp_path / "tif_model"}}.items():
        code, *_ = score(tmp_path / "archive", *lenient, output=tmp_path / output, **model)
        assert code == 0
        assert len(rows(tmp_path / output, "chip_scores")) == 2
        reasons = [row["reason"] for row in rows(tmp_path / output, "quarantine")]
        assert reasons == ["media_type"] * 2


def test_an_archive_of_the_other_media_type_is_refused_before_it_is_read(score, tmp_path):
    write_sample_archive(tmp_path / "tifs", 2, media_type="tif")
    for flags in ([], ["--media_type", "tif"], ["--estimate"]):
        code, out, err = score(tmp_path / "tifs", *flags)
        assert (code, out) == (2, "")
        assert "--chips holds 2 tif chips and no jpg, and the model of --artifact takes jpg" in err
        assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_refused_run_says_why_in_one_line(score, tmp_path):
    (tmp_path / "chips").mkdir()
    (tmp_path / "chips" / "a.jpg").write_bytes(b"no image")
    code, _, err = score(tmp_path / "chips")
    assert code == 1
    assert err.count("over --max_quarantine_ratio") == 1
    assert err.startswith("error: run ")
    assert len(err.splitlines()) == 1


def test_ignored_files_are_printed_once_and_count_nowhere(score, tmp_path):
    (tmp_path / "chips").mkdir()
    for path in write_chips(tmp_path / "chips", 2):
        path.with_name(f"._{path.name}").write_bytes(b"x")
    for flags in ([], ["--plan_only"], ["--estimate"]):
        code, out, _ = score(tmp_path / "chips", *flags)
        assert code == 0
        assert out.count("ignored 2 files with hidden names") == 1
        assert "2 chips listed" in out or "of 2 listed" in out
    code, out, _ = score(tmp_path / "chips", "--estimate", "--format", "json")
    assert json.loads(out)["ignored"] == 2
    assert rows(tmp_path / "out", "quarantine") == []


def test_media_type_chooses_among_the_files_of_a_mixed_archive(score, tmp_path):
    write_sample_archive(tmp_path / "archive", 2, media_type="both")
    assert score(tmp_path / "archive", "--media_type", "jpg")[0] == 0
    assert len(rows(tmp_path / "out", "chip_scores")) == 2
    assert rows(tmp_path / "out", "quarantine") == []


def test_an_output_has_one_label_set(score, tmp_path):
    write_chips(tmp_path / "chips", 1)
    assert score(tmp_path / "chips")[0] == 0
    make_artifact(tmp_path / "uc", label_set=LabelSet(("mobile-home", "sea")))
    code, _, err = score(tmp_path / "chips", artifact=tmp_path / "uc")
    assert code == 2
    assert "the artifact has other labels: mobile-home, sea" in err
    assert "use another OUTPUT" in err


def test_threats_are_named_when_a_night_is_scored_and_stay(score, tmp_path):
    write_chips(tmp_path / "chips", 1)
    labels = LabelSet(("gold mine", "a, b", "sea"))
    make_artifact(tmp_path / "uc", label_set=labels, thresholds=[0.0] * 3)
    nights = {"one": [], "two": ["--threats", '"a, b",sea'], "three": []}
    for run_id, flags in nights.items():
        flags = ["--run_id", run_id, "--rescore", *flags]
        assert score(tmp_path / "chips", *flags, artifact=tmp_path / "uc")[0] == 0
    named = {row["run_id"]: row["threats"] for row in rows(tmp_path / "out", "runs")}
    assert named == {"one": None, "two": ["a, b", "sea"], "three": None}
    assert ask(str(tmp_path / "out"), "FROM threats")["label"].to_pylist() == ["a, b", "sea"]
    wrong = ["--run_id", "four", "--threats", "gold_mine"]
    code, out, err = score(tmp_path / "chips", *wrong, artifact=tmp_path / "uc")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "'gold_mine' is not a label; did you mean 'gold mine'?" in err


def test_labels_with_unusual_names_become_valid_columns(score, tmp_path):
    write_chips(tmp_path / "chips", 1)
    labels = LabelSet(("mobile-home", "sea"))
    make_artifact(tmp_path / "uc", label_set=labels, thresholds=[0.0001, 0.9999])
    assert score(tmp_path / "chips", artifact=tmp_path / "uc")[0] == 0
    (row,) = rows(tmp_path / "out", "chip_scores")
    assert set(_scores([row])) == {"chip_00000"}
    assert 0 < row["score_mobile_home"] < 1
    assert "mobile-home" in row["labels"]
    assert row["sky_label"] is None


@pytest.mark.parametrize(
    "name", ["a b.jpg", 'it\'s "q".jpg', "tab\t.jpg", "new\nline.jpg", "森 ação.jpg", "#?%2f.jpg"]
)
def test_any_file_name_is_accepted(score, tmp_path, name):
    (tmp_path / "chips").mkdir()
    (tmp_path / "chips" / name).write_bytes(jpg_bytes())
    assert score(tmp_path / "chips")[0] == 0
    (row,) = rows(tmp_path / "out", "chip_scores")
    assert row["chip_uri"] == str(tmp_path / "chips" / name)


def test_a_file_whose_name_is_not_utf8_is_scored_under_its_escaped_name(score, tmp_path):
    write_chips(tmp_path / "chips", 9)
    path = os.fsencode(tmp_path / "chips") + b"/caf\xe9.jpg"
    Path(os.fsdecode(path)).write_bytes(jpg_bytes())
    assert score(tmp_path / "chips")[0] == 0
    assert r"caf\xe9" in {row["chip_id"] for row in rows(tmp_path / "out", "chip_scores")}
    assert rows(tmp_path / "out", "quarantine") == []


def test_the_run_date_may_be_yesterday(score, tmp_path):
    write_chips(tmp_path / "chips", 1)
    before = datetime.now(UTC).date()
    assert score(tmp_path / "chips", "--run_date", "yesterday")[0] == 0
    (row,) = rows(tmp_path / "out", "chip_scores")
    assert row["run_date"] in (before - timedelta(days=1), before)


def test_chips_model_and_tables_may_be_in_an_object_store(score, tmp_path, object_store_uri):
    make_artifact(tmp_path / "model")
    for path in [*write_chips(tmp_path / "chips", 5), *(tmp_path / "model").iterdir()]:
        target = f"{object_store_uri}/{path.parent.name}/{path.name}"
        store.write_bytes(target, path.read_bytes())
    store.write_bytes(f"{object_store_uri}/chips/empty chip é.jpg", b"")
    output = f"{object_store_uri}/tables"
    places = {"artifact": f"{object_store_uri}/model", "output": output}
    code, out, err = score(f"{object_store_uri}/chips", **places)
    assert (code, err) == (0, "")
    assert "5 scored, 1 quarantined, 0 skipped" in out
    by_chip = _scores(rows(output, "chip_scores"))
    assert score(tmp_path / "chips", artifact=tmp_path / "model")[0] == 0
    local = _scores(rows(tmp_path / "out", "chip_scores"))
    assert by_chip == local

    code, out, _ = score(f"{object_store_uri}/chips", **places)
    assert code == 0
    assert "0 scored, 0 quarantined, 6 skipped" in out

    store.write_bytes(f"{object_store_uri}/chips/chip_00002.jpg", jpg_bytes((1, 2, 3)))
    code, out, _ = score(f"{object_store_uri}/chips", **places)
    assert code == 0
    assert "1 scored, 0 quarantined, 5 skipped" in out  # its etag is new


def test_a_flag_that_was_removed_is_accepted_with_a_warning_and_changes_nothing(capsys):
    given, now = ["--chips=/c", "--artifact=/a", "--output=/o"], datetime.now(UTC)
    with_it = parse_score_options([*given, "--run_id=r", "--share_model"], now)
    assert with_it == parse_score_options([*given, "--run_id=r"], now)
    assert capsys.readouterr().err.startswith("warning: --share_model has no effect any more")


def test_the_command_prints_its_summary_and_ends_with_0(artifact, tmp_path):
    write_chips(tmp_path / "chips", 3)
    flags = ["--chips", "chips", "--artifact", str(artifact), "--output", "out", "--run_id", "r-1"]
    out, err = tmp_path / "printed", tmp_path / "errors"
    command = fork(score_chips.main, flags, out, err=err, folder=tmp_path)
    code, printed = command.finish()
    assert code == 0, err.read_text()
    assert printed.startswith("run r-1: 3 chips listed, 3 to score\n")
    assert "3 scored" in printed
    assert f"  report      {tmp_path / 'out/reports/r-1.html'}\n" in printed
    assert "Traceback" not in err.read_text()
    assert len(rows(tmp_path / "out", "chip_scores")) == 3


_WRONG_USE = {
    "unknown flag": (
        ["--batchsize", "3"],
        "unknown argument '--batchsize'; did you mean --batch_size",
    ),
    "a flag that is like no other": (["--bogus"], "unknown argument '--bogus'; see --help"),
    "misspelt flag of Beam": (["--runer", "X"], "did you mean --runner"),
    "unknown runner": (["--runner", "Foo"], "--runner Foo"),
    "batch size": (["--batch_size", "0"], "must be at least 1, not 0"),
    "no number": (["--batch_size", "many"], "--batch_size"),
    "ratio": (["--max_quarantine_ratio", "1.5"], "must be from 0 to 1, not 1.5"),
    "date": (["--run_date", "2026-02-30"], "'2026-02-30' is not a date"),
    "run id": (["--run_id", "../x"], "--run_id '../x'"),
    "precision": (["--precision", "float8"], "invalid choice"),
    "float16 on a CPU": (["--precision", "float16"], "float16 needs a GPU"),
    "no chips there": (["--chips", "nowhere"], "nowhere"),
    "no image there": (["--chips", "texts"], "holds no image: 1 .txt file"),
    "empty folder": (["--chips", "nothing"], "holds no image: there is nothing"),
    "a manifest without chip_uri": (["--chips", "m.csv"], "has no column chip_uri"),
    "no artifact": (["--artifact", "nowhere"], "artifact.json is missing"),
    "artifact changed": (["--artifact", "changed"], "sha256 of model.keras differs"),
    "output is a file": (["--output", "m.csv"], "m.csv"),
    "scheme": (["--chips", "ftp://x/y"], "not ftp://"),
    "no address": (["--chips", ""], "the address is empty"),
    "no address for tables": (["--output", ""], "the address is empty"),
    "a folder that delta would misread": (["--output", "a%20b"], "'%' in the folder's name"),
}


def test_a_usage_error_ends_with_2_and_one_line_before_tensorflow_is_loaded(artifact, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "m.csv").write_text("uri\nx.jpg\n")
    write_chips(tmp_path / "chips", 1)
    make_artifact(tmp_path / "changed")
    with (tmp_path / "changed" / "model.keras").open("ab") as file:
        file.write(b"!")
    flags = [wrong for wrong, _ in _WRONG_USE.values()]
    script = f"""
import contextlib, io, sys
from beam_jobs import score_chips
from pipelines.commands import exit_code
from beam_jobs.query import ask
common = ["--chips", "chips", "--artifact", {str(artifact)!r}, "--output", "out"]
for wrong in {flags!r}:
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
        code = exit_code(score_chips.main, common + wrong)
    print(code, repr(errors.getvalue()), "tensorflow" in sys.modules, sep="\\t")
"""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    answers = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(answers) == len(_WRONG_USE), done.stderr
    for (case, (_, expected)), answer in zip(_WRONG_USE.items(), answers, strict=True):
        code, text, tensorflow = answer
        assert (case, code, tensorflow) == (case, "2", "False")
        message = eval(text)
        assert expected in message, case
        assert len(message.strip().splitlines()) == 1, case
    assert not (tmp_path / "out").exists()


@pytest.mark.shared
def test_every_real_chip_is_scored_and_none_has_the_scores_of_a_black_picture(
    score, tmp_path, shared_data
):
    chips = shared_data / "planet" / "jpg"
    (tmp_path / "black").mkdir()
    (tmp_path / "black" / "black.jpg").write_bytes(jpg_bytes((4, 4, 4)))
    assert score(chips)[0] == 0
    assert score(tmp_path / "black", output=tmp_path / "dark")[0] == 0
    ((_, black),) = _scores(rows(tmp_path / "dark", "chip_scores")).items()
    real = _scores(rows(tmp_path / "out", "chip_scores"))
    assert len(real) == len(list(chips.iterdir()))
    distances = [np.abs(np.array(scores) - black).max() for scores in real.values()]
    assert min(distances) > 0.01
