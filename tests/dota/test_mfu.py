"""The MFU against its golden model: bit-exact under stalls, at full rate and at the documented latency."""

import itertools

import cocotb
import numpy as np
import pytest

from golden.arith.precision import Precision
from golden.dota import mfu as golden
from golden.dota.mfu import MfuOp
from hw.dota.mfu import MfuConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile

from .bench_mfu import POINTS, Harness, coverage


@cocotb.test()
async def random_rows(dut):
    """Rows and conversions in random order, random scales, all kinds of stalls on both sides."""
    h = Harness(dut)
    rng = h.ctx.random
    await h.start(StallProfile.adversarial(rng), StallProfile.adversarial(rng))
    for _ in range(h.ctx.options.get("rounds", 12)):
        h.scale(*golden.softmax_scale(min(11.0, 2.0 ** rng.uniform(-20, 4))))
        beats = []
        while len(beats) < 20 * h.row_beats:
            beats += h.random_row() if rng.random() < 0.6 else h.conversion()
        await h.run(beats)
    await h.bench.finish()


@cocotb.test()
async def output_blocked(dut):
    """While nothing is taken, the unit takes what its buffers hold, then no more; afterwards nothing is missing."""
    h = Harness(dut)
    rng = h.ctx.random
    await h.start(None, StallProfile.bursts(rng, run=2 * h.row_beats, pause=20 * h.row_beats))
    for _ in range(4):
        beats = [beat for _ in range(30) for beat in h.random_row() + h.conversion()]
        await h.run(beats)
    if max(np.diff(h.driver.times)) > 10 * h.row_beats:
        coverage.hit("input held up")
    await h.bench.finish()


