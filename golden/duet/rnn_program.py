"""Recurrent cells over a number of steps as a program of the DUET accelerator.

A cell's vector is [x, h], each from the beginning of a segment, twice in the GlobalBuffer: one for this step, one for
the next. Weights are read from the DRAM at each step: the rows of a block of neurons into one of two places, while the
Executor computes the block before. In mode DUET the Speculator runs ahead by gates: while the rows that gate g needs
are fetched and computed, it works on gate g + 1 (thesis 5.2.2). Gates without speculation come first: nothing has to be
known for their rows. Then the CellUnit makes h of the next step. Cells run one after another.

Biases that have no room in the Executor are written again, which takes as long as computing a gate; so the order of the
gates turns round with each step.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import check_range
from golden.duet.allocation import Item, allocate
from golden.duet.cell_engine import REGISTERS as CELL_REGISTERS
from golden.duet.cell_unit import Cell
from golden.duet.command import CellOp, Command, CopyOp, Engine, WorkOp
from golden.duet.layer import GateLayer
from golden.duet.layer_commands import ConfigWriter, exec_gate_words, fills, job_words, register_words
from golden.duet.layer_parameters import QuantizedLayer
from golden.duet.layout import pack_vector, unpack_vector
from golden.duet.mapping import GateMapping, map_gate
from golden.duet.mode import Mode
from golden.duet.program import DramImage, Program, Queues, configure
from golden.duet.rnn_cell import FUNCTIONS, RnnCell
from golden.duet.speculator_mapping import layer_words, map_gate_speculation

__all__ = ["RnnProgram", "rnn_program"]

_SOURCES = {Cell.LSTM: ("i", "f", "g", "o", "c"), Cell.GRU: ("h", "r", "nx", "z", "nh")}
_DMA, _SPEC, _EXEC, _CELL = (1 << engine for engine in Engine)
_LINE_CYCLES = 8  # of the DRAM, about
_CONFIG_CYCLES = 3
_ROW_LINES = 127  # of a neuron, at most


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RnnProgram(Program):
    """``results``: "h[k]" of cell k, lines of each step; "c[k]" of an LSTM: the last c."""

    cells: tuple[RnnCell, ...]

    def states(self, dram, cell):
        """h of each step, INT16 (steps, width)."""
        words, begin = self.sizes.line_words, _vector_begin(self.cells[cell], self.sizes) % self.sizes.line_words
        width = self.cells[cell].width
        lines = self.result(dram, f"h[{cell}]").reshape(-1, -(-(begin + width) // words), words)
        return unpack_vector(lines, begin + width)[:, begin:]

    def last_c(self, dram, cell):
        """The last state c of an LSTM, INT16 (width,)."""
        return unpack_vector(self.result(dram, f"c[{cell}]"), self.cells[cell].width)


def rnn_program(cells, inputs, sizes, mode, *, states=None):
    """The :class:`RnnProgram` of ``cells`` (of :class:`RnnCell`) for their ``inputs``, INT16 (steps, inputs) each.

    ``sizes``: ``AcceleratorSizes``; ``mode``: BASE or DUET. ``states``: for each cell h (width,), INT16, and for an
    LSTM c (width,), before the first step; zeros where not given. Raises ``ValueError`` for what the machine cannot
    run.
    """
    if mode not in (Mode.BASE, Mode.DUET):
        raise ValueError(f"mode = {mode.name} is not allowed: it must be BASE or DUET")
    if not cells or len(inputs) != len(cells) or states is not None and len(states) != len(cells):
        raise ValueError("cells, inputs and states must be of the same number, at least one")
    dram, queues, results, items = DramImage(sizes.line_words), Queues(sizes.queue_depth), {}, []
    builders = [_Builder(number, cell, x, sizes, mode, dram) for number, (cell, x) in enumerate(zip(cells, inputs))]
    for builder in builders:
        items += builder.items()
    place = allocate(items, sizes.lines, "the GlobalBuffer")
    writers = {engine: ConfigWriter(engine) for engine in (Engine.SPEC, Engine.EXEC, Engine.CELL)}
    for number, builder in enumerate(builders):
        state = (0, 0) if states is None else states[number]
        results |= builder.build(queues, writers, place, state)
    return RnnProgram(sizes=sizes, commands=queues.merge(), dram=dram.image(), results=results, cells=tuple(cells))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Gate:
    """A gate as it is run: its vector begins at line ``vector`` of the cell's; its rows are at line ``rows`` of the
    DRAM; its neuron 0 is neuron ``first`` of the machine; ``job`` of the Speculator, None where it is accurate."""

    mapping: GateMapping
    parameters: QuantizedLayer
    vector: int
    rows: int
    first: int
    lines: int
    job: object

    @property
    def row_lines(self):
        return self.mapping.chunks * self.mapping.weight_lines


class _Builder:
    """Of one cell."""

    def __init__(self, number, cell, inputs, sizes, mode, dram):
        self.number, self.cell, self.sizes, self.dram = number, cell, sizes, dram
        self.inputs = check_range("inputs", inputs, 16)
        if self.inputs.ndim != 2 or self.inputs.shape[1] != cell.inputs or not len(self.inputs):
            raise ValueError(f"inputs of cell {number} have shape {self.inputs.shape}: it must be (steps, "
                             f"{cell.inputs})")
        words = sizes.line_words
        self.begin = _vector_begin(cell, sizes)
        self.vector_lines = -(-(self.begin + cell.width) // words)
        self.gate_lines = -(-cell.width // words)
        names = list(FUNCTIONS[cell.kind])
        self.speculation, jobs = None, {}
        if mode.speculates:
            speculated = [name for name in names if cell.gates[name].speculation is not None]
            names = [name for name in names if name not in speculated] + speculated
            if speculated:
                self.speculation = map_gate_speculation([self._spread(cell.gates[name].speculation)
                                                         for name in speculated], sizes)
                jobs = dict(zip(speculated, self.speculation.gates))
        # Biases of as many gates as the Executor has room for are written once; the others share the last place.
        neurons = self.gate_lines * words
        places = max(1, sizes.executor.max_channels // neurons)
        self.gates = {name: self._gate(name, neurons * min(k, places - 1), k, jobs.get(name))
                      for k, name in enumerate(names)}
        self.region_lines = min(words, cell.width) * max(gate.row_lines for gate in self.gates.values())
        if len(names) * self.gate_lines > sizes.map_lines:
            raise ValueError(f"the map memory has {sizes.map_lines} lines, too few: cell {number} needs "
                             f"{len(names) * self.gate_lines}")

    def items(self):
        """What the cell has in the GlobalBuffer."""
        begin, run = 2 * self.number, 2 * self.number + 1
        for name, count in (("vectors", 2 * self.vector_lines), ("gates", len(self.gates) * self.gate_lines),
                            ("c", self.gate_lines if self.cell.kind == Cell.LSTM else 0)):
            yield Item(f"{name}[{self.number}]", count, begin, run)
        yield Item(f"weights[{self.number}]", 2 * self.region_lines, run, run)
        if self.speculation:
            yield Item(f"speculator[{self.number}]", sum(len(lines) for lines in self._buffers()), begin, begin)

    def build(self, queues, writers, place, state):
        """Add the commands. Returns where the results are: name -> (line, lines)."""
        self.queues, self.writers = queues, writers
        self.place = {name: place.get(f"{name}[{self.number}]") for name in ("vectors", "gates", "c", "weights",
                                                                            "speculator")}
        steps, h_lines = len(self.inputs), self.vector_lines - self.begin // self.sizes.line_words
        results = {f"h[{self.number}]": (self.dram.reserve(steps * h_lines), steps * h_lines)}
        if self.cell.kind == Cell.LSTM:
            results[f"c[{self.number}]"] = self.dram.reserve(self.gate_lines), self.gate_lines
        self.h_result, self.h_lines = results[f"h[{self.number}]"][0], h_lines
        self._begin(state)
        fetches = [(step, name, block) for step in range(steps) for name in self._order(step)
                   for block in range(self.gate_lines)]
        ahead = self._fetches_ahead()
        for step in range(steps):
            own = [number for number, fetch in enumerate(fetches) if fetch[0] == step]
            for number in own[:ahead]:
                self._fetch(number, fetches)
            self._move_states(step)
            for number in own[ahead:]:
                self._fetch(number, fetches)
            self._speculate(step)
            for number in own:
                self._execute(number, fetches)
            self._update(step)
        self._move_states(steps)
        if self.cell.kind == Cell.LSTM:
            line, count = results[f"c[{self.number}]"]
            self._copy(CopyOp.STORE, line, self.place["c"], count)
        return results

    def _order(self, step):
        """Names of the gates as they are run: accurate ones first, and in every other step backwards, so that a step
        begins with the biases that the one before ended with."""
        turn = 1 if step % 2 == 0 else -1
        return [name for accurate in (True, False)
                for name in [name for name, gate in self.gates.items() if (gate.job is None) == accurate][::turn]]

    def _gate(self, name, first, k, job):
        cell, words = self.cell, self.sizes.line_words
        parameters = cell.gates[name].parameters
        vector = self.begin // words if name == "nh" else 0
        weights = parameters.weights
        if name != "nx":
            h = self.begin - vector * words
            spread = np.zeros((cell.width, h + cell.width), dtype=np.int64)
            if name != "nh":
                spread[:, :cell.inputs] = weights[:, :cell.inputs]
            spread[:, h:] = weights[:, -cell.width:]
            weights = spread
        layer = GateLayer(inputs=weights.shape[1], neurons=cell.width, activation=FUNCTIONS[cell.kind][name])
        mapping = map_gate(layer, self.sizes.executor)
        gate = _Gate(mapping=mapping, parameters=parameters, vector=vector, first=first, lines=k * self.gate_lines,
                     rows=self.dram.place(mapping.pack_weights(weights)), job=job)
        if gate.row_lines > _ROW_LINES:
            raise ValueError(f"a neuron of gate {name} takes {gate.row_lines} lines: at most {_ROW_LINES} are allowed")
        return gate

    def _spread(self, speculation):
        """The same for a vector in which h begins with a segment."""
        cell, (cols, segment) = self.cell, (self.sizes.cols, self.sizes.segment)
        k, lanes = speculation.projection.shape[1:]
        words = speculation.projection.reshape(k, -1, segment, cols).swapaxes(2, 3).reshape(k, lanes)
        spread = np.zeros((k, self.vector_lines * cols * segment), dtype=np.int64)
        spread[:, :cell.inputs] = words[:, :cell.inputs]
        spread[:, self.begin:self.begin + cell.width] = words[:, cell.inputs:cell.inputs + cell.width]
        lanes = spread.reshape(k, -1, cols, segment).swapaxes(2, 3).reshape(1, k, -1)
        return dataclasses.replace(speculation, projection=lanes)

    def _buffers(self):
        return self.speculation.projection, self.speculation.weights, self.speculation.table

    def _vector(self, step):
        """First line of a step's vector."""
        return self.place["vectors"] + step % 2 * self.vector_lines

    def _copy(self, op, dram, line, count, **fields):
        self.queues.add(Command(Engine.DMA, op, a=dram, b=line, c=count, **fields), count * _LINE_CYCLES)

    def _begin(self, state):
        """Everything that the first step needs, and configuration that stays."""
        cell, words, sizes = self.cell, self.sizes.line_words, self.sizes
        h, c = (np.broadcast_to(check_range("states", value, 16), cell.width) for value in (*state, 0)[:2])
        vector = np.zeros((1, self.vector_lines * words), dtype=np.int64)
        vector[0, :cell.inputs] = self.inputs[0]
        vector[0, self.begin:self.begin + cell.width] = h
        first = self.dram.place(vector.reshape(-1, words))
        zeros = self.dram.reserve(max(self.vector_lines, len(self.gates) * self.gate_lines))
        self._copy(CopyOp.LOAD, first, self._vector(0), self.vector_lines)
        self._copy(CopyOp.LOAD, zeros, self._vector(1), self.vector_lines)
        self._copy(CopyOp.LOAD, zeros, self.place["gates"], len(self.gates) * self.gate_lines)
        if cell.kind == Cell.LSTM:
            self._copy(CopyOp.LOAD, self.dram.place(pack_vector(c, words)), self.place["c"], self.gate_lines)
        self.x_lines = -(-cell.inputs // words)
        self.x_dram = self.dram.place(pack_vector(self.inputs, words).reshape(-1, words))
        if self.speculation:
            line, buffers = self.place["speculator"], {}
            start = [self.dram.place(lines) for lines in self._buffers()][0]
            for kind, lines in enumerate(self._buffers(), 1):
                buffers[kind] = line, len(lines)
                line += len(lines)
            self._copy(CopyOp.LOAD, start, self.place["speculator"], line - self.place["speculator"], signal=_SPEC)
            settings = layer_words(self.speculation.layer, sizes.segment) + register_words(
                Engine.SPEC, dict(vector_lines=self.vector_lines))
            self.queues.add(self.writers[Engine.SPEC].commands(settings, wait=0))
            *commands, last = fills(buffers, wait=_DMA)
            self.queues.add([*commands, dataclasses.replace(last, signal=_DMA if self._waits_for_fill else 0)], 64)
            self.queues.add(configure(Engine.SPEC, settings[:1]))
        sources = {name: self.place["gates"] + gate.lines for name, gate in self.gates.items()}
        sources |= {"c": self.place["c"], "h": self._h_line(0)}
        values = dict(cell=cell.kind, segments=-(-cell.width // sizes.segment), h_segment=self._h_segment)
        values |= {f"source[{k}]": sources[name] for k, name in enumerate(_SOURCES[cell.kind])}
        if cell.kind == Cell.LSTM:
            values["c_line"] = self.place["c"]
        self._configure_cell(values)

    def _configure_cell(self, values):
        words = [(CELL_REGISTERS[name], int(value)) for name, value in values.items()]
        self.queues.add(self.writers[Engine.CELL].commands(words))

    def _h_line(self, step):
        return self._vector(step) + self.begin // self.sizes.line_words

    @property
    def _h_segment(self):
        return self.begin % self.sizes.line_words // self.sizes.segment

    def _fetches_ahead(self):
        """Fetches of a step that need nothing of the step before, as far as there is room for their rows."""
        accurate = [gate for gate in self.gates.values() if gate.job is None]
        return min(2, len(accurate) * self.gate_lines)

    @property
    def _waits_for_fill(self):
        """Whether the first rows, which take the place of what fills the Speculator, wait for nothing else of it."""
        return self.speculation is not None and next(iter(self.gates.values())).job is None

    def _move_states(self, step):
        """Store h that step ``step`` - 1 made, and load x of the step after ``step``."""
        if step:
            self._copy(CopyOp.STORE, self.h_result + (step - 1) * self.h_lines, self._h_line(step), self.h_lines,
                       wait=_CELL)
        if step + 1 < len(self.inputs):
            # Fetches of this step follow: x is there before the Executor, and so h, is ready.
            self._copy(CopyOp.LOAD, self.x_dram + (step + 1) * self.x_lines, self._vector(step + 1), self.x_lines)

    def _fetch(self, number, fetches):
        _, name, block = fetches[number]
        gate = self.gates[name]
        wait = _EXEC if number >= 2 else 0
        if number == 0 and self._waits_for_fill or gate.job is not None and block == 0:
            wait |= _SPEC
        count, words = self._neurons(block), self.sizes.line_words
        self.queues.add(Command(
            Engine.DMA, CopyOp.FETCH, wait=wait, signal=_EXEC, flags=gate.row_lines << 1 | (gate.job is None), d=count,
            a=gate.rows + block * words * gate.row_lines, b=self._region(number), c=gate.lines + block),
            count * gate.row_lines * _LINE_CYCLES // (1 if gate.job is None else 2))

    def _neurons(self, block):
        words = self.sizes.line_words
        return min(words, self.cell.width - block * words)

    def _region(self, number):
        return self.place["weights"] + number % 2 * self.region_lines

    def _speculate(self, step):
        writer, size, project = self.writers[Engine.SPEC], self.sizes.speculator, True
        for gate in map(self.gates.get, self._order(step)):
            if gate.job is None:
                continue
            settings = self.speculation.layer
            self.queues.add(writer.commands(job_words(gate.job, size.pre_bits)
                                            + register_words(Engine.SPEC, dict(project=project))))
            cycles = settings.k_rows * (settings.passes + -(-gate.job.n // size.array_cols) * size.trees)
            self.queues.add(Command(Engine.SPEC, WorkOp.GATE, wait=_CELL if step and project else 0, signal=_DMA,
                                    b=self._vector(step), c=gate.lines, d=self.place["gates"] + gate.lines), cycles)
            project = False

    def _execute(self, number, fetches):
        step, name, block = fetches[number]
        gate, words, writer = self.gates[name], self.sizes.line_words, self.writers[Engine.EXEC]
        if block == 0:
            line = self.place["gates"] + gate.lines - gate.first // words
            self.queues.add(writer.commands(exec_gate_words(gate.mapping, gate.parameters, first=gate.first,
                                                            out_line=line)), _CONFIG_CYCLES)
        wait = _DMA
        if step and fetches[number - 1][0] != step and gate.job is None:
            wait |= _CELL
        signal = _DMA if number + 2 < len(fetches) else 0
        if number == len(fetches) - 1 or fetches[number + 1][0] != step:
            signal |= _CELL
        count = self._neurons(block)
        self.queues.add(Command(Engine.EXEC, WorkOp.GATE, wait=wait, signal=signal, flags=int(gate.job is None),
                                a=count << 16 | gate.lines + block, b=self._vector(step) + gate.vector,
                                c=self._region(number), d=gate.first + block * words), count * gate.row_lines)

    def _update(self, step):
        h_line = self._h_line(step + 1)
        values = {"h_line": h_line}
        if self.cell.kind == Cell.GRU:
            values["source[0]"] = self._h_line(step)
        self._configure_cell(values)
        last, signal = step + 1 == len(self.inputs), _DMA
        if not last and self.speculation:
            signal |= _SPEC
        if not last and next(iter(self.gates.values())).job is None:
            signal |= _EXEC
        self.queues.add(Command(Engine.CELL, CellOp.UPDATE, wait=_EXEC, signal=signal),
                        self.cell.width)


def _vector_begin(cell, sizes):
    """Where h begins in the vector."""
    return -(-cell.inputs // sizes.segment) * sizes.segment
