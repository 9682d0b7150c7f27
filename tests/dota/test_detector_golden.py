"""The Detector's golden model: worked examples and refusals."""

import numpy as np
import pytest

from golden.dota import detector as golden
from golden.dota.detector import Mode


def test_golden_examples():
    scores = np.array([[3, -1, 3, 7], [0, 0, 0, 0]])
    np.testing.assert_array_equal(golden.select(scores, Mode.THRESHOLD, threshold=3), [[1, 0, 1, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(golden.select(scores, Mode.BALANCED, count=2), [[1, 0, 0, 1], [1, 1, 0, 0]])
    assert golden.select(scores, Mode.BALANCED, count=9).all()


@pytest.mark.parametrize("scores, mode, threshold, count, message", [
    ([[128]], Mode.THRESHOLD, 0, 1, "a score must be from -128 to 127"),
    ([[0.5]], Mode.THRESHOLD, 0, 1, "integer array"), ([1, 2], Mode.THRESHOLD, 0, 1, "integer array"),
    ([[1]], Mode.THRESHOLD, 200, 1, "threshold must be"), ([[1]], Mode.BALANCED, 0, 0, "count must be"),
    ([[1]], 2, 0, 1, "mode must be"),
])
def test_golden_refuses(scores, mode, threshold, count, message):
    with pytest.raises(ValueError, match=message):
        golden.select(np.array(scores), mode, threshold, count)
