"""The chips that are left to score."""

from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import StorageError
from pipelines.planning import selection
from pipelines.planning.done import chips_done
from pipelines.planning.selection import select_chips
from pipelines.storage import store
from pipelines.tables.geometry import bounds_of, map_order
from schemas.chip_columns import BOUNDS
from tests.support.footprints import STEP, box
from tests.support.planned_chips import chips_of, versions
from tests.support.published_runs import publish, scored

_PAIRS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("123")), max_size=12)
_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@given(_PAIRS, _PAIRS)
def test_a_chip_is_planned_once_unless_this_version_of_it_is_done(listed, done):
    once = dict(reversed(listed))
    selected = select_chips(chips_of(once.items()), versions(done))
    expected = sorted(uri for uri, etag in once.items() if (uri, etag) not in done)
    assert selected.chips.read_all()["chip_id"].to_pylist() == expected
    assert (selected.listed, selected.to_score) == (len(once), len(expected))
    assert selected.skipped == len(once) - len(expected)


@given(_PAIRS)
def test_planning_after_all_is_done_leaves_nothing(listed):
    manifest = select_chips(chips_of(listed), versions([])).chips.read_all()
    done = manifest.select(["chip_uri", "etag"]).to_reader()
    selected = select_chips(manifest, done)
    assert (selected.to_score, selected.skipped) == (0, manifest.num_rows)


def test_a_chip_without_an_etag_never_counts_as_done():
    selected = select_chips(chips_of([("a", None)]), versions([("a", None)]))
    assert (selected.to_score, selected.chips.read_all().num_rows) == (1, 1)


def test_if_a_chip_is_listed_twice_the_version_written_last_counts():
    old, new = chips_of([("a", "9")], modified_at=_NOON), chips_of([("a", "1"), ("b", "1")])
    new = new.set_column(
        3, new.schema.field(3), pa.array([_NOON + timedelta(hours=1), None], new.schema.types[3])
    )
    for order in ([old, new], [new, old]):
        selected = select_chips(pa.concat_tables(order), versions([]))
        assert selected.listed == 2
        assert selected.chips.read_all()["etag"].to_pylist() == ["1", "1"]


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(1, 9))
def test_the_chips_written_last_are_taken_and_the_others_counted(hours, most):
    parts = [
        chips_of([(f"{i}", "1")], modified_at=_NOON + timedelta(hours=hour))
        for i, hour in enumerate(hours)
    ]
    chips = pa.concat_tables([chips_of([]), *parts])
    selected = select_chips(chips, versions([]), most)
    newest = sorted(range(len(hours)), key=lambda i: (-hours[i], i))[:most]
    assert selected.chips.read_all()["chip_id"].to_pylist() == [str(i) for i in sorted(newest)]
    assert selected.left_over == max(0, len(hours) - most)
    assert selected.listed == selected.to_score + selected.left_over


def test_a_missing_published_file_is_reported_in_one_line(tmp_path):
    publish(str(tmp_path), "r1", [scored("/a.jpg")])
    (file,) = tmp_path.glob("chip_scores/*/*/*.parquet")
    file.unlink()
    with pytest.raises(
        StorageError, match=r"cannot find the chips to score: .*unit-1.parquet'$"
    ) as error:
        select_chips(chips_of([("a", "1")]), chips_done(str(tmp_path), "model-1"))
    assert "\n" not in str(error.value)


@given(st.lists(st.text("/.ab\n\\é\0森", max_size=12), min_size=1))
def test_stems_in_sql_are_the_stems_of_storage(uris):
    connection = duckdb.connect()
    connection.register("listing", pa.table({"uri": pa.array(uris, pa.string())}))
    stems = connection.sql(f"SELECT {selection.STEM.format(uri='uri')} AS stem FROM listing")
    expected = [store.file_stem(uri) for uri in uris]
    assert stems.to_arrow_table()["stem"].to_pylist() == expected


def test_rows_that_do_not_fit_into_memory_go_to_a_folder_that_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "MEMORY_LIMIT", "80MB")
    monkeypatch.setattr(selection, "MOST_THREADS", 2)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    chips = chips_of([(f"night/{'x' * 100}/{i:06d}", f"{i}") for i in range(400_000)])
    selected = select_chips(chips, versions([]))
    assert any(tmp_path.iterdir())
    rows = selected.chips.read_all()
    assert rows.num_rows == selected.to_score == 400_000
    assert rows["chip_uri"].equals(chips["chip_uri"])
    del selected, rows
    assert not any(tmp_path.iterdir())


def test_chips_with_positions_are_planned_in_map_order_so_that_units_are_compact(tmp_path):
    """Neighbours on the ground have addresses that are far apart."""
    rng = np.random.default_rng(0)
    names = [f"chip-{n:04}" for n in rng.permutation(1024)]
    places = [box(n, 32) for n in range(1000)] + [{}] * 24
    chips = chips_of([(name, "1") for name in names])
    for edge in BOUNDS:
        chips = chips.append_column(edge, pa.array([p.get(edge) for p in places], pa.float64()))
    planned = select_chips(chips, versions([])).chips.read_all()
    bounds = bounds_of(planned)
    assert np.array_equal(map_order(bounds), np.arange(1024))
    assert planned["chip_uri"].to_pylist()[1000:] == sorted(f"/{n}.jpg" for n in names[1000:])
    unit = bounds[:100]
    assert np.ptp(unit[:, 0]) * np.ptp(unit[:, 1]) < 1000 * STEP**2 / 4


def test_the_chips_of_a_shard_stay_in_the_shards_order_wherever_they_are(tmp_path):
    chips = chips_of([(name, "1") for name in ("t#b", "t#a", "t#c")])
    chips = chips.append_column("shard_uri", pa.array(["/t.tar"] * 3))
    chips = chips.append_column("offset_bytes", pa.array([512, 1024, 2048]))
    for edge in BOUNDS:
        chips = chips.append_column(edge, pa.array([3.0, 1.0, 2.0]))
    planned = select_chips(chips, versions([])).chips.read_all()
    assert planned["offset_bytes"].to_pylist() == [512, 1024, 2048]
