"""Scenes in a STAC ItemCollection: one GeoTIFF of each item, with its time, name and bands.

SpatioTemporal Asset Catalogs 1.0 and 1.1 (stacspec.org): an ItemCollection is GeoJSON. Bands are
described by `bands` (1.1) or by `eo:bands` and `raster:bands` (1.0). The file is text of unknown
origin: whatever is used of it is checked, and the first wrong item is named.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, NoReturn

from pipelines.errors import UsageError, as_usage_error
from pipelines.moments import parse_time
from pipelines.storage import store

ENDINGS = (".json", ".geojson")
"""File name endings of an ItemCollection."""

MOST_BYTES = 256 << 20
"""Size of a file at most: some 25,000 items."""

MOST_BANDS = 256
MOST_LETTERS = 1000
"""Length of an id, a time, an address or the name of a band at most."""

_NAMES = ("eo:common_name", "common_name", "name")
_NEAR_INFRARED = ("nir", "nir08")  # the wide band first; Landsat has only the narrow one
_SHOWN = 5


class Band(NamedTuple):
    """A band of a scene: its name in lower case, "" if it has none; how a stored sample becomes a
    value: sample * scale + offset; and the product's own name, such as b08."""

    name: str
    scale: float = 1.0
    offset: float = 0.0
    code: str = ""


class SceneItem(NamedTuple):
    """A scene as an item describes it.

    Attributes:
        uri: absolute address of the GeoTIFF.
        scene_id: the item's id.
        observed_at: the item's time in UTC; None if it has only a start and an end.
        bands: in the order of the file; () if the item does not describe them.
    """

    uri: str
    scene_id: str
    observed_at: datetime | None
    bands: tuple[Band, ...]


def read_items(uri: str, asset: str) -> list[SceneItem]:
    """The scenes of an ItemCollection, or of a single Item, in its order.

    Args:
        uri: absolute address of the file; relative addresses in it start at its folder.
        asset: the name of the asset that is the GeoTIFF.

    Raises:
        UsageError: it cannot be read, is not an ItemCollection, or an item is wrong.
    """
    with as_usage_error("--chips"):
        data = store.read_bytes(uri, MOST_BYTES)
    features = _features(_parse(data, uri), uri)
    folder = store.parent_uri(uri)
    items = [
        _read_item(feature, asset, folder, f"{uri!r}, item {number}")
        for number, feature in enumerate(features, 1)
    ]
    return list(_each_once(items, uri))


def _parse(data: bytes, uri: str) -> Any:
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too deep
        why = str(error) or type(error).__name__
        raise UsageError(f"--chips: {uri!r} is not JSON: {why}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _features(content: Any, uri: str) -> Sequence[Any]:
    kind = content.get("type") if isinstance(content, dict) else None
    if kind == "Feature":
        return [content]
    features = content.get("features") if kind == "FeatureCollection" else None
    if not isinstance(features, list):
        found = f"it has the type {kind!r}"[:MOST_LETTERS]
        raise UsageError(f"--chips: {uri!r} is not a STAC ItemCollection: {found}")
    if not features:
        raise UsageError(f"--chips: {uri!r} has no items")
    return features


def _read_item(feature: Any, asset: str, folder: str, where: str) -> SceneItem:
    item = _object(feature, where)
    scene_id = _text(item.get("id"), f"{where}: its id")
    where = f"{where} ({scene_id[:60]})"
    assets = _object(item.get("assets"), f"{where}: assets")
    if asset not in assets:
        names = ", ".join([*sorted(assets)[:_SHOWN], *(["..."] if len(assets) > _SHOWN else [])])
        raise UsageError(f"{where} has no asset {asset!r} (it has: {names[:MOST_LETTERS]})")
    properties = _object(item.get("properties"), f"{where}: properties")
    wanted = _object(assets[asset], f"{where}: asset {asset!r}")
    href = _text(wanted.get("href"), f"{where}: the href of {asset!r}")
    with as_usage_error(where, (UsageError,)):
        uri = store.absolute_uri(href, folder)
    return SceneItem(
        uri, scene_id, _time(properties.get("datetime"), where), _bands(wanted, asset, where)
    )


def _time(value: Any, where: str) -> datetime | None:
    if value is None:
        return None
    try:
        return parse_time(_text(value, f"{where}: its datetime"))
    except ValueError as error:
        raise UsageError(f"{where}: its datetime is not a time: {error}") from error


def _bands(asset: Mapping[str, Any], name: str, where: str) -> tuple[Band, ...]:
    where = f"{where}: the bands of {name!r}"
    either = [_list(asset.get(key), where) for key in ("bands", "eo:bands", "raster:bands")]
    described = [bands for bands in either if bands]
    if not described:
        return ()
    if len({len(bands) for bands in described}) > 1:
        raise UsageError(f"{where} are described twice, with different numbers of bands")
    merged = [
        {key: value for part in reversed(parts) for key, value in _object(part, where).items()}
        for parts in zip(*described, strict=True)
    ]
    names = _unified([_name(band, where) for band in merged])
    scales = [_number(band, asset, "scale", 1.0, where) for band in merged]
    offsets = [_number(band, asset, "offset", 0.0, where) for band in merged]
    if 0.0 in scales:
        raise UsageError(f"{where}: a scale is 0")
    codes = [_name(band, where, ("name",)) for band in merged]
    return tuple(map(Band, names, scales, offsets, codes))


def _name(band: Mapping[str, Any], where: str, keys: Sequence[str] = _NAMES) -> str:
    for key in keys:
        if band.get(key) is not None:
            return _text(band[key], f"{where}: {key}").lower()
    return ""


def _unified(names: list[str]) -> list[str]:
    """The names with STAC's word for near infrared replaced by the project's."""
    if "near_infrared" in names:
        return names
    word = next((word for word in _NEAR_INFRARED if word in names), "")
    return ["near_infrared" if word and name == word else name for name in names]


def _number(
    band: Mapping[str, Any], asset: Mapping[str, Any], name: str, default: float, where: str
) -> float:
    """A number of a band, else of the whole asset, as STAC 1.1 allows."""
    found = [
        part[key]
        for part in (band, asset)
        for key in (f"raster:{name}", name)
        if part.get(key) is not None
    ]
    value = found[0] if found else default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{where}: a {name} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UsageError(f"{where}: a {name} is not finite")
    return number


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} is not an object of JSON")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MOST_BANDS:
        raise UsageError(f"{where} are not a list of at most {MOST_BANDS}")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MOST_LETTERS:
        raise UsageError(f"{where} is not text of 1 to {MOST_LETTERS} letters")
    if not value.isprintable():  # half of a surrogate pair, too, which no table can hold
        raise UsageError(f"{where} has a character that cannot be printed")
    return value


def _each_once(items: Sequence[SceneItem], uri: str) -> Iterator[SceneItem]:
    """Items that are the same are one, as in pages of a search that overlap.

    Raises:
        UsageError: two items describe one GeoTIFF in different ways.
    """
    seen: dict[str, SceneItem] = {}
    for item in items:
        if seen.setdefault(item.uri, item) != item:
            raise UsageError(f"--chips: {uri!r} has two items for {item.uri!r}, and they differ")
    yield from seen.values()
