"""Files damaged at random."""

from __future__ import annotations

import numpy as np


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, removed or added, mostly in the first thousand, where the header is."""
    mutant = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(min(len(mutant), 1000) if rng.random() < 0.8 else len(mutant)))
        extra = rng.integers(0, 256, rng.integers(1, 12), dtype=np.uint8).tobytes()
        dropped = int(rng.integers(0, 12))
        mutant[at : at + dropped] = extra if rng.random() < 0.5 else extra[:dropped].ljust(dropped)
    return bytes(mutant)
