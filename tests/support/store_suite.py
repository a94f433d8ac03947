"""What every store must do: one class of tests, run on disk, on gs:// and on s3://.

A subclass has a fixture `root`, the address of an empty folder. `pipelines.storage.store` calls the
store of that address, so that the tests also check the translation of its errors.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import StorageError
from pipelines.storage import store
from pipelines.storage.store import LISTING, join_uri, list_objects, read_bytes, write_bytes

ANY_STORE_NAMES = [
    "plain.jpg",
    "a b.jpg",
    " lead.jpg",
    "quote'\".jpg",
    "100%.jpg",
    "p%20encoded.jpg",
    "ha#sh?q=1&b.jpg",
    "plus+x.jpg",
    "[br]{ac}~*.jpg",
    "back\\slash.jpg",
    "ünï çø∂é 漢字 🛰.jpg",
]
ONE_LINE = re.compile(r"cannot \w+ '[^\n]*none\.jpg[^\n]*': [^\n]+")


def listed(uri: str) -> set[str]:
    """The addresses that a listing yields; none may come twice."""
    found = [name for table in list_objects(uri) for name in table["uri"].to_pylist()]
    assert len(set(found)) == len(found)
    return set(found)


def put(root: str, *names: str) -> None:
    for name in names:
        write_bytes(join_uri(root, name), name.encode())


def below(root: str, found: set[str]) -> set[str]:
    return {name.removeprefix(root + "/") for name in found}


class StoreSuite:
    """The conformance suite."""

    def test_what_is_written_is_read_whatever_its_name(self, root: str) -> None:
        put(root, *ANY_STORE_NAMES)
        for name in ANY_STORE_NAMES:
            assert read_bytes(join_uri(root, name)) == name.encode()
        assert below(root, listed(root)) == set(ANY_STORE_NAMES)

    def test_a_second_writing_replaces_the_first_and_changes_the_etag(self, root: str) -> None:
        uri = join_uri(root, "chip.jpg")
        write_bytes(uri, b"first")
        before = store.head_object(uri)
        time.sleep(0.02)  # a disk's clock ticks every few milliseconds
        write_bytes(uri, b"other")
        after = store.head_object(uri)
        assert read_bytes(uri) == b"other"
        assert before
        assert after
        assert before["etag"] != after["etag"]
        assert store.head_object(uri) == after

    def test_an_object_is_read_only_in_the_version_that_was_listed(self, root: str) -> None:
        uri = join_uri(root, "chip.jpg")
        write_bytes(uri, b"first")
        (found,) = pa.concat_tables(list_objects(uri)).to_pylist()
        assert read_bytes(uri, 9, found["etag"]) == b"first"
        assert read_bytes(uri, 9, "version 1 of somebody") == b"first"
        time.sleep(0.02)
        write_bytes(uri, b"other")
        with pytest.raises(StorageError, match=r"chip\.jpg' was replaced since it was listed"):
            read_bytes(uri, 9, found["etag"])
        with pytest.raises(StorageError, match="was replaced since it was listed"):
            store.read_range(uri, 0, 2, found["etag"])
        assert read_bytes(uri) == b"other"

    def test_a_listing_says_of_each_object_what_a_look_up_says(self, root: str) -> None:
        put(root, "a.jpg", "sub/b 100%.jpg", "sub/deep/c.tif")
        tables = list(list_objects(root))
        assert {table.schema for table in tables} == {LISTING}
        rows = pa.concat_tables(tables).to_pylist()
        assert len(rows) == 3
        for row in rows:
            head = store.head_object(row["uri"])
            assert head
            assert (head["uri"], head["etag"], head["size_bytes"]) == (
                row["uri"],
                row["etag"],
                row["size_bytes"],
            )
            assert abs((head["modified_at"] - row["modified_at"]).total_seconds()) < 1
            assert row["etag"].strip('"') == row["etag"] != ""
            assert row["size_bytes"] == len(read_bytes(row["uri"]))

    def test_one_objects_address_lists_that_object(self, root: str) -> None:
        put(root, "chips/a.jpg", "chips/a.jpg.txt")
        uri = join_uri(root, "chips/a.jpg")
        assert listed(uri) == {uri}

    def test_a_folder_is_no_prefix_of_a_longer_name(self, root: str) -> None:
        put(root, "chips/a.jpg", "chips2/b.jpg", "chips.jpg")
        assert below(root, listed(join_uri(root, "chips"))) == {"chips/a.jpg"}
        assert below(root, listed(join_uri(root, "chips/"))) == {"chips/a.jpg"}

    def test_a_folder_named_like_a_glob_is_a_folder(self, root: str) -> None:
        put(root, "night[12]/a.jpg", "night1/b.jpg", "all*/c.jpg", "all of it/d.jpg", "why?/e.jpg")
        assert below(root, listed(join_uri(root, "night[12]"))) == {"night[12]/a.jpg"}
        assert below(root, listed(join_uri(root, "all*"))) == {"all*/c.jpg"}
        assert below(root, listed(join_uri(root, "why?"))) == {"why?/e.jpg"}
        assert below(root, listed(join_uri(root, "night[[]12]/*"))) == {"night[12]/a.jpg"}
        assert below(root, listed(join_uri(root, "night[0-9]/*"))) == {"night1/b.jpg"}

    def test_of_several_who_create_an_object_at_once_one_does_and_nobody_writes_over_it(
        self,
        root: str,
    ) -> None:
        uri = join_uri(root, "folder", "once")
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda n: store.create_bytes(uri, b"%d" % n), range(4)))
        assert made.count(True) == 1
        assert read_bytes(uri) == b"%d" % made.index(True)
        assert not store.create_bytes(uri, b"late")
        assert [uri] == [
            found for table in list_objects(root) for found in table["uri"].to_pylist()
        ]

    def test_objects_are_copied_over_whatever_was_there(self, root: str, tmp_path: Path) -> None:
        put(root, "a b%.jpg", "target.jpg")
        source, target = join_uri(root, "a b%.jpg"), join_uri(root, "target.jpg")
        store.copy_object(source, target)
        assert read_bytes(target) == read_bytes(source) == b"a b%.jpg"
        store.copy_object(source, join_uri(root, "new/folder/c.jpg"))
        assert read_bytes(join_uri(root, "new/folder/c.jpg")) == b"a b%.jpg"
        elsewhere = str(tmp_path / "elsewhere.jpg")
        store.copy_object(source, elsewhere)
        assert read_bytes(elsewhere) == b"a b%.jpg"
        store.copy_object(elsewhere, join_uri(root, "back.jpg"))
        assert read_bytes(join_uri(root, "back.jpg")) == b"a b%.jpg"

    def test_deleting_a_folder_takes_all_below_it_and_nothing_beside_it(self, root: str) -> None:
        put(root, "run/a", "run/deep/b", "run2/c", "run.txt")
        store.delete_folder(join_uri(root, "run"))
        assert below(root, listed(root)) == {"run2/c", "run.txt"}
        store.delete_folder(join_uri(root, "run"))  # there is none: no error

    def test_there_is_nothing_to_look_up_in_folders_and_in_nothing(self, root: str) -> None:
        put(root, "folder/a.jpg")
        for name in ("none.jpg", "folder", "folder/a.jpg/b.jpg"):
            assert store.head_object(join_uri(root, name)) is None

    def test_parts_of_an_open_file_are_read_as_from_one_in_memory(self, root: str) -> None:
        uri = join_uri(root, "numbers")
        data = bytes(range(256)) * 12_000  # several read-aheads long
        write_bytes(uri, data)
        with store.open_file(uri) as file:
            assert file.read(5) == data[:5]
            assert file.seek(-7, os.SEEK_END) == len(data) - 7
            assert file.read() == data[-7:]
            assert file.read(1) == b""
            assert file.seek(2_000_000) == file.tell() == 2_000_000
            assert file.read(1_050_000) == data[2_000_000:3_050_000]
            assert file.seek(len(data) + 10) == len(data) + 10
            assert file.read(1) == b""
            with pytest.raises((ValueError, OSError)):
                file.seek(-1)

    def test_one_row_group_of_a_parquet_file_can_be_read_in_place(self, root: str) -> None:
        table = pa.table({"i": list(range(1000))})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=100)
        write_bytes(join_uri(root, "t.parquet"), sink.getvalue().to_pybytes())
        with store.open_file(join_uri(root, "t.parquet")) as file:
            assert pq.ParquetFile(file).read_row_group(7)["i"].to_pylist() == list(range(700, 800))

    @pytest.mark.parametrize(
        "use",
        [
            read_bytes,
            store.open_file,
            lambda uri: store.copy_object(uri, uri + ".copy"),
        ],
        ids=["read", "open", "copy"],
    )
    def test_a_missing_object_is_named_in_one_line(
        self, root: str, use: Callable[[str], object]
    ) -> None:
        with pytest.raises(StorageError) as caught:
            use(join_uri(root, "none.jpg"))
        assert ONE_LINE.fullmatch(str(caught.value))
        assert re.search(r"no such object|No such file", str(caught.value))
