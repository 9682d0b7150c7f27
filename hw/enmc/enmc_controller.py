"""EnmcController: instructions from the host to the units, registers, errors (thesis 6.4.2, 6.4.3; Figure 6.7)."""

import dataclasses
import typing

from amaranth.hdl import Assert, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config, field
from hw.enmc.ddr4 import PHASES, ChipPort
from hw.enmc.enmc_types import (ITEMS, WORD_BITS, CandidateRange, CandidateSettings, HostJob, MemoryJob, ResultSettings,
                                ScreenerJob, ScreenerSettings)
from hw.enmc.error_log import ErrorLog
from hw.enmc.host_port import HostPort
from hw.enmc.instruction_decoder import DecodeStage, Instruction
from hw.enmc.instruction_dispatch import InstructionDispatch, UnitState
from hw.enmc.isa_table import TABLE, Error, Kind, Register, rank_registers
from hw.enmc.setting_checks import SettingChecks
from hw.enmc.status_registers import MaximumWrite, StatusRegisters, SumWrite
from hw.stream.connect import connect
from hw.stream.fifo import Fifo

__all__ = ["EnmcController", "EnmcControllerConfig"]

_OPCODE_LOW = TABLE["command"]["opcode"][1]
_INIT_OPCODE = next(row["opcode"] for row in TABLE["instructions"] if row["name"] == "INIT")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnmcControllerConfig(Config):
    """Sizes of the EnmcController, latencies of the chips."""

    depth: int = field(64, "instructions that the FIFO holds", unit="instructions", min=3, max=250)
    row_bits: int = field(16, "bits of a row address of the DRAM", unit="bits", min=1, max=18)
    cl: int = field(16, "CL, READ to its data", unit="DRAM clocks", min=12, max=32, multiple=4)
    cwl: int = field(12, "CWL, WRITE to its data", unit="DRAM clocks", min=8, max=32, multiple=4)

    PRESETS: typing.ClassVar[dict[str, dict]] = {
        "paper": {}, "small": {"depth": 6, "row_bits": 4}, "fpga": {"depth": 16, "row_bits": 14},
    }

    @property
    def latency(self):
        """Cycles from a command on the host's pins to its job's valid, all at rest."""
        return self.cwl // PHASES + 1 + Fifo.latency + 1

    @property
    def read_latency(self):
        """DRAM clocks from the host's READ or QUERY to its data."""
        return self.cl + 2 * PHASES

    @property
    def rank_bytes(self):
        """Bytes of the rank."""
        return 1 << self.row_bits + 17


