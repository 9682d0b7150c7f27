"""SwapRegister against its golden model: which activation the units get, and what goes on to the west."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge

from golden.figs.figs_pe import operands
from golden.figs.sizes import Sizes
from golden.figs.swap_register import taps
from hw.config import ConfigError
from hw.figs.swap_register import SwapRegisterConfig
from resilin.simulate import simulate
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage, NotCovered, merge
from sim.lanes import pack_lanes

POINTS = ["every tap", "every tap with the least and the greatest value", "go without use", "use without go",
          "a pause of several cycles", "select beyond the taps without use", "reset in mid-work"]
coverage = Coverage("swap_register", POINTS)


class Harness:
    """Drives one register and the values around it as an array would, and compares both outputs in every cycle.

    Works at falling edges: what it reads are the outputs of the cycle whose inputs it sets.
    """

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.rng
        self.config = config = SwapRegisterConfig.from_dict(self.ctx.config)
        self.sizes = Sizes(rows=config.alpha + 1, columns=1, beta=1, groups=1, alpha=config.alpha, depth=config.depth)
        self.corrupt = self.ctx.options.get("corrupt", 0)
        self.reached, self.extremes = set(), set()

    async def start(self):
        self.bench = await start(self.dut, timeout=None)
        await FallingEdge(self.dut.clk)

    async def cycle(self, operand, west, *, go, east, others, use, select):
        """A clock cycle with these inputs, after which the outputs are ``operand`` and ``west``."""
        bits = self.config.activation_bits
        self.dut.go.value, self.dut.used.value, self.dut.select.value = int(go), int(use), int(select)
        self.dut.east.value, self.dut.others.value = pack_lanes([east], bits), pack_lanes(others, bits)
        await FallingEdge(self.dut.clk)
        got = self.dut.operand.value.to_signed(), self.dut.west.value.to_signed()
        assert got == (operand, west), f"operand, west: expected {operand}, {west}, got {got[0]}, {got[1]}"

    def junk(self):
        """Inputs that mean nothing as ``go`` is 0."""
        config, rng = self.config, self.rng
        return dict(east=rng.integers(-128, 128), others=rng.integers(-128, 128, config.taps - 1),
                    use=rng.integers(2), select=rng.integers(1 << config.select_bits))

    def values(self, cycles):
        """What the register's row and the rows beside it are fed: over the full range, or corners."""
        rows = self.config.alpha + 1
        if self.rng.random() < 0.5:
            return self.rng.integers(-128, 128, (cycles, rows))
        return self.rng.choice([-128, -1, 0, 1, 127], (cycles, rows))

    async def run(self, fed, use, select, pause=0.0):
        """Feed ``fed`` (cycles, rows), choose by ``use`` and ``select`` (cycles,); pauses with this probability."""
        config = self.config
        seen = taps(fed, config.alpha, config.depth)[:, 0]
        expected, _ = operands(self.sizes, seen, use, select, config.depth)
        expected = expected.tolist()
        expected[-1] ^= self.corrupt
        east = [*fed[1:, 0].tolist(), int(self.rng.integers(-128, 128))]
        await self.cycle(0, fed[0, 0], **{**self.junk(), "use": 0, "east": fed[0, 0]}, go=1)
        for n, value in enumerate(expected):
            paused = 0
            while self.rng.random() < pause:
                inputs = self.junk()
                await self.cycle(0, seen[n, 0], **inputs, go=0)
                self.hit("use without go", inputs["use"])
                paused += 1
            self.hit("a pause of several cycles", paused > 2)
            await self.cycle(value, east[n], go=1, east=east[n], others=seen[n, 1:], use=use[n], select=select[n])
            self.cover(use[n], select[n], seen[n])

    def cover(self, use, select, seen):
        self.hit("go without use", not use)
        self.hit("select beyond the taps without use", not use and select >= self.config.taps)
        if use:
            self.reached.add(int(select))
            if seen[select] in (-128, 127):
                self.extremes.add((int(select), int(seen[select])))
        self.hit("every tap", len(self.reached) == self.config.taps)
        self.hit("every tap with the least and the greatest value", len(self.extremes) == 2 * self.config.taps)

    def controls(self, cycles, use=0.8):
        """Random ``use`` and ``select``, which is beyond the taps without ``use`` at most."""
        use = self.rng.random(cycles) < use
        return use, np.where(use, self.rng.integers(self.config.taps, size=cycles),
                             self.rng.integers(1 << self.config.select_bits, size=cycles))

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)


@cocotb.test()
@cocotb.parametrize(pause=[0.0, 0.3, 0.8])
async def random_values(dut, pause):
    """Random choices out of random values and corners, with pauses."""
    h = Harness(dut)
    await h.start()
    for _ in range(8):
        await h.run(h.values(60), *h.controls(60), pause)


@cocotb.test()
async def full_rate(dut):
    """A value and a choice a cycle, every tap: the cycle after it, the operand is there; so is the value, to the west.

    The harness compares the outputs of every cycle with those of the cycle before's inputs: latency 1.
    """
    h = Harness(dut)
    await h.start()
    cycles = 4 * h.config.taps
    began = h.bench.cycle
    await h.run(h.values(cycles), np.ones(cycles, bool), np.resize(np.arange(h.config.taps), cycles))
    assert h.bench.cycle - began == cycles + 1, f"{cycles} values took {h.bench.cycle - began} cycles"


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment: the operand is zero, what was registered is passed on, work goes on after it."""
    h = Harness(dut)
    await h.start()
    for _ in range(20):
        cycles = int(h.rng.integers(1, 20))
        await h.run(h.values(cycles), *h.controls(cycles), 0.2)
        await h.run(np.full((1, h.config.alpha + 1), 127), [True], [0])
        # The register goes on to take what comes; an operand other than zero is on its way.
        dut.go.value, dut.used.value, dut.select.value, dut.east.value = 1, 1, h.config.taps - 1, 77
        dut.others.value = pack_lanes(np.full(h.config.taps - 1, 55), h.config.activation_bits)
        await h.bench.reset(1)
        await FallingEdge(dut.clk)
        assert dut.operand.value == 0 and dut.west.value == 77, "operand or west after reset"
        coverage.hit("reset in mid-work")


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("swap_register", POINTS, [simulate("swap_register", preset="small", seed=1),
                                    simulate("swap_register", preset="fpga", seed=2),
                                    simulate("swap_register", preset="paper", seed=3)]).check()


@pytest.mark.parametrize("alpha, depth", [(0, 2), (0, 5), (1, 1), (3, 1), (7, 3), (15, 1)])
def test_bit_exact(alpha, depth):
    simulate("swap_register", preset="small", overrides=dict(alpha=alpha, depth=depth), seed=alpha)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="operand, west: expected"):
        simulate("swap_register", preset="small", options={"corrupt": 1}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="every tap"):
        Coverage("swap_register", POINTS).check()


@pytest.mark.parametrize("field, values", [
    ("alpha", dict(alpha=2)), ("alpha", dict(alpha=31)), ("depth", dict(depth=0)), ("depth", dict(depth=17)),
    ("depth", dict(alpha=0, depth=1)), ("activation_bits", dict(activation_bits=4)),
])
def test_config_refuses(field, values):
    with pytest.raises(ConfigError, match=f"^{field} ="):
        SwapRegisterConfig(**values)
