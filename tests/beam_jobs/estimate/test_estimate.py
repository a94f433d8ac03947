"""What a run would take, printed before it is run, with nothing written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest

from beam_jobs import score_chips
from beam_jobs.estimate.estimate import estimate_run, estimate_text
from beam_jobs.options.prices import WorkerType, read_prices
from pipelines.commands import exit_code
from pipelines.errors import UsageError
from pipelines.planning.selection import Selection
from pipelines.scoring.trial import Trial, take_sample
from pipelines.storage.request_rate import DOUBLING_S, seconds_for
from pipelines.tables.evolution import ensure_table
from schemas.labels import LabelSet
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST, chip_scores
from tests.support.samples import write_chips

PRICES = (
    "worker_type,price_per_hour,speed,chips_per_second,workers\n"
    "n2,0.5,2,,10\n"
    '"g2, with L4",1.25,,1000,\n'
)


@pytest.fixture
def estimate(artifact, tmp_path, capsys):
    """Runs the command in this process; returns exit code, output and error."""

    def run(*flags: object, output: Path = tmp_path / "out") -> tuple[int, str, str]:
        paths = {"chips": tmp_path / "chips", "artifact": artifact, "output": output}
        arguments = [str(part) for name, value in paths.items() for part in (f"--{name}", value)]
        code = exit_code(score_chips.main, [*arguments, *map(str, flags)])
        return code, *capsys.readouterr()

    return run


def everything(folder: Path) -> dict[str, int]:
    return {path: os.stat(path).st_mtime_ns for path in map(str, folder.rglob("*"))}


def chips(count: int, prefix: str = "/chips", size_bytes: int | None = 1000) -> Selection:
    rows = [
        {"chip_uri": f"{prefix}/{n}.jpg", "chip_id": str(n), "size_bytes": size_bytes}
        for n in range(count)
    ]
    table = pa.Table.from_pylist(rows, file_schema(CHIP_MANIFEST))
    return Selection(count + 5, count, 2, table.to_reader(max_chunksize=7))


# ------------------------------------------------------------------------------- the command


def test_nothing_is_written_not_even_the_output(estimate, tmp_path):
    write_chips(tmp_path / "chips", 20)
    before = everything(tmp_path)
    code, out, _ = estimate("--estimate")
    assert code == 0
    assert out.startswith("estimate, nothing was written: 20 chips to score of 20 listed, 0 done")
    assert everything(tmp_path) == before


def test_after_a_published_run_an_estimate_counts_what_is_left_and_changes_no_table(
    estimate, tmp_path
):
    write_chips(tmp_path / "chips", 20)
    assert estimate()[0] == 0
    write_chips(tmp_path / "chips", 24)
    (tmp_path / "chips" / "broken.jpg").write_bytes(b"")
    before = everything(tmp_path)
    code, out, _ = estimate("--estimate", "--format", "json", "--sample_chips", 100)
    assert code == 0
    result = json.loads(out)
    assert everything(tmp_path) == before
    assert result["listed"] == 25
    assert result["to_score"] == result["sampled"] == 25 - result["skipped"]
    assert result["sample_quarantined"] == {"empty": 1}
    assert result["reads"] == result["to_score"]
    assert result["chips_per_second"] > 0
    assert result["durations"][0]["worker_type"] == "this machine"
    assert result["durations"][0]["cost"] is None


def test_with_nothing_left_to_score_only_the_start_is_estimated(estimate, tmp_path):
    write_chips(tmp_path / "chips", 3)
    assert estimate()[0] == 0
    result = json.loads(estimate("--estimate", "--format", "json")[1])
    assert (result["to_score"], result["sampled"], result["size_bytes"]) == (0, 0, 0)
    assert result["durations"][0]["hours"] == pytest.approx(result["start_seconds"] / 3600)


def test_a_price_table_adds_hours_and_cost_per_worker_type(estimate, tmp_path):
    write_chips(tmp_path / "chips", 10)
    (tmp_path / "prices.csv").write_text(PRICES)
    code, out, _ = estimate("--estimate", "--prices", tmp_path / "prices.csv")
    assert code == 0
    head, _, *rows = ([cell.strip() for cell in line.split("|")] for line in out.splitlines()[-4:])
    assert head == ["worker type", "workers", "chips/s", "hours", "cost"]
    assert [row[:2] for row in rows] == [["n2", "10"], ["g2, with L4", "1"]]
    assert rows[1][2] == "1,000"


@pytest.mark.parametrize("flag", ["--prices", "--sample_chips", "--format"])
def test_flags_of_the_estimate_without_it_are_a_usage_error(estimate, tmp_path, flag):
    value = {"--sample_chips": 3, "--format": "json"}.get(flag, "prices.csv")
    code, _, err = estimate(flag, value)
    assert (code, err) == (2, f"error: {flag} belongs to --estimate, which is not given\n")


def test_a_broken_artifact_is_reported_before_anything_is_listed(estimate, tmp_path, artifact):
    code, _, err = estimate("--estimate", "--artifact", tmp_path)
    assert code == 2
    assert err.startswith("error: --artifact: ")


@pytest.mark.parametrize("flags", [("--estimate",), ()], ids=["estimate", "run"])
def test_an_output_with_another_label_set_is_reported_before_anything_is_listed(
    estimate, tmp_path, flags
):
    ensure_table(str(tmp_path / "out"), chip_scores(LabelSet(("fire", "mine"))))
    code, out, err = estimate(*flags)  # even if there are no chips to list
    assert (code, out) == (2, "")
    assert "the artifact has other labels: clear," in err
    assert len(err.splitlines()) == 1


# ------------------------------------------------------------------------------- the arithmetic


def trial(rate: float = 100.0, start_s: float = 36.0) -> Trial:
    return Trial(rate, start_s, 8, {"empty": 1}, "float32")


def test_hours_and_cost_follow_from_the_rate_the_start_and_the_price():
    workers = (WorkerType("slow", 2.0, 10, 0.5), WorkerType("fast", 3.0, 1, 1.0, 720.0))
    result = estimate_run(chips(7200), workers, 4, 5000.0, lambda to_do: trial())
    slow, fast = result.durations
    assert slow.chips_per_second == 500.0
    assert slow.hours == pytest.approx((7200 / 500 + 36) / 3600)
    assert slow.cost == pytest.approx(slow.hours * 10 * 2.0)
    assert fast.hours == pytest.approx((7200 / 720 + 36) / 3600)
    assert (result.listed, result.skipped, result.left_over) == (7205, 3, 2)
    assert result.size_bytes == 7_200_000
    assert result.writes == 10
    assert result.ramp_hours == 0.0
    assert "sample      4 chips, 1 would be quarantined (empty 1)" in estimate_text(result, "text")


def test_on_gs_a_run_takes_at_least_the_ramp_of_its_reads():
    workers = (WorkerType("fast", 1.0, 1, 1.0, 1e9),)
    result = estimate_run(chips(600, "gs://bucket"), workers, 4, 0.5, lambda to_do: trial())
    assert result.ramp_hours == pytest.approx(seconds_for(600, 0.5) / 3600)
    assert result.durations[0].hours == pytest.approx(result.ramp_hours + 0.01)
    assert "gs:// asks to spread the reads over at least 0.25 h" in estimate_text(result, "text")


def test_the_ramp_sends_as_many_requests_as_its_growing_rate_allows():
    """Against a sum, second by second, of the rate that doubles every 20 minutes."""
    for seconds in (1, 600, 1200, 5000):
        sent = sum(7.0 * 2 ** ((second + 0.5) / DOUBLING_S) for second in range(seconds))
        assert seconds_for(round(sent), 7.0) == pytest.approx(seconds, rel=1e-2)


@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_a_sample_is_spread_evenly_and_has_no_chip_twice(count):
    to_do = take_sample(chips(count).chips, count, 10)
    numbers = [int(name) for name in to_do.sample["chip_id"].to_pylist()]
    assert numbers == [n * count // min(10, count) for n in range(min(10, count))]
    assert (to_do.chips, to_do.size_bytes) == (count, 1000 * count)
    assert take_sample(chips(count, size_bytes=None).chips, count, 10).size_bytes == 0


# ------------------------------------------------------------------------------- the price table


def test_a_price_table_is_read(tmp_path):
    (tmp_path / "p.csv").write_text("\ufeff" + PRICES, encoding="utf-8")
    n2, g2 = read_prices(str(tmp_path / "p.csv"))
    assert n2 == WorkerType("n2", 0.5, 10, 2.0)
    assert (n2.rate(100.0), g2.rate(100.0)) == (2000.0, 1000.0)
    assert (g2.name, g2.price_per_hour, g2.workers) == ("g2, with L4", 1.25, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs the columns worker_type, price_per_hour and speed or chips_per_second"),
        ("worker_type,price_per_hour\nn2,1\n", "needs the columns"),
        ("worker_type,price_per_hour,speed,colour\n", "unknown columns ['colour']"),
        ("worker_type,price_per_hour,speed\n", "names no worker type"),
        ("worker_type,price_per_hour,speed\nn2,1,1\nn3,cheap,1\n", "line 3: price_per_hour must"),
        ("worker_type,price_per_hour,speed\nn2,1,nan\n", "line 2: speed must be a number over 0"),
        ("worker_type,price_per_hour,speed\nn2,1,inf\n", "line 2: speed must be a number over 0"),
        ("worker_type,price_per_hour,speed\nn2,1,0\n", "line 2: speed must be a number over 0"),
        ("worker_type,price_per_hour,speed\nn2,1\n", "line 2: it needs a value in each column"),
        ("worker_type,price_per_hour,speed\nn2,1,1,1\n", "line 2: it needs a value in each"),
        ("worker_type,price_per_hour,speed,workers\nn2,1,1,1.5\n", "must be a whole number"),
        ('worker_type,price_per_hour,speed\n"n2,1,1\n', "is not a csv"),
    ],
)
def test_an_invalid_price_table_is_a_usage_error_in_one_line(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(UsageError) as error:
        read_prices(str(tmp_path / "p.csv"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_workers_may_be_free_and_a_missing_table_is_a_usage_error(tmp_path):
    (tmp_path / "p.csv").write_text("worker_type,price_per_hour,speed\nours,0,1\n")
    assert read_prices(str(tmp_path / "p.csv"))[0].price_per_hour == 0.0
    with pytest.raises(UsageError, match="--prices"):
        read_prices(str(tmp_path / "none.csv"))
