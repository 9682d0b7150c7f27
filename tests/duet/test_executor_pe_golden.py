"""The processing element's golden model: the thesis' example, an independent loop, refusals."""

import numpy as np
import pytest

from golden.duet import executor_pe as golden

# Fig. 5.3: a 3 x 5 input tile, a 3 x 3 filter, 1 x 3 outputs; word 5 y + x of the tile.
FIGURE = np.array([(5 * dy + x + dx, 3 * dy + dx, x) for x in range(3) for dy in range(3) for dx in range(3)])


def test_example_of_the_thesis():
    """27 instructions; an OMap that keeps the first output leaves 9; 2/3 of their inputs zero leaves 3."""
    rng = np.random.default_rng(4)
    inputs, weights = rng.integers(-99, 99, 64), rng.integers(-99, 99, 16)
    window = inputs[:15].reshape(3, 5)
    omap, imap = np.arange(16) < 3, np.ones(64, bool)
    tag = golden.tags(FIGURE, omap, imap)
    assert tag.sum() == 27
    psums = golden.macs(inputs, weights, FIGURE, tag)
    np.testing.assert_array_equal(psums[:3], [(window[:, x:x + 3].ravel() * weights[:9]).sum() for x in range(3)])
    assert not psums[3:].any()

    omap[1:] = False
    tag = golden.tags(FIGURE, omap, imap)
    np.testing.assert_array_equal(golden.issue_order(tag), np.arange(9))

    imap[:] = False
    imap[[0, 6, 12]] = True  # a diagonal of the first window: 1/3 of it
    inputs = inputs * imap
    tag = golden.tags(FIGURE, omap, imap)
    np.testing.assert_array_equal(golden.issue_order(tag), [0, 4, 8])
    psums = golden.macs(inputs, weights, FIGURE, tag)
    assert psums[0] == (inputs[:15].reshape(3, 5)[:, :3].ravel() * weights[:9]).sum()
    assert not psums[1:].any()


def test_equals_a_loop_over_instructions():
    rng = np.random.default_rng(5)
    n = 36
    program = np.stack([rng.integers(0, 16, n), rng.integers(0, 12, n), rng.integers(0, 4, n)], axis=1)
    inputs, weights = rng.integers(-32768, 32768, (1, 3, 16)), rng.integers(-32768, 32768, (2, 3, 12))
    tag, start = rng.random((2, 3, n)) < 0.5, rng.integers(-2 ** 40, 2 ** 40, (2, 3, 4))
    got = golden.macs(inputs, weights, program, tag, start)
    for row in range(2):
        for col in range(3):
            psums = start[row, col].tolist()
            for at in golden.issue_order(tag[row, col]):
                i, w, o = program[at]
                psums[o] += int(inputs[0, col, i]) * int(weights[row, col, w])
            assert got[row, col].tolist() == psums


def test_counts_equal_tags():
    rng = np.random.default_rng(14)
    program = np.stack([rng.integers(0, 16, 36), rng.integers(0, 12, 36), rng.integers(0, 4, 36)], axis=1)
    omap, imap = rng.random((5, 1, 4)) < 0.6, rng.random((3, 16)) < 0.4
    counts = golden.tag_counts(program, omap, imap)
    np.testing.assert_array_equal(counts, golden.tags(program, omap, imap).sum(axis=-1))


def test_empty():
    start = np.arange(4)
    tag = np.zeros(0, bool)
    np.testing.assert_array_equal(golden.macs(np.zeros(16, int), np.zeros(4, int), np.zeros((0, 3), int), tag, start),
                                  start)
    assert len(golden.issue_order(tag)) == 0


def test_greatest_sum():
    """144 products of the least numbers, over and over: refused once they leave 44 bits."""
    program = np.zeros((144, 3), int)
    low, psums = np.full(64, -32768), np.full(16, (1 << 43) - 1 - (144 << 30))
    psums = golden.macs(low, low[:16], program, np.ones(144, bool), psums)
    assert psums[0] == (1 << 43) - 1
    with pytest.raises(ValueError, match="a partial sum holds"):
        golden.macs(low, low[:16], program, np.arange(144) == 7, psums)


@pytest.mark.parametrize("change, message", [
    ({"inputs": np.full(16, 32768)}, "inputs holds 32768"), ({"weights": np.full(8, -32769)}, "weights holds -32769"),
    ({"program": [[16, 0, 0]]}, "i from 16 to 16 is not allowed: i must be from 0 to 15"),
    ({"program": [[0, 8, 0]]}, "w must be from 0 to 7"), ({"program": [[0, 0, 4]]}, "o must be from 0 to 3"),
    ({"program": [[0, 0, -1]]}, "o must be"), ({"program": [0]}, "program has shape"),
    ({"tag": [True, True]}, "tag has 2 bits"), ({"tag": [2]}, "tag holds 2"),
    ({"inputs": np.zeros(15, int)}, "inputs has 15 words"),
    ({"psums": np.full(4, 1 << 43)}, "psums holds"),
])
def test_refuses(change, message):
    good = {"inputs": np.zeros(16, int), "weights": np.zeros(8, int), "program": np.array([[0, 0, 0]]), "tag": [True]}
    with pytest.raises(ValueError, match=message):
        golden.macs(**{**good, **change})


def test_refuses_what_the_lut_does_not_hold():
    with pytest.raises(ValueError, match="program has 37 instructions: the LUT holds lut_entries = 36"):
        golden.check_program(np.zeros((37, 3), int), segment=4, weight_lines=3, lut_entries=36)
    with pytest.raises(ValueError, match="imap has 4 words"):
        golden.tags([[0, 0, 0]], np.ones(4, bool), np.ones(4, bool))
    with pytest.raises(ValueError, match="imap has 4 words"):
        golden.tag_counts([[0, 0, 0]], np.ones(4, bool), np.ones(4, bool))
    with pytest.raises(ValueError, match="omap holds 2"):
        golden.tags([[0, 0, 0]], np.full(4, 2), np.ones(16, bool))
    with pytest.raises(ValueError, match="tag has shape"):
        golden.issue_order([[True]])
