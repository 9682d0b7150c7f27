"""The element's model: shared operand, lanes, errors."""

import numpy as np

from golden.figs import figs_pe
from golden.figs.errors import Error
from golden.figs.sizes import Sizes

SIZES = Sizes(rows=2, alpha=1, depth=3, groups=2, beta=2)  # six taps, selects of three bits


def test_lanes_share_the_operand():
    seen = np.array([[3, -4, 0, 0, 0, 0], [5, 6, 3, -4, 0, 0]])
    sums, errors = figs_pe.run(SIZES, seen, [True, True], [1, 2], [[1, 10], [100, 0]])
    assert sums.tolist() == [-4 * 1 + 3 * 100, -40] and not errors
    sums, errors = figs_pe.run(SIZES, seen, [True, False], [1, 7], [[1, 10], [100, 0]])
    assert sums.tolist() == [-4, -40] and not errors


def test_errors():
    """A select beyond the taps, a tap older than the pass: operand 0, one bit each; neither without use."""
    seen = np.full((3, 6), 9)
    for select, cycle, error in ((6, 0, Error.SELECT), (7, 2, Error.SELECT), (2, 0, Error.STALE), (4, 1, Error.STALE),
                                 (5, 0, Error.STALE), (4, 2, Error(0)), (3, 1, Error(0)), (1, 0, Error(0))):
        use = np.arange(3) == cycle
        sums, errors = figs_pe.run(SIZES, seen, use, np.full(3, select), np.ones((3, 2), int))
        assert errors == error and sums.tolist() == [0 if error else 9] * 2


def test_many_elements_at_once():
    rng = np.random.default_rng(2)
    seen, use, select = rng.integers(-9, 9, (4, 5, 6)), rng.random((4, 5)) < 0.7, rng.integers(0, 8, (4, 5))
    weights = rng.integers(-9, 9, (4, 5, 2))
    sums, errors = figs_pe.run(SIZES, seen, use, select, weights)
    alone = [figs_pe.run(SIZES, seen[:, e], use[:, e], select[:, e], weights[:, e]) for e in range(5)]
    np.testing.assert_array_equal(sums, [found for found, _ in alone])
    assert errors == np.bitwise_or.reduce([int(bits) for _, bits in alone])
