"""Real weights and bias of a layer as the integers that the Executor computes with."""

import dataclasses

import numpy as np

__all__ = ["QuantizedLayer", "quantize_layer"]

SHIFTS = 47
BIAS_SHIFTS = 15


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class QuantizedLayer:
    """``weights`` INT16; ``bias`` (outputs,), 32 bits; shifts of ``requantize(sum + (bias << bias_shift), shift, 16)``.

    ``weight_scale``: what 1 of the weights stands for.
    """

    weights: np.ndarray
    bias: np.ndarray
    bias_shift: int
    shift: int
    weight_scale: float


def quantize_layer(weights, bias, in_scale, out_scale, *, acc_bits=44):
    """The :class:`QuantizedLayer` of real ``weights`` (outputs, ...) and ``bias`` (outputs,).

    ``in_scale``, ``out_scale``: what 1 of an input and of a result stands for. The scale of the weights is
    ``out_scale / in_scale / 2^shift`` with the greatest ``shift`` for which they fit in 16 bits and no sum of products
    can leave ``acc_bits``; ``bias_shift`` is the least that makes the bias fit. Weights and bias are rounded to the
    nearest (half to even). Raises ``ValueError`` where even ``shift`` = 0 does not fit.
    """
    weights, bias = np.asarray(weights, dtype=np.float64), np.asarray(bias, dtype=np.float64)
    if bias.shape != weights.shape[:1]:
        raise ValueError(f"bias has shape {bias.shape}: it must be {weights.shape[:1]}")
    if not in_scale > 0 < out_scale:
        raise ValueError(f"in_scale = {in_scale}, out_scale = {out_scale} are not allowed: both must be above 0")
    for shift in range(SHIFTS, -1, -1):
        scale = out_scale / in_scale / 2**shift
        integers = np.rint(weights / scale)
        sums = np.abs(integers).reshape(len(integers), -1).sum(axis=1)
        offset = bias / (in_scale * scale)
        for bias_shift in range(BIAS_SHIFTS + 1):
            shifted = np.rint(offset / 2**bias_shift)
            if (np.abs(integers).max() < 1 << 15 and sums.max() * 2.0**15 < 2.0**(acc_bits - 1)
                    and np.abs(shifted).max() < 2.0**31):
                return QuantizedLayer(weights=integers.astype(np.int64), bias=shifted.astype(np.int64),
                                      bias_shift=bias_shift, shift=shift, weight_scale=scale)
    raise ValueError(f"weights up to {np.abs(weights).max():g} and bias up to {np.abs(bias).max():g} are not allowed "
                     f"with in_scale = {in_scale:g} and out_scale = {out_scale:g}: out_scale must be greater")
