"""The Quantizer against its golden model: every item under stalls, latency and rate, corner values."""

import cocotb
import numpy as np
import pytest

from hw.config import ConfigError
from hw.duet.quantizer import Quantizer, QuantizerConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile
from tests.dota.harness import PROFILES, stalls

from .bench_quantizer import POINTS, Harness, coverage


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_items(dut, profile):
    """Back-to-back items."""
    h = Harness(dut)
    await h.start(*stalls(profile, h.ctx.random))
    for _ in range(60):
        h.put(h.random_item())
    await h.settle()
    times = np.diff(h.driver.times)
    if (times == 1).any():
        coverage.hit("back-to-back")
    if profile == "slow output" and (times > 1).any():
        coverage.hit("held up")
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """Without stalls: an item a cycle, each a cycle after it came; every number in some lane at 8 bits and below."""
    h = Harness(dut)
    await h.start()
    for value in range(h.low, h.high + 1, max(1, (h.high - h.low) // 255)):
        h.put(np.clip(value + np.arange(h.config.lanes), h.low, h.high))
    await h.settle()
    assert (np.diff(h.driver.times) == 1).all(), "an item a cycle"
    assert (np.array(h.monitor.times) - h.driver.times == Quantizer.latency).all(), "latency"
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.ctx.random))
    for _ in range(10):
        for _ in range(8):
            h.put(h.random_item())
        await h.bench.cycles(int(h.rng.integers(1, 8)))
        await h.bench.reset(1)
        h.board.reset()
        coverage.hit("reset in mid-work")
    h.put(h.random_item())
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------

def test_bit_exact_and_covered():
    merge("quantizer", POINTS, [simulate("quantizer", preset="fpga", seed=1)]).check()


@pytest.mark.parametrize("lanes, in_bits, out_bits", [(5, 16, 4), (3, 4, 4), (1, 7, 1)])
def test_bit_exact(lanes, in_bits, out_bits):
    simulate("quantizer", seed=lanes, overrides=dict(lanes=lanes, in_bits=in_bits, out_bits=out_bits))


@pytest.mark.slow
def test_paper_size():
    simulate("quantizer", preset="paper")


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="lane 7"):
        simulate("quantizer", preset="small", options={"corrupt": True}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="held up"):
        Coverage("quantizer", POINTS).check()


@pytest.mark.parametrize("field, value", [("lanes", 0), ("in_bits", 33), ("out_bits", 17)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        QuantizerConfig(**{field: value})
