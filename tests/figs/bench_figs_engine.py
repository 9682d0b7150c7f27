"""What the engine's tests share: a harness that loads programs, runs passes and compares sums and errors."""

import dataclasses

import numpy as np

from golden.figs import figs_engine
from golden.figs.compiler import compile_matrix
from golden.figs.errors import Error
from golden.figs.figs_engine import Command
from golden.figs.matmul import plan
from golden.figs.patterns import RATIOS, Pattern, magnitude_mask
from golden.figs.sizes import Sizes
from hw.figs.figs_engine import FigsEngineConfig
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.lanes import pack_lanes
from sim.scoreboard import Scoreboard
from sim.timed import TimedDriver, TimedMonitor

POINTS = [
    *(f"ratio {ratio}" for ratio in RATIOS), *(f"error {error.name}" for error in Error),
    "rows of a unit differ", "a beat held", "rows exchanged", "a tail without beats", "one cycle",
    "word with spare slots", "last word of the memory", "no pause between passes", "activations late", "sums not taken",
    "greatest sum", "least sum", "program rewritten", "errors cleared", "reset in mid-work",
    "program written while passes run", "error while cleared",
]
coverage = Coverage("figs_engine", POINTS)


@dataclasses.dataclass
class Layer:
    """A random layer: ``weights`` (outputs, inputs) of ``ratio``, ``x`` (inputs, batch)."""

    ratio: Pattern
    weights: np.ndarray
    x: np.ndarray


class Harness:
    """Loads words, gives commands and activations, compares every word of sums; errors at the end of a job."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.rng
        self.config = FigsEngineConfig.from_dict(self.ctx.config)
        self.sizes = Sizes.of(self.config)
        self.corrupt = self.ctx.options.get("corrupt")
        self.errors = Error(0)

    async def start(self, stall=lambda: None):
        """Clock, reset, drivers, monitor; ``stall`` makes a stall profile for each stream but the program's."""
        self.bench = await start(self.dut, timeout=3000)
        layout = self.ctx.layout
        self.board = Scoreboard("results", lanes=self.config.sum_bits, bench=self.bench)
        self.program = TimedDriver(self.dut, "program", layout=layout("program"))
        self.commands = TimedDriver(self.dut, "commands", layout=layout("commands"), stall=stall())
        self.activations = TimedDriver(self.dut, "activations", stall=stall())
        self.monitor = TimedMonitor(self.dut, "results", stall=stall(), callback=self.board.check)

    def layer(self, ratio=None, shared=None, tiles=None):
        """A random layer of one to three tiles of outputs and of batch."""
        rng, sizes = self.rng, self.sizes
        ratio = ratio or RATIOS[rng.integers(len(RATIOS))]
        group = sizes.group(ratio)
        outputs = int(rng.integers(1, 2 * sizes.tile_outputs(group) + 1)) if tiles is None else \
            tiles * sizes.tile_outputs(group)
        room = sizes.words * sizes.slots // group // sizes.rows
        inputs = int(rng.integers(1, min(40, room) * max(1, group // 2) + 1))
        shared = bool(rng.integers(2)) if shared is None else shared
        strength = rng.random((outputs, inputs))
        if shared:
            strength = strength[np.arange(outputs) // sizes.beta]
        low, high = -(1 << sizes.weight_bits - 1), (1 << sizes.weight_bits - 1) - 1
        weights = rng.integers(low, high + 1, (outputs, inputs))
        weights[weights == 0] = 1
        self.hit("rows of a unit differ", sizes.beta > 1 and not shared and outputs > 1 and ratio.n < ratio.m)
        batch = int(rng.integers(1, 2 * sizes.tile_batch(group) + 1))
        return Layer(ratio, weights * magnitude_mask(strength, ratio), rng.integers(-128, 128, (inputs, batch)))

    async def run_layer(self, layer):
        """Compile a layer, run its passes; the sums are the product itself."""
        sizes = self.sizes
        compiled = compile_matrix(sizes, layer.weights, layer.ratio)
        self.hit(f"ratio {layer.ratio}")
        for tile in compiled.tiles:
            program = tile.program
            self.hit("a beat held", (~program.advance[:-1]).any() and program.advance[-1])
            self.hit("a tail without beats", not program.advance[-1])
            self.hit("rows exchanged", program.exchange is not None and program.exchange.any())
        for job in plan(compiled, layer.x, sizes):
            await self.run(job.memory, job.commands, job.beats)

    async def run(self, memory, commands, beats, base=0, wait=True, load=True):
        """Load ``memory`` from word ``base`` on, run ``commands`` (of words from 0 on) over ``beats``."""
        sizes = self.sizes
        result = figs_engine.run(sizes, memory, commands, beats)
        if load:
            await self.program.send_many({"address": base + index, "word": word} for index, word in enumerate(memory))
        self.hit("program rewritten", self.commands.times and base == 0)
        for command in map(Command._make, commands):
            self.commands.put({"base": base + command.base, "cycles": command.cycles, "group": command.group})
            self.hit("one cycle", command.cycles == 1)
            self.hit("word with spare slots", command.cycles << command.group & sizes.slots - 1)
            used = base + command.base + -(-(command.cycles << command.group) // sizes.slots)
            self.hit("last word of the memory", used == sizes.words)
        self.activations.put_many(pack_lanes(beat, sizes.activation_bits) for beat in beats)
        sums = result.y.copy()
        if self.corrupt == "sum" and len(sums):
            sums[-1, -1] += 1
        self.board.expect_many(pack_lanes(row, sizes.sum_bits) for row in sums)
        self.errors |= result.errors
        if self.corrupt == "error":
            self.errors ^= Error.START
        if wait:
            await self.settle()
        return result

    async def settle(self):
        """Wait until every expected word has come and every command is taken."""
        while self.board.pending() or not self.commands.idle():
            await self.bench.cycles(1)
        await self.bench.cycles(4)
        assert self.activations.idle(), "activations that the commands ask for were not taken"
        assert int(self.dut.errors.value) == self.errors, \
            f"errors = {Error(int(self.dut.errors.value))!r}, expected {self.errors!r}"
        for error in self.errors:
            coverage.hit(f"error {error.name}")

    async def clear(self):
        """Clear the error bits."""
        self.hit("errors cleared", self.errors)
        self.dut.clear_errors.value = 1
        await self.bench.cycles(1)
        self.dut.clear_errors.value = 0
        self.errors = Error(0)
        await self.bench.cycles(2)
        assert int(self.dut.errors.value) == 0, "errors are not cleared"

    def random_program(self, passes, words=None, cycles=None):
        """Words of random bits, legal and illegal commands for them, and the beats they take."""
        rng, sizes = self.rng, self.sizes
        words = words or int(rng.integers(1, sizes.words // 2 + 1))
        memory = [int.from_bytes(rng.bytes(-(-sizes.word_bits // 8)), "little") & (1 << sizes.word_bits) - 1
                  for _ in range(words)]
        commands = []
        for _ in range(passes):
            group = int(rng.integers(sizes.slots.bit_length()))
            first = int(rng.integers(words))
            room = (words - first) * sizes.slots >> group
            commands.append(Command(first, cycles or int(rng.integers(1, room + 1)), group))
        return memory, commands, rng.integers(-128, 128, (sum(command.cycles for command in commands),
                                                          sizes.beat_values))

    async def reset(self):
        """A reset: what was under way is gone."""
        await self.bench.reset(1)
        self.board.reset()
        self.errors = Error(0)
        coverage.hit("reset in mid-work")

    async def finish(self):
        await self.settle()
        await self.bench.finish()

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)
