"""Golden model of the switching rule and of the dequantizer (thesis 5.1.1, Eq. 5.1 and 5.2)."""

import numpy as np

from golden.arith.fixed import as_flags, check_range
from golden.duet.speculator_mfu import Function

__all__ = ["assemble", "dequantize", "switching_map"]


def switching_map(pre, function, threshold, valid=None, *, pre_bits=8):
    """Which outputs need the accurate computation (Eq. 5.2), bool of ``pre``'s shape.

    ``RELU``: ``pre`` >= ``threshold``. ``SIGMOID``, ``TANH`` and ``NONE``: the magnitude of ``pre`` <= ``threshold``
    (exact: 2^(pre_bits-1) for the least number; a negative threshold selects nothing). ``pre`` and ``threshold`` are
    signed, of ``pre_bits`` bits. ``valid``: bool (positions,), the last dimension of ``pre``, which ones are inside the
    layer; the others get 0. Raises ``ValueError`` for a value out of range.
    """
    pre, threshold = check_range("pre", pre, pre_bits), check_range("threshold", threshold, pre_bits)
    needed = pre >= threshold if Function(function) == Function.RELU else np.abs(pre) <= threshold
    return needed if valid is None else needed & _inside(valid, needed)


def dequantize(code, function, valid=None, *, code_bits=4):
    """The INT16 that stands for an activation's code, int64 of ``code``'s shape.

    ``code``: fields as from ``speculator_mfu.activate``. Sigmoid: Q0.15, the code's bits repeated from the top to fill
    15 bits. Tanh: the magnitude's bits repeated to 15 bits, negated where the sign bit is set. ReLU:
    ``code << (15 - code_bits)``. NONE: the signed code ``<< (16 - code_bits)``. Positions that are not ``valid``
    (as in :func:`switching_map`) are 0.
    """
    if not 2 <= code_bits <= 15:
        raise ValueError(f"code_bits = {code_bits} is not allowed: code_bits must be from 2 to 15")
    code = check_range("code", code, code_bits, signed=False)
    function = Function(function)
    negative = code >> (code_bits - 1) == 1
    if function == Function.NONE:
        z = (code - (negative << code_bits)) << (16 - code_bits)
    elif function == Function.RELU:
        z = code << (15 - code_bits)
    elif function == Function.SIGMOID:
        z = _repeat(code, code_bits)
    else:
        magnitude = _repeat(code & ((1 << (code_bits - 1)) - 1), code_bits - 1)
        z = np.where(negative, -magnitude, magnitude)
    return z if valid is None else np.where(_inside(valid, z), z, 0)


def assemble(y_acc, y_approx, m):
    """Eq. 5.1: INT16 ``y_acc`` where the map ``m`` is 1, ``y_approx`` where it is 0; all of the same shape."""
    m, y_acc, y_approx = as_flags("m", m), check_range("y_acc", y_acc, 16), check_range("y_approx", y_approx, 16)
    if not m.shape == y_acc.shape == y_approx.shape:
        raise ValueError(f"m has shape {m.shape}, y_acc {y_acc.shape}, y_approx {y_approx.shape}: they must be equal")
    return np.where(m, y_acc, y_approx)


def _inside(valid, values):
    """``valid`` as bool, a flag for each place in the last dimension of ``values``."""
    valid = as_flags("valid", valid)
    if valid.shape != values.shape[-1:]:
        raise ValueError(f"valid has shape {valid.shape}: it must be {values.shape[-1:]}")
    return valid


def _repeat(field, bits):
    """The ``bits`` bits of ``field`` over and over from the top of 15 bits."""
    copies = -(-15 // bits)
    repeated = sum(field << (bits * copy) for copy in range(copies))
    return repeated >> (bits * copies - 15)
