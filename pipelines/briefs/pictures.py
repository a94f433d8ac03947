"""The pictures of a brief: small, and together no larger than the page allows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import simplejpeg

from pipelines.reports.thumbnails import draw_thumbnails

SITES_WITH_PICTURES = 200
"""The sites, the most important ones, that have pictures."""

_MOST_BYTES = 2_600_000  # of all pictures together: a third more as text, in a page of 5 MB
_QUALITIES = (70, 55, 40, 30)


class Pair(NamedTuple):
    """Pictures of a site as JPEGs; None if one is missing."""

    before: bytes | None
    after: bytes | None


def draw_pictures(sites: Sequence[Mapping[str, Any]]) -> dict[str, Pair]:
    """The pictures before and after of the first `SITES_WITH_PICTURES`, by site_id.

    A picture that cannot be read is None. So is one before that has the address of the one after:
    the object was replaced.

    Args:
        sites: rows of `sites`, the most important ones first.
    """
    shown = sites[:SITES_WITH_PICTURES]
    wanted = {uri: None for site in shown for uri in _addresses(site) if uri}
    drawn = draw_thumbnails(list(wanted.items()))
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
