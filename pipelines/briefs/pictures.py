"""The pictures of a brief: small, and together no larger than the page allows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow.dataset as ds
import simplejpeg

from pipelines.reports.thumbnails import Wanted, draw_thumbnails
from pipelines.scenes.lattice import parse_window
from pipelines.tables import delta_tables
from schemas.scene_columns import SCENE_BANDS
from schemas.tables import CHIP_SCORES

SITES_WITH_PICTURES = 200
"""The sites, the most important ones, that have pictures."""

_MOST_BYTES = 2_600_000  # of all pictures together: a third more as text, in a page of 5 MB
_QUALITIES = (70, 55, 40, 30)


class Pair(NamedTuple):
    """Pictures of a site as JPEGs; None if one is missing."""

    before: bytes | None
    after: bytes | None


def draw_pictures(
    sites: Sequence[Mapping[str, Any]], bands: Mapping[str, str] | None = None
) -> dict[str, Pair]:
    """The pictures before and after of the first `SITES_WITH_PICTURES`, by site_id.

    A picture that cannot be read is None. So is one before that has the address of the one after:
    the object was replaced.

    Args:
        sites: rows of `sites`, the most important ones first.
        bands: `scene_bands` of windows by address, if they have them.
    """
    shown = sites[:SITES_WITH_PICTURES]
    wanted = {uri: None for site in shown for uri in _addresses(site) if uri}
    drawn = draw_thumbnails([Wanted(uri, None, (bands or {}).get(uri)) for uri in wanted])
    jpegs = {
        uri: thumbnail.jpeg
        for uri, thumbnail in zip(wanted, drawn, strict=True)
        if thumbnail.jpeg is not None
    }
    small = _fitted(jpegs, [uri for site in shown for uri in _addresses(site)])
    pairs = {site["site_id"]: _addresses(site) for site in shown}
    return {
        site: Pair(small.get(pairs[site][0] or ""), small.get(pairs[site][1])) for site in pairs
    }


def _addresses(site: Mapping[str, Any]) -> tuple[str | None, str]:
    before, after = site["before_uri"], site["after_uri"]
    return (None if before == after else before), after


def find_bands(output: str, sites: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """`scene_bands` of the windows in the pictures of some sites, by address.

    Raises:
        StorageError: the table cannot be read.
    """
    windows = {uri for site in sites for uri in _addresses(site) if uri and parse_window(uri)}
    scores = delta_tables.open_table(output, CHIP_SCORES.name) if windows else None
    if scores is None:
        return {}
    rows = delta_tables.open_dataset(scores)
    if SCENE_BANDS.name not in rows.schema.names:
        return {}
    known = ds.field("chip_uri").isin(sorted(windows)) & ds.field(SCENE_BANDS.name).is_valid()
    found = rows.to_table(columns=["chip_uri", SCENE_BANDS.name], filter=known).to_pylist()
    return {row["chip_uri"]: row[SCENE_BANDS.name] for row in found}


def _fitted(jpegs: Mapping[str, bytes], uses: Iterable[str | None]) -> dict[str, bytes]:
    """The pictures, compressed until all uses of them fit; if the smallest do not, the first."""
    used = [uri for uri in uses if uri is not None and uri in jpegs]
    small: dict[str, bytes] = {}
    for quality in _QUALITIES:
        small = {uri: _compressed(jpegs[uri], quality) for uri in jpegs}
        if sum(len(small[uri]) for uri in used) <= _MOST_BYTES:
            return small
    kept: dict[str, bytes] = {}
    left = _MOST_BYTES
    for uri in used:
        left -= len(small[uri])
        if left >= 0:
            kept[uri] = small[uri]
    return kept


def _compressed(jpeg: bytes, quality: int) -> bytes:
    found: bytes = simplejpeg.encode_jpeg(simplejpeg.decode_jpeg(jpeg), quality, "RGB")
    return found
