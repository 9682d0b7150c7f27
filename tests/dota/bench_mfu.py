"""What the MFU's tests share: the harness that drives and compares rows and conversions, cover points."""

import itertools

import numpy as np

from golden.arith.exponential import EXP_FRACTION
from golden.arith.precision import Precision
from golden.dota import mfu as golden
from golden.dota.mfu import MfuOp
from sim.coverage import Coverage

from .harness import StreamHarness

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
    "input held up", "reset in mid-row", "row cut",
]
coverage = Coverage("mfu", POINTS)


class Harness(StreamHarness):
    """Drives rows and conversions, compares every beat with the golden model, collects coverage."""

    source, sink = "input", "output"
    timeout = 2000

    def __init__(self, dut):
        super().__init__(dut)
        self.lanes, self.max_row = self.ctx.config["lanes"], self.ctx.config["max_row"]
        self.row_beats = self.max_row // self.lanes

    def board_lanes(self):
        return {"data": 16}

    async def start(self, drive=None, take=None, watch=True):
        await super().start(drive, take, watch)
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
        if rng.random() < 0.6 and self.setting[0]:
            # A few units of the exponent: most weights are neither 0 nor 1, and every bit of a product counts.
            spread = rng.uniform(0.2, 5) * 2.0 ** (EXP_FRACTION + self.setting[1]) / self.setting[0]
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
            if result["last"]:
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
        await self.settle()
