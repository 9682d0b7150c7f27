"""What the cycles of a program depend on: the work that its values make, recorded from a golden run."""

import dataclasses

import numpy as np

from golden.duet.command import CopyOp, Engine, WorkOp
from golden.duet.duet_accelerator import DuetAccelerator
from golden.duet.engine_registers import FIRST_REGISTER
from golden.duet.execution_engine import ExecutionEngine
from golden.duet.executor_pe import SLOTS, tag_counts
from golden.duet.speculator import Layer
from golden.duet.speculator_mfu import Function

__all__ = ["CellWork", "CopyWork", "ExecWork", "Recorder", "SpecWork", "StepWork"]


@dataclasses.dataclass(frozen=True, eq=False)
class StepWork:
    """A step: ``rows`` with an ``OMAP``, ``active`` ones whose map is not zero, ``counts`` (chunks, R, C) of tagged
    instructions, ``outputs`` that any row has to compute."""

    rows: int
    active: int
    counts: np.ndarray
    outputs: int


@dataclasses.dataclass(frozen=True, eq=False)
class ExecWork:
    """A tile or a gate: its steps; of each line of inputs in a chunk whether it is ``inside`` of the image; lines of a
    row's weights in a chunk; whether its map is fetched, its order, and whether sigmoid or tanh follows."""

    steps: list
    inside: tuple
    weight_lines: int
    mapped: bool
    ordered: bool
    curved: bool

    @property
    def inputs(self):
        """Lines of inputs in a chunk."""
        return len(self.inside)


@dataclasses.dataclass(frozen=True, eq=False)
class SpecWork:
    """A tile or a gate: of each line sent whether it is ``inside`` of the image (none: projected before), ``n``
    channels, the ``layer``; ``fresh``: the first job after the Speculator was configured."""

    inside: tuple
    n: int
    layer: Layer
    fresh: bool


@dataclasses.dataclass(frozen=True, eq=False)
class CopyWork:
    """A ``FETCH``: the rows that are chosen."""

    rows: int


@dataclasses.dataclass(frozen=True, eq=False)
class CellWork:
    """An ``UPDATE``: segments of the state, and results written of each (2 for an LSTM, 1 for a GRU)."""

    segments: int
    results: int


class _RecordingExecution(ExecutionEngine):
    def run(self, command):
        self.steps = []
        super().run(command)

    def _step(self, channels, omaps, inputs, weight_lines, parity):
        imaps, buffer = [], np.zeros((self._sizes.cols, SLOTS, self._sizes.segment), bool)

        def recorded(chunk):
            for item in inputs(chunk):
                bits = np.zeros(buffer.size // SLOTS, bool) if item.map is None else item.map
                buffer[:, item.slot, item.mask] = bits.reshape(self._sizes.cols, -1)[:, item.mask]
                yield item
            imaps.append(buffer.reshape(self._sizes.cols, -1).copy())

        results = super()._step(channels, omaps, recorded, weight_lines, parity)
        configuration = self.executor.configuration()
        rows = np.zeros((self._sizes.executor.rows, self._sizes.segment), bool)
        rows[:len(omaps)] = omaps
        used = imaps or [buffer.reshape(self._sizes.cols, -1)]
        counts = [tag_counts(configuration.program, rows[:, None],
                             imap if configuration.use_imap else np.ones_like(imap)) for imap in used]
        self.steps.append(StepWork(len(channels), int(rows.any(axis=1).sum()), np.array(counts),
                                   int(rows.any(axis=0).sum())))
        return results


class Recorder(DuetAccelerator):
    """A golden accelerator that remembers ``works``: number of a command -> its work (none for loads and the like)."""

    def __init__(self, sizes, dram):
        super().__init__(sizes, dram)
        self._engines[Engine.EXEC] = _RecordingExecution(sizes, self._memory)
        self.works, self._fresh = {}, True

    def _carry_out(self, number, command, order):
        before = self.moved[CopyOp.FETCH]
        super()._carry_out(number, command, order)
        engine = self._engines[command.engine]
        if command.engine == Engine.DMA and command.op == CopyOp.FETCH:
            self.works[number] = CopyWork((self.moved[CopyOp.FETCH] - before) // (command.flags >> 1))
        elif command.engine == Engine.CELL and command.op:
            self.works[number] = CellWork(engine._register("segments"), 2 - engine._register("cell"))
        elif command.engine == Engine.EXEC and command.op != WorkOp.CONFIG:
            registers, tile = engine._registers, command.op == WorkOp.TILE
            function = Function(engine.executor.configuration().function)
            inside = _inside(registers, command) if tile else (True,) * registers["chunk_groups"]
            self.works[number] = ExecWork(
                engine.steps, inside, registers["weight_lines"], bool(tile and registers["use_map"]),
                bool(tile and registers["use_order"]), function in (Function.SIGMOID, Function.TANH))
        elif command.engine == Engine.SPEC and command.op == WorkOp.CONFIG:
            self._fresh |= command.b < FIRST_REGISTER
        elif command.engine == Engine.SPEC and command.op != WorkOp.FILL:
            registers, tile = engine._registers, command.op == WorkOp.TILE
            inside = ()
            if registers["project"]:
                inside = (_inside(registers, command) * engine._layer.groups if tile
                          else (True,) * registers["vector_lines"])
            self.works[number] = SpecWork(inside, registers["n"], engine._layer, self._fresh)
            self._fresh = False


def _inside(registers, command):
    """Of each line that a tile loads of a group whether it is inside of the image."""
    return tuple(load.line is not None for load in registers.loads(command.b, command.c))
