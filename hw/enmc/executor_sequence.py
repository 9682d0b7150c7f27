"""Instructions of the EnmcExecutor as operations of its lanes."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.float_functions import FloatFunction
from hw.enmc.enmc_types import ExecutorOp, HostJob
from hw.enmc.executor_lane import SCRATCH, Addend, Factor, LaneOperands
from hw.enmc.function_run import LANES
from hw.enmc.isa_table import Buffer

__all__ = ["ExecutorSequence", "FactorConstant", "Operation", "Sink", "TermConstant"]


class FactorConstant(enum.Enum, shape=2):
    """Numbers that all lanes multiply by; ``SCALE`` is 1 / SUM."""

    ONE = 0
    TWO = 1
    SCALE = 2


class TermConstant(enum.Enum, shape=2):
    """Numbers that all lanes add; ``MINUS_MAX`` is -MAX of the instruction's item."""

    ZERO = 0
    MINUS_ZERO = 1
    MINUS_MAX = 2
    SUM = 3


class Sink(enum.Enum, shape=2):
    """Where results go: all lanes to PSUM, lane 0 to the accurate results, or to SUM."""

    PSUM = 0
    RESULT = 1
    SUM = 2


class Operation(data.Struct):
    """An operation of all lanes.

    ``word`` of FEATURE and WEIGHT; results of lanes below ``lanes`` go to slot ``target``. ``level`` l: OTHER is lane
    i + 8 / 2^l. ``blank``: lanes from ``lanes`` on read PSUM as zero, and all lanes are written. ``visible``: PSUM as
    the program sees it, not as candidates do.
    """

    operands: LaneOperands
    target: 3
    word: 2
    level: 2
    lanes: 5
    blank: 1
    visible: 1
    factor: FactorConstant
    term: TermConstant
    sink: Sink


