"""Golden model of the multi-function unit: softmax over masked rows, quantize and dequantize (thesis 7.6.2, app. C).

Everything is integer arithmetic on FX16 numbers (int16 with a scale held outside), bit for bit what ``hw.dota.mfu``
computes. :data:`ERROR_BOUND` states what separates the weights from a float64 softmax.
"""

import enum
import math

import numpy as np

from golden.arith import exponential as exp2
from golden.arith import reciprocal as inverse
from golden.arith.exponential import EXP_FRACTION
from golden.arith.fixed import as_integers, check_range, requantize, saturate
from golden.arith.precision import Precision

__all__ = ["ERROR_BOUND", "EXP_FRACTION", "MAX_ROW", "MfuOp", "WEIGHT_FRACTION", "dequantize", "error_budget",
           "pack", "process", "quantize", "softmax", "softmax_scale", "unpack"]


class MfuOp(enum.IntEnum):
    """What is done with a beat; the values are the hardware's encoding."""

    SOFTMAX = 0
    QUANTIZE = 1
    DEQUANTIZE = 2


WEIGHT_FRACTION = 15
"""Softmax weights are Q0.15: 0 to 32767, and 1.0 saturates to 32767."""
MAX_ROW = 1024
"""The longest softmax row for which the error stays below ERROR_BOUND."""
ERROR_BOUND = 2.0**-11
"""Greatest absolute difference between a weight and the float64 softmax of the same scaled scores: see
:func:`error_budget`, which proves it up to MAX_ROW."""

_SCALE_BITS, _SCALE_SHIFT_MAX = 16, 31
_EXPONENT_MAX = (1 << (EXP_FRACTION + exp2.EXP_INTEGER)) - 1


def softmax_scale(real):
    """The run-time setting ``(scale, scale_shift)`` for weights proportional to ``exp(real * score)``.

    ``real`` is the value of one unit of score in natural-log units (usually ``1/sqrt(d_k)`` times the scales of Q and
    K); log2(e) is folded in. ``ValueError`` unless ``0 <= real <= 65535 / 2^EXP_FRACTION / log2(e)`` (about 11.09).
    The factor is kept to 16 significant bits, or to ``2^-31`` of an exponent unit if that is coarser.
    """
    limit = ((1 << _SCALE_BITS) - 1) / 2.0**EXP_FRACTION / math.log2(math.e)
    if not 0.0 <= real <= limit:
        raise ValueError(f"real = {real!r} is not allowed: real must be from 0 to {limit:.6g}")
    target = real * math.log2(math.e) * 2.0**EXP_FRACTION
    for scale_shift in range(_SCALE_SHIFT_MAX, -1, -1):
        scale = round(target * 2.0**scale_shift)
        if scale < 1 << _SCALE_BITS:
            return scale, scale_shift
    raise AssertionError("unreachable: a target in range fits with a shift of zero")


def error_budget(length):
    """Greatest contribution of each step to a weight's error, in a row of ``length`` numbers: a dict; they add up.

    Relative errors of the exponentials that all terms share cancel; when a share w of the sum is off by the one extreme
    and the rest by the other, w moves by at most a quarter of the range between them.
    """
    one_exponent = 1 - 2.0 ** -(2.0**-EXP_FRACTION)
    return {
        "exponent cut to its last bit": one_exponent / 4,
        "exponential table": sum(exp2.MANTISSA_ERROR) / 4,
        "terms cut in the sum": length * 2.0**-exp2.RESULT_FRACTION,
        "terms cut before the product": 2.0**-WEIGHT_FRACTION,
        "reciprocal table": max(inverse.MANTISSA_ERROR),
        "reciprocal cut after the shift": 2.0**-inverse.RESULT_FRACTION,
        "weight rounded, or 1.0 saturated": 2.0**-WEIGHT_FRACTION,
    }


def _exponentials(scores, mask, scale, scale_shift):
    """exp of every score below its row's maximum, in units of 2^-22; zero where ``mask`` is not set."""
    check_range("scale", scale, _SCALE_BITS, signed=False)
    if not 0 <= scale_shift <= _SCALE_SHIFT_MAX:
        raise ValueError(f"scale_shift = {scale_shift} is not allowed: scale_shift must be from 0 to 31")
    scores = check_range("scores", scores, 16)
    mask = np.ones(scores.shape, bool) if mask is None else np.asarray(mask)
    if scores.ndim != 2 or mask.shape != scores.shape or mask.dtype != bool:
        raise ValueError(f"scores {scores.shape} and mask {mask.shape} of {mask.dtype} must be one (rows, n) of bool")
    if mask.size and mask.sum(axis=1).max() > MAX_ROW:
        raise ValueError(f"scores has a row of {mask.sum(axis=1).max()} entries, more than {MAX_ROW}")
    maximum = np.where(mask, scores, -(1 << 15)).max(axis=1, keepdims=True, initial=-(1 << 15))
    distance = np.where(mask, maximum - scores, 0)
    exponent = np.minimum((distance * int(scale)) >> int(scale_shift), _EXPONENT_MAX)
    return np.where(mask, exp2.exponential(exponent), 0)


