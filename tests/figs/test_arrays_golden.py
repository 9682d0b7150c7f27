"""The models of the three arrays on operands worked out by hand."""

import numpy as np

from golden.figs import dense_array, figs_array, mux_array
from golden.figs.errors import Error
from golden.figs.program import Program
from golden.figs.sizes import Sizes

FED = np.array([[1, 2, 3, 4], [10, 20, 30, 40]])


def test_figs_rows_obey_the_entries_of_their_group():
    """Groups of two: rows 0 and 2 by entry 0, rows 1 and 3 by entry 1; one column, one lane."""
    sizes = Sizes(rows=4, columns=1, beta=1, alpha=1, depth=2, groups=2)
    use = np.ones((2, 2, 1), bool)
    select = np.array([[[1], [0]], [[0], [3]]])  # neighbour, own; then own, the neighbour's last
    program = Program(2, np.ones(2, bool), np.array([[[[1]], [[2]]], [[[3]], [[4]]]]), use=use, select=select)
    sums, errors = figs_array.run(sizes, FED, program)
    assert sums[:, 0, 0].tolist() == [2 + 3 * 10, 2 * 2 + 4 * 1, 4 + 3 * 30, 2 * 4 + 4 * 3] and not errors
    select[0, 0, 0] = 2
    sums, errors = figs_array.run(sizes, FED, program)
    assert sums[:, 0, 0].tolist() == [30, 8, 90, 20] and errors == Error.STALE


def test_dense():
    sizes = Sizes(rows=4, columns=2, beta=1, array="dense")
    program = Program(1, np.ones(2, bool), np.array([[[[1], [-1]]], [[[2], [0]]]]))
    sums, errors = dense_array.run(sizes, FED, program)
    assert sums[..., 0].tolist() == [[21, -1], [42, -2], [63, -3], [84, -4]] and not errors


def test_mux_lanes_choose_for_themselves():
    sizes = Sizes(rows=2, columns=1, beta=2, array="mux", window=4)
    fed = np.arange(8).reshape(1, 8).repeat(2, 0) + [[0], [100]]
    program = Program(1, np.array([1, 1]), np.array([[[[1, 2]]], [[[3, 0]]]]), index=np.array([[[[3, 0]]], [[[1, 2]]]]))
    sums, errors = mux_array.run(sizes, fed, program)
    assert sums[:, 0].tolist() == [[3 + 3 * 101, 0], [7 + 3 * 105, 8]] and not errors
