"""Stores that fail, stall and cut answers short change no result; one that is down ends a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from beam_jobs import score_chips
from pipelines.commands import exit_code
from pipelines.errors import ChipRejected, StorageError, StoreDown
from pipelines.storage import _connections, store
from pipelines.storage.chips import read_chip
from pipelines.storage.request_rate import RequestRate
from pipelines.storage.store import StoreSettings
from pipelines.tables import delta_tables
from schemas.tables import QuarantineReason
from tests.support.faulty_store import FaultyStore
from tests.support.samples import JPG, write_chips

PATIENT = StoreSettings(deadline_s=30)
HASTY = StoreSettings(deadline_s=0.5)
Faulty = Callable[[str, float, StoreSettings], AbstractContextManager[FaultyStore]]


@pytest.fixture
def faulty(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    """Puts a faulty proxy between this process and the store of an address."""

    monkeypatch.setattr(_connections, "TIMEOUT_S", 0.5)

    @contextmanager
    def between(uri: str, share: float, settings: StoreSettings) -> Iterator[FaultyStore]:
        kind, variable = ("gcs", "STORAGE_EMULATOR_HOST")
        if uri.startswith("s3:"):
            kind, variable = ("s3", "AWS_ENDPOINT_URL")
        server = request.getfixturevalue(f"{kind}_server")
        with FaultyStore(server.url, share, seed=7) as proxy:
            monkeypatch.setenv(variable, proxy.url)
            store.configure(settings)
            store.forget_stores()
            yield proxy
            monkeypatch.setenv(variable, server.url)
            store.forget_stores()

    yield between
    store.configure(StoreSettings())


def _rows(uri: str) -> list[tuple[str, str, int]]:
    tables = [table.to_pylist() for table in store.list_objects(uri)]
    return sorted((r["uri"], r["etag"], r["size_bytes"]) for rows in tables for r in rows)


def test_a_store_on_which_a_fifth_of_the_requests_fail_returns_the_same_as_a_sound_one(
    object_store_uri: str, faulty: Faulty
) -> None:
    chips = {f"{object_store_uri}/night/{i:03}.jpg": bytes([i]) * 20_000 for i in range(100)}
    for uri, data in chips.items():
        store.write_bytes(uri, data)
    expected = _rows(f"{object_store_uri}/night")
    began = time.monotonic()
    with faulty(object_store_uri, 0.2, PATIENT) as proxy, ThreadPoolExecutor(16) as pool:
        assert dict(zip(chips, pool.map(store.read_bytes, chips), strict=True)) == chips
        for _ in range(8):
            assert _rows(f"{object_store_uri}/night") == expected
        for i, uri in enumerate(list(chips)[:10]):
            store.write_bytes(f"{object_store_uri}/put/{i}", chips[uri])
            store.copy_object(uri, f"{object_store_uri}/copied/{i}")
            assert store.head_object(uri)["size_bytes"] == 20_000
        store.delete_folder(f"{object_store_uri}/put")
    assert proxy.failed > 20
    assert time.monotonic() - began < 60
    assert [row[0].rpartition("/")[0] for row in _rows(object_store_uri)] == [
        *[f"{object_store_uri}/copied"] * 10,
        *[f"{object_store_uri}/night"] * 100,
    ]


def test_an_object_that_stays_unreadable_affects_no_other(
    object_store_uri: str, faulty: Faulty
) -> None:
    uri = f"{object_store_uri}/always503.jpg"
    store.write_bytes(uri, b"there")
    with faulty(uri, 0, HASTY), pytest.raises(ChipRejected, match="503") as rejected:
        read_chip(uri, JPG.max_bytes)
    assert rejected.value.reason == QuarantineReason.UNREADABLE


def test_an_object_counts_as_created_even_if_the_answer_was_lost(
    object_store_uri: str, faulty: Faulty
) -> None:
    uri = f"{object_store_uri}/answerlost"
    with faulty(object_store_uri, 0, PATIENT):
        assert store.create_bytes(uri, b"ours")
        assert not store.create_bytes(uri, b"theirs")
        assert store.read_bytes(uri) == b"ours"


def test_a_store_that_is_down_does_not_quarantine_a_chip(
    object_store_uri: str, faulty: Faulty
) -> None:
    uri = f"{object_store_uri}/chip.jpg"
    began = time.monotonic()
    with faulty(uri, 1, HASTY), pytest.raises(StoreDown, match="or anything else there") as down:
        read_chip(uri, JPG.max_bytes)
    assert time.monotonic() - began < 30  # other stores have 60 seconds
    assert "\n" not in str(down.value)


def test_a_listing_of_a_store_that_is_down_ends_at_the_deadline(
    object_store_uri: str, faulty: Faulty
) -> None:
    began = time.monotonic()
    with faulty(object_store_uri, 1, HASTY), pytest.raises(StorageError, match="cannot list"):
        list(store.list_objects(object_store_uri))
    assert time.monotonic() - began < 30  # other stores have 60 seconds


def test_permanent_errors_are_not_retried(object_store_uri: str) -> None:
    began = time.monotonic()
    with pytest.raises(StorageError, match="no such object"):
        store.read_bytes(f"{object_store_uri}/none.jpg")
    with pytest.raises(StorageError, match="NoSuchBucket"):
        list(store.list_objects(f"{object_store_uri}-none"))
    assert time.monotonic() - began < 20  # retries would take 60


# --- The rate of requests -----------------------------------------------------------------------


class Clock:
    """A clock that advances when a thread sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _sent_until(rate: RequestRate, clock: Clock, end: float) -> int:
    sent = 0
    while clock.now < end:
        rate.wait_turn()
        sent += 1
    return sent


