"""The pixel cache: a chip is decoded once, whatever happens to it or to the cache."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines import imaging
from pipelines.errors import UsageError
from pipelines.imaging.decoding import decode_chip
from pipelines.storage.store import write_bytes
from schemas.artifact import BANDS, Preprocessing
from schemas.labels import PLANET_LABELS
from tests.support.drawn_chips import draw_jpg
from train.data import examples, pixel_store
from train.data.dataset import LabelledChips, list_training_chips, match_chips
from train.data.examples import Examples, decode_chips
from train.data.label_files import LabelRow
from train.data.pixel_cache import PixelCache, array_name, choose_cache, decoder_digest
from train.data.pixel_rows import PixelRows, chunks
from train.data.pixel_store import (
    DecodedChip,
    MemoryPixels,
    append_rows,
    open_pixels,
    read_rows,
    row_type,
    to_rows,
)
from train.networks.registry import channel_statistics

JPG = Preprocessing("jpg", 8, BANDS["jpg"], None, (1, 512))
NINE = replace(JPG, image_size=9)
URIS = ["gs://b/chips/1.jpg", "gs://b/chips/2.jpg"]
IMAGING = Path(imaging.__path__[0])


@pytest.fixture
def cache(tmp_path) -> PixelCache:
    return PixelCache(tmp_path / "cache", 1 << 20)


@pytest.fixture
def archive(tmp_path) -> Path:
    folder = tmp_path / "chips"
    folder.mkdir()
    for i in range(6):
        (folder / f"c{i}.jpg").write_bytes(draw_jpg((40 * i, 90, 20), 16, 24, seed=i))
    return folder


def match(uri: str) -> LabelledChips:
    listed = list_training_chips(uri)["jpg"]
    names = [Path(found).stem for found in listed]
    rows = {name: LabelRow(name, None, frozenset({"clear"})) for name in names}
    return match_chips(rows, listed, PLANET_LABELS)


def load(
    uri: str | Path, cache: PixelCache | None, preprocessing: Preprocessing = JPG
) -> tuple[Examples, MemoryPixels]:
    chips = match(str(uri))
    with open_pixels(cache, preprocessing, chips.uris.values()) as store:
        return decode_chips(list(chips.uris), chips, PLANET_LABELS, preprocessing, store), store


def counts(store: MemoryPixels) -> tuple[int, int]:
    return store.decoded_chips, store.found_chips


def arrays(cache: PixelCache) -> list[Path]:
    return sorted(cache.folder.glob("*.rows"))


def row_bytes(preprocessing: Preprocessing = JPG) -> int:
    return row_type(preprocessing.input_shape).itemsize


def decoded(folder: Path) -> np.ndarray:
    return np.stack([decode_chip(path.read_bytes(), JPG) for path in sorted(folder.iterdir())])


def test_a_chip_is_decoded_once_and_the_same_pixels_are_found_again(archive, cache, monkeypatch):
    first, store = load(archive, cache)
    assert counts(store) == (6, 0)
    np.testing.assert_array_equal(first.pixels[:], decoded(archive))
    monkeypatch.setattr(examples, "decode_chip", lambda *_: pytest.fail("decoded again"))
    again, store = load(archive, cache)
    assert counts(store) == (0, 6)
    np.testing.assert_array_equal(again.pixels[:], first.pixels[:])
    assert (again.names, again.sides) == (first.names, first.sides) == (first.names, (16, 24))


def test_pixels_from_the_cache_are_mapped_and_not_in_memory(archive, cache):
    for _ in range(2):
        found, _ = load(archive, cache)
        assert all(isinstance(array, np.memmap) for array in found.pixels.arrays)


def test_without_a_cache_pixels_are_the_same_and_nothing_is_written(archive, cache):
    kept, store = load(archive, None)
    np.testing.assert_array_equal(kept.pixels[:], load(archive, cache)[0].pixels[:])
    assert "in memory" in store.describe()


def test_a_renamed_chip_is_found_and_a_replaced_one_decoded_even_with_the_same_time_and_size(
    archive, cache
):
    path = archive / "c3.jpg"
    path.write_bytes(path.read_bytes().ljust(2000, b"\0"))
    load(archive, cache)
    (archive / "c0.jpg").rename(archive / "z.jpg")
    assert counts(load(archive, cache)[1]) == (0, 6)
    before = path.stat()
    path.write_bytes(draw_jpg((9, 9, 9), 16, 16).ljust(2000, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    found, store = load(archive, cache)
    assert counts(store) == (1, 5)
    np.testing.assert_array_equal(found.pixels[:], decoded(archive))


@pytest.mark.parametrize(
    "other",
    [
        replace(JPG, image_size=4),
        replace(JPG, bands=("blue", "green", "red")),
        replace(JPG, media_type="tif", scaling=((0.0, 9.0),) * 3),
    ],
)
def test_another_preprocessing_has_its_own_array(other):
    assert array_name(other, URIS) != array_name(JPG, URIS)
    assert array_name(replace(JPG, accepted_sides_px=(2, 3)), URIS) == array_name(JPG, URIS)


def test_another_scaling_decoder_or_folder_has_its_own_array(monkeypatch):
    tif = Preprocessing("tif", 8, BANDS["tif"], ((0.0, 9.0),) * 4, (1, 512))
    assert array_name(replace(tif, scaling=((0.0, 9.5),) * 4), URIS) != array_name(tif, URIS)
    before = array_name(JPG, URIS)
    assert array_name(JPG, URIS[:1]) == before
    assert array_name(JPG, ["gs://b/other/1.jpg"]) != before
    monkeypatch.setattr("train.data.pixel_cache.decoder_digest", lambda: "newer")
    assert array_name(JPG, URIS) != before


@pytest.mark.parametrize("module", [path.name for path in IMAGING.glob("*.py")])
def test_a_change_in_any_module_of_the_decoder_changes_its_digest(module, tmp_path, monkeypatch):
    shutil.copytree(IMAGING, tmp_path / "imaging")
    with (tmp_path / "imaging" / module).open("a") as file:
        file.write("# changed")
    monkeypatch.setattr(imaging, "__path__", [str(tmp_path / "imaging")])
    assert decoder_digest.__wrapped__() != decoder_digest()


def test_a_chip_whose_sides_are_no_longer_accepted_is_rejected_though_it_is_cached(archive, cache):
    load(archive, cache)
    found, store = load(archive, cache, replace(JPG, accepted_sides_px=(17, 512)))
    assert counts(store) == (0, 0)
    assert {r.reason.value for r in found.rejected.values()} == {"wrong_size"}
    assert counts(load(archive, cache)[1]) == (0, 6)


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(b"\x93NUMPY" + b"?" * 90)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def swap_rows(path: Path) -> None:
    data = path.read_bytes()
    half = row_bytes() // 2
    path.write_bytes(data[half:] + data[:half])


@pytest.mark.parametrize(
    "harm", [flip_last_byte, cut_off, empty, overwrite, zero, swap_rows, Path.unlink]
)
def test_a_damaged_cache_is_noticed_and_rebuilt(archive, cache, harm):
    load(archive, cache)
    (path,) = arrays(cache)
    harm(path)
    found, store = load(archive, cache)
    assert store.decoded_chips >= 1
    np.testing.assert_array_equal(found.pixels[:], decoded(archive))
    healed, store = load(archive, cache)
    assert counts(store) == (0, 6)
    np.testing.assert_array_equal(healed.pixels[:], decoded(archive))


def test_a_run_resumes_from_the_chunks_that_a_killed_one_wrote(archive, cache, monkeypatch):
    monkeypatch.setattr(examples, "chunk_rows", lambda _: 2)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            pixel_store,
            "append_rows",
            lambda file, rows: die() if file.tell() else append_rows(file, rows),
        )
        with pytest.raises(KeyboardInterrupt):
            load(archive, cache)
    found, store = load(archive, cache)
    assert counts(store) == (4, 2)
    np.testing.assert_array_equal(found.pixels[:], decoded(archive))


@given(kept=st.integers(0, 6 * (44 + 8 * 8 * 3)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_a_write_that_is_killed_at_any_byte_leaves_only_whole_rows(archive, cache, kept):
    load(archive, cache)
    (path,) = arrays(cache)
    os.truncate(path, kept)
    for expected in ((6 - kept // row_bytes(), kept // row_bytes()), (0, 6)):
        found, store = load(archive, cache)
        assert counts(store) == expected
        np.testing.assert_array_equal(found.pixels[:], decoded(archive))


def append_until_killed(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with FileIO(path, "a+") as file:
        while True:
            append_rows(file, to_rows([random_chip(rng) for _ in range(50)], row_type((8, 8, 3))))


def random_chip(rng: np.random.Generator) -> DecodedChip:
    return DecodedChip(rng.bytes(32), (8, 8), rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))


def test_two_processes_that_are_killed_while_writing_leave_intact_rows(tmp_path):
    path = tmp_path / "a.rows"
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=append_until_killed, args=(path, i)) for i in range(2)]
    for writer in writers:
        writer.start()
    while not path.exists() or path.stat().st_size < 400 * row_bytes():
        time.sleep(0.01)
    for writer in writers:
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    with FileIO(path) as file:
        rows = read_rows(file, row_type((8, 8, 3)))
    assert len(rows) >= 400
    assert all(pixel_store.is_intact(row) for row in rows)


def test_arrays_of_earlier_versions_are_ignored_and_removed_for_room(archive, cache):
    old = cache.folder / "jpg-8-0123456789abcdef"
    old.mkdir(parents=True)
    for name in ("a.npy", "a.pixels", ".writing-b.pixels"):
        (old / name).write_bytes(b"x" * 1000)
    assert counts(load(archive, cache)[1]) == (6, 0)
    assert len(list(old.iterdir())) == 3
    load(archive, PixelCache(cache.folder, 6 * row_bytes(NINE)), NINE)
    assert list(old.iterdir()) == []


def test_other_files_in_the_folder_of_the_cache_are_neither_counted_nor_removed(archive, cache):
    others = ["mine.rows", "jpg-8-x.rows", "arrays/a.npy", "jpg-8-0123/a.pixels"]
    for path in map(cache.folder.joinpath, others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1_000_000)
    assert cache.held_bytes == 0
    load(archive, PixelCache(cache.folder, 6 * row_bytes(NINE)), NINE)
    assert all((cache.folder / name).stat().st_size == 1_000_000 for name in others)


def test_two_runs_at_once_do_not_disturb_each_other(archive, cache):
    chips = match(str(archive))
    names, uris = list(chips.uris), list(chips.uris.values())
    with open_pixels(cache, JPG, uris) as one, open_pixels(cache, JPG, uris) as other:
        mine = decode_chips(names[:4], chips, PLANET_LABELS, JPG, one)
        theirs = decode_chips(names, chips, PLANET_LABELS, JPG, other)
        mine_too = decode_chips(names[4:], chips, PLANET_LABELS, JPG, one)
    np.testing.assert_array_equal(theirs.pixels[:], decoded(archive))
    np.testing.assert_array_equal(
        np.concatenate([mine.pixels[:], mine_too.pixels[:]]), decoded(archive)
    )
    assert counts(load(archive, cache)[1]) == (0, 6)


def test_pixels_stay_readable_when_the_cache_is_deleted_meanwhile(archive, cache):
    found, _ = load(archive, cache)
    for path in arrays(cache):
        path.unlink()
    np.testing.assert_array_equal(found.pixels[:], decoded(archive))


def test_a_chip_that_cannot_be_decoded_is_rejected_each_time(archive, cache):
    (archive / "c9.jpg").write_bytes(b"\xff\xd8\xff cut off")
    for _ in range(2):
        found, _ = load(archive, cache)
        assert [r.reason.value for r in found.rejected.values()] == ["truncated"]
        assert found.names == tuple(f"c{i}" for i in range(6))


def test_a_long_set_is_written_in_chunks(archive, cache, monkeypatch):
    monkeypatch.setattr(examples, "chunk_rows", lambda _: 4)
    for expected in ((6, 0), (0, 6)):
        found, store = load(archive, cache)
        assert counts(store) == expected
        np.testing.assert_array_equal(found.pixels[:], decoded(archive))
    assert len(arrays(cache)) == 1


def test_the_arrays_used_longest_ago_make_room(archive, cache):
    sizes = {size: replace(JPG, image_size=size) for size in (9, 8, 7, 6)}
    small = PixelCache(cache.folder, 6 * sum(row_bytes(sizes[size]) for size in (9, 8, 6)))
    for age, size in zip((30, 20, 10), (8, 7, 6), strict=True):
        load(archive, small, sizes[size])
        (path,) = cache.folder.glob(f"jpg-{size}-*")
        os.utime(path, (time.time() - age, time.time() - age))
    load(archive, small, sizes[8])  # the oldest, used once more
    load(archive, small, sizes[9])
    assert [path.name.split("-")[1] for path in arrays(small)] == ["6", "8", "9"]
    assert small.held_bytes <= small.most_bytes


def test_an_array_full_of_replaced_chips_is_replaced_while_it_is_in_use(
    archive, cache, monkeypatch
):
    monkeypatch.setattr(examples, "chunk_rows", lambda _: 2)
    small = PixelCache(cache.folder, 7 * row_bytes())
    load(archive, small)
    for i in range(2, 6):
        (archive / f"c{i}.jpg").write_bytes(draw_jpg((9, 40 * i, 9), 16, 16))
    found, store = load(archive, small)
    assert counts(store) == (4, 2)
    np.testing.assert_array_equal(found.pixels[:], decoded(archive))
    assert small.held_bytes <= small.most_bytes
    assert counts(load(archive, small)[1]) == (2, 4)


def test_more_chips_than_the_cache_may_hold_are_refused_before_any_is_decoded(archive, cache):
    with pytest.raises(UsageError, match="--pixel_cache_gb"):
        load(archive, PixelCache(cache.folder, 6 * row_bytes() - 1))
    assert arrays(cache) == []


def test_a_full_disk_is_reported_in_one_line(archive, cache, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pixel_store.os, "fsync", full)
    with pytest.raises(UsageError, match="No space left on device; give another folder"):
        load(archive, cache)
    assert cache.held_bytes == 0


def test_a_folder_that_cannot_be_used_is_refused_if_it_was_asked_for(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    for asked in (str(tmp_path / "file"), "gs://bucket/pixels"):
        with pytest.raises(UsageError, match="--pixel_cache"):
            choose_cache(asked)
    monkeypatch.setattr("train.data.pixel_cache.cache_folder", lambda: tmp_path / "file")
    assert choose_cache(None) is None
    assert choose_cache("none") is None
    assert choose_cache(str(tmp_path / "new"), 0.5) == PixelCache(tmp_path / "new", 500_000_000)


def test_an_object_is_not_even_read_again_until_it_is_replaced(
    object_store_uri, cache, monkeypatch
):
    for i in range(3):
        write_bytes(f"{object_store_uri}/chips/c{i}.jpg", draw_jpg((90, 60 * i, 9), 16, 16, seed=i))
    first, store = load(f"{object_store_uri}/chips", cache)
    assert counts(store) == (3, 0)
    with monkeypatch.context() as patch:
        patch.setattr(examples, "read_chip", lambda *_: pytest.fail("read again"))
        again, store = load(f"{object_store_uri}/chips", cache)
    assert counts(store) == (0, 3)
    np.testing.assert_array_equal(again.pixels[:], first.pixels[:])
    write_bytes(f"{object_store_uri}/chips/c1.jpg", draw_jpg((1, 2, 3), 16, 16))
    new, store = load(f"{object_store_uri}/chips", cache)
    assert counts(store) == (1, 2)
    assert new.pixels[1].mean() < 10


@given(
    places=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=12),
    data=st.data(),
)
def test_rows_are_indexed_like_one_array(places, data):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (4, 2, 2, 3), dtype=np.uint8) for _ in range(3)]
    rows = PixelRows.of(arrays, places, (2, 2, 3))
    whole = np.array([arrays[a][r] for a, r in places], np.uint8).reshape(-1, 2, 2, 3)
    assert (len(rows), rows.shape, rows.dtype) == (len(whole), whole.shape, whole.dtype)
    position = st.integers(-len(places), len(places) - 1)
    mask = st.lists(st.booleans(), min_size=len(places), max_size=len(places))
    indices = [st.slices(len(places)), mask.map(lambda chosen: np.array(chosen, bool))]
    if places:
        numbers = st.lists(position, max_size=9).map(lambda chosen: np.array(chosen, np.int64))
        indices += [position, numbers]
    index = data.draw(st.one_of(*indices))
    np.testing.assert_array_equal(rows[index], whole[index])
    if not isinstance(index, int):
        np.testing.assert_array_equal(rows.take(index)[:], whole[index])
    np.testing.assert_array_equal(np.concatenate([*chunks(rows, 40), whole[:0]]), whole)


def test_statistics_are_exact_for_arrays_and_for_rows(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3), dtype=np.uint8)
    rows = PixelRows.of([pixels[:5], pixels[5:]], [(i // 5, i % 5) for i in range(9)], (4, 4, 3))
    monkeypatch.setattr("train.data.pixel_rows.chunk_rows", lambda *_: 2)
    for found in (channel_statistics(rows), channel_statistics(pixels)):
        np.testing.assert_allclose(found[0], pixels.mean(axis=(0, 1, 2)))
        np.testing.assert_allclose(found[1], pixels.var(axis=(0, 1, 2)))
