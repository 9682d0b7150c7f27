"""Base-2 exponential of a non-positive exponent, in fixed point: the numbers that softmax sums and multiplies.

``2^-x = 2^-floor(x) * 2^-frac(x)``. The second factor comes from a table of ``2^TABLE_BITS`` points and the straight
line between two of them, rounded to ``MANTISSA_FRACTION`` bits; the first is a right shift that drops what falls
below ``2^-RESULT_FRACTION``. A chord of a convex function lies above it, so the mantissa is never too small by more
than its rounding.
"""

import numpy as np

from golden.arith.fixed import check_range

__all__ = ["EXP_FRACTION", "EXP_INTEGER", "MANTISSA_ERROR", "MANTISSA_FRACTION", "RESULT_FRACTION", "TABLE_BITS",
           "exponential"]

EXP_FRACTION = 12
"""Fraction bits of the exponent ``x``."""
EXP_INTEGER = 5
"""Integer bits of the exponent ``x``; 2^-31 is below the result's last bit, so a saturated x gives 0."""
TABLE_BITS = 5
"""Fraction bits that address the table."""
MANTISSA_FRACTION = 15
"""Fraction bits of 2^-frac(x), which lies in (0.5, 1]."""
RESULT_FRACTION = 22
"""Fraction bits of the result: 512 truncated terms together lose less than 2^-13."""
MANTISSA_ERROR = 2.5e-5, 1.27e-4
"""Greatest relative errors of the mantissa, down and up: checked on every x by ``tests/arith/test_exponential.py``."""

_POINTS = np.round(2.0**MANTISSA_FRACTION * 2.0 ** (-np.arange((1 << TABLE_BITS) + 1) / (1 << TABLE_BITS)))
_POINTS = _POINTS.astype(np.int64)


def exponential(x):
    """``2^-(x / 2^EXP_FRACTION)`` in units of ``2^-RESULT_FRACTION`` (0 to ``2^RESULT_FRACTION``, int64).

    ``x``: integers from 0 to ``2^(EXP_INTEGER + EXP_FRACTION) - 1``, any shape; others are a ``ValueError``.
    """
    x = check_range("x", x, EXP_INTEGER + EXP_FRACTION, signed=False)
    line_bits = EXP_FRACTION - TABLE_BITS
    point = (x >> line_bits) & ((1 << TABLE_BITS) - 1)
    drop = _POINTS[point] - _POINTS[point + 1]
    mantissa = _POINTS[point] - ((drop * (x & ((1 << line_bits) - 1))) >> line_bits)
    return (mantissa << (RESULT_FRACTION - MANTISSA_FRACTION)) >> (x >> EXP_FRACTION)
