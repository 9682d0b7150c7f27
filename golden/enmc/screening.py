"""Approximate screening of an output layer in the machine's integers (thesis 6.3.2; formats: docs/enmc/machine.md).

The Screener scores all classes from k INT4 features of an item (a hidden vector); classes whose score is above a
threshold are candidates, which the Executor computes again from the full weights; the result is mixed of both.
Scores are int64 arrays (items, classes), Q15.16: 16 fraction bits.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import check_range, requantize, saturate
from golden.enmc.layout import BURST_BYTES, LANES, MAX_CHUNKS, Layout

__all__ = ["FRACTION", "MAX_SHIFT", "Traffic", "above_threshold", "approximate_scores", "greatest", "log_sum_exp",
           "mixed_scores", "probabilities", "real_scores", "traffic"]

FRACTION = 16  # fraction bits of a score
MAX_SHIFT = 47
_SCORE_BITS = 32


def approximate_scores(weight, items, class_scale, item_scale, bias, shift):
    """Scores of all classes: int64 (items, classes), 32 bits.

    acc = sum over k of w x; z = saturate32(requantize(acc * class_scale * item_scale, shift)) + bias, saturated again.
    ``weight`` (classes, k) and ``items`` (items, k) INT4, ``class_scale`` (classes,) and ``item_scale`` (items,)
    unsigned 16 bits, ``bias`` (classes,) INT32; k up to 512. Raises ``ValueError`` outside of these.
    """
    weight, items = check_range("weight", weight, 4), check_range("items", items, 4)
    class_scale = check_range("class_scale", class_scale, 16, signed=False)
    item_scale = check_range("item_scale", item_scale, 16, signed=False)
    bias = check_range("bias", bias, _SCORE_BITS)
    if weight.ndim != 2 or items.ndim != 2 or weight.shape[1] != items.shape[1]:
        raise ValueError(f"weight has shape {weight.shape}, items {items.shape}: they must be (classes, k), (items, k)")
    if not 1 <= weight.shape[1] <= MAX_CHUNKS * LANES:
        raise ValueError(f"k = {weight.shape[1]} is not allowed: it must be from 1 to {MAX_CHUNKS * LANES}")
    if class_scale.shape != bias.shape or bias.shape != weight.shape[:1] or item_scale.shape != items.shape[:1]:
        raise ValueError(f"class_scale has shape {class_scale.shape}, bias {bias.shape}, item_scale "
                         f"{item_scale.shape}: they must be (classes,), (classes,), (items,)")
    if not 0 <= shift <= MAX_SHIFT:
        raise ValueError(f"shift = {shift} is not allowed: it must be from 0 to {MAX_SHIFT}")
    # Whole numbers in float32: |acc| <= 512 * 64 = 2^15, so every sum is exact.
    scores = (items.astype(np.float32) @ weight.astype(np.float32).T).astype(np.int64)
    for row, scale in zip(scores, item_scale):  # one by one: an item's scores stay in the processor's cache
        row[:] = saturate(requantize(row * (class_scale * scale), shift, _SCORE_BITS) + bias, _SCORE_BITS)
    return scores


def real_scores(scores):
    """FP32 values of ``scores``: nearest, ties to even."""
    return check_range("scores", scores, _SCORE_BITS).astype(np.float32) * np.float32(2.0 ** -FRACTION)


def above_threshold(scores, threshold):
    """Candidates, bool as ``scores``: greater than ``threshold`` (Q15.16, 32 bits)."""
    return scores > int(check_range("threshold", threshold, _SCORE_BITS))


def greatest(scores, count):
    """The ``count`` greatest of each row, bool as ``scores``; of equal ones the lower class counts.

    A search of the top m (thesis 6.3.2). The machine has a threshold alone; this is what an ideal one for each item
    would select.
    """
    if not 0 <= count <= scores.shape[1]:
        raise ValueError(f"count = {count} is not allowed: it must be from 0 to {scores.shape[1]}")
    if not count:
        return np.zeros(scores.shape, bool)
    least = -np.partition(-scores, count - 1, 1)[:, count - 1:count]
    chosen, ties = scores > least, scores == least
    return chosen | ties & (np.cumsum(ties, 1, dtype=np.int32) <= count - chosen.sum(1, keepdims=True))


def mixed_scores(scores, candidates, accurate):
    """What the machine returns, float32: ``accurate`` (FP32 scores) of ``candidates`` (bool), else ``scores``."""
    return np.where(candidates, accurate, real_scores(scores))


def log_sum_exp(scores):
    """Logarithm of the sum of exp over each row of real ``scores`` (n, classes): float64 (n,)."""
    top = scores.max(1)
    return top + np.log(np.exp(scores - top[:, None]).sum(1, dtype=np.float64))


def probabilities(scores):
    """Softmax (Eq. 6.2) over each row of real ``scores`` (n, classes), mixed or not: float64."""
    return np.exp(scores - log_sum_exp(scores)[:, None])


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What one batch reads from the DRAM, in bytes, and computes, in multiply-accumulates (MACs).

    ``screening``: weights and parameters, once a batch. ``rows``: of candidates, once for each item that has it.
    ``features``: INT4 and FP32. ``full``: the whole layer at full precision, each row once a batch, and its features.
    """

    screening: int
    rows: int
    features: int
    full: int
    int4_macs: int
    fp32_macs: int
    full_macs: int

    @property
    def total(self):
        """All bytes with screening."""
        return self.screening + self.rows + self.features

    @property
    def ratio(self):
        """Bytes with screening as a share of the full layer's."""
        return self.total / self.full


def traffic(layout, candidates):
    """:class:`Traffic` of a batch in ``layout`` that has ``candidates`` (may be a mean) over all of its items.

    Results are written by either way and not counted; an item's FP32 features are counted once.
    """
    if not isinstance(layout, Layout):
        raise TypeError(f"layout must be a Layout, not {type(layout).__name__}")
    floats = layout.items * layout.row_bytes
    return Traffic(screening=layout.screening_bytes, rows=candidates * layout.row_bursts * BURST_BYTES,
                   features=layout.item_bytes + floats, full=layout.classes * layout.row_bytes + floats,
                   int4_macs=layout.items * layout.classes * layout.k, fp32_macs=candidates * (layout.hidden + 1),
                   full_macs=layout.items * layout.classes * (layout.hidden + 1))
