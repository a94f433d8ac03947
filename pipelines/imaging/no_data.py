"""Which pixels of a picture are no data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
"""`[height, width, bands]`, numbers as they are in the file."""

Mask = npt.NDArray[np.bool_] | bool
"""`[height, width]`, or False if nowhere."""

_LARGEST = 1e30
"""No band measures such numbers. Floats for no data are often -3.4e38, whose sums overflow."""


def find_missing(values: Values, lowest: Any, no_data: float | None, darkest: int = 0) -> Mask:
    """Where a picture has no data.

    Where all bands have the no-data value, or are 0 if the file names none. Unsigned numbers that
    all are 0 are no data in any case; and so is NaN.

    Args:
        lowest: no value is smaller, which is the answer for most pictures; NaN if one may be NaN.
        no_data: the file's no-data value.
        darkest: what 0 can become when it is decoded.
    """
    kind = values.dtype.kind
    if has_nan := bool(np.isnan(lowest)):
        lowest = -np.inf
    missing: Any = False  # numpy's types do not say that this stays a mask
    if lowest <= darkest and (kind == "u" or no_data is None):
        missing = _everywhere(values, lambda band: (band <= darkest) & (band >= 0))
    if no_data is not None and no_data >= lowest and (no_data or kind != "u"):
        missing = np.logical_or(missing, _everywhere(values, lambda band: band == no_data))
    if has_nan:
        missing = np.logical_or(missing, _everywhere(values, np.isnan))
    mask: Mask = missing
    return mask


def find_gaps(values: Values) -> Mask:
    """Where a band has no finite number, or one that no band measures."""
    if values.dtype.kind != "f":
        return False
    with np.errstate(invalid="ignore"):
        gaps: npt.NDArray[np.bool_] = np.logical_not((np.abs(values) < _LARGEST).all(axis=2))
    return gaps if gaps.any() else False


def fill_gaps(values: Values, no_data: float | None = None) -> Values:
    """The same picture with 0 for numbers that `find_gaps` finds and for the file's no-data value,
    band by band: -9999 would spoil the mean of its neighbours. Unsigned numbers stay as they are,
    as earlier releases took them."""
    kind = values.dtype.kind
    if kind == "u" or (kind == "i" and no_data is None):
        return values
    measured: Any = True
    with np.errstate(invalid="ignore", over="ignore"):  # NaN; a value beyond the type's largest
        if kind == "f":
            measured = np.abs(values) < _LARGEST
        if no_data is not None:
            measured = measured & (values != no_data)
    return values if np.all(measured) else np.where(measured, values, values.dtype.type(0))


def _everywhere(values: Values, is_missing: Callable[[Values], Values]) -> Mask:
    """Where all bands are missing; the first band has the answer for most pictures."""
    found: npt.NDArray[np.bool_] = is_missing(values[..., 0])
    for band in range(1, values.shape[2]):
        if not found.any():
            return False
        found = found & is_missing(values[..., band])
    return found