@cocotb.test()
async def corners(dut):
    """Least and greatest scores, one hot, all equal, no number, rows of every size, extreme scales and shifts."""
    h = Harness(dut)
    await h.start()
    lanes, most = h.lanes, h.max_row
    for setting in ((0, 0), (65535, 0), (1, 31), (65535, 31), (1, 0), (4096, 0), golden.softmax_scale(1e-4)):
        h.scale(*setting)
        beats = []
        for length in {0, 1, lanes - 1, lanes, min(lanes + 1, most), most - 1, most}:
            for value in (-32768, 0, 32767):
                beats += h.softmax_row(np.full(length, value))
            for at in {0, length // 2, length - 1} if length > 1 else ():
                hot, cold = np.full(length, -32768), np.full(length, 32767)
                hot[at], cold[at] = 32767, -32768
                beats += h.softmax_row(hot) + h.softmax_row(cold)
            beats += h.softmax_row(np.arange(length))
        beats += h.softmax_row([], [0] * h.row_beats)
        beats += h.softmax_row([5], [0] * (h.row_beats - 1) + [1])
        await h.run(beats)
    beats = []
    for op, precision in itertools.product((MfuOp.QUANTIZE, MfuOp.DEQUANTIZE), Precision):
        bits = 16 if op is MfuOp.QUANTIZE else precision.bits
        values = [-(1 << (bits - 1)), (1 << (bits - 1)) - 1, 0, -1]
        for shift in (*range(19), 31, 32, 33, 47, 48, 62, 63):
            beats += h.conversion(op, precision, shift, values[:lanes])
            beats += h.conversion(op, precision, shift)
    await h.run(beats)
    await h.bench.finish()


@cocotb.test()
async def long_rows(dut):
    """A row of more beats than the unit holds is cut into rows of row_beats beats; nothing is lost or blocked."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.2, h.ctx.random))
    beats = []
    for count in (h.row_beats + 1, 2 * h.row_beats, 3 * h.row_beats - 1):
        long = [beat | {"last": 0} for beat in h.softmax_row(h.rng.integers(-32768, 32768, count * h.lanes))]
        beats += [*long[:-1], long[-1] | {"last": 1}, *h.softmax_row([1]), *h.conversion()]
    await h.run(beats)
    coverage.hit("row cut")
    await h.bench.finish()


def one_beat_rows(h, count):
    return [beat for _ in range(count)
            for beat in h.softmax_row(h.rng.integers(-32768, 32768, h.lanes))]


@cocotb.test()
async def full_rate(dut):
    """A beat in and a beat out every cycle, rows of any lengths back to back; growing rows cost what is documented."""
    h = Harness(dut)
    await h.start()
    rng, lanes, most = h.rng, h.lanes, h.row_beats
    long_row = h.softmax_row(rng.integers(-32768, 32768, most * lanes))
    mixed = []
    for _ in range(12):
        mixed += h.softmax_row(rng.integers(-32768, 32768, rng.integers(1, most * lanes + 1)))
        mixed += h.conversion()
    gaps = {}
    for name, beats in {
        "long rows": long_row * 4, "long, then short": long_row + one_beat_rows(h, 4 * most),
        "short, then long": one_beat_rows(h, 3 * most) + long_row * 3,
        "alternating": (long_row + one_beat_rows(h, 3)) * 3, "mixed": long_row + mixed,
        "conversions": [beat for _ in range(4 * most) for beat in h.conversion()],
    }.items():
        h.driver.times.clear()
        h.monitor.times.clear()
        await h.run(beats)
        into, out = h.driver.times, h.monitor.times
        assert into[-1] - into[0] == len(beats) - 1, f"{name}: the input was held up"
        gaps[name] = out[-1] - out[0] - (len(beats) - 1)
    assert gaps.pop("short, then long") == 2 * (most - 1), gaps
    assert not any(gaps.values()), gaps
    await h.bench.finish()


@cocotb.test()
async def latency(dut):
    """The first beat of a row comes after the documented number of cycles."""
    h = Harness(dut)
    await h.start()
    unit = MfuConfig.from_dict(h.ctx.config)
    for beats in {1, (1 + h.row_beats) // 2, h.row_beats}:
        h.driver.times.clear()
        h.monitor.times.clear()
        await h.run(h.softmax_row(h.rng.integers(-32768, 32768, beats * h.lanes)))
        measured = h.monitor.times[0] - h.driver.times[0]
        assert measured == unit.row_latency(beats), f"{beats} beats: {measured}, not {unit.row_latency(beats)} cycles"
    await h.bench.finish()


@cocotb.test()
async def reset_in_mid_row(dut):
    """After a reset at any moment nothing is left of what was inside."""
    h = Harness(dut)
    rng = h.ctx.random
    await h.start(None, StallProfile.random(0.5, rng))
    for _ in range(12):
        beats = [beat for _ in range(3) for beat in h.random_row()]
        h.board.expect_many(golden.process(beats, h.lanes, h.max_row, *h.setting))
        h.driver.put_many(beats)
        await h.bench.cycles(rng.randrange(1, 3 * h.row_beats + 20))
        h.board.reset()
        await h.bench.reset()
        await h.run(h.random_row())
    coverage.hit("reset in mid-row")
    await h.bench.finish()


@cocotb.test()
async def conversion_inside_a_row(dut):
    """Breaks the rule that conversions stand between rows; the design's own assertion must end this test."""
    h = Harness(dut)
    await h.start()
    if h.ctx.options.get("break_rules"):
        await h.driver.send_many([h.softmax_row([1])[0] | {"last": 0}, *h.conversion()])
        await h.bench.cycles(2)
        raise RuntimeError("no assertion ended the simulation")


# ---- under pytest -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_bit_exact_and_covered(seed):
    merge("mfu", POINTS, [simulate("mfu", preset="small", seed=seed)]).check()


@pytest.mark.parametrize("overrides", [{"lanes": 8, "max_row": 8}, {"lanes": 4, "max_row": 20},
                                       {"lanes": 2, "max_row": 14}])
def test_bit_exact(overrides):
    simulate("mfu", preset="small", overrides=overrides, options={"rounds": 4})


def test_paper_size():
    simulate("mfu", preset="paper", options={"rounds": 2})


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="output: job 0"):
        simulate("mfu", preset="small", testcase="latency", options={"corrupt": True})


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="reset in mid-row"):
        Coverage("mfu", POINTS).check()


def test_conversion_inside_a_row_fails():
    with pytest.raises(AssertionError, match="a conversion stands inside a softmax row"):
        simulate("mfu", preset="small", testcase="conversion_inside_a_row", options={"break_rules": True})
