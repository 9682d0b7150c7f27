"""The multicast bus against its golden model: tags, equal IDs, gating in every cycle, stalls on all sides."""

import cocotb
import pytest

from hw.config import ConfigError
from hw.duet.multicast_bus import MulticastBus, MulticastBusConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile
from tests.dota.harness import PROFILES, stalls

from .bench_multicast_bus import POINTS, Harness, coverage


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_items(dut, profile):
    """Random tags under random IDs."""
    h = Harness(dut)
    drive, through = stalls(profile, h.ctx.random)
    _, rows = stalls(profile, h.ctx.random)
    await h.start(drive, through, rows)
    for _ in range(6):
        for _ in range(40):
            h.put()
        await h.random_ids()
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """Without stalls: an item a cycle, offered in the cycle after it came."""
    h = Harness(dut)
    await h.start()
    await h.bench.cycles(3)
    for _ in range(50):
        h.put()
    h.put(row_tag=h.config.rows, row_all=0)
    await h.settle()
    times = h.driver.times
    assert times[-1] - times[0] == 50, "a bubble"
    assert h.monitor.times[-1] - times[-1] == MulticastBus.latency, "latency"
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset drops the item inside and gives all IDs their numbers."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.6, h.ctx.random), StallProfile.random(0.6, h.ctx.random))
    for _ in range(12):
        await h.random_ids()
        for _ in range(20):
            h.put()
        await h.bench.cycles(int(h.rng.integers(1, 20)))
        await h.bench.reset(1)
        h.board.reset()
        h.natural_ids()
        coverage.hit("reset in mid-work")
        for _ in range(20):
            h.put()
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("multicast_bus", POINTS, [simulate("multicast_bus", preset="small", seed=1)]).check()


@pytest.mark.parametrize("rows, cols, body_bits, data_bits", [(16, 16, 20, 33), (1, 2, 1, 1), (3, 5, 64, 100)])
def test_bit_exact(rows, cols, body_bits, data_bits):
    simulate("multicast_bus", preset="small", seed=rows,
             overrides=dict(rows=rows, cols=cols, body_bits=body_bits, data_bits=data_bits))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fpga", "paper"])
def test_large_sizes(preset):
    simulate("multicast_bus", preset=preset, seed=4)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="x: expected"):
        simulate("multicast_bus", preset="small", options={"corrupt": True}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="no element"):
        Coverage("multicast_bus", POINTS).check()


@pytest.mark.parametrize("field, value", [("rows", 0), ("cols", 1), ("body_bits", 0), ("data_bits", 0)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        MulticastBusConfig(**{field: value})
