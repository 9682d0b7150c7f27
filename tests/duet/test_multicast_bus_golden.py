"""The multicast bus' golden model: one, some, all; equal IDs; refusals."""

import numpy as np
import pytest

from golden.duet import multicast_bus as golden

ROWS = np.arange(4)  # three rows of elements and the Speculator
COLS = np.tile(np.arange(2), (3, 1))


def test_one_row_one_column_all():
    buses, elements = golden.deliver(ROWS, COLS, 1, 1)
    np.testing.assert_array_equal(buses, [0, 1, 0, 0])
    np.testing.assert_array_equal(elements, [[0, 0], [0, 1], [0, 0]])
    buses, elements = golden.deliver(ROWS, COLS, 0, 1, row_all=True)
    np.testing.assert_array_equal(buses, [1, 1, 1, 0])
    np.testing.assert_array_equal(elements, [[0, 1]] * 3)
    buses, elements = golden.deliver(ROWS, COLS, 2, 0, col_all=True)
    np.testing.assert_array_equal(elements, [[0, 0], [0, 0], [1, 1]])
    buses, elements = golden.deliver(ROWS, COLS, 3, 0, col_all=True)
    np.testing.assert_array_equal(buses, [0, 0, 0, 1])
    assert not elements.any()


def test_equal_ids_receive_the_same():
    buses, elements = golden.deliver([2, 0, 2, 3], [[0, 1], [1, 1], [1, 1]], 2, 1)
    np.testing.assert_array_equal(buses, [1, 0, 1, 0])
    np.testing.assert_array_equal(elements, [[0, 1], [0, 0], [1, 1]])
    np.testing.assert_array_equal(golden.gate([5, -6], buses), [[5, -6], [0, 0], [5, -6], [0, 0]])
    np.testing.assert_array_equal(golden.gate(7, elements), elements * 7)


@pytest.mark.parametrize("arguments, message", [
    ((ROWS, COLS, 4, 0), "row_tag holds 4, outside 0 to 3"), ((ROWS, COLS, 0, 2), "col_tag holds 2, outside 0 to 1"),
    ((ROWS + 1, COLS, 0, 0), "row_ids holds 4"), ((ROWS, COLS - 1, 0, 0), "col_ids holds -1"),
    ((ROWS[1:], COLS, 0, 0), "must be"),
])
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        golden.deliver(*arguments)
