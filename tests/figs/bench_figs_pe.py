"""What the tests of FiGS' element share: a harness that drives passes and compares its outputs in every cycle."""

import collections
import dataclasses
from types import SimpleNamespace

import numpy as np
from cocotb.triggers import FallingEdge

from golden.figs import figs_pe
from golden.figs.sizes import Sizes
from golden.figs.swap_register import taps
from hw.figs.figs_pe import FigsPeConfig
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.lanes import pack_lanes

POINTS = ["pass of one cycle", "every tap", "a cycle without use", "a pause in a pass", "sums of a part of a pass",
          "sums of a whole pass", "a whole pass captured as the next one begins", "results shifted", "results kept",
          "capture and shift", "passes without a cycle between them", "greatest product", "least product",
          "a sum that wraps", "reset in mid-work"]
coverage = Coverage("figs_pe", POINTS)


@dataclasses.dataclass
class Pass:
    """``fed`` (cycles, alpha + 1) to the element's row and those beside it; ``use``, ``select`` (cycles,), ``weights``
    (cycles, beta)."""

    fed: np.ndarray
    use: np.ndarray
    select: np.ndarray
    weights: np.ndarray


class Harness:
    """Drives one element. ``capture`` and ``shift``: how often, besides the capture after each pass.

    Works at falling edges: what it reads are the outputs of the cycle whose inputs it sets.
    """

    def __init__(self, dut, capture=0.3, shift=0.5):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.rng
        self.config = config = FigsPeConfig.from_dict(self.ctx.config)
        self.sizes = Sizes.of(SimpleNamespace(rows=config.alpha + 1, columns=1, groups=1, **config.to_dict()))
        self.corrupt = self.ctx.options.get("corrupt", 0)
        self.capture, self.shift = capture, shift
        self.reached, self.captured = set(), 0
        # What the units have summed up in this cycle and in the next one, as (pass, cycles of it); None: not known.
        self.sums = collections.deque([None, None])
        self.first, self.west, self.results, self.taken = 0, None, None, None

    async def start(self):
        self.bench = await start(self.dut, timeout=None)
        await FallingEdge(self.dut.clk)

    def random_pass(self, cycles=None, use=0.8):
        """A pass whose choices are legal: of values that were fed in it."""
        config, rng = self.config, self.rng
        cycles = cycles or int(rng.choice([1, 2, rng.integers(1, 20)]))
        back = rng.integers(np.minimum(np.arange(cycles) + 1, config.depth))
        low, high = -(1 << config.weight_bits - 1), (1 << config.weight_bits - 1)
        weights = rng.integers(low, high, (cycles, config.beta))
        if rng.random() < 0.3:
            weights = rng.choice([low, -1, 0, 1, high - 1], weights.shape)
        return Pass(rng.integers(-128, 128, (cycles, config.alpha + 1)), rng.random(cycles) < use,
                    back * (config.alpha + 1) + rng.integers(config.alpha + 1, size=cycles), weights)

    def golden(self, work, cycles):
        """The sums of the first ``cycles`` of a pass, as a word."""
        seen = taps(work.fed, self.config.alpha, self.config.depth)[:cycles, 0]
        sums, errors = figs_pe.run(self.sizes, seen, work.use[:cycles], work.select[:cycles], work.weights[:cycles])
        assert not errors
        return pack_lanes(sums, self.config.sum_bits)

    async def cycle(self, done, *, go, east, others, use, select, weights, reset=False):
        """A clock cycle with these inputs; ``done``: what the sums have when its products have reached them.

        Sums of a whole pass are captured as soon as they are there.
        """
        config, dut = self.config, self.dut
        dut.go.value, dut.used.value, dut.select.value = int(go), int(use), int(select)
        dut.east.value = pack_lanes([east], config.activation_bits)
        dut.others.value = pack_lanes(others, config.activation_bits)
        dut.weights.value = pack_lanes(weights, config.weight_bits)
        dut.first.value = self.first
        self.leave()
        self.west = int(east) if go else self.west
        self.first = int(done is not self.sums[1] and done[1] == 1)
        self.sums.popleft()
        self.sums.append(done)
        if reset:
            await self.bench.reset(1)
        await FallingEdge(dut.clk)
        self.compare()

    def leave(self):
        """Capture, shift, both or neither."""
        config, dut, rng, sums = self.config, self.dut, self.rng, self.sums[0]
        whole = sums is not None and sums[1] == len(sums[0].use)
        capture = whole and sums is not self.taken or sums is not None and rng.random() < self.capture
        shift = rng.random() < self.shift
        above = self.ctx.random.getrandbits(config.beta * config.sum_bits)
        dut.capture.value, dut.shift.value, dut.above.value = int(capture), int(shift), above
        if capture:
            self.results, self.taken = self.golden(*sums) ^ self.corrupt, sums
            self.captured += 1
            self.hit("sums of a whole pass" if whole else "sums of a part of a pass")
            self.hit("a whole pass captured as the next one begins", whole and self.first)
            self.hit("capture and shift", shift)
        elif shift:
            self.results = above
            self.hit("results shifted")
        else:
            self.hit("results kept", self.results is not None)

    def compare(self):
        """The outputs of this cycle, where they are known."""
        got = self.dut.west.value.to_signed()
        assert got == self.west, f"west: expected {self.west}, got {got}"
        if self.results is not None:
            got = int(self.dut.results.value)
            assert got == self.results, f"results: expected {self.results:#x}, got {got:#x}"

    def junk(self):
        """Inputs that mean nothing in a pause."""
        config, rng = self.config, self.rng
        half = 1 << config.weight_bits - 1
        return dict(east=rng.integers(-128, 128), others=rng.integers(-128, 128, config.taps - 1), use=rng.integers(2),
                    select=rng.integers(config.taps), weights=rng.integers(-half, half, config.beta))

    async def run(self, *works, pause=0.0, resets=0.0):
        """Passes, after a cycle in which the first value of the first one comes.

        ``pause`` and ``resets``: how likely one of these is before a cycle. A cycle in reset is a pause, too: the
        register takes what it has again, and the operand is zero though one is asked for.
        """
        await self.cycle(self.sums[1], **{**self.junk(), "use": 0, "east": works[0].fed[0, 0]}, go=1)
        for index, work in enumerate(works):
            self.hit("pass of one cycle", len(work.use) == 1)
            self.hit("passes without a cycle between them", index)
            following = works[index + 1].fed[0, 0] if index + 1 < len(works) else self.rng.integers(-128, 128)
            east = [*work.fed[1:, 0], following]
            seen = taps(work.fed, self.config.alpha, self.config.depth)[:, 0]
            for n, used in enumerate(work.use):
                while self.rng.random() < pause:
                    await self.cycle(self.sums[1], **self.junk(), go=0)
                    self.hit("a pause in a pass", n)
                while self.rng.random() < resets:
                    inputs = {**self.junk(), "use": 1, "east": work.fed[n, 0]}
                    await self.cycle(self.sums[1], **inputs, go=1, reset=True)
                    self.hit("reset in mid-work", n)
                await self.cycle((work, n + 1), go=1, east=east[n], others=seen[n, 1:], use=used,
                                 select=work.select[n], weights=work.weights[n])
                self.hit("a cycle without use", not used)
                self.reached |= {int(work.select[n])} if used else set()
        self.hit("every tap", len(self.reached) == self.config.taps)

    async def finish(self):
        """Two cycles more, for the sums of the last pass."""
        for _ in range(2):
            await self.cycle(self.sums[1], **self.junk(), go=0)

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)
