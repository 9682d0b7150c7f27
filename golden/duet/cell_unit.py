"""Golden model of the CellUnit: state update of LSTM and GRU cells, element by element, after the gates.

Formats: gates (after sigmoid) unsigned Q0.15, 0 to 32767; candidate g, h: signed Q0.15; cell state c: INT16 with
``c_fraction`` = F fraction bits; nx, nh: pre-activations, signed Q4.11. Each line below is exact up to its one rounding
(half up, :func:`golden.arith.fixed.requantize`)::

    LSTM    c' = requantize(f * c * 2^(15 - F) + i * g, 30 - F, 16)
            h' = requantize(o * tanh(saturate(c' * 2^(11 - F), 16)), 15, 16)
    GRU     n  = tanh(requantize(nx * 2^15 + r * nh, 15, 16))
            h' = requantize(n * 2^15 + z * (h - n), 15, 16)

The GRU is PyTorch's: nx is the input's part of the candidate, nh the state's, both with their biases. tanh:
``golden/arith/activation.py``.
"""

import enum

from golden.arith.activation import X_FRACTION, tanh
from golden.arith.fixed import check_range, requantize, saturate

__all__ = ["Cell", "gru", "lstm"]


class Cell(enum.IntEnum):
    """Kind of a recurrent cell."""

    LSTM = 0
    GRU = 1


def _gate(name, values):
    return check_range(name, values, 15, signed=False)


def _check_shapes(**operands):
    shapes = {name: values.shape for name, values in operands.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"shapes {shapes} are not allowed: they must be equal")


def lstm(i, f, g, o, c, *, c_fraction=8):
    """New ``h`` and ``c`` (int64) of integers of equal shapes; ``c_fraction`` from 4 to 11."""
    if not 4 <= c_fraction <= X_FRACTION:
        raise ValueError(f"c_fraction = {c_fraction} is not allowed: c_fraction must be from 4 to {X_FRACTION}")
    i, f, o = _gate("i", i), _gate("f", f), _gate("o", o)
    g, c = check_range("g", g, 16), check_range("c", c, 16)
    _check_shapes(i=i, f=f, g=g, o=o, c=c)
    c = requantize((f * c << 15 - c_fraction) + i * g, 30 - c_fraction, 16)
    return requantize(o * tanh(saturate(c << X_FRACTION - c_fraction, 16)), 15, 16), c


def gru(r, z, nx, nh, h):
    """New ``h`` (int64) of integers of equal shapes."""
    r, z = _gate("r", r), _gate("z", z)
    nx, nh, h = check_range("nx", nx, 16), check_range("nh", nh, 16), check_range("h", h, 16)
    _check_shapes(r=r, z=z, nx=nx, nh=nh, h=h)
    n = tanh(requantize((nx << 15) + r * nh, 15, 16))
    return requantize((n << 15) + z * (h - n), 15, 16)
