"""Names and scales of bands are read as rasterio writes them, and odd text costs no time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from pipelines.imaging.gdal_metadata import BandTags, items_of, read_band_tags
from schemas.networks.preprocessing import is_band_name
from tests.support.tiffs import draw_bands, encode_tif, with_more_tags

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def with_metadata(xml: bytes) -> bytes:
    tif = encode_tif(draw_bands(bands=2))
    xml = b"<GDALMetadata>" + xml + b"</GDALMetadata>\0"
    return with_more_tags(tif + xml, [(42112, 2, len(xml), len(tif))])


def item(role: str, band: int, text: str) -> bytes:
    return f'<Item name="x" sample="{band}" role="{role}">{text}</Item>'.encode()


@given(
    names=st.lists(st.text(max_size=9), min_size=3, max_size=3),
    scales=st.lists(st.floats(0.001, 1000), min_size=3, max_size=3),
    offsets=st.lists(st.floats(-10, 10), min_size=3, max_size=3),
)
def test_they_are_read_as_they_were_written(
    names: list[str], scales: list[float], offsets: list[float]
) -> None:
    size = {"driver": "GTiff", "width": 8, "height": 8, "count": 3, "dtype": "int16"}
    printable = all(name.isprintable() for name in names)
    with MemoryFile() as file:
        with file.open(**size) as target:
            if printable:
                target.descriptions = names
            target.scales, target.offsets = scales, offsets
        data = bytes(file.read())
    found = read_band_tags(data, 3)
    apart = len({name.strip().casefold() for name in names}) == 3
    if printable and apart and all(is_band_name(name) for name in names):
        assert found.names == tuple(names)
    if not apart or not printable:
        assert found.names == ()
    if set(scales) != {1.0} or set(offsets) != {0.0}:
        assert (found.scales or (1.0,) * 3) == pytest.approx(scales)
        assert (found.offsets or (0.0,) * 3) == pytest.approx(offsets)


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        item("description", 0, "red"),
        item("description", 0, "red") + item("description", 1, "RED"),
        item("description", 0, "red") + item("description", 99_999_999, "nir"),
        item("scale", 0, "0.1"),
        item("scale", 0, "0.1") + item("scale", 1, "nan"),
        item("scale", 0, "0.1") + item("scale", 1, "0"),
        item("scale", 0, "0.1") + item("scale", 1, "a tenth"),
        item("scale", 0, "0.1") + item("scale", 1, "1e300"),
        item("scale", 0, "1") + item("scale", 1, "1") + item("offset", 1, "-1e300"),
        b'<Item sample="0" role="description">red</Item>' * 5000,
    ],
)
def test_what_does_not_name_or_scale_each_band_is_left_out(xml: bytes) -> None:
    assert read_band_tags(with_metadata(xml), 2) == BandTags()


def test_letters_that_xml_escapes_are_themselves() -> None:
    xml = item("description", 0, "a &amp; b &lt; c") + item("description", 1, "&#233;")
    assert read_band_tags(with_metadata(xml), 2).names == ("a & b < c", "é")


@pytest.mark.parametrize(
    "odd", [b"a" * 65_000, b"a " * 32_000, b"a" + b" " * 65_000, b"a='" * 20_000, b"a=" * 30_000]
)
def test_one_odd_item_takes_no_time(odd: bytes) -> None:
    began = time.process_time()
    list(items_of(b"<Item " + odd + b">x</Item>"))
    assert time.process_time() - began < 0.2
