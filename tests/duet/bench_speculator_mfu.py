"""What the SpeculatorMfu's tests share: the harness that drives and compares items, cover points."""

import numpy as np

from golden.duet import speculator_mfu as golden
from golden.duet.speculator_mfu import Function
from hw.duet.speculator_mfu import SpeculatorMfuConfig
from sim.coverage import Coverage
from tests.dota.harness import StreamHarness

from sim.lanes import pack_lanes

POINTS = [
    *(f"{function.name} {what}" for function in Function for what in (
        "pre lowest", "pre highest", "pre -1", "pre 0", "pre 1")),
    *(f"q_shift {kind}" for kind in ("0", "between", "max_shift")), *(f"scale {kind}" for kind in ("0", "highest")),
    *(f"bias {kind}" for kind in ("lowest", "highest")), *(f"acc {kind}" for kind in ("lowest", "highest")),
    "half rounded up", "bias brings a large product back", "function changes", "input held up", "reset in mid-work",
]
coverage = Coverage("speculator_mfu", POINTS)


class Harness(StreamHarness):
    """Drives items of sums, compares every result with the golden model, collects coverage."""

    source, sink = "i", "o"

    def __init__(self, dut):
        super().__init__(dut)
        self.config = SpeculatorMfuConfig.from_dict(self.ctx.config)
        self.function = None

    def board_lanes(self):
        return {"pre": self.config.pre_bits, "code": self.config.code_bits}

    async def setting(self, function, q_shift):
        """Set function and shift, once everything inside has come out."""
        await self.settle()
        if self.function not in (None, function):
            coverage.hit("function changes")
        self.function, self.q_shift = Function(function), q_shift
        self.dut.curve.value, self.dut.q_shift.value = int(function), q_shift
        coverage.hit("q_shift " + {0: "0", self.config.max_shift: "max_shift"}.get(q_shift, "between"))

    async def random_setting(self):
        rng, highest = self.rng, self.config.max_shift
        await self.setting(rng.integers(4), int(rng.choice([0, highest, *rng.integers(0, highest + 1, 4)])))

    def random_item(self):
        """Sums, scale and bias of one item: corner values, and sums whose results lie in the range of ``pre``."""
        rng, config = self.rng, self.config
        low, high = -(1 << config.acc_bits - 1), (1 << config.acc_bits - 1) - 1
        scale = int(rng.choice([0, 1, (1 << config.scale_bits) - 1, *rng.integers(0, 1 << config.scale_bits, 6)]))
        least, most = -(1 << config.bias_bits - 1), (1 << config.bias_bits - 1) - 1
        bias = int(rng.choice([least, most, 0, *rng.integers(least, most + 1, 3), *np.clip(
            rng.integers(-99, 100, 6), least, most)]))
        wanted = rng.integers(-(1 << config.pre_bits), 1 << config.pre_bits, config.lanes) - bias
        inside = np.clip((wanted << self.q_shift) // max(scale, 1), low, high)
        anything = rng.choice([low, high, 0, -1, *rng.integers(low, high + 1, 4)], config.lanes)
        return np.where(rng.random(config.lanes) < 0.7, inside, anything), scale, bias

    def put(self, acc, scale, bias):
        """Queue an item and expect its result."""
        config = self.config
        pre = golden.pre_activation(acc, scale, bias, self.q_shift, acc_bits=config.acc_bits, pre_bits=config.pre_bits,
                                    scale_bits=config.scale_bits, bias_bits=config.bias_bits)
        code = golden.activate(pre, self.function, pre_bits=config.pre_bits, code_bits=config.code_bits)
        self.cover(acc, scale, bias, pre)
        self.driver.put({"acc": pack_lanes(acc, config.acc_bits), "scale": scale, "bias": bias})
        if self.corrupt:
            code[-1] ^= 1
        self.board.expect({"pre": pack_lanes(pre, config.pre_bits), "code": pack_lanes(code, config.code_bits)})

    def cover(self, acc, scale, bias, pre):
        """Count the cover points that an item reaches."""
        config, name = self.config, self.function.name
        low, high = -(1 << config.pre_bits - 1), (1 << config.pre_bits - 1) - 1
        exact = acc * scale / 2 ** self.q_shift
        for point, reached in {
                f"{name} pre lowest": low in pre, f"{name} pre highest": high in pre, f"{name} pre -1": -1 in pre,
                f"{name} pre 0": 0 in pre, f"{name} pre 1": 1 in pre,
                "scale 0": scale == 0, "scale highest": scale == (1 << config.scale_bits) - 1,
                "bias lowest": bias == -(1 << config.bias_bits - 1),
                "bias highest": bias == (1 << config.bias_bits - 1) - 1,
                "acc lowest": -(1 << config.acc_bits - 1) in acc, "acc highest": (1 << config.acc_bits - 1) - 1 in acc,
                "half rounded up": (pre == exact + 0.5 + bias).any(),
                "bias brings a large product back":
                    ((np.abs(exact) > 4 * high) & (low < pre) & (pre < high)).any()}.items():
            if reached:
                coverage.hit(point)
