"""Integers of 32 bits as IEEE 754 binary32 numbers, rounded to nearest, ties to even."""

import numpy as np

from golden.arith.fixed import check_range
from golden.arith.float_fma import round_to_float

__all__ = ["int_to_float"]


def int_to_float(x):
    """Patterns (uint32) of signed integers ``x`` of 32 bits, any shape; others are a ``ValueError``. 0 gives +0."""
    x = check_range("x", x, 32)
    size = np.abs(x).astype(np.uint64)
    return round_to_float((x < 0).astype(np.int64), np.zeros_like(size), size, np.zeros_like(x))
