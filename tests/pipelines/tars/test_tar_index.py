"""The members of a tar are those of the standard library, and damaged tars are refused."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.tars.tar_index import DamagedTar, read_members
from tests.support.tars import END, header, padded, pax, tar_bytes

_NAMES = st.text("ab./#é森\n ", min_size=1, max_size=150).filter(lambda name: name[-1] != "/")
_FILES = st.lists(st.tuples(_NAMES, st.binary(max_size=1200)), max_size=6)
_FORMS = st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


def members(data: bytes) -> list[tuple[str, int, int]]:
    return [tuple(member) for member in read_members(io.BytesIO(data))]


def by_tarfile(data: bytes) -> list[tuple[str, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(m.name, m.offset_data, m.size) for m in tar if m.isreg() and not m.issparse()]


@given(_FILES, _FORMS)
def test_members_are_the_same_as_in_tarfile(files, form):
    data = tar_bytes(files, form)
    found = members(data)
    assert [(o, s) for _, o, s in found] == [(o, s) for _, o, s in by_tarfile(data)]
    assert [(name, data[o : o + s]) for name, o, s in found] == files


@given(_FILES, _FORMS, st.data())
def test_a_tar_with_damage_anywhere_is_read_or_refused(files, form, draw):
    data = bytearray(tar_bytes(files, form))
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    data = bytes(data[: draw.draw(st.integers(0, len(data)))])
    try:
        found = members(data)
    except DamagedTar:
        return
    assert all(offset >= 0 and offset + size <= len(data) for _, offset, size in found)


def test_names_with_a_prefix_or_with_bytes_that_are_not_utf_8_are_read():
    long = "folder/" * 15 + "a.jpg"
    assert members(tar_bytes([(long, b"x")]))[0][0] == long
    odd = tar_bytes([("b\udcff.jpg", b"x")], tarfile.GNU_FORMAT)
    assert members(odd)[0][0] == "b\\xff.jpg"


def test_links_folders_devices_and_sparse_files_are_skipped():
    sparse = bytearray(header("sparse.jpg", b"S", 512))
    tar = b"".join(
        [
            header("link.jpg", b"1", 700),  # a size that means nothing
            header("symlink.jpg", b"2"),
            header("device.jpg", b"3"),
            header("folder.jpg", b"5"),
            bytes(sparse) + padded(b"s" * 512),
            pax(**{"GNU.sparse.major": "1"}) + header("s.jpg", b"0", 3) + padded(b"abc"),
            header("a.jpg", b"0", 3) + padded(b"abc"),
            END,
        ]
    )
    assert [name for name, *_ in members(tar)] == ["a.jpg"]


def test_a_pax_header_may_set_the_size_and_the_name():
    tar = pax(path="new\nline#.jpg", size="3") + header("x", b"0", 0) + padded(b"abc") + END
    ((name, offset, size),) = members(tar)
    assert (name, tar[offset : offset + size]) == ("new\nline#.jpg", b"abc")


@pytest.mark.parametrize(
    ("tar", "message"),
    [
        (b"", "not a tar: 0 bytes"),
        (b"short", "not a tar: 5 bytes"),
        (b"\x1f\x8b" + bytes(600), "compressed with gzip: only uncompressed tars"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "compressed with zstd"),
        (header("a.jpg", b"0", 3) + padded(b"abc"), "cut off: 0 bytes after byte 1024, and"),
        (b"text " * 200, "no tar header at byte 0"),
        (header("a.jpg", b"0", 600) + bytes(512), "512 of 600 bytes after byte 512 are there"),
        (header("a.jpg", b"x", 2**33 - 1) + bytes(512), "cut off"),
        (header("a", b"0", size_field=b"\xff" * 12), "invalid member size"),
        (header("a", b"x", size_field=b"\xff" * 12), "invalid member size"),
        (pax(size="-5") + header("a", b"0"), "invalid member size"),
        (pax(size="9" * 30) + header("a", b"0"), "invalid member size"),
        (pax(size="9" * 19) + header("a", b"0"), "cut off"),
        (header("p", b"x", 8) + padded(b"99 a=b\n\n") + END, "invalid pax header"),
        (header("p", b"x", 8) + padded(b"0 a=bcd\n") + END, "invalid pax header"),
        (header("p", b"L", 2 << 20) + bytes(2 << 20) + END, "an extended header of 2097152 bytes"),
        (header("a", b"0")[:-1] + b"x" + END, "no tar header"),
    ],
)
def test_unreadable_tars_are_refused(tar, message):
    with pytest.raises(DamagedTar, match=message):
        members(tar)


def test_members_before_the_damage_are_returned():
    found = read_members(io.BytesIO(tar_bytes([("a", b"1"), ("b", b"2" * 900)])[:1900]))
    assert next(found).name == "a"
    with pytest.raises(DamagedTar, match="cut off"):
        next(found)


_ANYTHING = st.binary(min_size=8, max_size=8)


@given(_ANYTHING, _ANYTHING, _ANYTHING, _ANYTHING)
def test_owner_mode_and_time_may_be_anything(mode, user, group, time):
    """A prefix in the name makes the header one that the standard library parses."""
    block = bytearray(tar_bytes([("folder/" * 15 + "a.jpg", b"x")]))
    block[100:124] = mode + user + group
    block[136:148] = time + b"\x80\xff\0\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    assert members(bytes(block)) == [("folder/" * 15 + "a.jpg", 512, 1)]


@pytest.mark.parametrize("time", ["inf", "nan", "-1e300", "9" * 400, "2026-01-01", ""])
def test_a_time_in_a_pax_header_may_be_anything(time):
    data = pax(mtime=time, path="a.jpg") + header("x", size=1) + padded(b"x") + END
    assert members(data) == [("a.jpg", 1536, 1)]
