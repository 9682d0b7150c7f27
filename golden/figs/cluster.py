"""Put rows with like patterns together: the lanes of an element then share more of their operands."""

import numpy as np

__all__ = ["cluster_rows"]


def cluster_rows(weights, beta):
    """An order of the rows of ``weights`` (outputs, inputs), greedily: each ``beta`` rows, from the first one on that
    is left, take one after the other the row that adds the fewest inputs to theirs; of equal ones the first.
    """
    present = np.ascontiguousarray((np.asarray(weights) != 0).T)  # (inputs, outputs)
    inputs, outputs = present.shape
    size = present.sum(0)
    left = np.ones(outputs, bool)
    order = []
    for place in range(outputs):
        if place % beta == 0:
            union, shared = np.zeros(inputs, bool), np.zeros(outputs, np.int64)
            chosen = int(np.argmax(left))
        else:
            chosen = int(np.argmin(np.where(left, size - shared, inputs + 1)))
        left[chosen] = False
        order.append(chosen)
        new = present[:, chosen] & ~union
        union |= new
        if (place + 1) % beta:
            shared += present[new].sum(0)
    return np.array(order)
