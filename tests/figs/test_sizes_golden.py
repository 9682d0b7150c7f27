"""Sizes of the engines: widths by hand, presets, refusals."""

import dataclasses
import types

import numpy as np
import pytest

from golden.figs.patterns import Pattern
from golden.figs.sizes import PRESETS, Sizes
from hw.config import ConfigError
from hw.figs.figs_engine import FigsEngineConfig


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
    assert Sizes.preset("small", array="mux", window=4).group(Pattern(*ratio)) == 1


def test_of_any_object_with_the_attributes():
    config = types.SimpleNamespace(rows=8, columns=3, beta=1, alpha=3, depth=1, groups=2, words=9, other=5)
    assert Sizes.of(config) == Sizes(rows=8, columns=3, beta=1, alpha=3, depth=1, groups=2, words=9)


@pytest.mark.parametrize("changes, message", [
    (dict(rows=0), "rows = 0 is not allowed"), (dict(rows=6), "rows must be a power of two from 1 to 64"),
    (dict(rows=2), "rows must be a multiple of 4"), (dict(rows=1 << 40), "from 1 to 64"),
    (dict(rows=True), "rows = True"),
    (dict(alpha=2), "alpha = 2"), (dict(alpha=7), "multiple of 8"), (dict(groups=3), "groups must be a power of two"),
    (dict(beta=1.5), "beta = 1.5"), (dict(beta=np.int64(17)), "beta = 17"), (dict(columns=65), "from 1 to 64"),
    (dict(depth=0), "depth must be"),
    (dict(depth=99), "depth = 99 is not allowed: depth must be an integer from 1 to 16"),
    (dict(weight_bits=4), "one of 8, 16"), (dict(activation_bits=4), "must be one of 8"),
    (dict(sum_bits=15), "from 16 to 48"), (dict(sum_bits=49), "from 16 to 48"),
    (dict(weight_bits=16, sum_bits=20), r"at least weight_bits \+ activation_bits = 24"), (dict(words=0), "words"),
    (dict(array="sparse"), "figs, dense, mux"), (dict(array="mux", window=2), "window must be at least 4")])
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        Sizes.preset("small", **changes)


def test_refuses_a_preset():
    with pytest.raises(ValueError, match="small, paper, fpga"):
        Sizes.preset("large")


def test_numpy_integers_are_integers():
    sizes = Sizes(rows=np.int64(8), depth=np.int32(3))
    assert sizes == Sizes(rows=8, depth=3) and type(sizes.rows) is int
    sizes.check_group(4)
    for group in (0, 3, 8, True, 2.0):
        with pytest.raises(ValueError, match=f"group = {group} is not allowed: .* a power of two, at most 4"):
            sizes.check_group(group)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_those_of_the_rtl(name):
    assert PRESETS.keys() == FigsEngineConfig.PRESETS.keys()
    assert Sizes.preset(name) == Sizes.of(FigsEngineConfig.preset(name))


CORNERS = (-1, 0, 1, 2, 3, 4, 6, 7, 8, 12, 15, 16, 17, 20, 24, 31, 32, 33, 48, 49, 64, 65, 128, 1 << 16, (1 << 16) + 1,
           1 << 40, True, 2.0)


@pytest.mark.parametrize("base", [
    dict(), dict(rows=64, alpha=15, groups=32), dict(array="mux", window=8, alpha=0, depth=1, groups=1)], ids=str)
def test_bounds_are_those_of_the_rtl(base):
    """What one field makes wrong at the RTL is wrong here too, but for what only arrays that do not use it forbid, one
    row, and alpha 0 at depth 1."""
    seen = {True: 0, False: 0}
    for field in dataclasses.fields(Sizes):
        for value in CORNERS:
            if base.get("array") and field.name in ("alpha", "depth", "groups") or field.name == "array":
                continue
            if not base.get("array") and field.name == "window" or (field.name, value) == ("rows", 1):
                continue
            changes = {**base, field.name: value}
            try:
                FigsEngineConfig.preset("paper", changes)
                legal = True
            except ConfigError:
                legal = False
            seen[legal] += 1
            if legal:
                Sizes.preset("paper", **changes)
            else:
                with pytest.raises(ValueError, match=f"{field.name}|rows"):
                    Sizes.preset("paper", **changes)
    assert min(seen.values()) > 40, seen
