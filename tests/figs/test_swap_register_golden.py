"""What elements see of the swap registers."""

import numpy as np

from golden.figs.swap_register import history, taps


def test_by_hand():
    fed = np.arange(1, 13).reshape(3, 4)
    np.testing.assert_array_equal(history(fed[:, 0], 2), [[1, 0], [5, 1], [9, 5]])
    seen = taps(fed, 1, 2)
    # Row 2 sees itself and row 3, now and one cycle before.
    np.testing.assert_array_equal(seen[:, 2], [[3, 4, 0, 0], [7, 8, 3, 4], [11, 12, 7, 8]])
    np.testing.assert_array_equal(seen[:, 3], [[4, 3, 0, 0], [8, 7, 4, 3], [12, 11, 8, 7]])


def test_each_tap_of_each_row():
    rng = np.random.default_rng(1)
    for alpha, depth, rows in ((0, 1, 3), (0, 4, 2), (3, 2, 8), (7, 3, 8), (1, 9, 4)):
        fed = rng.integers(-128, 128, (5, rows))
        seen = taps(fed, alpha, depth)
        assert seen.shape == (5, rows, (alpha + 1) * depth)
        for n in range(5):
            for r in range(rows):
                for i in range(alpha + 1):
                    for d in range(depth):
                        assert seen[n, r, d * (alpha + 1) + i] == (fed[n - d, r ^ i] if d <= n else 0)
