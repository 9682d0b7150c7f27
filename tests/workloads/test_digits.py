"""The digits: sizes, range, and a set to evaluate on that is apart."""

import numpy as np

from tests.workloads.models import digits


def test_digits():
    (images, labels), (others, other_labels) = digits()
    assert images.shape == (1438, 64) and others.shape == (359, 64) and images.min() == 0 and images.max() == 1
    assert set(labels.tolist()) == set(other_labels.tolist()) == set(range(10))
    assert np.bincount(other_labels).min() >= 20
