"""Sizes of the engines: widths by hand, presets, refusals."""

import types

import pytest

from golden.figs.patterns import Pattern
from golden.figs.sizes import Sizes


def test_widths_by_hand():
    small, paper = Sizes.preset("small"), Sizes.preset("paper")
    assert (small.macs, small.taps, small.select_bits, small.exchange_bits) == (16, 4, 2, 2)
    assert (small.entry_bits, small.slot_bits, small.word_bits) == (19, 41, 164)
    assert (paper.macs, paper.taps, paper.select_bits, paper.exchange_bits) == (256, 24, 5, 0)
    assert (paper.entry_bits, paper.slot_bits, paper.word_bits) == (38, 153, 612)
    dense, mux = Sizes.preset("small", array="dense"), Sizes.preset("small", array="mux", window=8)
    assert (dense.slots, dense.word_bits, dense.beat_values) == (1, 33, 4)
    assert (mux.slots, mux.word_bits, mux.beat_values) == (1, 45, 32)


@pytest.mark.parametrize("ratio, group", [((1, 1), 1), ((1, 2), 2), ((2, 8), 4), ((8, 32), 4), ((1, 32), 4)])
def test_groups(ratio, group):
    """M / N, at most Gmax; 1 for the rivals."""
    sizes = Sizes.preset("small")
    assert sizes.group(Pattern(*ratio)) == group
    assert sizes.tile_outputs(group) * sizes.tile_batch(group) == sizes.macs
    assert Sizes.preset("small", array="mux").group(Pattern(*ratio)) == 1


def test_of_any_object_with_the_attributes():
    config = types.SimpleNamespace(rows=8, columns=3, beta=1, alpha=3, depth=1, groups=2, words=9, other=5)
    assert Sizes.of(config) == Sizes(rows=8, columns=3, beta=1, alpha=3, depth=1, groups=2, words=9)


@pytest.mark.parametrize("changes, message", [
    (dict(rows=0), "rows = 0 is not allowed"), (dict(rows=6), "rows must be a multiple of 4"),
    (dict(alpha=2), "alpha = 2"), (dict(alpha=7), "multiple of 8"), (dict(groups=3), "groups must be a power of two"),
    (dict(beta=1.5), "beta = 1.5"),
    (dict(depth=0), "depth must be"), (dict(weight_bits=4), "8 or 16"), (dict(activation_bits=4), "must be 8"),
    (dict(sum_bits=15), "from 16 to 48"), (dict(sum_bits=49), "from 16 to 48"), (dict(words=0), "words"),
    (dict(array="sparse"), "figs, dense, mux"), (dict(array="mux", window=2), "window must be 4, 8, 16 or 32")])
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        Sizes.preset("small", **changes)


def test_refuses_a_preset():
    with pytest.raises(ValueError, match="small, paper, fpga"):
        Sizes.preset("large")
