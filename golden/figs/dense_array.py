"""Golden model of the dense array: the FiGS array's rival without sparsity, every weight a multiplication."""

import numpy as np

from golden.figs.errors import Error

__all__ = ["run"]


def run(sizes, fed, program):
    """Sums of a pass, (rows, columns, beta) int64, and no errors; ``fed`` (cycles, rows)."""
    return np.einsum("nr,ncj->rcj", np.asarray(fed, np.int64), program.weights[:, 0]), Error(0)
