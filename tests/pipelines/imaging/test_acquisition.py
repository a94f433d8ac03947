"""When a GeoTIFF was taken: by the tags that say so, whatever they hold."""

from __future__ import annotations

import io
import struct
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.io import MemoryFile

from pipelines.imaging.acquisition import parse_time, read_acquired_at
from tests.support.tiffs import draw_bands, encode_tif

NOON = datetime(2020, 5, 1, 12, tzinfo=UTC)
FILE_DATE = {"TIFFTAG_DATETIME": "2019:01:01 00:00:00"}


def tif(tags: dict[str, str], domain: str | None = None, band: int = 0, **profile: str) -> bytes:
    """A GeoTIFF with metadata of the file or of a band, as GDAL writes it."""
    size = {"count": 4, "height": 8, "width": 8, "dtype": "uint16"}
    with MemoryFile() as file:
        with file.open(driver="GTiff", **size, **profile) as target:
            target.write(draw_bands(8, 8))
            target.update_tags(band, ns=domain, **tags)
            target.update_tags(**FILE_DATE)
        return bytes(file.read())


def exif_tif(taken: str, offset: str = "") -> bytes:
    """A TIFF with an EXIF directory, as Pillow writes it."""
    exif = Image.Exif()
    exif[306] = "2019:01:01 00:00:00"
    exif.get_ifd(34665).update({36867: taken} | ({36881: offset} if offset else {}))
    exif[34665] = 0  # Pillow writes where the directory is
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "TIFF", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("layout", [{}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}], ids=str)
@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("ACQUISITIONDATETIME", "IMAGERY"),
        ("ACQUISITIONDATETIME", None),
        ("ACQUISITION_DATETIME", None),
        ("DATE_ACQUIRED", None),
        ("EXIF_DateTimeOriginal", None),
    ],
)
def test_the_time_is_that_of_the_acquisition_tag_and_not_of_the_file(
    name: str, domain: str | None, layout: dict[str, str]
) -> None:
    assert read_acquired_at(tif({name: "2020-05-01 12:00:00"}, domain, **layout)) == NOON


def test_a_file_date_or_the_time_of_one_band_is_no_acquisition() -> None:
    assert read_acquired_at(tif({"SATELLITEID": "x"}, "IMAGERY")) is None
    assert read_acquired_at(tif({"ACQUISITIONDATETIME": "2020-05-01"}, band=1)) is None
    assert read_acquired_at(tif({"ACQUISITIONDATETIME": "2020-05-01"}, "OTHER")) is None


def test_the_exif_directory_has_a_time_and_its_offset() -> None:
    assert read_acquired_at(exif_tif("2020:05:01 12:00:00")) == NOON
    assert read_acquired_at(exif_tif("2020:05:01 14:00:00", "+02:00")) == NOON
    assert read_acquired_at(exif_tif("2020:05:01 12:00:00", "nonsense")) == NOON
    assert read_acquired_at(exif_tif("    :  :     :  :  ")) is None


def test_tiff_ep_has_the_time_in_the_first_directory() -> None:
    buffer = io.BytesIO()
    picture = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    picture.save(buffer, "TIFF", tiffinfo={36867: "2020:05:01 12:00:00", 306: "2019:01:01"})
    assert read_acquired_at(buffer.getvalue()) == NOON


def test_a_broken_directory_of_exif_hides_no_other_tag() -> None:
    whole = tif({"DATE_ACQUIRED": "2020-05-01T12:00"})
    lost = whole.replace(struct.pack("<HHI", 306, 2, 20), struct.pack("<HHI", 34665, 4, 1))
    assert lost != whole
    assert read_acquired_at(lost) == NOON


def test_a_broken_tag_gives_way_to_the_next_one() -> None:
    both = {"ACQUISITIONDATETIME": "soon", "EXIF_DateTimeOriginal": "2020:05:01 12:00:00"}
    assert read_acquired_at(tif(both)) == NOON


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2020-05-01T12:00:00Z", NOON),
        ("2020:05:01 12:00:00\0", NOON),
        ("2020-05-01 12:00:00 UTC", NOON),
        ("2020-05-01T17:30:00+0530", NOON),
        ("2020-05-01T12:00:00.1234567", NOON + timedelta(microseconds=123456)),
        ("2020/05/01 12:00", NOON),
        ("2020-05-01", NOON - timedelta(hours=12)),
        ("0000:00:00 00:00:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("1899-12-31 23:59:59", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("2020-02-30", None),
        ("2020-05-01 25:00:00", None),
        ("2020-05-01 12:00:00 +99:99", None),
        ("1 May 2020", None),
        ("\u0662\u0660\u0662\u0660-05-01", None),
        ("", None),
    ],
)
def test_a_text_is_a_time_in_utc_or_none(text: str, time: datetime | None) -> None:
    assert parse_time(text) == time


def test_a_time_after_today_is_not_believed() -> None:
    assert parse_time((datetime.now(UTC) + timedelta(days=3)).isoformat()) is None


@given(st.datetimes(datetime(1900, 1, 2), datetime(2025, 12, 31)), st.integers(-14, 14))
def test_a_time_with_an_offset_is_the_same_moment_in_utc(local: datetime, hours: int) -> None:
    text = f"{local:%Y:%m:%d %H:%M:%S}{hours:+03d}:00"
    expected = local.replace(microsecond=0, tzinfo=UTC) - timedelta(hours=hours)
    assert parse_time(text) == expected


@given(st.data())
def test_no_byte_of_the_file_makes_reading_the_time_fail(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([_GDAL, _EXIF]))
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(changed) - 4))
        struct.pack_into("<I", changed, at, data.draw(st.integers(0, 2**32 - 1)))
    found = read_acquired_at(bytes(changed[: data.draw(st.integers(0, len(changed)))]))
    assert found is None or found.tzinfo is UTC


def test_items_without_an_end_take_no_time() -> None:
    """A pattern that goes back and forth would need minutes."""
    start = datetime.now(UTC)
    assert read_acquired_at(tif({"a": "<Item " * 10_000 + "<" * 10_000})) is None
    assert datetime.now(UTC) - start < timedelta(seconds=2)


_GDAL = tif({"ACQUISITIONDATETIME": "2020-05-01 12:00:00"}, "IMAGERY")
_EXIF = exif_tif("2020:05:01 12:00:00")


def test_a_plain_tif_has_no_time() -> None:
    assert read_acquired_at(encode_tif(draw_bands(8, 8))) is None
    assert read_acquired_at(b"II*\0") is None
