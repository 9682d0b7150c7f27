"""What the switching map's tests share: the harness that drives and compares items, cover points."""

import numpy as np

from golden.duet import switching_map as golden
from golden.duet.speculator_mfu import Function, activate
from hw.duet.switching_map import SwitchingMapConfig
from sim.coverage import Coverage
from tests.dota.harness import StreamHarness

from sim.lanes import pack_lanes

POINTS = [
    *(f"{function.name} {what}" for function in Function for what in (
        "lowest threshold", "highest threshold", "threshold -1", "threshold 0", "pre at the threshold",
        "pre below the threshold by 1", "pre above the threshold by 1", "pre lowest", "all needed", "none needed",
        "needed but not valid", "every code")),
    "magnitude at the threshold, negative", "magnitude above the threshold by 1, negative", "negative zero",
    "no position valid", "all positions valid", "function changes", "input held up", "reset in mid-work",
]
coverage = Coverage("switching_map", POINTS)


class Harness(StreamHarness):
    """Drives items, compares every result with the golden model, collects coverage."""

    source, sink = "i", "o"

    def __init__(self, dut):
        super().__init__(dut)
        self.config = SwitchingMapConfig.from_dict(self.ctx.config)
        self.low, self.high = -(1 << self.config.pre_bits - 1), (1 << self.config.pre_bits - 1) - 1
        self.function, self.codes = None, {function: set() for function in Function}

    def board_lanes(self):
        return {"map": 1, "z": 16}

    async def setting(self, function, threshold):
        """Set function and threshold, once everything inside has come out."""
        await self.settle()
        if self.function not in (None, function):
            coverage.hit("function changes")
        self.function, self.threshold = Function(function), int(threshold)
        self.dut.curve.value, self.dut.threshold.value = int(function), int(threshold)

    async def random_setting(self):
        rng = self.rng
        await self.setting(rng.integers(4), rng.choice(
            [self.low, self.high, -1, 0, 1, *rng.integers(self.low, self.high + 1, 5)]))

    def random_item(self):
        """Pre-activations, often near the threshold or its negative; any code; valid positions."""
        rng, lanes = self.rng, self.config.lanes
        near = rng.choice([-1, 1], lanes) * self.threshold + rng.integers(-1, 2, lanes)
        anything = rng.choice([self.low, self.high, 0, -1, *rng.integers(self.low, self.high + 1, 8)], lanes)
        pre = np.clip(np.where(rng.random(lanes) < rng.choice([0, 0.5, 1]), near, anything), self.low, self.high)
        code = rng.integers(0, 1 << self.config.code_bits, lanes)
        if rng.random() < 0.3:
            code = activate(pre, self.function, pre_bits=self.config.pre_bits, code_bits=self.config.code_bits)
        return pre, code, rng.random(lanes) < rng.choice([0, 0.5, 1])

    def put(self, pre, code, valid):
        """Queue an item and expect its result."""
        config = self.config
        needed = golden.switching_map(pre, self.function, self.threshold, valid, pre_bits=config.pre_bits)
        z = golden.dequantize(code, self.function, valid, code_bits=config.code_bits)
        self.cover(pre, code, valid)
        self.driver.put({"pre": pack_lanes(pre, config.pre_bits), "code": pack_lanes(code, config.code_bits),
                         "valid": pack_lanes(valid, 1)})
        if self.corrupt:
            needed[-1] ^= True
        self.board.expect({"map": pack_lanes(needed, 1), "z": pack_lanes(z, 16)})

    def cover(self, pre, code, valid):
        """Count the cover points that an item reaches."""
        name, threshold = self.function.name, self.threshold
        needed = golden.switching_map(pre, self.function, threshold, pre_bits=self.config.pre_bits)
        saturating = self.function is not Function.RELU
        self.codes[self.function] |= set(code[valid])
        for point, reached in {
                f"{name} lowest threshold": threshold == self.low, f"{name} highest threshold": threshold == self.high,
                f"{name} threshold -1": threshold == -1, f"{name} threshold 0": threshold == 0,
                f"{name} pre at the threshold": threshold in pre,
                f"{name} pre below the threshold by 1": threshold - 1 in pre,
                f"{name} pre above the threshold by 1": threshold + 1 in pre,
                f"{name} pre lowest": self.low in pre, f"{name} all needed": needed.all(),
                f"{name} none needed": not needed.any(), f"{name} needed but not valid": (needed & ~valid).any(),
                f"{name} every code": len(self.codes[self.function]) == 1 << self.config.code_bits,
                "magnitude at the threshold, negative": saturating and threshold > 0 and -threshold in pre,
                "magnitude above the threshold by 1, negative": saturating and threshold > 0 and -threshold - 1 in pre,
                "negative zero": self.function is Function.TANH and 1 << self.config.code_bits - 1 in code[valid],
                "no position valid": not valid.any(), "all positions valid": valid.all()}.items():
            if reached:
                coverage.hit(point)
