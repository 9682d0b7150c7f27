"""What the accelerator's tests share: a program on the simulated machine, its DRAM compared with the golden model's."""

import dataclasses

import numpy as np

from golden.duet.command import Command, CopyOp, Engine, WorkOp
from golden.duet.cycles import CycleModel
from golden.duet.duet_accelerator import DuetAccelerator
from golden.duet.engine_registers import ENTRIES, REGISTERS
from golden.duet.works import Recorder
from hw.duet.accelerator_config import DuetAcceleratorConfig
from resilin.duet_bench import AcceleratorDriver
from resilin.duet_machine import machine_timing, sizes_of
from sim.coverage import Coverage
from sim.stream import StallProfile

POINTS = [
    *(f"{engine.name} {op}" for engine, ops in {
        Engine.DMA: ("LOAD", "LOAD with map", "STORE", "STORE map", "FETCH", "FETCH all", "FETCH none"),
        Engine.SPEC: ("CONFIG", "FILL", "TILE", "GATE"), Engine.EXEC: ("CONFIG", "TILE", "GATE", "GATE all"),
        Engine.CELL: ("CONFIG", "UPDATE")}.items() for op in ops),
    *(f"{engine.name} load table of {ENTRIES} entries" for engine in (Engine.SPEC, Engine.EXEC)),
    "tiles of a few outputs", "engines side by side", "reset in mid-work", "a command waits for a token",
    "a counter of tokens is full", "stalls",
]
#: Address of the register of EXEC that says which outputs a tile has.
TILE_MASK = 0x800F
coverage = Coverage("duet_accelerator", POINTS)


def fields(command):
    """A golden command as the driver takes it."""
    return {**dataclasses.asdict(command), "engine": int(command.engine)}


class Harness(AcceleratorDriver):
    """Runs programs and compares the whole DRAM with what the golden model leaves there."""

    def __init__(self, dut):
        super().__init__(dut)
        self.config = DuetAcceleratorConfig.from_dict(self.ctx.config)
        self.sizes = sizes_of(self.config)
        self.rng = self.ctx.rng
        shape = self.sizes.lines, self.sizes.line_words
        self._before = np.zeros(shape, np.int64), np.zeros((self.sizes.map_lines, shape[1]), bool)

    async def begin(self, stall=None):
        """Clock and reset; ``stall``: share of cycles in which each stream pauses."""
        if stall:
            coverage.hit("stalls")
        await self.start(np.zeros((self.sizes.lines, self.sizes.line_words), np.int64),
                         (lambda: StallProfile.random(stall, self.ctx.random)) if stall else None)
        # A program need not write all that it stores: the memory begins as the model's does.
        await self.run([fields(Command(Engine.DMA, CopyOp.LOAD, c=self.sizes.map_lines, flags=1)),
                        fields(Command(Engine.DMA, CopyOp.LOAD, c=self.sizes.lines))])

    async def program(self, program):
        """Run a program; an ``AssertionError`` names the first differing line. Returns the cycles and the model."""
        golden = DuetAccelerator(program.sizes, program.dram)
        golden.data[:], golden.maps[:] = self._before
        golden.run(program.commands)
        self._before = golden.data.copy(), golden.maps.copy()
        self.dram.lines = np.array(program.dram, np.int64)
        cycles = await self.run([fields(command) for command in program.commands])
        expected = golden.dram.copy()
        if self.ctx.options.get("corrupt"):
            first, _ = next(iter(program.results.values()))
            expected[first, 0] ^= 1
        differs = np.flatnonzero((self.dram.lines != expected).any(axis=1))
        assert not len(differs), (
            f"{len(differs)} lines of the DRAM differ, first line {differs[0]}: expected {expected[differs[0]]}, got "
            f"{self.dram.lines[differs[0]]}")
        self.cover(program.commands)
        return cycles, golden

    async def timed(self, program):
        """Run a program; an ``AssertionError`` where a command does not end in the cycle that the model says.

        The model counts from the transfer of the first command, the bench from when it was queued.
        """
        recorder = Recorder(program.sizes, program.dram)
        recorder.run(program.commands)
        model = CycleModel(machine_timing(self.config), program.commands, recorder.works)
        expected, cycles = model.ends, max(map(max, filter(None, model.ends)))
        told = {"busy": int(model.timeline.issuing(cycles).sum()), "drain": int(model.timeline.draining(cycles).sum()),
                "macs": recorder.macs}
        await self.bench.cycles(20)  # nothing of the program before is under way
        before, start, counted = [len(ends) for ends in self.ends], self.bench.cycle, self.counters()
        await self.program(program)
        await self.bench.cycles(4)  # counters are late
        after = self.counters()
        for name, count in told.items():
            got = after[f"executor.{name}"] - counted[f"executor.{name}"]
            assert got == count, f"the counter {name} grew by {got}, not by {count}"
        offset = 4 if self.ctx.options.get("late") else 3
        for engine, ends, skip, model in zip(Engine, self.ends, before, expected):
            got = np.array(ends[skip:]) - start - offset
            differs = np.flatnonzero(got != model)
            if len(differs):
                command = [command for command in program.commands if command.engine == engine][differs[0]]
                raise AssertionError(f"{command} ends in cycle {got[differs[0]]}, not in {model[differs[0]]}")

    async def part(self, program, cycles):
        """Begin a program, and reset after ``cycles``."""
        self.dram.lines = np.array(program.dram, np.int64)
        for command in program.commands:
            self.commands.put(fields(command))
        await self.bench.cycles(cycles)
        await self.reset()
        coverage.hit("reset in mid-work")

    def cover(self, commands):
        """Count the cover points that a program reaches."""
        for command in commands:
            name = {Engine.DMA: ("LOAD", "STORE", "FETCH"), Engine.CELL: ("CONFIG", "UPDATE")}.get(
                command.engine, [op.name for op in WorkOp])[command.op]
            flag = command.flags & 1
            if command.engine == Engine.DMA and flag:
                name += {"LOAD": " with map", "STORE": " map", "FETCH": " all"}[name]
            if command.engine == Engine.EXEC and name == "GATE" and flag:
                name += " all"
            coverage.hit(f"{command.engine.name} {name}")
            coverage.hit("tiles of a few outputs", (command.engine, command.op, command.b) == (
                Engine.EXEC, WorkOp.CONFIG, TILE_MASK) and command.a + 1 != 1 << self.sizes.segment)
            if name == "CONFIG" and command.engine in REGISTERS and (command.b, command.a) == (
                    REGISTERS[command.engine]["entries"], ENTRIES):
                coverage.hit(f"{command.engine.name} load table of {ENTRIES} entries")
            coverage.hit("a command waits for a token", command.wait != 0)
        coverage.hit("engines side by side", len({command.engine for command in commands}) > 1)