def test_requests_keep_to_a_rate_that_doubles_every_20_minutes() -> None:
    clock = Clock()
    rate = RequestRate(10, clock, clock.sleep)
    assert _sent_until(rate, clock, 1100) == pytest.approx(10 * 100, rel=0.05)
    _sent_until(rate, clock, 2200)
    assert _sent_until(rate, clock, 2300) == pytest.approx(20 * 100, rel=0.05)


def test_below_the_rate_no_request_waits() -> None:
    clock = Clock()
    rate = RequestRate(10, clock, clock.sleep)
    for _ in range(100):
        before = clock.now
        rate.wait_turn()
        assert clock.now == before
        clock.now += 0.11


def test_only_reads_of_gs_are_slowed(gs_uri: str, s3_uri: str) -> None:
    for uri in (gs_uri, s3_uri):
        store.write_bytes(f"{uri}/chip.jpg", b"x")
    store.configure(StoreSettings(gcs_reads_per_second=10))
    try:
        took = {}
        for uri in (gs_uri, s3_uri):
            began = time.monotonic()
            for _ in range(15):
                store.read_bytes(f"{uri}/chip.jpg")
            took[uri[:2]] = time.monotonic() - began
    finally:
        store.configure(StoreSettings())
    assert took["gs"] >= 0.4
    assert took["s3"] < took["gs"]


# --- The whole command --------------------------------------------------------------------------


def _score(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    code = exit_code(score_chips.main, flags)
    return code, "".join(capsys.readouterr())


def _published(output: str) -> list[dict[str, object]]:
    table = delta_tables.open_table(output, "chip_scores")
    assert table
    rows = delta_tables.open_dataset(table).to_table().sort_by("chip_uri").to_pylist()
    return [{k: row[k] for k in row if k.startswith(("chip_", "score_", "etag"))} for row in rows]


def test_a_night_on_a_faulty_store_has_the_rows_of_a_night_on_a_sound_one(
    object_store_uri: str,
    artifact: Path,
    faulty: Faulty,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in write_chips(tmp_path / "chips", 24):
        store.write_bytes(f"{object_store_uri}/chips/{path.name}", path.read_bytes())
    flags = ["--chips", f"{object_store_uri}/chips", "--artifact", str(artifact), "--output"]
    assert _score(capsys, *flags, f"{object_store_uri}/sound")[0] == 0
    with faulty(object_store_uri, 0.2, PATIENT) as proxy:
        code, printed = _score(capsys, *flags, f"{object_store_uri}/faulty")
        assert (code, printed) == (0, printed)
    assert proxy.failed > 5
    rows = _published(f"{object_store_uri}/faulty")
    assert len(rows) == 24
    assert rows == _published(f"{object_store_uri}/sound")


def test_a_run_whose_store_goes_down_ends_with_one_line_and_publishes_nothing(
    gs_uri: str, artifact: Path, faulty: Faulty, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("chip_uri,etag\n" + "".join(f"{gs_uri}/{i}.jpg,e\n" for i in range(40)))
    flags = [
        "--chips",
        str(manifest),
        "--artifact",
        str(artifact),
        "--output",
        str(tmp_path / "out"),
    ]
    with faulty(gs_uri, 1, HASTY):
        code, printed = _score(capsys, *flags, "--storage_deadline", "0.5")
    assert code == 1
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "or anything else there" in errors[0]
    assert "503" in errors[0]
    assert "nothing was published" in errors[0]
    assert _published(str(tmp_path / "out")) == []