class EnmcController(wiring.Component):
    """Takes instructions from the host's DDR4 port, sends them to the units in order, and has the registers.

    An instruction waits in a FIFO, is decoded into a register, and leaves when :class:`InstructionDispatch` lets it: a
    unit takes its job, or the controller does it. QUERY is answered from the port at once. What is refused is dropped
    and reported, see :class:`ErrorLog`.

    Latency: :attr:`EnmcControllerConfig.latency`. Throughput: an instruction a cycle. Back-pressure: none to the host:
    an instruction that finds the FIFO full is refused (FULL); STATUS tells how many wait.
    Source: thesis 6.4.2, 6.4.3; conventions and the map of commands ours (docs/enmc/machine.md).

    Parameters: ``config`` an :class:`EnmcControllerConfig`; ``assertions``.

    Members
    -------
    host: In(:class:`ChipPort`), reply: Out(4), chips: Out(:class:`ChipPort`): see :class:`HostPort`
    units: In(:class:`hw.enmc.instruction_dispatch.UnitState`)
    screener_jobs, executor_jobs, ranges, memory_jobs: Out(streams of :class:`ScreenerJob`, :class:`HostJob`,
        :class:`CandidateRange`, :class:`MemoryJob`)
    flush: Out(1), to the InstructionGenerator: groups of fewer than four candidates too
    clear: Out(1), CLR: everything in the units, which are at rest then, becomes zero
    memory_wanted: Out(1), enables the DramController
    screener_settings, candidate_settings, result_settings: Out(settings of :mod:`hw.enmc.enmc_types`); they change
        while no unit works
    maxima: In(4 x 32), maximum_write: Out(:class:`MaximumWrite`): MAX of the items; sum: In(32), sum_write:
        Out(:class:`SumWrite`): SUM; counts: In(4 x 32), candidates computed
    store_dropped, result_dropped: In(1), a STR's, a candidate's write was outside of WRITE_LOW to WRITE_HIGH
    burst_read, burst_written: In(1), the DramController's
    output_index: Out(2), output_word: In(512): reads the OUTPUT buffer; the word comes a cycle after its index
    """

    registers = rank_registers()

    def __init__(self, config, assertions=False):
        self.config, self.assertions = config, assertions
        super().__init__({
            "host": In(ChipPort()), "reply": Out(PHASES), "chips": Out(ChipPort()), "units": In(UnitState),
            "screener_jobs": Out(stream.Signature(ScreenerJob)), "executor_jobs": Out(stream.Signature(HostJob)),
            "ranges": Out(stream.Signature(CandidateRange)), "memory_jobs": Out(stream.Signature(MemoryJob)),
            "flush": Out(1), "clear": Out(1), "memory_wanted": Out(1),
            "screener_settings": Out(ScreenerSettings), "candidate_settings": Out(CandidateSettings),
            "result_settings": Out(ResultSettings), "maxima": In(data.ArrayLayout(32, ITEMS)),
            "maximum_write": Out(MaximumWrite), "sum": In(32), "sum_write": Out(SumWrite),
            "counts": In(data.ArrayLayout(32, ITEMS)),
            "store_dropped": In(1), "result_dropped": In(1), "burst_read": In(1), "burst_written": In(1),
            "output_index": Out(2), "output_word": In(WORD_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.port = port = HostPort(config.cl, config.cwl)
        m.submodules.fifo = fifo = Fifo(Instruction, config.depth, assertions=self.assertions)
        m.submodules.stage = stage = DecodeStage(config.row_bits)
        m.submodules.checks = checks = SettingChecks(config.row_bits)
        m.submodules.dispatch = dispatch = InstructionDispatch(assertions=self.assertions)
        m.submodules.registers = registers = StatusRegisters()
        m.submodules.log = log = ErrorLog()
        units = self.units
        connect(m, wiring.flipped(self.host), port.host)
        connect(m, port.chips, wiring.flipped(self.chips))
        owner = Signal()
        m.d.comb += [self.reply.eq(port.reply), owner.eq(self.memory_wanted | ~units.memory_idle), port.owner.eq(owner)]

        connect(m, fifo.o, stage.i)
        valid, instruction, meaning = stage.valid, stage.instruction, stage.meaning
        executed, returned, locked = Signal(32), Signal(), Signal()
        errors, refused, done, waits = Signal.like(meaning.errors), Signal(), Signal(), Signal()
        is_ = {kind: Signal(name=f"does_{kind.name.lower()}") for kind in (Kind.INIT, Kind.RETURN, Kind.CLR)}
        settings = registers.screener
        m.d.comb += [
            fifo.i.payload.eq(port.instruction), fifo.i.valid.eq(port.valid), stage.leave.eq(dispatch.leave),
            checks.valid.eq(valid), checks.instruction.eq(instruction), checks.kind.eq(meaning.kind),
            checks.op.eq(meaning.op), checks.leave.eq(dispatch.leave),
            checks.classes.eq(settings.classes), checks.items.eq(settings.items), checks.chunks.eq(settings.chunks),
            checks.locked.eq(locked),
            errors.eq(meaning.errors | checks.errors), refused.eq(errors.any()),
            dispatch.valid.eq(checks.checked), dispatch.instruction.eq(instruction), dispatch.kind.eq(meaning.kind),
            dispatch.op.eq(meaning.op), dispatch.refused.eq(refused), dispatch.more.eq(waits),
            dispatch.number.eq(executed), dispatch.units.eq(units),
            waits.eq(port.waiting | port.valid | fifo.level.any() | valid), done.eq(dispatch.leave & ~refused),
            *(flag.eq(done & (meaning.kind == kind)) for kind, flag in is_.items()),
            self.clear.eq(is_[Kind.CLR]),
        ]
        for name in ("screener_jobs", "executor_jobs", "ranges", "memory_jobs"):
            connect(m, getattr(dispatch, name), wiring.flipped(getattr(self, name)))
        m.d.comb += [self.flush.eq(dispatch.flush), self.memory_wanted.eq(dispatch.memory_wanted)]
        with m.If(dispatch.leave):
            m.d.sync += [executed.eq(executed + 1), returned.eq(is_[Kind.RETURN])]
            with m.If(instruction.command[_OPCODE_LOW:] != _INIT_OPCODE):
                m.d.sync += locked.eq(1)
        with m.If(self.clear):
            m.d.sync += executed.eq(0)

        self._registers(m, registers, dispatch, fifo, is_[Kind.INIT], instruction, valid, waits, owner, returned,
                        executed, log)
        self._queries(m, registers, port, log, is_[Kind.RETURN] | self.clear)
        self._errors(m, log, port, fifo, dispatch, instruction, errors, executed, is_[Kind.INIT])
        if self.assertions:
            m.d.sync += Assert(~valid | refused | (meaning.kind != Kind.QUERY), "a QUERY waits for its turn")
        return m

    def _registers(self, m, registers, dispatch, fifo, is_init, instruction, valid, waits, owner, returned, executed,
                   log):
        units, status = self.units, registers.status
        high, low = TABLE["command"]["register"]
        m.d.comb += [
            registers.write.valid.eq(is_init), registers.write.register.eq(Register(instruction.command[low:high + 1])),
            registers.write.value.eq(instruction.operand), registers.clear.eq(self.clear),
            self.screener_settings.eq(registers.screener), self.candidate_settings.eq(registers.candidates),
            self.result_settings.eq(registers.results), registers.maxima.eq(self.maxima),
            self.maximum_write.eq(registers.maximum_write), registers.counts.eq(self.counts),
            registers.sum.eq(self.sum), self.sum_write.eq(registers.sum_write),
            registers.error.eq(log.register), registers.instructions.eq(executed),
            registers.screener_works.eq(units.screener_busy), registers.executor_works.eq(units.executor_busy),
            registers.burst_read.eq(self.burst_read), registers.burst_written.eq(self.burst_written),
            status.busy.eq(waits | ~dispatch.quiet),
            status.owner.eq(owner), status.returned.eq(returned), status.waiting.eq(fifo.level + valid),
        ]

    def _queries(self, m, registers, port, log, restart):
        """The answer comes a cycle after the query: a register in beat 0, or a word of OUTPUT."""
        query, index = port.query, Signal(2)
        high, low = TABLE["command"]["register"]
        number = query.command[low:high + 1]
        is_output, known = Signal(), Signal()
        m.d.comb += [
            registers.query.eq(Register(number)), self.output_index.eq(index),
            is_output.eq(number == Register.OUTPUT.value),
        ]
        with m.Switch(number):
            with m.Case(*(register.value for register in Register)):
                m.d.comb += known.eq(1)
        with m.If(restart):
            m.d.sync += index.eq(0)
        with m.Elif(query.valid & is_output & ~log.query.valid):
            m.d.sync += index.eq(index + 1)
        m.d.comb += [log.query.valid.eq(query.valid & (~known | query.command[:low].any())),
                     log.query.code.eq(Mux(known, Error.OPERAND, Error.REGISTER)),
                     log.query.command.eq(query.command)]
        of_output, silent = Signal(), Signal()
        m.d.sync += [of_output.eq(is_output), silent.eq(log.query.valid)]
        m.d.comb += port.answer.eq(Mux(silent, 0, Mux(of_output, self.output_word, registers.value)))

    def _errors(self, m, log, port, fifo, dispatch, instruction, errors, executed, is_init):
        code = Signal(Error)
        for error in sorted(Error, key=lambda error: -error.value):
            if error.value:
                with m.If(errors[error.value]):
                    m.d.comb += code.eq(error)
        m.d.comb += [
            log.clear.eq(self.clear | is_init & _names(instruction, Register.ERROR)),
            log.number.eq(executed), log.host.eq(port.error), log.result.eq(self.result_dropped),
            log.instruction.valid.eq(dispatch.leave & errors.any()), log.instruction.code.eq(code),
            log.instruction.command.eq(instruction.command), log.instruction.number.eq(executed),
            log.store.valid.eq(self.store_dropped), log.store.code.eq(Error.RANGE),
            log.store.command.eq(dispatch.store.command), log.store.number.eq(dispatch.store.number),
            log.full.valid.eq(port.valid & ~fifo.i.ready), log.full.code.eq(Error.FULL),
            log.full.command.eq(port.instruction.command),
        ]


def _names(instruction, register):
    high, low = TABLE["command"]["register"]
    return instruction.command[low:high + 1] == register.value
