"""Objects are read, written and listed alike, on disk, on gs:// and on s3://."""

from __future__ import annotations

import errno
import glob
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ObjectTooLarge, StorageError, UsageError
from pipelines.storage import _connections, _globs, _local_store, remote_listing, store
from pipelines.storage.storage_errors import without_secrets
from pipelines.storage.store import (
    LISTING,
    StoreSettings,
    join_uri,
    list_objects,
    read_bytes,
    write_bytes,
)
from pipelines.tables import evolution
from schemas.tables import RUNS
from tests.support.client_writes import put_by_client
from tests.support.store_suite import ANY_STORE_NAMES, StoreSuite, below, listed, put

LOCAL_NAMES = [*ANY_STORE_NAMES, "tab\there.jpg", "new\nline.jpg", "cr\r.jpg", "bell\a.jpg"]
RUNS_AS_ROOT = os.geteuid() == 0


def listed_or_none(uri: str) -> set[str]:
    try:
        return listed(uri)
    except StorageError:
        assert not os.path.exists(store._fixed_part(uri))
        return set()


# --- On every store -----------------------------------------------------------------------------


class TestLocalStore(StoreSuite):
    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        return str(tmp_path / "store")


class TestRemoteStore(StoreSuite):
    @pytest.fixture
    def root(self, object_store_uri: str) -> str:
        return join_uri(object_store_uri, "store")


# --- On both object stores ----------------------------------------------------------------------

NIGHTS = ["n1/a.jpg", "n1/b.tif", "n2/a.jpg", "n2/deep/c.jpg", "n10/a.jpg", "top.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", {"top.jpg"}),
        ("*/*.jpg", {"n1/a.jpg", "n2/a.jpg", "n10/a.jpg"}),
        ("n?/*.jpg", {"n1/a.jpg", "n2/a.jpg"}),
        ("n[12]/*", {"n1/a.jpg", "n1/b.tif", "n2/a.jpg"}),
        ("n[!1]/*", {"n2/a.jpg"}),
        ("n[1-9]*/a.jpg", {"n1/a.jpg", "n2/a.jpg", "n10/a.jpg"}),
        ("**/*.jpg", {"top.jpg", "n1/a.jpg", "n2/a.jpg", "n2/deep/c.jpg", "n10/a.jpg"}),
        ("n2/**", {"n2/a.jpg", "n2/deep/c.jpg"}),
        ("n2/**/c.jpg", {"n2/deep/c.jpg"}),
        ("**", set(NIGHTS)),
        ("none/*", set()),
    ],
)
def test_globs_find_the_same_files_as_a_shell(
    object_store_uri: str, pattern: str, expected: set[str]
) -> None:
    root = join_uri(object_store_uri, "store")
    put(root, *NIGHTS)
    assert below(root, listed(join_uri(root, pattern))) == expected


def test_a_listing_of_nothing_is_an_empty_table_of_the_same_schema(object_store_uri: str) -> None:
    for uri in ("none", "none/*.jpg", "none/**"):
        table = pa.concat_tables(list_objects(join_uri(object_store_uri, uri)))
        assert (table.num_rows, table.schema) == (0, LISTING)


def test_an_object_can_be_copied_into_another_bucket(gs_uri: str, s3_uri: str, gcs_server) -> None:
    second = gcs_server.fresh_uri()
    put(gs_uri, "a.jpg")
    for target in (second, s3_uri):
        store.copy_object(join_uri(gs_uri, "a.jpg"), join_uri(target, "b.jpg"))
        assert read_bytes(join_uri(target, "b.jpg")) == b"a.jpg"
    assert below(gs_uri, listed(gs_uri)) == {"a.jpg"}


def test_a_missing_bucket_is_distinguished_from_a_missing_object(object_store_uri: str) -> None:
    uri = join_uri(object_store_uri + "-none", "a.jpg")
    with pytest.raises(StorageError, match=r"cannot read .*: no such bucket$"):
        read_bytes(uri)
    with pytest.raises(StorageError, match=r"cannot list .*\(NoSuchBucket\)$"):
        list(list_objects(uri))


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_an_address_without_bucket_is_refused_by_every_operation(scheme: str) -> None:
    uri = f"{scheme}://"
    for use in (
        read_bytes,
        store.open_file,
        store.head_object,
        store.delete_folder,
        lambda address: write_bytes(address, b""),
        lambda address: list(list_objects(address)),
    ):
        with pytest.raises(StorageError, match="names no bucket"):
            use(uri)
    with pytest.raises(StorageError, match="bucket's name holds no wildcards"):
        list(list_objects(f"{scheme}://buck*/a.jpg"))


