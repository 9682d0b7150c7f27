"""Golden model of the swap registers: what an element sees, by schedule cycle (slides, "FIGS Architecture - PEs").

Row r is a chain of registers that the fed values walk through; further registers hold older values. An element sees
its own row and the rows r ^ i, 0 < i <= alpha, each at ``depth`` ages.
"""

import numpy as np

__all__ = ["history", "taps"]


def history(fed, depth):
    """Values of a chain by age: (cycles, ..., depth); ``fed`` (cycles, ...). Before the first cycle all is 0.

    Age d in cycle n is the value fed in cycle n - d.
    """
    fed = np.asarray(fed)
    seen = np.zeros((*fed.shape, depth), fed.dtype)
    for age in range(min(depth, len(fed))):
        seen[age:, ..., age] = fed[:len(fed) - age]
    return seen


def taps(fed, alpha, depth):
    """What the elements of each row choose from: (cycles, rows, (alpha + 1) depth); ``fed`` (cycles, rows).

    Tap d (alpha + 1) + i of row r is what row r ^ i was fed d cycles before.
    """
    fed = np.asarray(fed)
    beside = np.arange(fed.shape[1])[:, None] ^ np.arange(alpha + 1)
    seen = history(fed[:, beside], depth)
    return seen.swapaxes(-1, -2).reshape(*fed.shape, -1)
