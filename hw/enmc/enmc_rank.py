"""EnmcRank: the logic of a rank, between the host's DDR4 port and the DRAM chips (thesis 6.4, Figure 6.6)."""

import dataclasses
import typing

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import field
from hw.enmc.ddr4 import PHASES, ChipPort, Operation
from hw.enmc.dram_controller import DramController, DramControllerConfig
from hw.enmc.enmc_controller import EnmcController, EnmcControllerConfig
from hw.enmc.enmc_executor import EnmcExecutor, EnmcExecutorConfig
from hw.enmc.instruction_generator import InstructionGenerator, InstructionGeneratorConfig
from hw.enmc.isa_table import rank_registers
from hw.enmc.load_store_unit import LoadStoreUnit
from hw.enmc.memory_arbiter import MemoryArbiter, Reader
from hw.enmc.output_buffer import OutputBuffer, OutputBufferConfig
from hw.enmc.result_writer import ResultWriter, ResultWriterConfig
from hw.enmc.screener import Screener, ScreenerConfig
from hw.stream.connect import connect

__all__ = ["EnmcRank", "EnmcRankConfig"]

_PARTS = (DramControllerConfig, ScreenerConfig, EnmcExecutorConfig, InstructionGeneratorConfig, OutputBufferConfig,
          EnmcControllerConfig)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnmcRankConfig(*_PARTS):
    """The fields of all units, and of what joins them."""

    write_depth: int = field(16, "writes that wait for the bus to turn round", unit="bursts", min=4, max=64)
    turn: int = field(32, "reads of a unit that stay together while others wait", unit="bursts", min=1, max=64)

    PRESETS: typing.ClassVar[dict[str, dict]] = {
        name: {key: value for part in _PARTS for key, value in part.PRESETS[name].items()}
        for name in ("paper", "small", "fpga")
    }

    def check(self):
        for part in _PARTS:
            self.part(part)

    def part(self, config):
        """The configuration of a unit, an object of the class ``config``."""
        return config(**{spec.name: getattr(self, spec.name) for spec in dataclasses.fields(config)})