REFUSED_NAMES = ["tab\there.jpg", "x//y.jpg", "dot/../z.jpg", "./a.jpg", "bell\a.jpg", "x/./y.jpg"]


def test_names_that_obstore_refuses_are_listed_and_only_they_fail(
    object_store_uri: str,
) -> None:
    put(object_store_uri, *ANY_STORE_NAMES)
    before = pa.concat_tables(list_objects(object_store_uri)).sort_by("uri")
    for name in REFUSED_NAMES:
        put_by_client(object_store_uri, name)
    put_by_client(object_store_uri, "folder/")
    after = pa.concat_tables(list_objects(object_store_uri)).sort_by("uri")
    assert below(object_store_uri, set(after["uri"].to_pylist())) == {
        *ANY_STORE_NAMES,
        *REFUSED_NAMES,
    }
    refused = pa.array([join_uri(object_store_uri, name) for name in REFUSED_NAMES])
    # The same etags from both clients: else one unusual name would make every chip new.
    columns = ["uri", "etag", "size_bytes"]
    kept = after.filter(pc.invert(pc.is_in(after["uri"], refused)))
    assert kept.select(columns).equals(before.select(columns))
    for name in REFUSED_NAMES:
        with pytest.raises(StorageError, match="cannot read") as caught:
            read_bytes(join_uri(object_store_uri, name))
        assert "\n" not in str(caught.value)


def test_a_prefix_that_holds_a_refused_name_is_listed_behind_what_came_before(
    object_store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_listing, "LISTING_ROWS", 2)
    names = [f"night/{i}.jpg" for i in range(5)]
    put(object_store_uri, *names, "other/x.jpg", "nightly.jpg")
    put_by_client(object_store_uri, "night/3//odd.jpg")
    put_by_client(object_store_uri, "night//odd.jpg")
    everything = {*names, "night/3//odd.jpg", "night//odd.jpg"}
    assert below(object_store_uri, listed(join_uri(object_store_uri, "night"))) == everything
    assert below(object_store_uri, listed(join_uri(object_store_uri, "night/*.jpg"))) == {*names}


def test_a_slash_at_either_end_of_a_name_never_reaches_another_object(
    object_store_uri: str,
) -> None:
    put(object_store_uri, "a.jpg")
    for name in ("/a.jpg", "a.jpg/"):
        with pytest.raises(StorageError, match="begin or end with a slash"):
            read_bytes(f"{object_store_uri}/{name}")


def test_listing_unusual_names_reports_which_extra_is_missing(
    object_store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_by_client(object_store_uri, "x//y.jpg")
    for module in ("google.cloud.storage", "boto3"):
        monkeypatch.setitem(sys.modules, module, None)
    if object_store_uri.startswith("gs"):
        monkeypatch.delattr("google.cloud.storage")
    with pytest.raises(StorageError, match=r"install forest-chips\[(gcp|aws)\]"):
        list(list_objects(object_store_uri))


SECRET = "wJalrXUtnFEMIK7MDENG"


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://bucket/a.jpg?X-Amz-Credential=me&X-Amz-Signature={SECRET}",
        f"gs://bucket/a.jpg?x-goog-signature={SECRET}",
        f"s3://bucket/a.jpg?sv=2020&sig={SECRET}",
        f"s3://me:{SECRET}@bucket/a.jpg",
    ],
)
def test_an_address_that_holds_credentials_is_refused_and_not_repeated(uri: str) -> None:
    for call in (store.absolute_uri, lambda u: store.absolute_uri(u, "/data")):
        with pytest.raises(UsageError, match="holds credentials") as caught:
            call(uri)
        assert SECRET not in str(caught.value)


