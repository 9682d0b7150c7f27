"""The Reorder Unit against its golden model: the order of every tile under stalls, latency and rate, corner cases."""

import cocotb
import numpy as np
import pytest

from hw.config import ConfigError
from hw.duet.reorder_unit import ReorderUnitConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile
from tests.dota.harness import PROFILES, stalls

from .bench_reorder_unit import POINTS, Harness, coverage

RANDOM = [f"random_tiles/profile={index}" for index in range(len(PROFILES))]


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_tiles(dut, profile):
    """Back-to-back tiles of random length and random maps, random thresholds."""
    h = Harness(dut)
    await h.start(*stalls(profile, h.ctx.random))
    for _ in range(8):
        await h.random_setting()
        for _ in range(5):
            h.put(h.random_maps(h.random_channels()))
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """Without stalls: latency from idle; a channel a cycle in and out; tiles of different lengths at ``period``."""
    h = Harness(dut)
    await h.start()
    most, tiles = h.config.max_channels, 6
    equal = [[channels] * tiles for channels in (1, 2, min(3, most), most - 1, most)]
    for lengths in [*equal, *([h.random_channels() for _ in range(tiles)] for _ in range(4))]:
        await h.random_setting()
        await h.bench.cycles(4)
        sent, seen = len(h.driver.times), len(h.monitor.times)
        for length in lengths:
            h.put(h.random_maps(length))
        await h.settle()
        sends, outs = h.driver.times[sent:], np.array(h.monitor.times[seen:])
        assert outs[0] - sends[lengths[0] - 1] == h.config.latency, f"latency {outs[0] - sends[lengths[0] - 1]}"
        begins = np.cumsum([0, *lengths[:-1]])
        for begin, length in zip(begins, lengths):
            assert (np.diff(outs[begin:begin + length]) == 1).all(), "a pause within a tile"
        periods = [h.config.period(*pair) for pair in zip(lengths, lengths[1:])]
        assert np.diff(outs[begins]).tolist() == periods, f"tiles {np.diff(outs[begins])} apart, not {periods}"
        if lengths in equal:
            assert (np.diff(sends) == 1).all(), "a pause between channels that come in"
            assert (np.diff(outs) == 1).all(), "a pause between channels that go out"
        h.hit("input held up", sends[-1] - sends[0] >= len(sends))
    await h.finish()


@cocotb.test()
async def corner_tiles(dut):
    """Everything in one bucket, buckets in turn, sums that rise, fall and stay, thresholds at both ends."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.3, h.ctx.random))
    lanes, most, buckets = h.config.lanes, h.config.max_channels, h.config.buckets
    spread = np.linspace(lanes - 1, 0, buckets - 1).round()
    for thresholds in (spread, [lanes] * (buckets - 1), [0] * (buckets - 1)):
        await h.setting(thresholds)
        for channels in (1, 2, most):
            rise = np.linspace(0, lanes, channels).round().astype(int)
            turns = np.arange(channels) % (lanes + 1)
            for sums in (rise, rise[::-1], turns, np.zeros(channels, int), np.full(channels, lanes)):
                h.put(np.arange(lanes) < sums[:, None])
    await h.finish()


@cocotb.test()
async def thresholds_in_any_order(dut):
    """Thresholds that the golden model refuses: the first one that a sum exceeds decides, and no channel is lost."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.3, h.ctx.random))
    for _ in range(10):
        await h.setting(h.rng.integers(0, h.config.lanes + 1, h.config.buckets - 1))
        for _ in range(3):
            maps = h.random_maps(h.random_channels())
            exceeded = np.pad(maps.sum(axis=1)[:, None] > h.thresholds, ((0, 0), (0, 1)), constant_values=True)
            h.put_expected(maps, np.argsort(exceeded.argmax(axis=1), kind="stable"))
    await h.finish()


@cocotb.test()
async def example_of_the_thesis(dut):
    """Figures 5.4 and 5.5: sums 4, 1, 2, 4, "more than two" to bucket 0: channels 0, 3, then 1, 2."""
    h = Harness(dut)
    await h.start()
    await h.setting([2] * (h.config.buckets - 1))
    maps = np.array([[1, 1, 1, 1], [0, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]], bool)
    h.put_expected(maps, [0, 3, 1, 2])
    h.put(maps)
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.ctx.random))
    await h.random_setting()
    for _ in range(16):
        for _ in range(3):
            h.put(h.random_maps(h.random_channels()))
        await h.bench.cycles(int(h.rng.integers(1, 3 * h.config.max_channels)))
        await h.bench.reset(1)
        h.board.reset()
        h.hit("reset in mid-work")
    h.put(h.random_maps(h.random_channels()))
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------

def test_bit_exact_and_covered():
    merge("reorder_unit", POINTS, [simulate("reorder_unit", preset="small", seed=1)]).check()


@pytest.mark.parametrize("lanes, buckets, max_channels", [(4, 2, 4), (16, 16, 64), (5, 3, 7), (9, 17, 20)])
def test_bit_exact(lanes, buckets, max_channels):
    simulate("reorder_unit", preset="small", seed=lanes,
             overrides=dict(lanes=lanes, buckets=buckets, max_channels=max_channels))


def test_bit_exact_with_one_lane():
    simulate("reorder_unit", preset="small", overrides=dict(lanes=1, buckets=2, max_channels=2), testcase=[
        *RANDOM, "full_rate", "corner_tiles", "thresholds_in_any_order", "reset_in_work"])


@pytest.mark.slow
def test_paper_size():
    simulate("reorder_unit", preset="paper", seed=3)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field channel"):
        simulate("reorder_unit", preset="small", options={"corrupt": True}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="order reversed"):
        Coverage("reorder_unit", POINTS).check()


@pytest.mark.parametrize("field, value", [("lanes", 0), ("buckets", 1), ("max_channels", 1)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        ReorderUnitConfig(**{field: value})
