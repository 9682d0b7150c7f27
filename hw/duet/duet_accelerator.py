"""DuetAccelerator: Speculator and Executor around a global buffer, run by commands (thesis 5.1, Figure 5.1)."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet import executor_types
from hw.duet.accelerator_config import DuetAcceleratorConfig
from hw.duet.bus_feed import BusFeed
from hw.duet.cell_engine import CELL_FIELDS, CellEngine
from hw.duet.command import CommandLayout, Engine
from hw.duet.dispatcher import Dispatcher
from hw.duet.dma import Dma, DramRequest
from hw.duet.exec_feeder import ExecFeeder, exec_fields
from hw.duet.executor import Executor
from hw.duet.executor_settings import executor_fields
from hw.duet.global_buffer import GlobalBuffer
from hw.duet.result_writer import ResultWriter
from hw.duet.spec_feeder import SpecFeeder, spec_fields
from hw.duet.speculation_writer import SpeculationWriter
from hw.duet.speculator import Counters, Speculator, speculator_fields
from hw.registers import registers
from hw.stream.connect import connect

__all__ = ["AcceleratorCounters", "DuetAccelerator", "DuetAcceleratorConfig"]


class AcceleratorCounters(data.StructLayout):
    """Counts since reset, 32 bits each, and those of Executor and Speculator.

    ``cycles``; ``busy``: cycles in which an engine has a command that has not ended; ``bus``: items on the bus;
    ``dram_read``, ``dram_write``: beats.
    """

    def __init__(self):
        super().__init__({
            "cycles": 32, "busy": data.ArrayLayout(32, len(Engine)), "bus": 32, "dram_read": 32, "dram_write": 32,
            "executor": executor_types.Counters(), "speculator": Counters(),
        })


class DuetAccelerator(wiring.Component):
    """The whole machine. Commands, configuration, timing: docs/duet/duet_accelerator.md.

    Throughput: an item of the bus a cycle (a line of the GlobalBuffer), a command a cycle into the queues.
    Back-pressure: full on all streams; ``commands.ready`` depends on the command's engine, else nothing from input to
    output in the same cycle but ``dram_read.ready``. Source: thesis 5.1, 5.2, Figures 5.1, 5.4, 5.6.

    Parameters: ``config`` a :class:`DuetAcceleratorConfig`; ``assertions``: checks inside (simulation).

    Members
    -------
    commands: In(stream of :class:`CommandLayout`)
    dram_request: Out(stream of :class:`DramRequest`); dram_read: In, dram_write: Out (streams of ``dram_bits``)
    idle: Out, no command is queued or under way
    ended: Out(4 bits): a command of that engine ended in the cycle before
    counters: Out(:class:`AcceleratorCounters`)
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "commands": In(stream.Signature(CommandLayout())),
            "dram_request": Out(stream.Signature(DramRequest())),
            "dram_read": In(stream.Signature(config.dram_bits)),
            "dram_write": Out(stream.Signature(config.dram_bits)),
            "idle": Out(1),
            "ended": Out(len(Engine)),
            "counters": Out(AcceleratorCounters()),
        })

    @property
    def registers(self):
        """What ``CONFIG`` of SPEC (two groups), EXEC (two), CELL writes: a list of :class:`hw.registers.Register`."""
        groups = {"speculator": speculator_fields(self.config.speculator), "spec": spec_fields(self.config),
                  "executor": executor_fields(self.config.executor), "exec": exec_fields(self.config),
                  "cell": CELL_FIELDS}
        return [register for group, fields in groups.items() for register in registers(fields, group)]

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.buffer = buffer = GlobalBuffer(config.global_buffer, self.assertions)
        m.submodules.executor = executor = Executor(config.executor, self.assertions)
        m.submodules.speculator = speculator = Speculator(config.speculator, self.assertions)
        m.submodules.dispatcher = dispatcher = Dispatcher(config.queue_depth, self.assertions)
        m.submodules.dma = dma = Dma(config)
        m.submodules.spec_feeder = spec_feeder = SpecFeeder(config, speculator)
        m.submodules.spec_writer = spec_writer = SpeculationWriter(config, speculator)
        m.submodules.exec_feeder = exec_feeder = ExecFeeder(config)
        m.submodules.result_writer = result_writer = ResultWriter(config)
        m.submodules.bus = bus = BusFeed(config)
        m.submodules.cell = cell = CellEngine(config)

        # Commands.
        connect(m, wiring.flipped(self.commands), dispatcher.commands)
        runs = {Engine.DMA: (dma, dma), Engine.SPEC: (spec_feeder, spec_writer),
                Engine.EXEC: (exec_feeder, result_writer), Engine.CELL: (cell, cell)}
        under_way = [Signal(4, name=f"under_way_{engine.name.lower()}") for engine in Engine]
        for engine, (begins, ends) in runs.items():
            taken, ended = dispatcher.engine[engine.value], dispatcher.ended[engine.value]
            connect(m, taken, begins.commands)
            connect(m, ends.ended, ended)
            count = under_way[engine.value]
            m.d.sync += [count.eq(count + (taken.valid & taken.ready) - (ended.valid & ended.ready)),
                         self.ended[engine.value].eq(ended.valid & ended.ready)]

        # Engines and their units.
        connect(m, spec_feeder.jobs, speculator.jobs)
        connect(m, spec_feeder.config_write, speculator.config)
        connect(m, spec_feeder.context, spec_writer.context)
        for name in ("maps", "order", "gates"):
            connect(m, getattr(speculator, name), getattr(spec_writer, name))
        connect(m, exec_feeder.config_write, executor.config)
        connect(m, exec_feeder.context, result_writer.context)
        connect(m, executor.results, result_writer.results)
        connect(m, bus.bus, executor.bus)
        for index, feeder in enumerate((spec_feeder, exec_feeder)):
            connect(m, feeder.fetch, bus.fetch[index])
        through, line = executor.through, speculator.line
        m.d.comb += [
            exec_feeder.seen.eq(bus.seen[1]), exec_feeder.drained.eq(result_writer.drained & executor.idle),
            spec_feeder.released.eq(speculator.released), spec_feeder.drained.eq(spec_writer.drained),
            spec_feeder.on_way.eq(bus.busy[0] | through.valid),
            line.valid.eq(through.valid), through.ready.eq(line.ready),
            *(line.p[name].eq(through.p[name]) for name in ("kind", "last", "address", "mask", "data")),
        ]

        # The global buffer: nobody reads while an item of the bus waits with its words.
        for index, reader in enumerate((bus, cell, dma)):
            port = buffer.read[index]
            free = ~bus.held if index else 1
            m.d.comb += [
                port.payload.eq(reader.read.payload), port.valid.eq(reader.read.valid & free),
                reader.read.ready.eq(port.ready & free),
                reader.data.eq(buffer.data.payload), reader.map.eq(buffer.map.payload),
            ]
        # The Speculator first: what it writes never waits, so that its timing does not depend on anybody's results.
        for index, write in enumerate((*spec_writer.write, result_writer.write, cell.write)):
            connect(m, write, buffer.write[index])
        connect(m, dma.fill, buffer.fill)

        connect(m, dma.dram_request, wiring.flipped(self.dram_request))
        connect(m, wiring.flipped(self.dram_read), dma.dram_read)
        connect(m, dma.dram_write, wiring.flipped(self.dram_write))
        m.d.comb += self.idle.eq(dispatcher.idle & ~sum(under_way).any())

        counts = Signal(AcceleratorCounters())
        m.d.comb += [self.counters.eq(counts), counts.executor.eq(executor.counters),
                     counts.speculator.eq(speculator.counters)]
        self._count(m, {"cycles": 1, "bus": bus.bus.valid & bus.bus.ready,
                        "dram_read": self.dram_read.valid & self.dram_read.ready,
                        "dram_write": self.dram_write.valid & self.dram_write.ready}, counts)
        self._count(m, {index: count.any() for index, count in enumerate(under_way)}, counts.busy)
        return m

    @staticmethod
    def _count(m, events, counts):
        """Count the cycles in which each event is 1, in the fields of ``counts`` that are named so."""
        for name, event in events.items():
            counter = Signal(32, name=f"count_{name}")
            m.d.sync += counter.eq(counter + event)
            m.d.comb += counts[name].eq(counter)