def test_errors_hold_no_credentials(object_store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST"):
        url = os.environ.get(name, "")
        monkeypatch.setenv(name, url.replace("://", f"://me:{SECRET}@"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SECRET + "token")
    store.forget_stores()
    bucket = object_store_uri + "-none"
    for use in (
        read_bytes,
        lambda uri: list(list_objects(uri)),
        lambda uri: write_bytes(uri, b""),
        lambda uri: store.copy_object(uri, uri + "2"),
        lambda uri: evolution.ensure_table(uri, RUNS),
    ):
        with pytest.raises((StorageError, UsageError)) as caught:
            use(f"{bucket}/a.jpg")
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"error for http://me:{SECRET}@host/a.jpg",
        f"GET https://host/a?X-Amz-Signature={SECRET}&x=1: 403",
        f"GET https://host/a?x=1&X-Amz-Security-Token={SECRET}",
        f"the key {SECRET} is not known",
    ],
)
def test_secrets_are_removed_from_any_text(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    cleaned = without_secrets(text)
    assert SECRET not in cleaned
    assert "***" in cleaned


def test_a_store_that_does_not_answer_is_an_error_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")
    monkeypatch.setattr(_connections, "_settings", StoreSettings(deadline_s=0.1))
    store.forget_stores()
    with pytest.raises(StorageError, match=r"cannot look up 'gs://b/a': .*error sending request$"):
        store.head_object("gs://b/a")


# --- On disk ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "chips"


def test_local_names_may_hold_any_character(folder: Path) -> None:
    put(str(folder), *LOCAL_NAMES)
    assert below(str(folder), listed(str(folder))) == set(LOCAL_NAMES)
    for name in LOCAL_NAMES:
        uri = f"{folder}/{name}"
        assert read_bytes(uri) == name.encode()
        assert listed(uri) == {uri}
        assert store.absolute_uri(uri) == uri


@given(name=st.text(min_size=1, max_size=40).filter(lambda n: "/" not in n and "\0" not in n))
@settings(max_examples=50, deadline=None)
def test_any_name_that_a_disk_takes_is_listed_and_read_again(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        uri = f"{folder}/x{name}y"
        write_bytes(uri, b"data")
        assert listed(folder) == {uri}
        assert read_bytes(uri) == b"data"


def test_a_name_that_is_not_utf_8_becomes_text_and_affects_no_other(folder: Path) -> None:
    put(str(folder), "good.jpg")
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff\xfe.jpg")).write_bytes(b"x")
    assert below(str(folder), listed(str(folder))) == {"good.jpg", r"bad\xff\xfe.jpg"}
    uri = rf"{folder}/bad\xff\xfe.jpg"
    assert read_bytes(uri) == b"x"
    assert [store.head_object(uri)] == [
        row for row in pa.concat_tables(list_objects(str(folder))).to_pylist() if row["uri"] == uri
    ]
    write_bytes(uri, b"a file that really has this name")
    assert read_bytes(uri) == b"a file that really has this name"
    with pytest.raises(StorageError, match="No such file"):
        read_bytes(rf"{folder}/none\xff.jpg")


def test_links_to_files_are_listed_and_broken_links_stop_nothing(folder: Path) -> None:
    put(str(folder), "real.jpg", "sub/below.jpg")
    (folder / "link.jpg").symlink_to("real.jpg")
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "up").symlink_to(".", target_is_directory=True)
    rows = {row["uri"]: row for table in list_objects(str(folder)) for row in table.to_pylist()}
    assert below(str(folder), set(rows)) == {
        *("real.jpg", "sub/below.jpg", "link.jpg", "dangling.jpg", "loop.jpg", "up"),
    }
    assert rows[f"{folder}/link.jpg"]["size_bytes"] == len(b"real.jpg")
    assert read_bytes(f"{folder}/link.jpg") == b"real.jpg"
    for name in ("dangling.jpg", "loop.jpg", "up"):
        with pytest.raises(StorageError, match=name):
            read_bytes(f"{folder}/{name}")


def test_a_folder_reached_through_a_link_is_listed(folder: Path, tmp_path: Path) -> None:
    put(str(folder), "a.jpg")
    (tmp_path / "current").symlink_to(folder)
    assert listed(str(tmp_path / "current")) == {str(tmp_path / "current" / "a.jpg")}


def test_pipes_and_devices_are_neither_listed_nor_waited_for(folder: Path) -> None:
    put(str(folder), "a.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "hidden.jpg").symlink_to("pipe.jpg")
    assert below(str(folder), listed(str(folder))) == {"a.jpg", "zero.jpg", "hidden.jpg"}
    for name in ("pipe.jpg", "zero.jpg", "hidden.jpg"):
        with pytest.raises(StorageError, match="not a regular file"):
            read_bytes(f"{folder}/{name}")
        with pytest.raises(StorageError, match="not a regular file"):
            store.open_file(f"{folder}/{name}")
        assert store.head_object(f"{folder}/{name}") is None


@pytest.mark.skipif(RUNS_AS_ROOT, reason="root may enter any folder")
def test_an_unreadable_folder_is_reported_only_if_it_could_match(folder: Path) -> None:
    put(str(folder), "a.jpg", "locked/b.jpg")
    (folder / "locked").chmod(0)
    try:
        with pytest.raises(StorageError, match=r"cannot list '.*/locked': Permission denied"):
            listed(str(folder))
        assert listed(f"{folder}/*.jpg") == {f"{folder}/a.jpg"}
    finally:
        (folder / "locked").chmod(0o755)


def test_a_file_without_metadata_is_listed_by_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a folder that may be listed and not entered, or on a disk with a bad block."""
    put(str(folder), "a.jpg", "bad.jpg")
    stat_file = _local_store._stat_file

    def fail_for_one(entry: os.DirEntry[str]) -> os.stat_result | None:
        if entry.name == "bad.jpg":
            raise OSError(errno.EIO, "Input/output error")
        return stat_file(entry)

    monkeypatch.setattr(_local_store, "_stat_file", fail_for_one)
    rows = {row["uri"]: row for row in pa.concat_tables(list_objects(str(folder))).to_pylist()}
    assert set(rows) == {f"{folder}/a.jpg", f"{folder}/bad.jpg"}
    assert set(rows[f"{folder}/bad.jpg"].values()) == {f"{folder}/bad.jpg", None}


@pytest.mark.parametrize(
    ("name", "error", "listed_without"),
    [
        ("gone", FileNotFoundError(errno.ENOENT, "No such file or directory"), True),
        ("lost+found", PermissionError(errno.EACCES, "Permission denied"), True),
        (".Trashes/501", PermissionError(errno.EACCES, "Permission denied"), True),
        ("chips", PermissionError(errno.EACCES, "Permission denied"), False),
    ],
)
def test_a_folder_that_was_deleted_meanwhile_or_is_a_systems_own_ends_no_listing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: OSError,
    listed_without: bool,
) -> None:
    put(str(folder), "a.jpg", f"{name}/b.jpg")
    scandir = os.scandir

    def fail_for_one(path: str) -> Iterator[os.DirEntry[str]]:
        if path == f"{folder}/{name}":
            raise error
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fail_for_one)
    if listed_without:
        assert listed(str(folder)) == {f"{folder}/a.jpg"}
    else:
        with pytest.raises(StorageError, match=r"cannot list '.*/chips': Permission denied"):
            listed(str(folder))


def test_a_glob_lists_no_folder_that_cannot_match(folder: Path) -> None:
    put(str(folder), "a.jpg", "sub/b.jpg", "sub/deep/c.jpg")
    for pattern, depth in (("*.jpg", 0), ("*/*.jpg", 1), ("sub/*.jpg", 0), ("**/c.jpg", 9)):
        uri = f"{folder}/{pattern}"
        assert min(_globs.depth_below(store._fixed_part(uri), uri), 9) == depth


def test_a_missing_folder_is_named(folder: Path) -> None:
    for uri in (f"{folder}/none", f"{folder}/none/*.jpg"):
        with pytest.raises(StorageError, match=r"cannot list '.*': No such file or directory"):
            list(list_objects(uri))


def test_a_path_that_no_system_accepts_is_an_ordinary_error(folder: Path) -> None:
    for uri in (f"{folder}/nul\0.jpg", f"{folder}/{'x' * 300}"):
        with pytest.raises(StorageError, match="cannot read"):
            read_bytes(uri)
        with pytest.raises(StorageError, match="cannot list"):
            list(list_objects(uri))
        with pytest.raises(StorageError, match="cannot write"):
            write_bytes(uri, b"")


def test_a_failed_write_leaves_nothing_behind_and_keeps_the_old_object(tmp_path: Path) -> None:
    put(str(tmp_path), "file", "folder/inside")
    before = sorted(tmp_path.rglob("*"))
    for target in ("file/below", "folder", "file/deep/below"):
        with pytest.raises(StorageError, match=rf"cannot write '.*/{target}': "):
            write_bytes(str(tmp_path / target), b"new")
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_bytes() == b"file"


@pytest.mark.skipif(RUNS_AS_ROOT, reason="root may write into any folder")
def test_a_folder_without_write_permission_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(StorageError, match="Permission denied"):
            write_bytes(str(tmp_path / "a"), b"")
    finally:
        tmp_path.chmod(0o755)


def test_a_reader_keeps_the_old_object_while_a_new_one_replaces_it(tmp_path: Path) -> None:
    uri = str(tmp_path / "a")
    write_bytes(uri, b"old" * 10_000)
    with store.open_file(uri) as reader:
        write_bytes(uri, b"new")
        assert reader.read() == b"old" * 10_000
    assert read_bytes(uri) == b"new"


def test_written_files_have_the_usual_permissions_of_new_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(str(tmp_path / "a"), b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


# --- Globs --------------------------------------------------------------------------------------

NAME = st.text("ab1]-", min_size=1, max_size=3)
PIECE = st.one_of(
    st.sampled_from(
        ["*", "?", "[ab]", "[!a]", "[a-b1]", "[]]", "[!]]", "[b-a]", "[", "]", "[!", "-"]
    ),
    NAME,
)
PART = st.lists(PIECE, min_size=1, max_size=3).map("".join).filter(lambda part: "**" not in part)


@given(
    files=st.lists(st.lists(NAME, min_size=1, max_size=3).map("/".join), min_size=1, max_size=8),
    pattern=st.lists(PART, min_size=1, max_size=3),
    anywhere=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_globs_match_what_pythons_own_glob_matches_on_real_folders(
    files: list[str], pattern: list[str], anywhere: bool
) -> None:
    if anywhere:
        pattern = ["**", *pattern]
    with tempfile.TemporaryDirectory(prefix="chips") as root:
        for name in files:
            path = Path(root, name)
            if not any(parent.is_file() for parent in path.parents) and not path.exists():
                write_bytes(str(path), b"")
        uri = f"{root}/{'/'.join(pattern)}"
        expected = {path for path in glob.glob(uri, recursive=True) if os.path.isfile(path)}
        if _globs.WILDCARDS.search(uri) and not os.path.exists(uri):
            assert listed_or_none(uri) == expected


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("/a/**/b", "/a/b", True),
        ("/a/**/b", "/a/x/y/b", True),
        ("/a**/b", "/ab", False),
        ("/a**/b", "/ax/y/b", True),
        ("/a/**", "/a/x/y", True),
        ("/a/[+-9]", "/a//", False),
        ("/a/[!x]", "/a//", False),
        ("/a/[^b]", "/a/^", True),
        ("/a/[^b]", "/a/c", False),
        ("/a/*", "/a/new\nline", True),
        ("/a/?", "/a/\n", True),
        ("/a/.*", "/a/xy", False),
        ("/a/*.jpg", "/a/b.jpg.txt", False),
        ("/a/[a&&b|~-]", "/a/&", True),
    ],
)
def test_globs_match_the_expected_addresses(pattern: str, name: str, fits: bool) -> None:
    assert fits_glob(pattern, name) == fits


def fits_glob(pattern: str, name: str) -> bool:
    return bool(_globs.matches(pa.array([name]), pattern)[0].as_py())


@pytest.mark.parametrize("pattern", ["*_*_*_*_*_*.jpg", "**_**_**_**_**.jpg", "/**/*_*/*_*_*.jpg"])
def test_no_glob_and_no_name_takes_long(pattern: str) -> None:
    """Python's own expressions took 67 seconds for three stars and one such name."""
    names = pa.array(["_" * 4000 + ".png", "/_" * 2000 + ".png"] * 10)
    began = time.perf_counter()
    assert not pc.any(_globs.matches(names, pattern)).as_py()
    assert time.perf_counter() - began < 2


@given(st.text("ab/*?[]!-^\\.", max_size=12))
def test_every_text_is_a_valid_glob(pattern: str) -> None:
    fits_glob("/" + pattern, "/a/b")


@given(st.text(max_size=20))
def test_a_glob_without_wildcards_matches_itself_alone(name: str) -> None:
    if not _globs.WILDCARDS.search(name):
        assert fits_glob(name, name)
        assert not fits_glob(name, name + "x")


# --- Addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["http://host/a.jpg", "hdfs://a", "GS://bucket/a", "azure://c/a"])
def test_an_unknown_scheme_is_a_usage_error_that_names_the_known_ones(uri: str) -> None:
    for use in (store.scheme_of, store.absolute_uri, read_bytes, store.is_remote):
        with pytest.raises(UsageError, match=r"use a local path, gs:// or s3://, not \w+://"):
            use(uri)


@pytest.mark.parametrize(
    ("uri", "scheme"),
    [
        ("gs://b/a", "gs"),
        ("s3://b", "s3"),
        ("/a", ""),
        ("a", ""),
        ("file:///a", ""),
        ("a/b://c", ""),
    ],
)
def test_the_scheme_is_the_part_before_the_two_slashes(uri: str, scheme: str) -> None:
    assert store.scheme_of(uri) == scheme
    assert store.is_remote(uri) == (scheme != "")


@pytest.mark.parametrize(
    ("uri", "base", "expected"),
    [
        ("/data/chips/", "", "/data/chips"),
        ("/data/./x/../chips", "", "/data/chips"),
        ("file:///data/a%20b%25.jpg", "", "/data/a b%.jpg"),
        ("file://localhost/data/a", "", "/data/a"),
        ("file:///data/a#1?.jpg", "", "/data/a#1?.jpg"),
        ("/data/a%20b#?.jpg", "", "/data/a%20b#?.jpg"),
        ("gs://bucket/chips//", "", "gs://bucket/chips"),
        ("gs://bucket/", "", "gs://bucket"),
        ("s3://b/a%20b", "", "s3://b/a%20b"),
        ("chips/a.jpg", "/data", "/data/chips/a.jpg"),
        ("../a.jpg", "/data/lists", "/data/a.jpg"),
        ("chips/a.jpg", "gs://bucket/lists", "gs://bucket/lists/chips/a.jpg"),
        ("./a.jpg", "gs://bucket/lists", "gs://bucket/lists/a.jpg"),
        ("../chips/./a.jpg", "s3://bucket/lists", "s3://bucket/chips/a.jpg"),
        ("../a.jpg", "gs://bucket", "gs://bucket/../a.jpg"),
        ("x//a.jpg", "gs://bucket", "gs://bucket/x//a.jpg"),
        ("/data/a.jpg", "gs://bucket/lists", "/data/a.jpg"),
        ("gs://other/a.jpg", "/data", "gs://other/a.jpg"),
    ],
)
def test_an_absolute_address_depends_on_no_working_directory(
    uri: str, base: str, expected: str
) -> None:
    assert store.absolute_uri(uri, base) == expected
    assert store.absolute_uri(expected) == expected


def test_a_relative_path_is_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert store.absolute_uri("chips/*.jpg") == f"{tmp_path}/chips/*.jpg"
    assert store.absolute_uri(".") == str(tmp_path)


def test_a_file_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UsageError, match="names the machine 'data'; a local path is file:///PATH"):
        store.absolute_uri("file://data/chips/a.jpg")


def test_addresses_are_joined_and_split() -> None:
    assert join_uri("gs://b/", "x", "y z") == "gs://b/x/y z"
    assert join_uri("/", "x") == "/x"
    assert store.parent_uri("gs://b/x/y.jpg") == "gs://b/x"
    assert store.parent_uri("/y.jpg") == "/"
    assert store.file_stem("gs://b/x/y.tar.jpg") == "y.tar"
    assert store.file_stem("/x/a%20b#1.jpg") == "a%20b#1"


@pytest.mark.parametrize(
    ("given", "clean"), [('"abc"', "abc"), ('W/"abc"', "abc"), ("abc", "abc"), (None, None)]
)
def test_an_etag_is_cleaned_of_quotes_and_the_weak_mark(given: str, clean: str) -> None:
    assert store.clean_etag(given) == clean


def test_delta_rs_gets_options_that_reach_the_same_store(
    gs_uri: str, s3_uri: str, tmp_path: Path
) -> None:
    from deltalake import DeltaTable, write_deltalake

    for root in (gs_uri, s3_uri, str(tmp_path)):
        uri = join_uri(root, "table")
        options = store.delta_options(uri)
        write_deltalake(uri, pa.table({"i": [1, 2]}), storage_options=options)
        assert DeltaTable(uri, storage_options=options).to_pyarrow_table()["i"].to_pylist() == [
            1,
            2,
        ]
        assert any(name.endswith(".parquet") for name in listed(uri))


def test_an_object_over_the_size_that_its_reader_allows_is_not_read(object_store_uri, tmp_path):
    for folder in (object_store_uri, str(tmp_path)):
        uri = f"{folder}/ten bytes"
        store.write_bytes(uri, b"0123456789")
        assert store.read_bytes(uri, most_bytes=10) == b"0123456789"
        with pytest.raises(ObjectTooLarge, match="has 10 bytes, at most 9 are read"):
            store.read_bytes(uri, most_bytes=9)
