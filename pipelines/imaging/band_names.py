"""The names of bands: which of them are red, green and blue, and which names a band can have."""

from collections.abc import Sequence

COLOURS = ("red", "green", "blue")
_ALIASES = (
    ("red", "r", "b04", "b4", "sr_b4"),
    ("green", "g", "b03", "b3", "sr_b3"),
    ("blue", "b", "b02", "b2", "sr_b2"),
)
"""Names of each colour in small letters, the surest first: B02 to B04 of Sentinel-2, B2 to B4 of
Landsat 8 and 9."""

_MOST_DIGITS = 4


def find_colours(names: Sequence[str]) -> tuple[int, int, int] | None:
    """The positions of red, green and blue; None if one of them is not among the names.

    >>> find_colours(["B02", "B03", "B04", "B08"])
    (2, 1, 0)
    """
    known = [name.lower() for name in names]
    found = [next((known.index(n) for n in same if n in known), None) for same in _ALIASES]
    red, green, blue = found
    if red is None or green is None or blue is None:
        return None
    return red, green, blue


def shown_colours(names: Sequence[str]) -> tuple[int, int, int]:
    """The positions of the bands that are shown as red, green and blue in pictures.

    Without these three: the third, second and first, since products store bands by wavelength; one
    or two bands are shown in grey.
    """
    return find_colours(names) or ((2, 1, 0) if len(names) > 2 else (0, 0, 0))


def numbered_names(count: int) -> tuple[str, ...]:
    """The names of bands that have none.

    >>> numbered_names(2)
    ('band_1', 'band_2')
    """
    return tuple(f"band_{number}" for number in range(1, count + 1))


def is_number(text: str) -> bool:
    """Whether a text is the number of a band."""
    return len(text) <= _MOST_DIGITS and text.isascii() and text.isdigit()
