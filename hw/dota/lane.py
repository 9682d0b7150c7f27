"""A compute lane of DOTA (thesis 7.6.1, Fig. 7.12): SRAM, RMMU, Detector, Scheduler, MFU and their sequencer.

The host writes operands, sends commands and reads results; each command is one step of an attention head: a matrix
product, a softmax, a change of number format, or a whole sparse attention. The dense baseline and the detected
attention are two command lists on the same hardware.
"""

from amaranth.hdl import Array, Assert, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.dota.attention_engine import AttentionEngine
from hw.dota.gemm_engine import GemmEngine
from hw.dota.host_port import HostRead, HostWrite
from hw.dota.lane_command import CommandLayout, LaneConfig, LaneCounter, LaneOp, PHASES
from hw.dota.lane_memory import GRAINS, LaneMemory
from hw.dota.mfu import Mfu
from hw.dota.rmmu import Rmmu
from hw.dota.row_engine import RowEngine
from hw.dota.tile_writer import TileWriter
from hw.stream.connect import connect
from hw.stream.hold import assert_hold

__all__ = ["CommandLayout", "Lane", "LaneConfig", "LaneCounter", "LaneOp"]


class Lane(wiring.Component):
    """One lane. Commands run one after the other, in order; ``busy`` while one runs.

    Ports
    -----
    ``commands`` In(stream of :class:`CommandLayout`); ``write`` In(stream of address and word), ``read`` In(stream of
    address) and ``read_data`` Out(stream of word): the host's access to the SRAM, taken while the lane is idle, one
    word a cycle, read latency 1; ``counter`` shows the :class:`LaneCounter` that ``counter_select`` names;
    ``error`` rises and stays when two readers met in one bank, which is an error of the program.

    Throughput of each command: see the engines. Number formats: docs/dota/lane.md.
    ``assertions``: add checks of invariants, in the parts too (simulation).
    """

    def __init__(self, config, *, assertions=False):
        self.config, self.assertions = config, assertions
        super().__init__({
            "commands": In(stream.Signature(CommandLayout(config))),
            "write": In(stream.Signature(HostWrite(config))),
            "read": In(stream.Signature(config.address_bits)),
            "read_data": Out(stream.Signature(config.word_bits)),
            "busy": Out(1),
            "counter_select": In(LaneCounter),
            "counter": Out(32),
            "error": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        streams = config.vectors_per_cycle
        m.submodules.memory = memory = LaneMemory(banks=config.banks, bank_words=config.bank_words,
                                                  word_bits=config.word_bits, readers=streams + 2, copies=4,
                                                  assertions=self.assertions)
        m.submodules.rmmu = rmmu = Rmmu(config.rmmu)
        m.submodules.mfu = mfu = Mfu(config.mfu, assertions=self.assertions)
        m.submodules.gemm = gemm = GemmEngine(config)
        m.submodules.rows = rows = RowEngine(config)
        m.submodules.attention = attention = AttentionEngine(config, assertions=self.assertions)
        m.submodules.writer = writer = TileWriter(config, assertions=self.assertions)

        command = Signal(CommandLayout(config), reset_less=True)
        busy, begin = Signal(), Signal()
        attend = Signal()
        is_gemm, is_attend = command.op == LaneOp.GEMM, command.op == LaneOp.ATTEND
        m.d.comb += [
            self.busy.eq(busy), attend.eq(busy & is_attend),
            gemm.start.eq(begin & is_gemm), attention.start.eq(begin & is_attend),
            rows.start.eq(begin & ~is_gemm & ~is_attend),
            gemm.command.eq(command), rows.command.eq(command), attention.command.eq(command),
            mfu.scale.eq(command.scale), mfu.scale_shift.eq(command.scale_shift),
        ]
        m.d.sync += begin.eq(0)
        with m.If(self.commands.valid & self.commands.ready):
            m.d.sync += [command.eq(self.commands.p), busy.eq(1), begin.eq(1)]
        with m.If(gemm.finished | rows.finished | attention.finished):
            m.d.sync += busy.eq(0)

        # RMMU: the engine that runs drives it.
        m.d.comb += [
            rmmu.load.p.eq(Mux(attend, attention.load.p, gemm.load.p)),
            rmmu.load.valid.eq(Mux(attend, attention.load.valid, gemm.load.valid)),
            rmmu.beat.p.eq(Mux(attend, attention.beat.p, gemm.beat.p)),
            rmmu.beat.valid.eq(Mux(attend, attention.beat.valid, gemm.beat.valid)),
            attention.result.p.eq(rmmu.result.p), attention.result.valid.eq(rmmu.result.valid & attend),
            writer.result.p.eq(rmmu.result.p), writer.result.valid.eq(rmmu.result.valid & ~attend),
            writer.mode.eq(command.precision), writer.out.eq(command.out), writer.shift.eq(command.shift),
            gemm.writer_idle.eq(writer.idle),
            rmmu.drain_row.eq(attention.drain_row), attention.drain.eq(rmmu.drain),
        ]
        # MFU
        m.d.comb += [
            mfu.input.p.eq(Mux(attend, attention.to_mfu.p, rows.to_mfu.p)),
            mfu.input.valid.eq(Mux(attend, attention.to_mfu.valid, rows.to_mfu.valid)),
            attention.to_mfu.ready.eq(mfu.input.ready), rows.to_mfu.ready.eq(mfu.input.ready),
            attention.from_mfu.p.eq(mfu.output.p), attention.from_mfu.valid.eq(mfu.output.valid & attend),
            rows.from_mfu.p.eq(mfu.output.p), rows.from_mfu.valid.eq(mfu.output.valid & ~attend),
            mfu.output.ready.eq(Mux(attend, attention.from_mfu.ready, rows.from_mfu.ready)),
        ]
        self._memory(m, memory, gemm, rows, attention, writer, busy, attend, command)
        self._counters(m, rmmu, gemm, rows, attention, command, busy)
        with m.If(memory.conflict):
            m.d.sync += self.error.eq(1)
        if self.assertions:
            assert_hold(m, self.read_data)
            ended = gemm.finished + rows.finished + attention.finished
            m.d.sync += Assert(ended <= busy, "more commands end than run")
        return m

    def _memory(self, m, memory, gemm, rows, attention, writer, busy, attend, command):
        """Readers: streams of vectors (or A), then B (or queries, or the host), then scores (or rows)."""
        config = self.config
        streams = config.vectors_per_cycle

        def share(port, users):
            """Drive ``port`` by whichever of ``users`` (at most one) is enabled."""
            enable, address = 0, 0
            for user in users:
                enable = enable | user.enable
                address = address | (user.address & user.enable.replicate(config.address_bits))
                m.d.comb += user.data.eq(port.data)
            m.d.comb += [port.enable.eq(enable), port.address.eq(address)]

        m.submodules.host = host = HostRead(config)
        # A command would overwrite an answer in the shared output register: it waits for the answer to be taken, and
        # no read starts beside it.
        m.d.comb += [host.idle.eq(~busy & ~self.commands.valid), self.commands.ready.eq(~busy & ~host.answer.valid)]
        connect(m, wiring.flipped(self.read), host.request)
        connect(m, wiring.flipped(self.read_data), host.answer)
        share(memory.reads[0], [attention.vectors[0], gemm.a])
        for s in range(1, streams):
            share(memory.reads[s], [attention.vectors[s]])
        share(memory.reads[streams], [attention.queries, gemm.b, host.port])
        share(memory.reads[streams + 1], [attention.scores, rows.read])

        m.d.comb += [self.write.ready.eq(~busy), memory.write.copy_stride.eq(command.copy_stride)]
        with m.If(~busy):
            m.d.comb += [memory.write.address.eq(self.write.p.address), memory.write.data.eq(self.write.p.data),
                         memory.write.mask.eq(self.write.valid.replicate(GRAINS))]
        with m.Elif(attend):
            m.d.comb += _drive(memory.write, attention.write)
        with m.Elif(command.op == LaneOp.GEMM):
            m.d.comb += _drive(memory.write, writer.write)
            m.d.comb += memory.write.copies.eq(command.copies)
        with m.Else():
            m.d.comb += _drive(memory.write, rows.write)

    def _counters(self, m, rmmu, gemm, rows, attention, command, busy):
        steps = {
            LaneCounter.CYCLES: busy,
            LaneCounter.RMMU_BEATS: rmmu.beat.valid,
            LaneCounter.KEY_READS: attention.counts.key_reads,
            LaneCounter.VALUE_READS: attention.counts.value_reads,
            LaneCounter.ROUNDS: attention.round,
            LaneCounter.CONNECTIONS: attention.counts.connections,
            LaneCounter.STALL_LOAD: gemm.stalled,
            LaneCounter.STALL_SCHEDULE: attention.counts.stall_schedule,
            LaneCounter.STALL_SOFTMAX: attention.counts.stall_softmax | rows.stalled,
            LaneCounter.STALL_DRAIN: attention.counts.stall_drain,
        }
        for phase in range(PHASES):
            steps[LaneCounter(LaneCounter.CYCLES_PHASE0.value + phase)] = busy & (command.phase == phase)
        values = []
        for counter in LaneCounter:
            value = Signal(32, name=counter.name.lower())
            m.d.sync += value.eq(value + steps[counter])
            values.append(value)
        m.d.comb += self.counter.eq(Array(values)[self.counter_select.as_value()])


def _drive(target, source):
    """Address, data and mask of a write port."""
    return [target.address.eq(source.address), target.data.eq(source.data), target.mask.eq(source.mask)]
