"""Speculator: runs the approximate module of a layer ahead of the Executor (thesis 5.1.1, Figure 5.2)."""

from amaranth.hdl import Assert, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.activation_buffer import ActivationBuffer
from hw.duet.array_feed import ArrayFeed, ArrayJob
from hw.duet.layer_settings import LayerSettings, setting_fields
from hw.duet.line_memory import LineMemory
from hw.duet.projection import Projection, ProjectionConfig
from hw.duet.qdr_input_buffer import QdrInputBuffer
from hw.duet.result_path import ResultPath
from hw.duet.speculator_types import ENTRY_BITS, SLOTS, ConfigWord, Job, Line, LineKind, SpeculatorConfig
from hw.duet.systolic_array import SystolicArray, SystolicArrayConfig
from hw.duet.window_feed import WindowFeed
from hw.registers import registers
from hw.stream.connect import connect
from hw.stream.skid_buffer import SkidBuffer

__all__ = ["Counters", "Speculator", "SpeculatorConfig", "speculator_fields"]


class Counters(data.StructLayout):
    """Cycles: windows projected, steps of the systolic array, and cycles without (docs/duet/speculator.md#counters)."""

    def __init__(self):
        super().__init__({name: 32 for name in ("windows", "steps", "projection_waits", "array_waits", "result_waits")})


def speculator_fields(config):
    """What the words of a Speculator's ``config`` write: name -> (address, shape), an ``ArrayLayout`` for an array."""
    shift_shape = range(_projection_config(config).max_shift + 1)
    return setting_fields(config, shift_shape) | {
        "clear_counters": (LayerSettings.ADDRESSES["clear_counters"], unsigned(1))}


def _projection_config(config):
    return ProjectionConfig(inputs=config.lanes, trees=config.trees, bits=config.bits,
                            max_inputs=config.lanes * config.max_passes)


