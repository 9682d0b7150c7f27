"""The model of many ranks against sums written out, and what it refuses."""

import numpy as np
import pytest

from golden.enmc.layout import Layout
from golden.enmc.scale_out import DIVISIONS, Memory, candidates_of_ranks, divide, scale_out


def test_bandwidth_of_the_thesis_memory():
    memory = Memory()
    assert memory.all_ranks == 64 and memory.bandwidth == 8 * 19.2e9 and memory.microseconds(2400) == 2


def test_divisions():
    assert divide(10, 4, "blocks").tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
    assert divide(10, 4, "interleaved").tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    rng = np.random.default_rng(1)
    candidates = rng.random((5, 130)) < 0.3
    for how in DIVISIONS:
        assert np.unique(np.bincount(divide(130, 64, how))).tolist() == [2, 3]
        counts = candidates_of_ranks(candidates, 64, how)
        assert counts.shape == (5, 64) and (counts.sum(1) == candidates.sum(1)).all()
        for part in (0, 1, 17):
            assert (counts[:, part] == candidates[:, divide(130, 64, how) == part].sum(1)).all()


def test_times_of_a_small_memory():
    memory = Memory(channels=2, ranks=2, rank_switch=3)
    layout = Layout(classes=100, hidden=20, k=20, items=2)
    counts = np.array([[[1, 0, 9, 0], [3, 0, 0, 1]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
    times = scale_out(layout, memory, counts, lambda count: 100 + 10 * count, instructions=50)
    one = 16 + 16 + 3  # a row opened, read, another rank
    assert times.features == 2 * (one + 4 * (1 + 2 * 2))  # INT4 of both items in a burst, 21 FP32 numbers each in two
    assert times.instructions == 2 * 50 * 4
    assert times.mean.tolist() == [4 * (100 + 10 * 14 / 4), 400] and times.slowest.tolist() == [4 * 190, 400]
    assert times.results.tolist() == [2 * (one + 4 * (2 * 128 * 4 // 64 + 4))] * 2
    # The second channel's ranks have 9 and 1 candidates: two bursts and one; the first one's 1 and 3: one each.
    assert times.log.tolist() == [2 * (one + 16) + 4 * 3, 2 * (one + 16)]
    assert times.total("log").tolist() == [times.features + 760 + times.log[0], times.features + 400 + times.log[1]]
    slow = scale_out(layout, memory, counts, lambda count: 1 + 0 * count, instructions=50)
    assert slow.total("results")[0] == slow.features + 400 + slow.results[0]


@pytest.mark.parametrize("call, message", [
    (lambda: Memory(channels=0), "channels = 0"),
    (lambda: Memory(ranks=2.5), "ranks = 2.5 .* an integer, at least 1"),
    (lambda: Memory(ranks=True), "ranks = True .* an integer"),
    (lambda: Memory(rank_switch=-1), "rank_switch = -1 .* an integer, at least 0"),
    (lambda: Memory(clock=0), "clock = 0 .* finite number, at least 1"),
    (lambda: Memory(clock=float("nan")), "clock = nan"),
    (lambda: Memory(clock=float("inf")), "clock = inf"),
    (lambda: divide(10.5, 4, "blocks"), "classes = 10.5 .* an integer"),
    (lambda: divide(10, 4.0, "blocks"), "parts = 4.0 .* an integer, from 1 to 10"),
    (lambda: candidates_of_ranks(np.zeros((2, 9), int), 2, "blocks"), r"candidates is int64 .* bool"),
    (lambda: candidates_of_ranks(np.zeros(9, bool), 2, "blocks"), r"candidates is bool of shape \(9,\)"),
    (lambda: divide(10, 4, "random"), "how = 'random' .* blocks"),
    (lambda: divide(10, 11, "blocks"), "parts = 11 .* an integer, from 1 to 10"),
    (lambda: scale_out(Layout(classes=9, hidden=8, k=8, items=1), Memory(), np.zeros((3, 2, 64), int), None, 1),
     "counts has shape .*1, 64"),
])
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
