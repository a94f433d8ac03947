"""Stored headers of scenes save reading them, and a wrong one is never used."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.errors import ChipRejected
from pipelines.scenes.header_cache import HeaderCache, open_scene
from pipelines.storage import store
from tests.support.scenes import draw_scene, scene_bytes


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses of all ranges that are read."""
    seen: list[str] = []
    read = store.read_range

    def counted(uri: str, start: int, length: int, etag: str | None = None) -> bytes:
        seen.append(uri)
        return read(uri, start, length, etag)

    monkeypatch.setattr(store, "read_range", counted)
    open_scene.cache_clear()
    return seen


def listed(uri: str) -> dict[str, Any]:
    table = pa.concat_tables(store.list_objects(uri)).rename_columns({"uri": "chip_uri"})
    return table.to_pylist()[0]


@pytest.mark.parametrize("remote", [False, True])
def test_no_header_is_read_on_the_second_night_by_launcher_or_worker(
    remote: bool, tmp_path: Path, object_store_uri: str, fetched: list[str]
) -> None:
    folder = object_store_uri if remote else str(tmp_path)
    uri, output = f"{folder}/scenes/a.tif", f"{folder}/out"
    store.write_bytes(uri, scene_bytes(draw_scene()))
    row = listed(uri)
    first, header_uri = HeaderCache(output).read(row)
    assert header_uri
    assert fetched == [uri]
    again, same_uri = HeaderCache(output).read(row)
    opened = open_scene(uri, row["etag"], header_uri)
    assert fetched == [uri]
    assert same_uri == header_uri
    for scene in (again, opened):
        assert scene.pixels.offsets.tolist() == first.pixels.offsets.tolist()
        assert scene.grid("a") == first.grid("a")


def test_a_replaced_scene_and_a_damaged_header_are_read_again(
    tmp_path: Path, fetched: list[str]
) -> None:
    uri, output = f"{tmp_path}/a.tif", f"{tmp_path}/out"
    store.write_bytes(uri, scene_bytes(draw_scene()))
    row = listed(uri)
    _, header_uri = HeaderCache(output).read(row)
    assert header_uri
    damaged = bytearray(store.read_bytes(header_uri))
    damaged[60] ^= 1
    for data in (bytes(damaged), bytes(damaged[:20]), b""):
        store.write_bytes(header_uri, data)
        open_scene.cache_clear()
        fetched.clear()
        assert open_scene(uri, row["etag"], header_uri).mode == "4 x uint16"
        assert fetched == [uri]
    store.write_bytes(uri, scene_bytes(draw_scene(bands=3)))
    replaced = listed(uri)
    fetched.clear()
    assert HeaderCache(output).read(replaced)[0].mode == "3 x uint16"
    assert fetched == [uri]


def test_without_writing_the_header_is_read_from_the_scene(
    tmp_path: Path, fetched: list[str]
) -> None:
    uri, output = f"{tmp_path}/a.tif", f"{tmp_path}/out"
    store.write_bytes(uri, scene_bytes(draw_scene()))
    scene, header_uri = HeaderCache(output, store_new=False).read(listed(uri))
    assert header_uri is None
    assert not Path(output).exists()
    assert open_scene(uri, listed(uri)["etag"], None).mode == scene.mode
    assert len(fetched) == 2


def test_a_missing_scene_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ChipRejected, match=r"unreadable: .*does not exist"):
        open_scene(f"{tmp_path}/none.tif", None, None)
