"""Golden model of the Detector: which attentions are strong, from estimated scores (thesis 7.6.3)."""

import enum

import numpy as np

__all__ = ["Mode", "select"]


class Mode(enum.IntEnum):
    """How connections are selected: all scores at or above a threshold, or the same number in every row."""

    THRESHOLD = 0
    BALANCED = 1


def select(scores, mode, threshold=0, count=1, *, score_bits=8):
    """The selected connections of each row, bool (rows, n).

    Parameters: ``scores`` integers (rows, n), signed, of ``score_bits`` bits. ``mode`` a :class:`Mode`.
    ``THRESHOLD``: a connection is selected when its score is >= ``threshold`` (same format). ``BALANCED``: the
    min(``count``, n) highest scores of each row; of equal scores the lower key index goes first. Raises ``ValueError``
    for a value out of range.
    """
    scores = np.asarray(scores)
    if not np.issubdtype(scores.dtype, np.integer) or scores.ndim != 2:
        raise ValueError(f"scores has dtype {scores.dtype} and shape {scores.shape}: "
                         "it must be an integer array (rows, keys)")
    low, high = -(1 << score_bits - 1), (1 << score_bits - 1) - 1
    if scores.size and (scores.min() < low or scores.max() > high):
        raise ValueError(f"scores from {scores.min()} to {scores.max()} are not allowed: "
                         f"a score must be from {low} to {high}")
    if mode == Mode.THRESHOLD:
        if not low <= threshold <= high:
            raise ValueError(f"threshold = {threshold} is not allowed: threshold must be from {low} to {high}")
        return scores >= threshold
    if mode != Mode.BALANCED:
        raise ValueError(f"mode = {mode!r} is not allowed: mode must be one of " + ", ".join(Mode.__members__))
    if count < 1:
        raise ValueError(f"count = {count} is not allowed: count must be at least 1")
    order = np.argsort(-scores.astype(np.int64), axis=1, kind="stable")
    selected = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(selected, order[:, :count], True, axis=1)
    return selected
