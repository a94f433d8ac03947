"""Engines and precisions of a model's computation, and which a processor or GPU is fast at."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

Engine = Literal["auto", "tensorflow", "openvino"]

Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]

KERAS_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
"""Precision to the Keras dtype policy that computes in it (weights stay float32)."""

_BFLOAT16_FLAGS = {"amx_bf16", "avx512_bf16"}


@cache
def native_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16 (AMX or AVX512-BF16).

    Emulated, bfloat16 is no faster than float32 and less exact.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return not _BFLOAT16_FLAGS.isdisjoint(flags)


def gpu_precision(compute_capability: tuple[int, int] | None) -> Precision:
    """The precision that a GPU multiplies fastest, weights and scores kept in float32.

    bfloat16 from compute capability 8.0 on, float16 from 7.0 on (the first tensor cores), else
    float32, also if the capability is unknown. Source: NVIDIA, "CUDA C++ Programming Guide",
    compute capabilities, and "Train With Mixed Precision".
    """
    if compute_capability is None or compute_capability < (7, 0):
        return "float32"
    return "bfloat16" if compute_capability >= (8, 0) else "float16"
