"""InstructionDispatch: hands instructions to the units in order, each when its buffers are free (thesis 6.4.2)."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.enmc_types import CandidateRange, ExecutorOp, HostJob, MemoryJob, MemoryOp, ScreenerJob, ScreenerOp
from hw.enmc.instruction_decoder import Instruction, slices
from hw.enmc.isa_table import COMMAND_BITS, Buffer, Kind
from hw.stream.hold import assert_hold

__all__ = ["InstructionDispatch", "StoreTag", "UnitState"]

_BYTE_BITS = 6  # of an address in an operand that are zero
_BUFFERS = len(Buffer)


def _mask(*buffers):
    return sum(1 << buffer.value for buffer in buffers)


_SCREENER = _mask(Buffer.FEATURE_INT4, Buffer.WEIGHT_INT4, Buffer.PSUM_INT4)
_EXECUTOR = _mask(Buffer.FEATURE_FP32, Buffer.WEIGHT_FP32, Buffer.PSUM_FP32)
_OUTPUT = _mask(Buffer.OUTPUT)
# FILTER starts candidates. It does not use all of the Screener's buffers, but would make a job wait that does.
_FILTER = _EXECUTOR | _OUTPUT | _SCREENER


class UnitState(data.Struct):
    """What the units are doing; each flag is up from the cycle after the transfer that gives the unit its work.

    ``screener_busy``: a job is inside; ``filter_busy``: a FILTER is, or a result, maximum or candidate of it has not
    been taken. ``executor_busy``: any work is inside. ``generator_busy``: a range is being taken apart, a queue holds
    four candidates, or a group is under way, until its results are stored. ``candidates_left``: a queue or a range
    holds a candidate. ``memory_busy``: a job is inside the load-store unit. ``memory_idle``: the DramController does
    not own the chips and has nothing to do.
    """

    screener_busy: 1
    filter_busy: 1
    executor_busy: 1
    generator_busy: 1
    candidates_left: 1
    memory_busy: 1
    memory_idle: 1


class StoreTag(data.Struct):
    """The instruction whose job the load-store unit does: for its errors."""

    command: COMMAND_BITS
    number: 32


class InstructionDispatch(wiring.Component):
    """Sends the instruction in ``instruction`` to its unit, or does it; ``leave`` when that is done.

    An instruction waits for those before it that use its buffers. A job of the load-store unit waits in a place of its
    own, so that the Screener goes on while a store waits for FILTER. Buffers 2, 3 and 5 are free when no candidate is
    left: ``flush`` asks for those that wait for company. INIT waits until no unit works; BARRIER, RETURN and CLR until
    no candidate is left and the chips are given back; an instruction with an error until no store is under way, so
    that errors are kept in order. Of the units' flags nothing but falling may be seen while an instruction waits.

    Throughput: an instruction a cycle. Latency: none, ``memory_jobs`` 1 cycle. Back-pressure: full.

    Members
    -------
    valid, instruction, kind, op: In, an instruction; refused: In(1), it has an error
    more: In(1), further instructions wait
    number: In(32), its number
    leave: Out(1), the instruction is done or handed over
    units: In(:class:`UnitState`)
    screener_jobs, executor_jobs, ranges, memory_jobs: Out(streams of :mod:`hw.enmc.enmc_types`)
    flush: Out(1), groups of fewer than four candidates are to be computed
    store: Out(:class:`StoreTag`)
    memory_wanted: Out(1), the logic needs the chips
    quiet: Out(1), no unit works; candidates may wait for company
    """

    def __init__(self, assertions=False):
        self.assertions = assertions
        self.holding = Signal()  # a job waits for the load-store unit; an attribute for the proof's sake
        super().__init__({
            "valid": In(1), "instruction": In(Instruction), "kind": In(Kind), "op": In(3), "refused": In(1),
            "more": In(1), "number": In(32), "leave": Out(1), "units": In(UnitState),
            "screener_jobs": Out(stream.Signature(ScreenerJob)), "executor_jobs": Out(stream.Signature(HostJob)),
            "ranges": Out(stream.Signature(CandidateRange)), "memory_jobs": Out(stream.Signature(MemoryJob)),
            "flush": Out(1), "store": Out(StoreTag), "memory_wanted": Out(1), "quiet": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        units = self.units
        legal = Signal()
        m.d.comb += legal.eq(self.valid & ~self.refused)
        kinds = {kind: Signal(name=f"is_{kind.name.lower()}") for kind in Kind}
        for kind, flag in kinds.items():
            m.d.comb += flag.eq(legal & (self.kind == kind))
        is_filter, moves = Signal(), Signal()
        m.d.comb += [is_filter.eq(self.op == ScreenerOp.FILTER.value), moves.eq(self.op == MemoryOp.MOVE.value)]
        used, memory = self._memory(m, kinds[Kind.MEMORY], moves)

        screener, executor = self.screener_jobs, self.executor_jobs
        # A candidate may start to be computed, or take its place, only behind the FP32 instructions before it.
        host_job, range_job = Signal(), Signal()
        with m.If(executor.valid & executor.ready):
            m.d.sync += host_job.eq(1)
        with m.Elif(~units.executor_busy):
            m.d.sync += host_job.eq(0)
        with m.If(self.ranges.valid & self.ranges.ready):
            m.d.sync += range_job.eq(1)
        with m.Elif(~units.generator_busy):
            m.d.sync += range_job.eq(0)

        no_candidates, uses_executor, executor_free = Signal(), Signal(), Signal()
        m.d.comb += [
            no_candidates.eq(~units.filter_busy & ~units.generator_busy & ~units.candidates_left),
            uses_executor.eq(kinds[Kind.EXECUTOR] | kinds[Kind.MEMORY] & (used & _EXECUTOR).any()),
            executor_free.eq(no_candidates & (~units.executor_busy | host_job & kinds[Kind.EXECUTOR])
                             & ~(kinds[Kind.EXECUTOR] & (memory.mask & _EXECUTOR).any())),
        ]
        ends = Signal()  # BARRIER, RETURN, CLR
        m.d.comb += [
            ends.eq(kinds[Kind.BARRIER] | kinds[Kind.RETURN] | kinds[Kind.CLR]),
            self.quiet.eq(~units.screener_busy & ~units.filter_busy & ~units.executor_busy & ~units.generator_busy
                          & ~memory.working),
            self.flush.eq((ends | uses_executor) & ~units.filter_busy & units.candidates_left),
            screener.valid.eq(kinds[Kind.SCREENER] & Mux(
                is_filter, ~(memory.mask & _FILTER).any() & ~host_job & ~range_job, ~(memory.mask & _SCREENER).any())),
            executor.valid.eq(kinds[Kind.EXECUTOR] & executor_free),
            self.ranges.valid.eq(kinds[Kind.CANDIDATES] & ~units.filter_busy & ~host_job
                                 & ~(memory.mask & _EXECUTOR).any()),
            memory.take.eq(kinds[Kind.MEMORY] & ~memory.holding & (~uses_executor | executor_free)),
            self.leave.eq(
                screener.valid & screener.ready | executor.valid & executor.ready
                | self.ranges.valid & self.ranges.ready | memory.take | kinds[Kind.NOP]
                | kinds[Kind.INIT] & self.quiet
                | ends & self.quiet & ~units.candidates_left & ~self.memory_wanted & units.memory_idle
                | self.valid & self.refused & ~memory.working),
        ]
        self._payloads(m)
        self._want_memory(m, kinds, ends, moves)
        if self.assertions:
            for port in (screener, executor, self.ranges, self.memory_jobs):
                assert_hold(m, port)
        return m

    def _memory(self, m, wanted, moves):
        """The load-store unit's next job: the buffers of the instruction, and a place for its job to wait in.

        Returns the mask of the buffers that the instruction uses, and signals: ``take``, the job goes into the place;
        ``holding``, it is full; ``working``, a job is in it or in the unit; ``mask``, the buffers of those.
        """
        memory = Signal(data.StructLayout({"take": 1, "holding": 1, "working": 1, "mask": _BUFFERS}))
        used = Signal(_BUFFERS)
        buf1, buf2 = self._buffers()
        job, held_mask, inside_mask = Signal(MemoryJob), Signal(_BUFFERS), Signal(_BUFFERS)
        holding, inside = self.holding, Signal()
        held, tag = Signal(MemoryJob, reset_less=True), Signal(StoreTag, reset_less=True)
        load, store = slices("LDR"), slices("STR")
        operand = self.instruction.operand
        m.d.comb += [
            used.eq((1 << buf1)[:_BUFFERS] | Mux(moves, (1 << buf2)[:_BUFFERS], 0)),
            job.op.eq(MemoryOp(self.op[:2])), job.buf1.eq(buf1), job.buf2.eq(buf2),
            job.address.eq(operand[load["address"]][_BYTE_BITS:]), job.count.eq(operand[load["count"]]),
            job.width.eq(operand[store["width"]]), job.stride.eq(operand[store["stride"]]),
            memory.holding.eq(holding), memory.working.eq(holding | inside),
            memory.mask.eq(Mux(holding, held_mask, 0) | Mux(inside, inside_mask, 0)),
            self.memory_jobs.payload.eq(held),
            self.memory_jobs.valid.eq(holding & ~inside
                                      & ~((held_mask & _SCREENER).any() & self.units.screener_busy)
                                      & ~((held_mask & _OUTPUT).any() & self.units.filter_busy)),
        ]
        with m.If(self.memory_jobs.valid & self.memory_jobs.ready):
            m.d.sync += [holding.eq(0), inside.eq(1), inside_mask.eq(held_mask), self.store.eq(tag)]
        with m.Elif(~self.units.memory_busy):
            m.d.sync += inside.eq(0)
        with m.If(memory.take):
            m.d.sync += [holding.eq(1), held.eq(job), held_mask.eq(used), tag.command.eq(self.instruction.command),
                         tag.number.eq(self.number)]
        return used, memory

    def _buffers(self):
        return self.instruction.command[4:8], self.instruction.command[0:4]

    def _payloads(self, m):
        """Jobs of the units but the load-store unit: fields of the operand."""
        operand, (buf1, buf2) = self.instruction.operand, self._buffers()
        screen, first = slices("MUL_ADD_INT4"), slices("FILTER")
        softmax, listed = slices("SOFTMAX"), slices("MUL_ADD_FP32")
        screener, executor, ranges = self.screener_jobs.p, self.executor_jobs.p, self.ranges.p
        m.d.comb += [
            screener.op.eq(ScreenerOp(self.op)), screener.address.eq(operand[screen["address"]][_BYTE_BITS:]),
            screener.groups.eq(operand[screen["groups"]]), screener.first_class.eq(operand[first["class"]]),
            executor.op.eq(ExecutorOp(self.op)),
            executor.buf1.eq(buf1), executor.buf2.eq(buf2), executor.phase.eq(operand[softmax["phase"]]),
            executor.item.eq(operand[softmax["item"]]), executor.count.eq(operand[softmax["count"]]),
            ranges.first_class.eq(operand[listed["class"]]), ranges.count.eq(operand[listed["count"]]),
            ranges.item.eq(operand[listed["item"]]),
        ]

    def _want_memory(self, m, kinds, ends, moves):
        """The chips are asked for by the first instruction that may need them, given back when nothing is left."""
        needs = Signal()
        screens = self.kind == Kind.SCREENER
        m.d.comb += needs.eq(
            self.leave & (screens & ((self.op == ScreenerOp.SCREEN.value) | (self.op == ScreenerOp.FILTER.value))
                          | (self.kind == Kind.CANDIDATES) | (self.kind == Kind.MEMORY) & ~moves) & ~self.refused
            | self.flush)
        done = self.quiet & ~needs
        with m.If(needs):
            m.d.sync += self.memory_wanted.eq(1)
        with m.Elif(done & (ends & ~self.units.candidates_left | ~self.valid & ~self.more)):
            m.d.sync += self.memory_wanted.eq(0)
