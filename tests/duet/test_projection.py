"""The Projection against its golden model: every result under stalls, latency and rate, corner values."""

import cocotb
import numpy as np
import pytest

from hw.config import ConfigError
from hw.duet.projection import ProjectionConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile
from tests.dota.harness import PROFILES, stalls

from .bench_projection import POINTS, Harness, coverage


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_sums(dut, profile):
    """Back-to-back sums of random length, random shifts."""
    h = Harness(dut)
    await h.start(*stalls(profile, h.ctx.random))
    for _ in range(12):
        await h.random_setting()
        for _ in range(8):
            h.put(*h.random_sum())
    await h.finish()


@cocotb.test()
async def corners(dut):
    """The greatest and the least sums, and each shift."""
    h = Harness(dut)
    await h.start()
    inputs, trees, items = h.config.inputs, h.config.trees, h.most
    for shift in range(h.config.max_shift + 1):
        await h.setting(shift)
        for value in (h.low, h.high, -1, 1, 0):
            x = np.full((items, inputs), value)
            for entry in (-1, 0, 1):
                h.put(x, np.full((items, trees, inputs), entry))
            h.put(*h.random_sum(1))
            # One activation alone, another one in each tree.
            p = np.zeros((1, trees, inputs), int)
            p[0, np.arange(trees), h.rng.integers(inputs, size=trees)] = h.rng.choice([-1, 1], trees)
            h.put(x[:1], p)
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """Without stalls: latency from idle, and a cycle an item, also when each item is a sum of its own."""
    h = Harness(dut)
    await h.start()
    await h.setting(1)
    for items in {1, min(2, h.most), h.most}:
        await h.settle()
        await h.bench.cycles(3)
        sent, seen = len(h.driver.times), len(h.monitor.times)
        for _ in range(40):
            h.put(*h.random_sum(items))
        await h.settle()
        sends, results = np.array(h.driver.times[sent:]), np.array(h.monitor.times[seen:])
        assert (np.diff(sends) == 1).all(), "an item a cycle"
        assert (results - sends[items - 1::items] == h.config.latency).all(), "latency"
    await h.finish()


@cocotb.test()
async def output_blocked(dut):
    """While no result is taken, as many sums come in as the queue has room for, then no more."""
    h = Harness(dut)
    await h.start(None, StallProfile.bursts(h.ctx.random, run=20, pause=40))
    await h.setting(0)
    for _ in range(200):
        h.put(*h.random_sum(1))
    await h.settle()
    if max(np.diff(h.driver.times)) > 20:
        coverage.hit("input held up")
    await h.finish()


@cocotb.test()
async def gaps_inside_a_sum(dut):
    """Activations and entries that are offered while valid is 0 do not count."""
    h = Harness(dut)
    await h.start(StallProfile.random(0.6, h.ctx.random))
    await h.setting(1)
    for _ in range(20):
        before = len(h.driver.times)
        h.put(*h.random_sum(h.most))
        await h.settle()
        if h.most > 1 and (np.diff(h.driver.times[before:]) > 1).any():
            coverage.hit("items with a gap inside a sum")
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.ctx.random))
    await h.setting(0)
    for _ in range(16):
        for _ in range(6):
            h.put(*h.random_sum())
        await h.bench.cycles(int(h.rng.integers(1, 4 * h.config.latency)))
        await h.bench.reset(1)
        h.board.reset()
        coverage.hit("reset in mid-work")
    h.put(*h.random_sum())
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------

def test_bit_exact_and_covered():
    merge("projection", POINTS, [simulate("projection", preset="small", seed=3)]).check()


@pytest.mark.parametrize("inputs, trees, bits, max_inputs, levels", [
    (5, 3, 3, 17, 4), (1, 1, 2, 1, 4), (16, 2, 8, 16, 10), (40, 1, 4, 100, 5)])
def test_bit_exact(inputs, trees, bits, max_inputs, levels):
    simulate("projection", seed=inputs, overrides=dict(inputs=inputs, trees=trees, bits=bits, max_inputs=max_inputs,
                                                       levels=levels))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fpga", "paper"])
def test_large_sizes(preset):
    simulate("projection", preset=preset)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="lane 3"):
        simulate("projection", preset="small", options={"corrupt": True}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="greatest sum"):
        Coverage("projection", POINTS).check()


@pytest.mark.parametrize("field, value", [
    ("inputs", 0), ("trees", 65), ("bits", 1), ("max_inputs", 255), ("levels", 3)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        ProjectionConfig(**{field: value})


@pytest.mark.parametrize("levels", [4, 5, 7, 16])
@pytest.mark.parametrize("inputs", [1, 2, 3, 8, 17, 100])
def test_latency_grows_as_levels_shrink(inputs, levels):
    """A plan exists at every size, and its latency is bounded."""
    for bits in (2, 5, 8):
        for max_inputs in (inputs, 3 * inputs, 1 << 16):
            config = ProjectionConfig(inputs=inputs, bits=bits, max_inputs=max_inputs, levels=levels)
            assert 5 <= config.latency <= 12
