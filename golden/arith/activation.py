"""Sigmoid and tanh of a Q4.11 number in Q0.15: one table of tanh, straight lines between its points, symmetry.

``a = abs(x)`` for tanh and ``abs(x) / 2`` for sigmoid, since ``sigmoid(x) = (1 + tanh(x / 2)) / 2``. The table holds
points of tanh in units of ``2^-POINT_FRACTION``, at a distance ``h`` that depends on where they are (:data:`REGIONS`)::

    P(a) = min(round(2^17 * (t + h^2 * t * (1 - t^2) / 9)), 4 * 32767 + 1)        t = tanh(a)

A chord of tanh lies below it by up to ``h^2 * t * (1 - t^2) / 4``; the second term lifts the points so that the error
is shared between the points and the middle of the chords (1/9 gave a smaller error than 1/8). Between two points
``T = P(a_k) + floor((P(a_k+1) - P(a_k)) * d / 64)``, ``d = floor(64 * (a - a_k) / h)``; from 8 on ``T`` is the last
point. Then, with the sign of x::

    tanh    = +- floor((T + 2) / 4)                                                -32767 to 32767
    sigmoid = min(16384 +- floor((T + 4) / 8), 32767)                              0 to 32767
"""

import numpy as np

from golden.arith.fixed import check_range

__all__ = ["ERROR", "POINT_FRACTION", "REGIONS", "X_FRACTION", "Y_FRACTION", "points", "sigmoid", "tanh"]

X_FRACTION = 11
"""Fraction bits of ``x`` (16 bits, signed)."""
Y_FRACTION = 15
"""Fraction bits of the results (16 bits, signed)."""
POINT_FRACTION = 17
"""Fraction bits of a point of the table."""
REGIONS = ((0, 2, 64), (2, 4, 32), (4, 8, 4))
"""Of the table: from, to (exclusive), points in a unit of ``a``. 208 points and the one at 8."""
ERROR = 0.971
"""Greatest absolute error of both functions, in units of 2^-15: checked on every x by the tests. Where a
result comes nearer to 1 than 2^-15 it is up to 1, since 32767 is the greatest number."""

_A_FRACTION = X_FRACTION + 1


def points():
    """Of each line: ``a`` where it begins and its length (both in 2^-12), first and last ``P``; int64 (4, n)."""
    rows = [(begin + k / density, 1 / density) for begin, end, density in REGIONS
            for k in range((end - begin) * density)]
    begins, steps = np.array(rows).T
    t = np.tanh(np.append(begins, 8.0))
    h = np.append(steps, steps[-1])
    level = np.minimum(np.round(2.0**POINT_FRACTION * (t + h**2 * t * (1 - t**2) / 9)), 4 * 32767 + 1)
    unit = 1 << _A_FRACTION
    return np.array([begins * unit, steps * unit, level[:-1], level[1:]]).astype(np.int64)


_BEGIN, _LENGTH, _FIRST, _LAST = points()


def _interpolated(a):
    """``T`` of ``a`` (in 2^-12)."""
    a = np.minimum(a, 8 << _A_FRACTION)
    line = np.minimum(np.searchsorted(_BEGIN, a, side="right"), len(_BEGIN)) - 1
    along = 64 * (a - _BEGIN[line]) // _LENGTH[line]
    return _FIRST[line] + (_LAST[line] - _FIRST[line]) * along // 64


def tanh(x):
    """``tanh(x / 2^11)`` in units of 2^-15 (-32767 to 32767, int64). ``x``: signed integers of 16 bits, any shape."""
    x = check_range("x", x, 16)
    return np.sign(x) * ((_interpolated(2 * np.abs(x)) + 2) // 4)


def sigmoid(x):
    """``1 / (1 + exp(-x / 2^11))`` in units of 2^-15 (0 to 32767, int64). ``x`` as for :func:`tanh`."""
    x = check_range("x", x, 16)
    return np.minimum(16384 + np.sign(x) * ((_interpolated(np.abs(x)) + 4) // 8), 32767)
