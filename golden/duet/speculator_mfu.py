"""Golden model of the SpeculatorMfu: pre-activations and 4-bit activations of the approximate module.

Thesis 5.1.1, step 3; formats: docs/duet/machine.md.
"""

import enum

import numpy as np

from golden.arith.fixed import check_range, requantize, saturate

__all__ = ["Function", "activate", "pre_activation"]


class Function(enum.IntEnum):
    """The activation function of a layer."""

    NONE = 0
    RELU = 1
    SIGMOID = 2
    TANH = 3


def pre_activation(acc, scale, bias, q_shift, *, acc_bits=20, scale_bits=8, bias_bits=12, pre_bits=8):
    """``saturate(round(acc * scale / 2^q_shift) + bias)`` to ``pre_bits``; halves round up.

    ``acc``: signed sums of ``acc_bits``; ``scale`` unsigned (``scale_bits``) and ``bias`` signed (``bias_bits``),
    both broadcast against ``acc``. The rounded product is not saturated before the bias is added. Returns int64 of the
    broadcast shape. Raises ``ValueError`` for a value out of range.
    """
    acc = check_range("acc", acc, acc_bits)
    scale = check_range("scale", scale, scale_bits, signed=False)
    bias = check_range("bias", bias, bias_bits)
    return saturate(requantize(acc * scale, q_shift, acc_bits + scale_bits + 1) + bias, pre_bits)


def activate(pre, function, *, pre_bits=8, code_bits=4):
    """The activation's code, as it is stored: ``code_bits``-bit fields, 0 to 2^code_bits - 1, int64 of ``pre``'s shape.

    ``pre`` is signed, of ``pre_bits`` bits; for sigmoid and tanh it has ``pre_bits - 4`` fraction bits (-8 to 8).

    - ``NONE``: the top bits of ``pre``, ``pre >> (pre_bits - code_bits)``, as a two's complement field;
    - ``RELU``: ``max(pre, 0) >> (pre_bits - 1 - code_bits)`` (a left shift where that is negative), error below 1 LSB;
    - ``SIGMOID``: ``round(f * (2^code_bits - 1))``; the one half, at ``pre`` = 0, rounds up;
    - ``TANH``: ``round(|f| * (2^(code_bits-1) - 1))`` below the sign bit of ``pre`` (a negative ``pre`` whose magnitude
      rounds to 0 gives a negative zero).

    Sigmoid and tanh are within half an LSB of the function of ``pre``. Raises ``ValueError`` for values out of range.
    """
    if not 4 <= pre_bits <= 16:
        raise ValueError(f"pre_bits = {pre_bits} is not allowed: pre_bits must be from 4 to 16")
    if not 2 <= code_bits <= pre_bits:
        raise ValueError(f"code_bits = {code_bits} is not allowed: code_bits must be from 2 to pre_bits = {pre_bits}")
    pre = check_range("pre", pre, pre_bits)
    function = Function(function)
    if function == Function.NONE:
        return (pre >> (pre_bits - code_bits)) & ((1 << code_bits) - 1)
    if function == Function.RELU:
        return (np.maximum(pre, 0) << 1) >> (pre_bits - code_bits)
    y = pre / (1 << (pre_bits - 4))
    if function == Function.SIGMOID:
        return _round(((1 << code_bits) - 1) / (1 + np.exp(-y)))
    return ((pre < 0).astype(np.int64) << (code_bits - 1)) | _round(((1 << (code_bits - 1)) - 1) * np.abs(np.tanh(y)))


def _round(x):
    return np.floor(x + 0.5).astype(np.int64)
