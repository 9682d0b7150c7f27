"""The switching map and the dequantizer against their golden models: every result under stalls, all comparisons."""

import cocotb
import numpy as np
import pytest

from golden.duet.speculator_mfu import Function
from hw.config import ConfigError
from hw.duet.switching_map import SwitchingMap, SwitchingMapConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile
from tests.dota.harness import PROFILES, stalls

from .bench_switching_map import POINTS, Harness, coverage


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_items(dut, profile):
    """Back-to-back items, random functions and thresholds."""
    h = Harness(dut)
    await h.start(*stalls(profile, h.ctx.random))
    for _ in range(40):
        await h.random_setting()
        for _ in range(10):
            h.put(*h.random_item())
        await h.settle()
        if profile == "slow output" and max(np.diff(h.driver.times)) > 1:
            coverage.hit("input held up")
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """Every pre-activation with the thresholds at the ends and about zero; an item a cycle, each a cycle later."""
    h = Harness(dut)
    await h.start()
    lanes = h.config.lanes
    every = np.resize(np.arange(h.low, h.high + 1), -(-2 * (h.high + 1) // lanes) * lanes).reshape(-1, lanes)
    for function in Function:
        for threshold in (h.low, h.low + 1, -1, 0, 1, h.high // 2, h.high - 1, h.high):
            await h.setting(function, threshold)
            sent, seen = len(h.driver.times), len(h.monitor.times)
            for pre in every:
                code = (pre - h.low) % (1 << h.config.code_bits)
                h.put(pre, code, np.ones(lanes, bool))
            await h.settle()
            sends = np.array(h.driver.times[sent:])
            assert (np.diff(sends) == 1).all(), "an item a cycle"
            assert (np.array(h.monitor.times[seen:]) - sends == SwitchingMap.latency).all(), "latency"
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.ctx.random))
    await h.setting(Function.SIGMOID, 20 % h.high)
    for _ in range(10):
        for _ in range(8):
            h.put(*h.random_item())
        await h.bench.cycles(int(h.rng.integers(1, 8)))
        await h.bench.reset(1)
        h.board.reset()
        coverage.hit("reset in mid-work")
    h.put(*h.random_item())
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------

def test_bit_exact_and_covered():
    merge("switching_map", POINTS, [simulate("switching_map", preset="small", seed=1)]).check()


@pytest.mark.parametrize("lanes, pre_bits, code_bits", [(1, 5, 2), (3, 10, 8), (5, 6, 6)])
def test_bit_exact(lanes, pre_bits, code_bits):
    simulate("switching_map", seed=lanes, overrides=dict(lanes=lanes, pre_bits=pre_bits, code_bits=code_bits))


@pytest.mark.slow
def test_paper_size():
    simulate("switching_map", preset="paper")


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field map, lane 3"):
        simulate("switching_map", preset="small", options={"corrupt": True}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="negative zero"):
        Coverage("switching_map", POINTS).check()


@pytest.mark.parametrize("field, value", [("lanes", 65), ("pre_bits", 13), ("code_bits", 1), ("code_bits", 9)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        SwitchingMapConfig(**{field: value})