def softmax(scores, mask, scale, scale_shift):
    """Softmax of each row over the entries where ``mask`` is set.

    ``scores``: (rows, n) integers within int16; ``mask``: (rows, n) bool, or None for all; ``scale`` (0 to 65535) and
    ``scale_shift`` (0 to 31): the exponent to base two is ``((rowmax - score) * scale) >> scale_shift`` in units of
    ``2^-EXP_FRACTION``, saturated to 17 bits. Returns int16 weights (rows, n), Q0.15; entries outside the mask, and
    rows without any, are 0. ``ValueError`` for what is out of range or longer than :data:`MAX_ROW`.
    """
    terms = _exponentials(scores, mask, scale, scale_shift)
    sums = terms.sum(axis=1, keepdims=True)
    factor = np.where(sums > 0, inverse.reciprocal(np.maximum(sums, 1 << exp2.RESULT_FRACTION)), 0)
    narrow = terms >> (exp2.RESULT_FRACTION - WEIGHT_FRACTION)
    return requantize(narrow * factor, inverse.RESULT_FRACTION, 16).astype(np.int16)


def quantize(values, shift, precision):
    """FX16 to ``precision``: ``requantize(values, shift, bits)``, int64; ``shift`` 0 to 63."""
    values = check_range("values", values, 16)
    _check_shift(shift)
    return requantize(values, min(int(shift), 61), Precision(precision).bits)


def dequantize(values, shift, precision):
    """``precision`` to FX16: ``values * 2^shift`` saturated to int16, int64; ``shift`` 0 to 63."""
    values = check_range("values", values, Precision(precision).bits)
    _check_shift(shift)
    return saturate(values << min(int(shift), 32), 16)


def _check_shift(shift):
    if not 0 <= as_integers("shift", shift) <= 63:
        raise ValueError(f"shift = {shift} is not allowed: shift must be from 0 to 63")


def pack(values, bits):
    """The word (a Python integer) that holds ``values`` in two's complement, ``bits`` each, the first in bit 0 on."""
    values = check_range("values", values, bits)
    return sum((int(value) & ((1 << bits) - 1)) << (bits * index) for index, value in enumerate(values))


def unpack(word, bits, count):
    """The first ``count`` two's complement numbers of ``bits`` each in ``word``: int64."""
    values = np.array([(word >> (bits * index)) & ((1 << bits) - 1) for index in range(count)], np.int64)
    return values - ((values >> (bits - 1)) << bits)


def process(beats, lanes, max_row, scale, scale_shift):
    """What leaves the unit for what enters: a beat for a beat.

    ``beats``: dicts with the fields of ``input`` (``data``, ``count``, ``last``, ``op``, ``precision``, ``shift``; see
    ``hw.dota.mfu.MfuInput``). Returns dicts of ``data``, ``count``, ``last``. A row is cut after ``max_row / lanes``
    beats. ``ValueError`` for a count of more than ``lanes``, a conversion inside a softmax row, an unfinished row.
    """
    results, row = [], []
    for beat in beats:
        op, count = MfuOp(beat["op"]), beat["count"]
        if not 0 <= count <= lanes:
            raise ValueError(f"count = {count} is not allowed: count must be from 0 to {lanes}")
        if op is MfuOp.SOFTMAX:
            row.append(unpack(beat["data"], 16, count))
            if beat["last"] or len(row) == max_row // lanes:
                weights = softmax(np.concatenate(row)[None], None, scale, scale_shift)[0]
                ends = np.cumsum([len(part) for part in row])
                for part in np.split(weights, ends[:-1]):
                    results.append({"data": pack(part, 16), "count": len(part), "last": 0})
                results[-1]["last"] = 1
                row = []
            continue
        if row:
            raise ValueError(f"{op.name} is not allowed inside a softmax row")
        bits = Precision(beat["precision"]).bits
        if op is MfuOp.QUANTIZE:
            data = pack(quantize(unpack(beat["data"], 16, count), beat["shift"], beat["precision"]), bits)
        else:
            data = pack(dequantize(unpack(beat["data"], bits, count), beat["shift"], beat["precision"]), 16)
        results.append({"data": data, "count": count, "last": beat["last"]})
    if row:
        raise ValueError("beats ends inside a softmax row")
    return results
