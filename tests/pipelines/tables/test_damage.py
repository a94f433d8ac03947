"""Missing and damaged files of tables are found, named with their run, and left out if asked."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_jobs.query import ask
from pipelines.errors import StorageError
from pipelines.maintenance.compaction import compact
from pipelines.planning.done import chips_done, lost_chips
from pipelines.storage import store
from pipelines.tables import damage
from pipelines.tables.damage import find_damage, without_damage
from pipelines.tables.delta_tables import open_dataset, open_table
from pipelines.tables.live_files import data_files
from tests.support.published_runs import SCORES, at, commit_rows, publish, quarantined_row, scored

pytest_plugins = ["tests.support.object_stores"]


def cut(data: bytes) -> bytes:
    return data[:-7]


def flip(data: bytes) -> bytes:
    """One bit of the addresses of the chips is another one."""
    column = pq.read_metadata(io.BytesIO(data)).row_group(0).column(0)
    assert column.path_in_schema == "chip_uri"
    at = column.dictionary_page_offset + column.total_compressed_size - 2
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


@pytest.fixture
def output(tmp_path) -> str:
    return two_runs(str(tmp_path))


def two_runs(output: str) -> str:
    publish(output, "one", [scored("a"), scored("b")], published_at=at(1))
    publish(output, "two", [scored("c")], [quarantined_row("d", "empty", etag="1")], "2026-07-02")
    return output


def file_of(output: str, table: str, run_id: str) -> str:
    """The address of a run's only file."""
    found = open_table(output, table)
    assert found is not None
    (path,) = [file.path for file in data_files(found) if file.run_id == run_id]
    return store.join_uri(output, table, path)


def chips(output: str) -> list[str]:
    return ask(output, "SELECT chip_uri FROM chip_scores ORDER BY 1")["chip_uri"].to_pylist()


def test_files_that_are_missing_or_cut_are_found_by_their_size_on_every_store(object_store_uri):
    output = two_runs(object_store_uri)
    assert find_damage(output, deep=True) == []
    whole = store.read_bytes(file_of(output, "quarantine", "two"))
    store.write_bytes(file_of(output, "quarantine", "two"), cut(whole))
    store.delete_folder(store.parent_uri(file_of(output, "chip_scores", "one")))
    scores, quarantine = sorted(find_damage(output), key=lambda each: each.table)
    assert str(scores).startswith("chip_scores/run_date=2026-07-01/run_id=one/")
    assert str(scores).endswith(" of run one is missing")
    size = len(whole)
    assert str(quarantine).endswith(f" of run two has {size - 7:,} bytes, not {size:,}")
    assert (scores.file.rows, quarantine.file.rows) == (2, 1)
    assert without_damage(output, True, lambda: chips(output)) == ["c"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_changed_bit_anywhere_in_a_file_is_found_by_its_checksum(output, share):
    path = Path(file_of(output, "chip_scores", "one"))
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 16
    path.write_bytes(bytes(data))
    assert find_damage(output) == []
    (found,) = find_damage(output, deep=True)
    assert str(found).startswith("chip_scores/run_date=2026-07-01/run_id=one/")
    assert " of run one is damaged (" in str(found)


def test_a_reader_never_sees_a_score_with_a_changed_bit(output):
    path = Path(file_of(output, "chip_scores", "one"))
    group = pq.read_metadata(path).row_group(0)
    (column,) = [
        group.column(n)
        for n in range(group.num_columns)
        if group.column(n).path_in_schema == "score_road"
    ]
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(OSError, match="CRC checksum verification failed"):
        open_dataset(open_table(output, "chip_scores")).to_table(columns=["score_road"])


@pytest.mark.parametrize("harm", [None, cut, flip], ids=["missing", "cut", "flipped"])
def test_work_that_fails_for_damage_names_the_file_the_run_and_what_to_do(
    output, harm: Callable[[bytes], bytes] | None
):
    path = Path(file_of(output, "chip_scores", "one"))
    path.unlink() if harm is None else path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(StorageError) as raised:
        without_damage(output, False, lambda: chips(output))
    said = str(raised.value)
    assert said.startswith(f"{path.relative_to(Path(output))} of run one ")
    assert said.endswith(
        "; score run one again with --rescore, or withdraw it; or go on without it with "
        "--skip_damaged"
    )
    assert chips_with_skip(output) == ["c"]


def chips_with_skip(output: str) -> list[str]:
    return without_damage(output, True, lambda: chips(output))


def test_files_that_were_left_out_are_back_for_work_that_does_not_skip_them(output):
    path = Path(file_of(output, "chip_scores", "one"))
    whole = path.read_bytes()
    path.unlink()
    assert chips_with_skip(output) == ["c"]
    path.write_bytes(whole)
    assert chips_with_skip(output) == ["c"]  # as long as the process skips
    assert without_damage(output, False, lambda: chips(output)) == ["a", "b", "c"]


def test_every_damaged_file_is_left_out_and_logged_with_its_run(output, caplog):
    Path(file_of(output, "chip_scores", "one")).unlink()
    path = Path(file_of(output, "chip_scores", "two"))
    path.write_bytes(flip(path.read_bytes()))
    assert chips_with_skip(output) == []
    events = [r.event_fields for r in caplog.records if getattr(r, "event", "") == "damage_skipped"]
    assert [(each["damaged_run"], each["rows"]) for each in events] == [("one", 2), ("two", 1)]
    assert events[0]["fault"] == "is missing"


def test_planning_without_damaged_files_knows_how_many_chips_were_lost_and_when(output):
    Path(file_of(output, "chip_scores", "one")).unlink()
    Path(file_of(output, "quarantine", "two")).unlink()
    done = without_damage(output, True, lambda: chips_done(output, "model-1").read_all())
    assert done["chip_uri"].to_pylist() == ["c"]
    lost = lost_chips(output)
    assert lost is not None
    assert lost.number == 3
    scores = open_table(output, "chip_scores")
    times = pa.table(scores.get_add_actions())["modification_time"].to_pylist()
    assert lost.until.timestamp() * 1000 >= min(times)


def test_a_run_with_a_damaged_file_is_not_compacted(output):
    table = open_table(output, "chip_scores")
    assert table is not None
    commit_rows(output, SCORES, "many", [scored("e")])
    commit_rows(output, SCORES, "many", [scored("f")])
    found = open_table(output, "chip_scores")
    paths = [file.path for file in data_files(found) if file.run_id == "many"]
    Path(output, "chip_scores", paths[0]).unlink()
    without_damage(output, True, lambda: compact(output, "chip_scores", preview=False))
    after = data_files(open_table(output, "chip_scores"), with_left_out=True)
    assert [file.path for file in after if file.run_id == "many"] == paths


@pytest.mark.parametrize(
    "error",
    [
        StorageError("the store is down"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        pa.ArrowInvalid("no damage at all"),
    ],
    ids=["store", "disk", "arrow"],
)
def test_an_error_that_is_not_for_damage_stays_as_it_is(output, error):
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        without_damage(output, True, fail)
    assert raised.value is error


def test_a_full_disk_reads_no_tables_to_look_for_damage(output, monkeypatch):
    monkeypatch.setattr(damage, "find_damage", lambda *_: pytest.fail("looked"))

    def fail() -> None:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise StorageError("cannot write") from error

    with pytest.raises(StorageError, match="cannot write"):
        without_damage(output, True, fail)
