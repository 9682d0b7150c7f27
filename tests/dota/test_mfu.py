"""The MFU against its golden model: bit-exact under stalls, at full rate and at the documented latency."""

import itertools

import cocotb
import numpy as np
import pytest

from golden.arith.precision import Precision
from golden.dota import mfu as golden
from golden.dota.mfu import MfuOp
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.scoreboard import Scoreboard
from sim.stream import StallProfile
from sim.timed import TimedDriver, TimedMonitor

KINDS = ["SOFTMAX"] + [f"{op.name} {p.name}" for op in (MfuOp.QUANTIZE, MfuOp.DEQUANTIZE) for p in Precision]
POINTS = [
    *(f"op {kind}" for kind in KINDS),
    *(f"{one.name} then {other.name}" for one, other in itertools.product(MfuOp, repeat=2)),
    *(f"row of {length}" for length in ("one number", "max_row", "no number", "one beat", "max_row beats")),
    *(f"beat {kind}" for kind in ("full", "partial", "empty")), "partial beat before the last",
    *(f"weight {kind}" for kind in ("0", "32767", "between")), "row of equal scores", "row from min to max score",
    *(f"scale {kind}" for kind in ("0", "65535", "tiny", "huge", "usual")),
    *(f"{op.name} saturates {side}" for op in (MfuOp.QUANTIZE, MfuOp.DEQUANTIZE) for side in ("high", "low")),
    *(f"{op.name} shift {kind}" for op in (MfuOp.QUANTIZE, MfuOp.DEQUANTIZE) for kind in ("0", "1 to 14", "63")),
    "input held up", "reset in mid-row",
]
coverage = Coverage("mfu", POINTS)

# ---- in the simulation ------------------------------------------------------------------------------------------


