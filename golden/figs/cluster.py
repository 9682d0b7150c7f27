"""Put rows with like patterns together: the lanes of an element then share more of their operands."""

import numpy as np

__all__ = ["cluster_rows"]


def cluster_rows(weights, beta):
    """An order of the rows of ``weights`` (outputs, inputs), greedily: each ``beta`` rows from the first one on that is
    left take, one after the other, the row that adds the fewest inputs to theirs; of equal ones the first.
    """
    present = np.asarray(weights) != 0
    order = np.arange(len(present))
    if beta == 1:
        return order
    rows, size = present.astype(np.float32), present.sum(-1)  # counts below 2^24 are exact in float32
    left = np.ones(len(present), bool)
    chosen = []
    while left.any():
        seed = int(np.argmax(left))
        left[seed] = False
        chosen.append(seed)
        union = present[seed].copy()
        for _ in range(min(beta - 1, int(left.sum()))):
            adds = np.where(left, size - (rows @ union.astype(np.float32)).astype(np.int64), present.shape[1] + 1)
            best = int(np.argmin(adds))
            left[best] = False
            chosen.append(best)
            union |= present[best]
    return order[chosen]
