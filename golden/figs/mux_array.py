"""Golden model of the mux array: each multiplier has a multiplexer over a window of its row's activations.

The structure of sparse tensor cores and of VEGETA (arXiv 2302.08687): any pattern at full rate, for an input and a
multiplexer that grow with the window.
"""

import numpy as np

from golden.figs.errors import Error

__all__ = ["run"]


def run(sizes, fed, program):
    """Sums of a pass, (rows, columns, beta) int64, and no errors; ``fed`` (cycles, rows * window)."""
    values = np.asarray(fed, np.int64).reshape(len(fed), sizes.rows, sizes.window)
    cycle = np.arange(len(values))[:, None, None]
    chosen = values.swapaxes(1, 2)[cycle, program.index[:, 0]]
    return np.einsum("ncjr,ncj->rcj", chosen, program.weights[:, 0]), Error(0)