class ExecutorSequence(wiring.Component):
    """Takes an instruction while nothing else is inside, gives its operations in order, and waits for their results.

    ADD, MUL, MUL_ADD: four operations. SIGMOID: a run of the function over all elements. SOFTMAX, phase 0: for each
    word in order: x - MAX and exp into the scratch word, the tree of REDUCE over it with 0 beyond ``count``, SUM plus
    that; phase 1: 1 / SUM, x - MAX, exp, the product with 1 / SUM.

    Members
    -------
    jobs: In(stream of :class:`hw.enmc.enmc_types.HostJob`); quiet: In, candidates are done and no operation is on its
        way; active: Out, an instruction is inside; item: Out, whose MAX MINUS_MAX is
    operation: Out(:class:`Operation`), operation_valid: Out, operation_ready: In: issued in this cycle
    run, function, limit, base: Out: run of a function, of the number SUM where it is RECIPROCAL; done: In
    """

    def __init__(self):
        super().__init__({
            "jobs": In(stream.Signature(HostJob)), "quiet": In(1), "active": Out(1), "item": Out(2),
            "operation": Out(Operation), "operation_valid": Out(1), "operation_ready": In(1),
            "run": Out(1), "function": Out(FloatFunction), "limit": Out(range(65)), "base": Out(3), "done": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        job = Signal(HostJob)
        word, level = Signal(2), Signal(2)
        operation, issued = self.operation, self.operation_ready
        final, last_word, lanes = Signal(6), Signal(), Signal(5)
        m.d.comb += [
            final.eq(job.count - 1), last_word.eq(word == final[4:]),
            lanes.eq(Mux(last_word, final[:4] + 1, LANES)),
            self.item.eq(job.item), self.active.eq(1), self.limit.eq(job.count),
            operation.visible.eq(1), operation.word.eq(word), operation.target.eq(word),
            operation.operands.slot.eq(word), operation.operands.a.eq(Factor.PSUM),
            operation.operands.b.eq(Factor.CONSTANT), operation.operands.c.eq(Addend.CONSTANT),
            operation.term.eq(TermConstant.MINUS_ZERO), operation.lanes.eq(lanes), operation.level.eq(level),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.active.eq(0), self.jobs.ready.eq(self.quiet)]
                m.d.sync += [word.eq(0), level.eq(0)]
                with m.If(self.jobs.valid & self.quiet):
                    m.d.sync += job.eq(self.jobs.p)
                    with m.Switch(self.jobs.p.op):
                        with m.Case(ExecutorOp.SIGMOID):
                            m.next = "SIGMOID"
                        with m.Case(ExecutorOp.SOFTMAX):
                            with m.If(self.jobs.p.count != 0):
                                with m.If(self.jobs.p.phase):
                                    m.next = "RECIPROCAL"
                                with m.Else():
                                    m.next = "SHIFT"
                        with m.Default():
                            m.next = "ELEMENTS"
            with m.State("ELEMENTS"):
                m.d.comb += [self.operation_valid.eq(1), operation.lanes.eq(LANES)]
                self._elements(m, job)
                with m.If(issued):
                    m.d.sync += word.eq(word + 1)
                    with m.If(word == 3):
                        m.next = "DRAIN"
            with m.State("DRAIN"):
                with m.If(self.quiet):
                    m.next = "IDLE"

            with m.State("SIGMOID"):
                m.d.comb += [self.run.eq(1), self.limit.eq(64), self.function.eq(FloatFunction.SIGMOID)]
                with m.If(self.done):
                    m.next = "IDLE"

            with m.State("SHIFT"):  # phase 0: a word of x - MAX
                m.d.comb += [self.operation_valid.eq(1), operation.target.eq(SCRATCH), operation.lanes.eq(LANES),
                             operation.term.eq(TermConstant.MINUS_MAX)]
                with m.If(issued):
                    m.next = "SHIFTED"
            with m.State("SHIFTED"):
                with m.If(self.quiet):
                    m.next = "EXP"
            with m.State("EXP"):
                m.d.comb += [self.run.eq(1), self.limit.eq(lanes), self.base.eq(SCRATCH),
                             self.function.eq(FloatFunction.EXP)]
                with m.If(self.done):
                    m.next = "TREE"
            with m.State("TREE"):
                m.d.comb += [
                    self.operation_valid.eq(1), operation.operands.slot.eq(SCRATCH), operation.target.eq(SCRATCH),
                    operation.operands.c.eq(Addend.OTHER), operation.blank.eq(level == 0),
                    operation.lanes.eq(Mux(level == 0, lanes, LANES)),
                ]
                with m.If(issued):
                    m.d.sync += level.eq(level + 1)
                    with m.If(level == 3):
                        m.next = "SUM"
            with m.State("SUM"):
                m.d.comb += [self.operation_valid.eq(1), operation.operands.slot.eq(SCRATCH),
                             operation.target.eq(SCRATCH), operation.term.eq(TermConstant.SUM),
                             operation.sink.eq(Sink.SUM)]
                with m.If(issued):
                    m.d.sync += word.eq(word + 1)
                    m.next = "SHIFT"
                    with m.If(last_word):
                        m.next = "DRAIN"

            with m.State("RECIPROCAL"):
                m.d.comb += [self.run.eq(1), self.limit.eq(1), self.function.eq(FloatFunction.RECIPROCAL)]
                with m.If(self.done):
                    m.next = "SHIFT_ALL"
            with m.State("SHIFT_ALL"):  # phase 1: all words of x - MAX
                m.d.comb += [self.operation_valid.eq(1), operation.term.eq(TermConstant.MINUS_MAX)]
                with m.If(issued):
                    m.d.sync += word.eq(word + 1)
                    with m.If(last_word):
                        m.next = "SHIFTED_ALL"
            with m.State("SHIFTED_ALL"):
                m.d.sync += word.eq(0)
                with m.If(self.quiet):
                    m.next = "EXP_ALL"
            with m.State("EXP_ALL"):
                m.d.comb += [self.run.eq(1), self.function.eq(FloatFunction.EXP)]
                with m.If(self.done):
                    m.next = "SCALE"
            with m.State("SCALE"):
                m.d.comb += [self.operation_valid.eq(1), operation.factor.eq(FactorConstant.SCALE)]
                with m.If(issued):
                    m.d.sync += word.eq(word + 1)
                    with m.If(last_word):
                        m.next = "DRAIN"
        return m

    def _elements(self, m, job):
        """Operands of ADD, MUL, MUL_ADD. Sums and products of two buffers do not depend on their order; x + x = 2 x."""
        operands = self.operation.operands
        uses = {name: Signal(name=f"uses_{name}") for name in ("feature", "weight", "psum")}
        numbers = {"feature": Buffer.FEATURE_FP32, "weight": Buffer.WEIGHT_FP32, "psum": Buffer.PSUM_FP32}
        for name, used in uses.items():
            m.d.comb += used.eq((job.buf1 == numbers[name].value) | (job.buf2 == numbers[name].value))
        same = Signal()
        # Of two different buffers WEIGHT is the first, or else PSUM; FEATURE is the second, or else PSUM.
        first = Mux(uses["weight"], Factor.WEIGHT, Mux(uses["psum"], Factor.PSUM, Factor.FEATURE))
        second = Mux(uses["feature"], Factor.FEATURE, Mux(uses["psum"], Factor.PSUM, Factor.WEIGHT))
        added = Mux(uses["feature"], Addend.FEATURE, Addend.PSUM)
        m.d.comb += [same.eq(job.buf1 == job.buf2), operands.a.eq(first)]
        with m.If(job.op == ExecutorOp.ADD):
            with m.If(same):
                m.d.comb += self.operation.factor.eq(FactorConstant.TWO)
            with m.Else():
                m.d.comb += operands.c.eq(added)
        with m.Else():
            m.d.comb += operands.b.eq(second)
            with m.If(job.op == ExecutorOp.MUL_ADD):
                m.d.comb += operands.c.eq(Addend.PSUM)