class Harness:
    """Drives rows and conversions, compares every beat with the golden model, collects coverage."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.rng
        self.lanes, self.max_row = self.ctx.config["lanes"], self.ctx.config["max_row"]
        self.row_beats = self.max_row // self.lanes
        self.corrupt = self.ctx.options.get("corrupt", False)

    async def start(self, drive=None, take=None):
        self.bench = await start(self.dut, timeout=2000)
        self.board = Scoreboard("output", lanes={"data": 16}, bench=self.bench)
        self.driver = TimedDriver(self.dut, "input", stall=drive, layout=self.ctx.layout("input"))
        self.monitor = TimedMonitor(self.dut, "output", stall=take, layout=self.ctx.layout("output"),
                                    callback=self.board.check)
        self.scale(*golden.softmax_scale(8.0 / 32768))

    def scale(self, scale, scale_shift):
        """Set the scale; only while nothing is inside."""
        self.setting = scale, scale_shift
        self.dut.scale.value, self.dut.scale_shift.value = scale, scale_shift

    def softmax_row(self, scores, counts=None):
        """Beats of a row; ``counts`` says how many numbers stand in each beat (full ones first when left out)."""
        if counts is None:
            counts = [min(self.lanes, len(scores) - at) for at in range(0, len(scores), self.lanes)] or [0]
        assert sum(counts) == len(scores)
        beats, ends = [], np.cumsum(counts)
        for part, count in zip(np.split(np.asarray(scores, np.int64), ends[:-1]), counts):
            junk = self.rng.integers(-32768, 32768, self.lanes - count)  # beyond count: must not matter
            beats.append({"data": golden.pack(np.concatenate([part, junk]), 16), "count": int(count), "last": 0,
                          "op": MfuOp.SOFTMAX, "precision": int(self.rng.integers(4)),
                          "shift": int(self.rng.integers(64))})
        beats[-1]["last"] = 1
        return beats

    def conversion(self, op=None, precision=None, shift=None, values=None):
        """One beat of QUANTIZE or DEQUANTIZE, random where nothing is said."""
        rng = self.rng
        op = MfuOp(rng.integers(1, 3)) if op is None else op
        precision = Precision(rng.integers(4)) if precision is None else precision
        shift = int(rng.choice([0, 63, *rng.integers(0, 20, 6)])) if shift is None else shift
        bits = 16 if op is MfuOp.QUANTIZE else precision.bits
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        if values is None:
            values = rng.choice([low, high, 0, -1, *rng.integers(low, high + 1, 8)], int(rng.integers(self.lanes + 1)))
        junk = rng.integers(low, high + 1, self.lanes - len(values))
        data = golden.pack(np.concatenate([np.asarray(values, np.int64), junk]), bits)
        data |= int(rng.integers(1 << 16)) << (bits * self.lanes) if bits < 16 else 0
        return [{"data": data & ((1 << 16 * self.lanes) - 1), "count": len(values), "last": int(rng.integers(2)),
                 "op": op, "precision": precision, "shift": shift}]

    def random_row(self):
        """A row of random length, spread and packing."""
        rng = self.rng
        beats = int(rng.choice([1, 1, (1 + self.row_beats) // 2, self.row_beats, rng.integers(1, self.row_beats + 1)]))
        if rng.random() < 0.5:
            counts = rng.integers(0, self.lanes + 1, beats)
        else:
            counts = np.full(beats, self.lanes)
            counts[-1] = rng.integers(0, self.lanes + 1)
        spread = 2.0 ** rng.uniform(0, 17)
        scores = np.clip(np.round(rng.normal(0, spread, counts.sum()) + rng.uniform(-32768, 32767)), -32768, 32767)
        return self.softmax_row(scores.astype(np.int64), list(counts))

    def expect(self, beats):
        results = golden.process(beats, self.lanes, self.max_row, *self.setting)
        for before, beat in itertools.pairwise(beats):
            coverage.hit(f"{MfuOp(before['op']).name} then {MfuOp(beat['op']).name}")
        self.cover(beats, results)
        if self.corrupt:
            results[-1]["data"] ^= 1
        self.board.expect_many(results)

    def cover(self, beats, results):
        scale = self.setting[0] * 2.0 ** -self.setting[1]
        coverage.hit("scale " + ("0" if scale == 0 else "tiny" if scale < 2.0**-10 else "65535" if scale == 65535
                                 else "huge" if scale > 1000 else "usual"))
        row = []
        for beat, result in zip(beats, results):
            op, count = MfuOp(beat["op"]), beat["count"]
            coverage.hit("op SOFTMAX" if op is MfuOp.SOFTMAX else f"op {op.name} {Precision(beat['precision']).name}")
            coverage.hit("beat " + ("empty" if count == 0 else "full" if count == self.lanes else "partial"))
            if op is not MfuOp.SOFTMAX:
                shift = beat["shift"]
                if shift in (0, 63) or 1 <= shift <= 14:
                    coverage.hit(f"{op.name} shift {shift if shift in (0, 63) else '1 to 14'}")
                source, bits, sign = 16, Precision(beat["precision"]).bits, -1
                if op is MfuOp.DEQUANTIZE:
                    source, bits, sign = bits, 16, 1
                exact = golden.unpack(beat["data"], source, count) * 2.0 ** (sign * shift)
                for side, out in (("high", exact >= 2 ** (bits - 1)), ("low", exact < -(2 ** (bits - 1)) - 0.5)):
                    if out.any():
                        coverage.hit(f"{op.name} saturates {side}")
                continue
            row.append((golden.unpack(beat["data"], 16, count), golden.unpack(result["data"], 16, count)))
            if beat["last"]:
                self.cover_row(*map(np.concatenate, zip(*row)), [len(part) for part, _ in row])
                row = []

    def cover_row(self, scores, weights, counts):
        reached = {
            "row of no number": len(scores) == 0, "row of one number": len(scores) == 1,
            "row of max_row": len(scores) == self.max_row, "row of one beat": len(counts) == 1,
            "row of max_row beats": len(counts) == self.row_beats,
            "partial beat before the last": any(count < self.lanes for count in counts[:-1]),
            "row of equal scores": len(scores) > 1 and np.ptp(scores) == 0,
            "row from min to max score": len(scores) > 1 and np.ptp(scores) == 65535,
            "weight 0": (weights == 0).any(), "weight 32767": (weights == 32767).any(),
            "weight between": ((weights > 0) & (weights < 32767)).any(),
        }
        for point, hit in reached.items():
            if hit:
                coverage.hit(point)

    async def run(self, beats):
        """Send beats and wait until all results have come."""
        self.expect(beats)
        await self.driver.send_many(beats)
        while self.board.pending():
            await self.bench.cycles(1)


@cocotb.test()
async def random_rows(dut):
    """Rows and conversions in random order, random scales, all kinds of stalls on both sides."""
    harness = Harness(dut)
    rng = harness.ctx.random
    await harness.start(StallProfile.adversarial(rng), StallProfile.adversarial(rng))
    for _ in range(harness.ctx.options.get("rounds", 12)):
        harness.scale(*golden.softmax_scale(min(11.0, 2.0 ** rng.uniform(-20, 4))))
        beats = []
        while len(beats) < 20 * harness.row_beats:
            beats += harness.random_row() if rng.random() < 0.6 else harness.conversion()
        await harness.run(beats)
    await harness.bench.finish()


@cocotb.test()
async def output_blocked(dut):
    """While nothing is taken, the unit takes what its buffers hold, then no more; afterwards nothing is missing."""
    harness = Harness(dut)
    rng = harness.ctx.random
    await harness.start(None, StallProfile.bursts(rng, run=2 * harness.row_beats, pause=20 * harness.row_beats))
    for _ in range(4):
        beats = [beat for _ in range(30) for beat in harness.random_row() + harness.conversion()]
        await harness.run(beats)
    if max(np.diff(harness.driver.times)) > 10 * harness.row_beats:
        coverage.hit("input held up")
    await harness.bench.finish()


@cocotb.test()
async def corners(dut):
    """Least and greatest scores, one hot, all equal, no number, rows of every size, extreme scales and shifts."""
    harness = Harness(dut)
    await harness.start()
    lanes, most = harness.lanes, harness.max_row
    for setting in ((0, 0), (65535, 0), (1, 31), (65535, 31), (1, 0), (4096, 0), golden.softmax_scale(1e-4)):
        harness.scale(*setting)
        beats = []
        for length in {0, 1, lanes - 1, lanes, min(lanes + 1, most), most - 1, most}:
            for value in (-32768, 0, 32767):
                beats += harness.softmax_row(np.full(length, value))
            for at in {0, length // 2, length - 1} if length > 1 else ():
                hot, cold = np.full(length, -32768), np.full(length, 32767)
                hot[at], cold[at] = 32767, -32768
                beats += harness.softmax_row(hot) + harness.softmax_row(cold)
            beats += harness.softmax_row(np.arange(length))
        beats += harness.softmax_row([], [0] * harness.row_beats)
        beats += harness.softmax_row([5], [0] * (harness.row_beats - 1) + [1])
        await harness.run(beats)
    beats = []
    for op, precision in itertools.product((MfuOp.QUANTIZE, MfuOp.DEQUANTIZE), Precision):
        bits = 16 if op is MfuOp.QUANTIZE else precision.bits
        values = [-(1 << (bits - 1)), (1 << (bits - 1)) - 1, 0, -1]
        for shift in (*range(19), 31, 32, 33, 47, 48, 62, 63):
            beats += harness.conversion(op, precision, shift, values[:lanes])
            beats += harness.conversion(op, precision, shift)
    await harness.run(beats)
    await harness.bench.finish()


def one_beat_rows(harness, count):
    return [beat for _ in range(count)
            for beat in harness.softmax_row(harness.rng.integers(-32768, 32768, harness.lanes))]


@cocotb.test()
async def full_rate(dut):
    """A beat in and a beat out every cycle, rows of any lengths back to back; growing rows cost what is documented."""
    harness = Harness(dut)
    await harness.start()
    rng, lanes, most = harness.rng, harness.lanes, harness.row_beats
    long_row = harness.softmax_row(rng.integers(-32768, 32768, most * lanes))
    mixed = []
    for _ in range(12):
        mixed += harness.softmax_row(rng.integers(-32768, 32768, rng.integers(1, most * lanes + 1)))
        mixed += harness.conversion()
    gaps = {}
    for name, beats in {
        "long rows": long_row * 4, "long, then short": long_row + one_beat_rows(harness, 4 * most),
        "short, then long": one_beat_rows(harness, 3 * most) + long_row * 3,
        "alternating": (long_row + one_beat_rows(harness, 3)) * 3, "mixed": long_row + mixed,
        "conversions": [beat for _ in range(4 * most) for beat in harness.conversion()],
    }.items():
        harness.driver.times.clear()
        harness.monitor.times.clear()
        await harness.run(beats)
        into, out = harness.driver.times, harness.monitor.times
        assert into[-1] - into[0] == len(beats) - 1, f"{name}: the input was held up"
        gaps[name] = out[-1] - out[0] - (len(beats) - 1)
    assert gaps.pop("short, then long") == 2 * (most - 1), gaps
    assert not any(gaps.values()), gaps
    await harness.bench.finish()


@cocotb.test()
async def latency(dut):
    """The first beat of a row comes after the documented number of cycles."""
    from hw.dota.mfu import MfuConfig

    harness = Harness(dut)
    await harness.start()
    unit = MfuConfig.from_dict(harness.ctx.config)
    for beats in {1, (1 + harness.row_beats) // 2, harness.row_beats}:
        harness.driver.times.clear()
        harness.monitor.times.clear()
        await harness.run(harness.softmax_row(harness.rng.integers(-32768, 32768, beats * harness.lanes)))
        measured = harness.monitor.times[0] - harness.driver.times[0]
        assert measured == unit.row_latency(beats), f"{beats} beats: {measured}, not {unit.row_latency(beats)} cycles"
    await harness.bench.finish()


@cocotb.test()
async def reset_in_mid_row(dut):
    """After a reset at any moment nothing is left of what was inside."""
    harness = Harness(dut)
    rng = harness.ctx.random
    await harness.start(None, StallProfile.random(0.5, rng))
    for _ in range(12):
        beats = [beat for _ in range(3) for beat in harness.random_row()]
        harness.board.expect_many(golden.process(beats, harness.lanes, harness.max_row, *harness.setting))
        harness.driver.put_many(beats)
        await harness.bench.cycles(rng.randrange(1, 3 * harness.row_beats + 20))
        harness.board.reset()
        await harness.bench.reset()
        await harness.run(harness.random_row())
    coverage.hit("reset in mid-row")
    await harness.bench.finish()


@cocotb.test()
async def row_too_long(dut):
    """Breaks the rule that a row has at most row_beats beats; the design's own assertion must end this test."""
    harness = Harness(dut)
    await harness.start()
    if harness.ctx.options.get("break_rules"):
        beat = harness.softmax_row([1])[0] | {"last": 0}
        await harness.driver.send_many([beat] * (harness.row_beats + 1))
        await harness.bench.cycles(2)
        raise RuntimeError("no assertion ended the simulation")


@cocotb.test()
async def covered(dut):
    """Last: every listed point was reached."""
    if context().options.get("check_coverage", True):
        coverage.check()


# ---- under pytest -----------------------------------------------------------------------------------------------


def simulate(**kwargs):
    from resilin.simulate import simulate as run

    return run("mfu", **kwargs)


@pytest.mark.parametrize("seed", [1, 2])
def test_mfu_small(seed):
    simulate(preset="small", seed=seed)


@pytest.mark.parametrize("overrides", [{"lanes": 8, "max_row": 8}, {"lanes": 4, "max_row": 20}])
def test_mfu_other_sizes(overrides):
    simulate(preset="small", overrides=overrides, options={"check_coverage": False, "rounds": 4})


def test_mfu_paper():
    simulate(preset="paper", options={"check_coverage": False, "rounds": 2})


def test_a_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="output: job 0"):
        simulate(preset="small", testcase="latency", options={"corrupt": True})


def test_a_row_that_is_too_long_fails():
    with pytest.raises(AssertionError) as failure:
        simulate(preset="small", testcase="row_too_long", options={"break_rules": True})
    assert "a row has more than row_beats beats" in str(failure.value)
