"""A STAC ItemCollection names scenes, with their times and bands; a wrong one is refused."""

import json
from copy import deepcopy
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import UsageError
from pipelines.planning import stac_items
from pipelines.planning.stac_items import Band, SceneItem, read_items

PLANET = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "20260701_140300_psb",
    "properties": {"datetime": "2026-07-01T11:03:00-03:00"},
    "assets": {
        "sr": {
            "href": "./scenes/a.tif",
            "eo:bands": [
                {"name": "B1", "common_name": "blue"},
                {"name": "B2", "common_name": "green"},
                {"name": "B3", "common_name": "red"},
                {"name": "B4", "common_name": "nir"},
            ],
            "raster:bands": [{"scale": 0.0001, "offset": -0.1}, {}, {"scale": 2}, {"offset": None}],
        },
        "udm": {"href": "a_udm.tif"},
    },
}
NEW = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "id": "S2B_21LXF",
    "properties": {"datetime": None, "start_datetime": "2026-07-01T00:00:00Z"},
    "assets": {
        "sr": {
            "href": "gs://bucket/b.tif",
            "raster:scale": 0.5,
            "bands": [{"name": "B8A", "eo:common_name": "nir08", "raster:offset": 3}, {}],
        }
    },
}


def stored(folder, *features):
    path = folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return str(path)


def test_an_item_says_where_its_scene_is_when_it_was_taken_and_what_its_bands_are(tmp_path):
    assert read_items(stored(tmp_path, PLANET, NEW), "sr") == [
        SceneItem(
            f"{tmp_path}/scenes/a.tif",
            "20260701_140300_psb",
            datetime(2026, 7, 1, 14, 3, tzinfo=UTC),
            (
                Band("blue", 0.0001, -0.1, "b1"),
                Band("green", code="b2"),
                Band("red", 2, code="b3"),
                Band("near_infrared", code="b4"),
            ),
        ),
        SceneItem(
            "gs://bucket/b.tif",
            "S2B_21LXF",
            None,
            (Band("near_infrared", 0.5, 3, "b8a"), Band("", 0.5)),
        ),
    ]
    assert read_items(stored(tmp_path, PLANET), "udm")[0].bands == ()


def test_a_file_may_be_a_single_item_and_an_item_twice_is_one(tmp_path):
    (tmp_path / "item.json").write_text(json.dumps(PLANET))
    assert len(read_items(str(tmp_path / "item.json"), "sr")) == 1
    assert len(read_items(stored(tmp_path, PLANET, NEW, PLANET), "sr")) == 2


def test_the_wide_band_is_the_near_infrared_if_there_are_two(tmp_path):
    item = deepcopy(PLANET)
    names = ["red", "nir08", "nir", "swir16"]
    item["assets"]["sr"] = {"href": "a.tif", "bands": [{"eo:common_name": n} for n in names]}
    found = read_items(stored(tmp_path, item), "sr")[0].bands
    assert [band.name for band in found] == ["red", "nir08", "near_infrared", "swir16"]


def changed(**changes):
    """PLANET with other values, by path with __ between its parts."""
    item = deepcopy(PLANET)
    for path, value in changes.items():
        *above, last = path.split("__")
        part = item
        for key in above:
            part = part[key]
        part[last] = value
    return item


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (3, "item 1 is not an object"),
        (changed(id=7), "its id is not text"),
        (changed(id="x" * 1001), "its id is not text of 1 to 1000 letters"),
        (changed(id="a\ud800"), "its id has a character that cannot be printed"),
        (changed(assets=[]), "assets is not an object"),
        (changed(assets={"visual": {}}), r"has no asset 'sr' \(it has: visual\)"),
        (changed(assets__sr={}), "the href of 'sr' is not text"),
        (changed(assets__sr__href="https://host/a.tif"), "use a local path, gs:// or s3://"),
        (changed(assets__sr__href="gs://b/a.tif?X-Goog-Signature=1"), "holds credentials"),
        (changed(properties=None), "properties is not an object"),
        (changed(properties__datetime="yesterday"), "its datetime is not a time"),
        (changed(properties__datetime="0001-01-01T00:00:00+14:00"), "its datetime is not a time"),
        (changed(properties__datetime=20260701), "its datetime is not text"),
        (changed(**{"assets__sr__eo:bands": {}}), "are not a list"),
        (changed(**{"assets__sr__eo:bands": [1] * 4}), "is not an object"),
        (changed(**{"assets__sr__eo:bands": [{}] * 3}), "with different numbers of bands"),
        (changed(**{"assets__sr__eo:bands": [{}] * 257}), "at most 256"),
        (changed(**{"assets__sr__raster:bands": [{"scale": 0}] * 4}), "a scale is 0"),
        (changed(**{"assets__sr__raster:bands": [{"scale": "1"}] * 4}), "a scale is not a number"),
        (changed(**{"assets__sr__raster:bands": [{"scale": True}] * 4}), "is not a number"),
        (changed(**{"assets__sr__raster:bands": [{"offset": 10**400}] * 4}), "is not finite"),
    ],
)
def test_a_wrong_item_is_refused_in_one_line_that_names_it(tmp_path, item, message):
    with pytest.raises(UsageError, match=message) as error:
        read_items(stored(tmp_path, item), "sr")
    assert "items.json" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe\xfd", "is not JSON"),
        (b'{"type": NaN}', "NaN is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a STAC ItemCollection: it has the type None"),
        (b'{"type": "Catalog", "links": []}', "is not a STAC ItemCollection.*'Catalog'"),
        (b'{"type": "FeatureCollection", "features": {}}', "is not a STAC ItemCollection"),
        (b'{"type": "FeatureCollection", "features": []}', "has no items"),
    ],
)
def test_a_file_that_is_no_item_collection_is_refused(tmp_path, content, message):
    path = tmp_path / "items.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_items(str(path), "sr")


def test_two_items_that_describe_one_scene_in_different_ways_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"two items for '.*a\.tif', and they differ"):
        read_items(stored(tmp_path, PLANET, changed(id="other")), "sr")


def test_a_file_over_the_limit_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(stac_items, "MOST_BYTES", 100)
    with pytest.raises(UsageError, match="at most 100"):
        read_items(stored(tmp_path, PLANET), "sr")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_PATHS = (
    *("id", "properties", "properties__datetime", "assets", "assets__sr", "assets__sr__href"),
    *("assets__sr__eo:bands", "assets__sr__raster:bands", "assets__sr__bands"),
)


@settings(max_examples=200, deadline=None)
@given(path=st.sampled_from(_PATHS), value=_JSON)
def test_any_json_in_an_item_is_read_or_refused(tmp_path_factory, path, value):
    folder = tmp_path_factory.getbasetemp()
    try:
        (item,) = read_items(stored(folder, changed(**{path: value})), "sr")
    except UsageError:
        return
    assert item.uri.startswith(("/", "gs://", "s3://"))
    item.scene_id.encode()
