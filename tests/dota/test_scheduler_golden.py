"""The Scheduler's golden model: worked examples of the thesis, every connection once, loads, refusals."""

import numpy as np
import pytest

from golden.dota import scheduler as golden

from .bench_scheduler import FIG_7_14, FIG_7_15, random_group


def test_worked_examples():
    assert golden.loads(FIG_7_14) == golden.Loads(
        row_by_row=10, left_to_right=5, out_of_order=5, lower_bound=4, rounds=3)
    assert golden.loads(FIG_7_15) == golden.Loads(
        row_by_row=12, left_to_right=11, out_of_order=7, lower_bound=6, rounds=3)
    trace = []
    rounds = golden.schedule(FIG_7_15, trace)
    assert [{pick.key for pick in picks} for picks in rounds] == [{2, 5}, {3, 6}, {1, 4, 5}]
    assert 5 in trace[0][0b0010]


@pytest.mark.parametrize("tokens", [2, 3, 4, 5, 6])
def test_golden_issues_every_connection_once(tokens):
    rng = np.random.default_rng(tokens)
    for _ in range(40):
        masks = random_group(rng, tokens, 40)
        issued = np.zeros(masks.shape, int)
        rounds = golden.schedule(masks)
        for picks in rounds:
            assert sum(pick.rows.astype(int) for pick in picks).max() <= 1 if picks else not masks.any()
            for pick in picks:
                issued[:, pick.key] += pick.rows
        np.testing.assert_array_equal(issued, masks)
        counts = golden.loads(masks)
        assert counts.lower_bound <= counts.out_of_order <= counts.row_by_row
        assert counts.lower_bound <= counts.left_to_right <= counts.row_by_row


def test_loads_of_several_groups():
    rng = np.random.default_rng(0)
    masks = rng.random((10, 30)) < 0.3
    parts = [golden.loads(np.pad(part, ((0, 4 - len(part)), (0, 0)))) for part in (masks[:4], masks[4:8], masks[8:])]
    total = golden.loads(masks, 4)
    for field in ("row_by_row", "left_to_right", "out_of_order", "lower_bound", "rounds"):
        assert getattr(total, field) == sum(getattr(part, field) for part in parts)


@pytest.mark.parametrize("masks", [np.zeros((4, 3)), np.zeros(4, bool), np.zeros((1, 4), bool), np.zeros((7, 4), bool)])
def test_golden_refuses(masks):
    with pytest.raises(ValueError, match="must be"):
        golden.schedule(masks)
