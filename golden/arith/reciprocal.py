"""Reciprocal of a fixed-point number of at least one: the factor that turns exponentials into softmax weights.

The argument is normalised to ``1.f * 2^k``; ``1 / 1.f`` comes from a table of ``2^TABLE_BITS`` points and the straight
line between two of them; the result is shifted right by ``k``. Bits of ``f`` after ``MANTISSA_FRACTION`` are dropped.
"""

import numpy as np

from golden.arith.fixed import as_integers

__all__ = ["ARGUMENT_FRACTION", "MANTISSA_ERROR", "MANTISSA_FRACTION", "RESULT_FRACTION", "TABLE_BITS",
           "reciprocal"]

ARGUMENT_FRACTION = 22
"""Fraction bits of the argument; those of ``golden.arith.exponential``'s result."""
MANTISSA_FRACTION = 16
"""Fraction bits of the normalised argument that are looked at."""
TABLE_BITS = 6
"""Fraction bits that address the table."""
RESULT_FRACTION = 17
"""Fraction bits of the result."""
MANTISSA_ERROR = 7.6e-6, 8.5e-5
"""Greatest relative errors before the shift, down and up: checked on every mantissa by the tests."""

_POINTS = np.round(2.0 ** (RESULT_FRACTION + TABLE_BITS) / ((1 << TABLE_BITS) + np.arange((1 << TABLE_BITS) + 1)))
_POINTS = _POINTS.astype(np.int64)


def reciprocal(x):
    """``1 / (x / 2^ARGUMENT_FRACTION)`` in units of ``2^-RESULT_FRACTION``, int64.

    ``x``: integers from ``2^ARGUMENT_FRACTION`` (one) to ``2^52 - 1``, any shape; others are a ``ValueError``.
    """
    x = as_integers("x", x)
    if x.size and (x.min() < 1 << ARGUMENT_FRACTION or x.max() >= 1 << 52):
        worst = x.min() if x.min() < 1 << ARGUMENT_FRACTION else x.max()
        raise ValueError(f"x = {worst} is not allowed: x must be from {1 << ARGUMENT_FRACTION} to 2^52 - 1")
    exponent = np.frexp(x.astype(np.float64))[1] - 1 - ARGUMENT_FRACTION  # exact below 2^53
    fraction = ((x << MANTISSA_FRACTION >> exponent) >> ARGUMENT_FRACTION) - (1 << MANTISSA_FRACTION)
    line_bits = MANTISSA_FRACTION - TABLE_BITS
    point = fraction >> line_bits
    drop = _POINTS[point] - _POINTS[point + 1]
    mantissa = _POINTS[point] - ((drop * (fraction & ((1 << line_bits) - 1))) >> line_bits)
    return mantissa >> exponent
