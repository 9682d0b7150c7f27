"""Golden model of the FiGS array: rows of swap registers, elements with taps, one pass at a time.

By schedule cycle: that column c of the array runs c cycles behind column 0 is not seen here.
"""

import numpy as np

from golden.figs import figs_pe
from golden.figs.swap_register import taps

__all__ = ["run"]


def run(sizes, fed, program):
    """Sums of a pass, (rows, columns, beta) int64, and error bits SELECT and STALE.

    ``fed`` (cycles, rows): what each row is fed in each schedule cycle. Row r obeys the entries of row r mod G of the
    :class:`~golden.figs.program.Program`.
    """
    row = np.arange(sizes.rows) % program.group
    seen = taps(fed, sizes.alpha, sizes.depth)[:, :, None]
    return figs_pe.run(sizes, seen, program.use[:, row], program.select[:, row], program.weights[:, row])