class EnmcRank(wiring.Component):
    """Controller, Screener, Executor and their memory.

    What the host sends that is no instruction reaches the chips a cycle later, and their data the host, while the logic
    does not own them (docs/enmc/machine.md).

    Latency, throughput: of its units. Back-pressure: none to the host; STATUS tells how many instructions wait.
    Source: thesis 6.4, Figure 6.6.

    Parameters: ``config`` an :class:`EnmcRankConfig`; ``assertions``.

    Members
    -------
    host: In(:class:`hw.enmc.ddr4.ChipPort`): what the host drives, and what it is given
    reply: Out(4), DRAM clocks of the cycle in which ``host.dq_in`` answers a QUERY
    chips: Out(:class:`hw.enmc.ddr4.ChipPort`)
    """

    registers = rank_registers()

    def __init__(self, config, assertions=False):
        self.config, self.assertions = config, assertions
        super().__init__({"host": In(ChipPort()), "reply": Out(PHASES), "chips": Out(ChipPort())})

    def elaborate(self, platform):
        m = Module()
        part, assertions = self.config.part, self.assertions
        m.submodules.controller = controller = EnmcController(part(EnmcControllerConfig), assertions)
        m.submodules.screener = screener = Screener(part(ScreenerConfig), assertions)
        m.submodules.generator = generator = InstructionGenerator(part(InstructionGeneratorConfig), assertions)
        m.submodules.executor = executor = EnmcExecutor(part(EnmcExecutorConfig), assertions)
        m.submodules.output = output = OutputBuffer(part(OutputBufferConfig), assertions)
        m.submodules.writer = writer = ResultWriter(ResultWriterConfig(), assertions)
        m.submodules.load_store = load_store = LoadStoreUnit(assertions)
        m.submodules.arbiter = arbiter = MemoryArbiter(part(DramControllerConfig), self.config.write_depth,
                                                       self.config.turn, assertions)
        m.submodules.dram = dram = DramController(part(DramControllerConfig), assertions)
        connect(m, wiring.flipped(self.host), controller.host)
        m.d.comb += self.reply.eq(controller.reply)
        self._chips(m, controller, dram, arbiter)

        # Jobs, candidates, results.
        connect(m, controller.screener_jobs, screener.jobs)
        connect(m, controller.executor_jobs, executor.jobs)
        connect(m, controller.ranges, generator.ranges)
        connect(m, controller.memory_jobs, load_store.jobs)
        connect(m, screener.indices, generator.candidates)
        connect(m, screener.results, output.results)
        connect(m, generator.steps, executor.steps)
        connect(m, executor.results, writer.results)
        accurate = Signal()
        m.d.comb += [
            accurate.eq(executor.results.valid & executor.results.ready), output.accurate.valid.eq(accurate),
            output.accurate.item.eq(executor.results.p.item), output.accurate.value.eq(executor.results.p.value),
            generator.flush.eq(controller.flush), screener.settings.eq(controller.screener_settings),
            output.items.eq(controller.screener_settings.items), generator.settings.eq(controller.candidate_settings),
            writer.settings.eq(controller.result_settings), executor.maximum.eq(output.maximum),
            executor.sum_write.eq(controller.sum_write), output.maximum_write.eq(controller.maximum_write),
            output.query_index.eq(controller.output_index),
            *(unit.clear.eq(controller.clear) for unit in (screener, executor, output, writer)),
        ]

        # Memory.
        for reader, unit in ((Reader.SCREENER, screener), (Reader.EXECUTOR, executor)):
            connect(m, unit.requests, arbiter.reads[reader.value])
            m.d.comb += unit.responses.eq(arbiter.responses[reader.value])
        connect(m, load_store.reads, arbiter.reads[Reader.LOAD.value])
        connect(m, load_store.writes, arbiter.stores)
        connect(m, writer.writes, arbiter.results)
        connect(m, arbiter.requests, dram.requests)
        connect(m, arbiter.write_data, dram.write_data)
        connect(m, dram.responses, arbiter.answers)
        connect(m, load_store.screener, screener.buffers)
        connect(m, load_store.executor, executor.access)
        connect(m, load_store.output, output.access)
        m.d.comb += [
            load_store.responses.eq(arbiter.responses[Reader.LOAD.value]),
            load_store.write_low.eq(controller.result_settings.write_low),
            load_store.write_high.eq(controller.result_settings.write_high),
            load_store.output_stored.eq(output.read_stored),
        ]
        self._state(m, controller, screener, generator, executor, output, writer, load_store, arbiter, dram)
        return m

    def _chips(self, m, controller, dram, arbiter):
        """The host's commands reach the chips until the DramController owns them, its data also after that."""
        host, own = controller.chips, dram.chips
        drives = own.dq_out_enable.any()
        m.d.comb += [
            dram.enable.eq(controller.memory_wanted | arbiter.busy),
            dram.host_refresh.eq(dram.idle & Cat(slot.does(Operation.REFRESH) for slot in host.command).any()),
            self.chips.dq_out.eq(Mux(drives, own.dq_out, host.dq_out)), self.chips.dm.eq(Mux(drives, own.dm, host.dm)),
            self.chips.dq_out_enable.eq(own.dq_out_enable | host.dq_out_enable),
            host.dq_in.eq(self.chips.dq_in), own.dq_in.eq(self.chips.dq_in),
        ]
        for phase in range(PHASES):
            m.d.comb += self.chips.command[phase].eq(Mux(dram.idle, host.command[phase], own.command[phase]))

    @staticmethod
    def _state(m, controller, screener, generator, executor, output, writer, load_store, arbiter, dram):
        units = controller.units
        # From a group's first micro-instruction until the Executor has given its results.
        computing = Signal()
        with m.If(generator.steps.valid & generator.steps.ready):
            m.d.sync += computing.eq(1)
        with m.Elif(~executor.busy):
            m.d.sync += computing.eq(0)
        m.d.comb += [
            units.screener_busy.eq(screener.busy),
            units.filter_busy.eq(screener.filter_busy | screener.results.valid | screener.indices.valid | output.busy),
            units.executor_busy.eq(executor.busy),
            units.generator_busy.eq(generator.working | computing | writer.busy),
            units.candidates_left.eq(~generator.empty), units.memory_busy.eq(load_store.busy),
            units.memory_idle.eq(dram.idle & ~arbiter.busy),
            controller.maxima.eq(output.maximum), controller.sum.eq(executor.sum),
            controller.counts.eq(writer.counts),
            controller.store_dropped.eq(load_store.dropped), controller.result_dropped.eq(writer.error),
            controller.burst_read.eq(dram.responses.valid), controller.burst_written.eq(arbiter.written),
            controller.output_word.eq(output.query_data),
        ]
