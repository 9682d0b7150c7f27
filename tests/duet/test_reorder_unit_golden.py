"""The Reorder Unit's golden model: the thesis' example, corner cases, refusals."""

import numpy as np
import pytest

from golden.duet import reorder_unit as golden


def maps_of(sums, lanes):
    return np.arange(lanes) < np.asarray(sums)[:, None]


def test_example_of_the_thesis():
    """Fig. 5.4(b), 5.5: sums 4, 1, 2, 4; "more than two" goes to bucket 0: channels 0 and 3, then 1 and 2."""
    maps = np.array([[1, 1, 1, 1], [0, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]], bool)
    np.testing.assert_array_equal(golden.channel_sums(maps), [4, 1, 2, 4])
    np.testing.assert_array_equal(golden.bucket_of([4, 1, 2, 4], [2]), [0, 1, 1, 0])
    np.testing.assert_array_equal(golden.order(maps, [2]), [0, 3, 1, 2])


def test_a_bucket_for_each_sum_sorts():
    rng = np.random.default_rng(3)
    maps = rng.random((512, 16)) < rng.random((512, 1))
    order = golden.order(maps, np.arange(14, -1, -1))
    sums = golden.channel_sums(maps)
    np.testing.assert_array_equal(sorted(order), np.arange(512))
    assert (np.diff(np.where(sums > 14, 15, sums)[order]) <= 0).all()
    ties = np.diff(np.where(sums > 14, 15, sums)[order]) == 0
    assert (np.diff(order)[ties] > 0).all()


def test_one_bucket_takes_all():
    for full in (0, 16):
        np.testing.assert_array_equal(golden.order(maps_of([full] * 9, 16), [15, 7, 0]), np.arange(9))
    np.testing.assert_array_equal(golden.order(maps_of([3, 5], 16), []), [0, 1])
    np.testing.assert_array_equal(golden.order(maps_of([], 16), [4]), [])


def test_interval_ends():
    np.testing.assert_array_equal(golden.bucket_of(np.arange(6), [4, 2, 2, 0]), [4, 3, 3, 1, 1, 0])


@pytest.mark.parametrize("maps, thresholds, message", [
    ([[True]], [0, 1], "thresholds must descend"), ([[True]], [2], "from 0 to 1 lanes"),
    ([[True]], [-1], "not be below 0"),
    ([True], [0], "maps has shape"), ([[2]], [0], "maps holds 2"),
])
def test_refuses(maps, thresholds, message):
    with pytest.raises(ValueError, match=message):
        golden.order(np.array(maps), thresholds)


def test_refuses_fractions():
    with pytest.raises(TypeError, match="thresholds must be of an integer type"):
        golden.order(np.array([[True]]), [0.5])
    with pytest.raises(TypeError, match="maps must be of an integer type"):
        golden.order(np.array([[0.5]]), [0])
