"""Types and a bound that thresholds and calibration share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]

EDGE = 1e-7
"""Scores are clipped this far from 0 and 1 before the logarithm, as Keras does."""
