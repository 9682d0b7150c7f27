"""The ResultWriter against its golden model: every write, errors, counts, rates."""

import cocotb
import numpy as np
import pytest

from golden.enmc.result_writer import ResultSettings, ResultWriter, Write
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile
from tests.dota.harness import PROFILES, stalls

from .bench_result_writer import POINTS, Harness, coverage


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_results(dut, profile):
    """Back-to-back results under random registers, some of whose writes are not allowed."""
    h = Harness(dut)
    await h.start(*stalls(profile, h.ctx.random))
    for index in range(20):
        h.set_settings()
        for _ in range(int(h.rng.integers(1, 14))):
            h.put()
        await h.check()
        if index % 7 == 3:
            await h.clear()
            await h.check()
    await h.finish()


@cocotb.test()
async def many_results(dut):
    """More than a thousand results of each item: counts, and places in the log far from its begin."""
    h = Harness(dut)
    await h.start()
    h.set_settings(write_low=0, write_high=(1 << 30) - 1)
    for _ in range(h.ctx.options.get("results", 4800)):
        h.put()
    await h.check()
    assert min(h.model.counts) > 1024
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """A result a cycle without a log, every two cycles with one; latency 3."""
    h = Harness(dut)
    await h.start()
    for log_base, period in ((0, 1), (5, 2)):
        h.set_settings(log_base=log_base, write_low=0, write_high=(1 << 30) - 1, result_base=0)
        await h.bench.cycles(3)
        sent, begin = len(h.driver.times), len(h.monitor.times)
        for _ in range(12):
            h.put()
        await h.check()
        assert (np.diff(h.driver.times[sent:]) == period).all(), np.diff(h.driver.times[sent:])
        times = h.monitor.times[begin:]
        assert (np.diff(times) == 1).all(), np.diff(times)
        assert times[0] - h.driver.times[sent] == 3, f"latency {times[0] - h.driver.times[sent]}"
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.ctx.random))
    for _ in range(12):
        h.set_settings()
        for _ in range(6):
            h.put()
        await h.bench.cycles(int(h.rng.integers(1, 20)))
        await h.bench.reset(1)
        h.board.reset()
        h.model.clear()
        coverage.hit("reset in mid-work")
    h.set_settings()
    for _ in range(3):
        h.put()
    await h.check()
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("result_writer", POINTS, [simulate("result_writer", seed=2)]).check()


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field mask"):
        simulate("result_writer", options={"corrupt": True}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="both dropped"):
        Coverage("result_writer", POINTS).check()


def settings(**changes):
    return ResultSettings(**(dict(result_base=100, result_stride=10, log_base=300, log_stride=5, write_low=100,
                                  write_high=306) | changes))


def test_golden_example():
    writer = ResultWriter()
    for _ in range(8):
        writer.put(1, 0, 0, settings())
    assert writer.put(1, 35, 0x3F80_0000, settings(write_high=310)) == ([
        Write(112, 12, b"\0\0\x80\x3f"), Write(306, 0, b"\x23\0\0\0\0\0\x80\x3f")], 0)
    assert writer.put(1, 35, 0, settings()) == ([Write(112, 12, bytes(4))], 1)
    assert writer.put(0, 0, 0, settings(log_base=0, result_base=99)) == ([], 1)
    assert writer.counts == [1, 10, 0, 0]


@pytest.mark.parametrize("field", ["result_base", "log_stride"])
def test_golden_refuses(field):
    with pytest.raises(ValueError, match=field):
        settings(**{field: 1 << 30})