class Speculator(wiring.Component):
    """Switching maps and orders of channels of a convolution's tiles, or approximate activations and maps of gates.

    Interface, formats, order of work: docs/duet/speculator.md. Four parts run side by side, each on another job where
    the buffers have room: loading of activations, projection, systolic array, results.

    Throughput: a window a cycle, a step of the array a cycle, a channel a cycle; a job every max of the three
    (``SpeculatorConfig.projection_cycles``, ``array_cycles``) cycles. Latency: ``Speculator.latency``.
    Back-pressure: full on all streams. Source: thesis 5.1.1, Figure 5.2, Table 5.1.

    Parameters: ``config`` a :class:`SpeculatorConfig`; ``assertions``: check the rules on inputs, and inside.

    Members
    -------
    config: In(stream of :class:`ConfigWord`), taken only while idle
    line: In(stream of :class:`Line`); jobs: In(stream of :class:`Job`)
    maps: Out(stream of :class:`TileMap`); order: Out(stream of {channel, last}); gates: Out(stream of
        :class:`GateSegment`)
    idle: Out; released: Out: a tile's (vector's) room in the activation buffer is given back
    counters: Out(:class:`Counters`)
    """

    def __init__(self, config, assertions=False):
        self.sizes = config
        self.assertions = assertions
        self.projection = Projection(_projection_config(config), assertions)
        self.array = SystolicArray(SystolicArrayConfig(
            rows=config.array_rows, cols=config.array_cols, bits=config.bits, max_k=config.max_k), assertions)
        self.results = ResultPath(config, self.array.signature.members["results"].signature.members["payload"].shape,
                                  self.array.config.acc_bits, assertions)
        self.shift_shape = self.projection.signature.members["shift"].shape
        members = self.results.signature.members
        job = Job(config, self.results.mfu.signature.members["q_shift"].shape)
        super().__init__({
            "config": In(stream.Signature(ConfigWord(config))),
            "line": In(stream.Signature(Line(config))),
            "jobs": In(stream.Signature(job)),
            **{name: members[name] for name in ("maps", "order", "gates")},
            "idle": Out(1), "released": Out(1), "counters": Out(Counters()),
        })
        self.registers = registers(speculator_fields(config))

    def elaborate(self, platform):
        m = Module()
        sizes = self.sizes
        m.submodules.settings = layer_settings = LayerSettings(sizes, self.shift_shape)
        m.submodules.activations = activations = ActivationBuffer(sizes)
        m.submodules.windows = windows = WindowFeed(sizes, self.shift_shape, self.assertions)
        m.submodules.projection, m.submodules.array, m.submodules.results = projection, array, results = (
            self.projection, self.array, self.results)
        m.submodules.inputs = inputs = QdrInputBuffer(sizes)
        m.submodules.steps = steps = ArrayFeed(sizes, self.assertions)
        m.submodules.matrix = matrix = LineMemory(sizes.line_bits, sizes.trees * sizes.lanes * 2, sizes.projection_rows)
        m.submodules.weights = weights = LineMemory(sizes.line_bits, sizes.array_cols * sizes.bits, sizes.weight_rows,
                                                    sizes.weight_banks)
        entry_bits = sizes.scale_bits + sizes.bias_bits
        entries = sizes.line_bits // ENTRY_BITS
        m.submodules.channels = table = LineMemory(entries * entry_bits, entry_bits, sizes.table_entries,
                                                sizes.table_banks)
        settings = layer_settings.settings

        # Configuration, only between jobs.
        under_way = Signal(3)
        begins = Signal()
        m.d.comb += [
            self.idle.eq((under_way == 0) & ~results.ordering), self.config.ready.eq(self.idle),
            begins.eq(self.config.valid & self.idle),
            layer_settings.words.valid.eq(begins), layer_settings.words.payload.eq(self.config.payload),
            activations.clear.eq(begins), inputs.clear.eq(begins),
            activations.double.eq(Mux(settings.gate, settings.passes << 1, settings.groups << SLOTS.bit_length())
                                  <= sizes.activation_rows),
            inputs.double.eq(settings.k_rows << 1 <= sizes.input_rows),
            inputs.last_place.eq(Mux(settings.gate, 0, ~settings.unused)),
            windows.settings.eq(settings), projection.shift.eq(settings.p_shift),
            results.gate.eq(settings.gate), results.keep_order.eq(settings.keep_order),
            results.thresholds.eq(settings.thresholds), steps.one_part.eq(settings.gate),
        ]
        for part in (inputs, steps):
            m.d.comb += part.k_rows.eq(settings.k_rows)
        self._lines(m, {
            LineKind.ACTIVATION: activations.lines, LineKind.PROJECTION: matrix.write, LineKind.WEIGHT: weights.write,
            LineKind.CHANNEL: table.write}, entries, entry_bits)
        self._jobs(m, begins, under_way, inputs.double, windows, inputs, steps, results)

        # Activations, window by window, through the projection into the QDR input buffer.
        for name in ("loaded", "half", "pixels"):
            m.d.comb += getattr(windows, name).eq(getattr(activations, name))
        for name in ("finish", "free_room", "read_enable", "rows"):
            m.d.comb += getattr(activations, name).eq(getattr(windows, name))
        m.d.comb += [
            matrix.read_enable.eq(windows.p_enable), matrix.read_row.eq(windows.p_row), windows.p.eq(matrix.row),
            inputs.values.valid.eq(projection.o.valid), inputs.values.payload.eq(projection.o.payload),
            projection.o.ready.eq(1), self.released.eq(windows.free_room),
        ]
        connect(m, windows.work, projection.work)

        # Projected inputs and weights, step by step, through the systolic array.
        m.d.comb += [
            steps.complete.eq(inputs.complete), steps.column.eq(inputs.column),
            *(getattr(inputs, name).eq(getattr(steps, name)) for name in ("read_enable", "read_half", "row", "lane")),
            weights.read_enable.eq(steps.weight_enable), weights.read_row.eq(steps.weight_row),
            steps.weights.eq(weights.row),
            table.read_enable.eq(results.table_enable), table.read_row.eq(results.table_entry),
            results.entry.eq(table.row),
        ]
        connect(m, steps.operands, array.operands)
        connect(m, array.results, results.results)
        for name in ("maps", "order", "gates"):
            connect(m, getattr(results, name), wiring.flipped(getattr(self, name)))

        for name, event in {
                "windows": windows.issue, "steps": steps.issue,
                "projection_waits": windows.active & ~windows.loaded,
                "array_waits": steps.active & ~steps.complete.bit_select(steps.read_half, 1),
                "result_waits": steps.operands.valid & ~steps.operands.ready}.items():
            with m.If(event):
                m.d.sync += self.counters[name].eq(self.counters[name] + 1)
        with m.If(layer_settings.clear):
            m.d.sync += self.counters.eq(0)
        return m

    def _lines(self, m, sinks, entries, entry_bits):
        """Lines go to the buffer of their kind; of an entry of the channel table the bits that are stored."""
        line = self.line.p
        for kind, sink in sinks.items():
            m.d.comb += sink.valid.eq(self.line.valid & (line.kind == kind))
            m.d.comb += [sink.p[name].eq(line[name]) for name in ("last", "mask", "address", "data")
                         if name in dict(sink.p.shape())]
            with m.If(line.kind == kind):
                m.d.comb += self.line.ready.eq(sink.ready)
        m.d.comb += sinks[LineKind.CHANNEL].p.data.eq(
            Cat(line.data.word_select(entry, ENTRY_BITS)[:entry_bits] for entry in range(entries)))

    def _jobs(self, m, clear, under_way, double, windows, inputs, steps, results):
        """A job is taken by projection, array and results at once; the later two keep it in a queue."""
        sizes, job = self.sizes, self.jobs.p
        m.submodules.array_jobs = array_jobs = SkidBuffer(ArrayJob(sizes))
        m.submodules.result_jobs = result_jobs = SkidBuffer(results.jobs.p.shape())
        half, target, taken = Signal(init=1), Signal(), Signal()
        users = Signal(data.ArrayLayout(3, 2))  # jobs that read, or will read, a half of the QDR input buffer
        can_project = windows.free & (users[target] == 0)
        m.d.comb += [
            target.eq(Mux(job.project, ~half & double, half)),
            self.jobs.ready.eq(~self.config.valid & array_jobs.i.ready & result_jobs.i.ready
                               & (~job.project | can_project)),
            taken.eq(self.jobs.valid & self.jobs.ready),
            array_jobs.i.valid.eq(taken), result_jobs.i.valid.eq(taken),
            windows.start.eq(taken & job.project), inputs.begin.eq(windows.start), inputs.begin_half.eq(target),
            array_jobs.i.p.half.eq(target), array_jobs.i.p.n.eq(job.n), array_jobs.i.p.weight_base.eq(job.weight_base),
            *(result_jobs.i.p[name].eq(job[name]) for name, _ in result_jobs.i.p.shape()),
        ]
        with m.If(taken):
            m.d.sync += half.eq(target)
        with m.If(clear):
            m.d.sync += half.eq(1)  # the first job of a layer goes to half 0
        for index in range(2):
            m.d.sync += users[index].eq(users[index] + (taken & (target == index))
                                        - (steps.finish & (steps.read_half == index)))
        m.d.sync += under_way.eq(under_way + taken - results.finish)
        connect(m, array_jobs.o, steps.jobs)
        connect(m, result_jobs.o, results.jobs)
        if self.assertions:
            with m.If(self.jobs.valid):
                m.d.sync += [Assert((job.n != 0) & (job.n <= sizes.max_channels), "n is not 1 to max_channels"),
                             Assert(job.weight_base < sizes.weight_rows, "weight_base is outside of the buffer")]
