"""Biases as one more input column, so that a head is nothing but matrix products.

Q = x wq^T + bq becomes Q = x' wq'^T, where one column of x' is constant.
"""

import dataclasses

import numpy as np

__all__ = ["CONSTANT", "Fold", "append_column", "replace_column"]

CONSTANT = 4.0  # the constant column's real value: of the size of a LayerNorm output, so it costs no range


@dataclasses.dataclass(frozen=True)
class Fold:
    """How biases are folded: ``column`` holds CONSTANT; ``ratios`` (d,) and ``offset`` restate what it held.

    ``ratios`` is None when the column is an additional one, otherwise
    x[column] = offset + sum over the other j of ratios[j] * x[j], exactly.
    """

    column: int
    ratios: np.ndarray | None = None
    offset: float = 0.0

    def inputs(self, x):
        """x (..., d) with the constant column: (..., d) or, where it is an additional one, (..., d + 1)."""
        if self.ratios is None:
            return np.concatenate([x, np.full((*x.shape[:-1], 1), CONSTANT, x.dtype)], -1)
        x = x.copy()
        x[..., self.column] = CONSTANT
        return x

    def weights(self, weight, bias):
        """The weight (out, d or d + 1) that gives ``weight`` x + ``bias`` on ``inputs(x)``; float64."""
        weight, bias = weight.astype(np.float64), bias.astype(np.float64)
        if self.ratios is None:
            return np.concatenate([weight, bias[:, None] / CONSTANT], 1)
        lost = weight[:, self.column]
        weight = weight + lost[:, None] * self.ratios
        weight[:, self.column] = (bias + lost * self.offset) / CONSTANT
        return weight


def append_column(width):
    """Fold for any input of ``width`` columns: the constant is column ``width``."""
    return Fold(width)


def replace_column(gain, offset):
    """Fold for the output of a LayerNorm (gain and offset, each (d,)): no column is added.

    Normalised values sum to zero, so one column follows from the others: x_c = offset_c
    - gain_c * sum over j != c of (x_j - offset_j) / gain_j. The column of least gain is given up, which keeps
    the correction of the other weights small. d stays a multiple of the hardware's word.
    """
    gain, offset = gain.astype(np.float64), offset.astype(np.float64)
    if gain.shape != offset.shape or gain.ndim != 1 or not np.all(gain):
        raise ValueError("gain is not allowed: gain and offset must be vectors of one length, gain without zeros")
    column = int(np.argmin(np.abs(gain)))
    ratios = -gain[column] / gain
    ratios[column] = 0
    return Fold(column, ratios, float(offset[column] - ratios @ offset))
