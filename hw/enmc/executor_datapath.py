"""The lanes of the EnmcExecutor, step by step: operands, multiply-add, where results go, special functions."""

from amaranth.hdl import Array, Assert, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.float32 import MINUS_ZERO, ONE
from hw.arith.float_functions import FloatFunction
from hw.arith.pipeline import delay
from hw.enmc.enmc_types import WORD_BITS
from hw.enmc.executor_lane import ExecutorLane
from hw.enmc.executor_sequence import FactorConstant, Operation, Sink, TermConstant
from hw.enmc.function_run import LANES, FunctionRun

__all__ = ["ExecutorDatapath"]

#: 2 as FP32.
TWO = 0x4000_0000


class ExecutorDatapath(wiring.Component):
    """Cycle 0: an operation is issued; 1: its words of the buffers are here, operands are chosen; 1 to ``fma_stages``:
    multiply-add; ``fma_stages`` + 1: the result is written, and can be chosen. An operation a cycle.

    Parameters: ``fma_stages``, ``function_lanes``, ``assertions``.

    Members
    -------
    operation: In(:class:`Operation`), issued: In; ready: Out: no operation on its way writes the slot that it reads
    flying: Out, an operation is on its way
    weight, feature: In(512), words of the buffers, in the cycle after an operation was issued
    minus_max, sum: In(32); wipe: In: PSUM becomes zero to the program
    result, result_valid, sum_valid: Out: lane 0 of operations with sink RESULT, SUM
    run, function, limit, base: In; done: Out: run of a function, while nothing is on its way
    psum_slot: In, psum: Out(512): a slot as the program sees it, a cycle later, while nothing is on its way
    load, load_slot, load_data: In: writes a slot, while nothing is on its way
    """

    def __init__(self, fma_stages, function_lanes, assertions=False):
        self.fma_stages, self.function_lanes, self.assertions = fma_stages, function_lanes, assertions
        super().__init__({
            "operation": In(Operation), "issued": In(1), "ready": Out(1), "flying": Out(1),
            "weight": In(WORD_BITS), "feature": In(WORD_BITS), "minus_max": In(32), "sum": In(32), "wipe": In(1),
            "result": Out(32), "result_valid": Out(1), "sum_valid": Out(1),
            "run": In(1), "function": In(FloatFunction), "limit": In(range(65)), "base": In(3), "done": Out(1),
            "psum_slot": In(2), "psum": Out(WORD_BITS), "load": In(1), "load_slot": In(2), "load_data": In(WORD_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.function_run = run = FunctionRun(self.function_lanes)
        lanes = [ExecutorLane(self.fma_stages, index < self.function_lanes) for index in range(LANES)]
        for index, lane in enumerate(lanes):
            m.submodules[f"lane_{index}"] = lane

        # Cycle 1.
        valid = Signal()
        chosen = Signal(Operation, reset_less=True)
        m.d.sync += [valid.eq(self.issued), chosen.eq(self.operation)]
        with m.If(~self.issued):
            m.d.sync += [chosen.operands.slot.eq(Mux(self.run, run.next_slot, self.psum_slot)), chosen.visible.eq(1),
                         chosen.blank.eq(0)]
        scale = Signal(32, reset_less=True)
        factor, term = Signal(32), Signal(32)
        factors = {FactorConstant.ONE: ONE, FactorConstant.TWO: TWO, FactorConstant.SCALE: scale}
        terms = {TermConstant.ZERO: 0, TermConstant.MINUS_ZERO: MINUS_ZERO, TermConstant.MINUS_MAX: self.minus_max,
                 TermConstant.SUM: self.sum}
        # Of two bits the fourth number is never chosen.
        m.d.comb += [factor.eq(Array([*(factors[kind] for kind in FactorConstant), scale])[chosen.factor]),
                     term.eq(Array(terms[kind] for kind in TermConstant)[chosen.term])]

        # From there to the result, and what may be read meanwhile.
        flying, targets = [valid], [chosen.target]
        for stage in range(self.fma_stages):
            flying.append(delay(m, flying[-1], 1, name=f"valid_{stage}", control=True))
            targets.append(delay(m, targets[-1], 1, name=f"target_{stage}"))
        ahead = zip(flying[:self.fma_stages - 1], targets)
        m.d.comb += [
            self.flying.eq(Cat(flying).any()),
            self.ready.eq(~Cat(moving & (target == self.operation.operands.slot) for moving, target in ahead).any()),
        ]
        to_end = self.fma_stages
        sink = delay(m, chosen.sink, to_end, name="sink")
        visible = delay(m, chosen.visible, to_end, name="visible")
        written = delay(m, Mux(chosen.blank, LANES, chosen.lanes), to_end, name="lanes")
        ends = {kind: Signal(name=f"ends_{kind.name.lower()}") for kind in Sink}
        m.d.comb += [end.eq(flying[-1] & (sink == kind)) for kind, end in ends.items()]
        m.d.comb += [self.result.eq(lanes[0].result), self.result_valid.eq(ends[Sink.RESULT]),
                     self.sum_valid.eq(ends[Sink.SUM])]

        self._functions(m, lanes, run, scale)
        to_psum = Signal(LANES)
        m.d.comb += [to_psum.eq(run.write & (self.function != FloatFunction.RECIPROCAL).replicate(LANES)),
                     self.psum.eq(Cat(lane.psum for lane in lanes))]
        for index, lane in enumerate(lanes):
            partners = [lanes[index + (8 >> level)].psum if index < 8 >> level else lane.psum for level in range(4)]
            m.d.comb += [
                lane.operands.eq(chosen.operands), lane.weight.eq(self.weight.word_select(index, 32)),
                lane.feature.eq(self.feature.word_select(index, 32)), lane.factor.eq(factor), lane.term.eq(term),
                lane.other.eq(Array(partners)[chosen.level] if index < 8 else lane.psum),
                lane.visible.eq(chosen.visible), lane.blank.eq(chosen.blank & (index >= chosen.lanes)),
                lane.write.eq(ends[Sink.PSUM] & (index < written)), lane.write_slot.eq(targets[-1]),
                lane.write_visible.eq(visible), lane.wipe.eq(self.wipe),
                lane.load.eq(self.load | to_psum[index]),
                lane.load_slot.eq(Mux(self.load, self.load_slot, run.write_slot)),
                lane.load_value.eq(Mux(self.load, self.load_data.word_select(index, 32),
                                       lanes[index % self.function_lanes].answer.payload)),
            ]
        if self.assertions:
            with m.If(self.issued):
                m.d.sync += Assert(self.ready & ~self.run, "an operation too early")
            m.d.sync += Assert(~(self.load | self.run) | ~self.flying, "PSUM_FP32 is used while operations run")
        return m

    def _functions(self, m, lanes, run, scale):
        """Requests to the units of the lanes, in step, and their answers."""
        first, units = lanes[0], lanes[:self.function_lanes]
        words = data.ArrayLayout(32 * self.function_lanes, LANES // self.function_lanes)
        part = Signal(32 * self.function_lanes)
        running, limit = Signal(), Signal.like(self.limit)
        m.d.sync += [running.eq(self.run & ~run.done), limit.eq(self.limit)]
        m.d.comb += [
            run.run.eq(running), run.limit.eq(limit), run.base.eq(self.base), self.done.eq(run.done),
            run.request_ready.eq(first.request.ready), run.answer_valid.eq(first.answer.valid),
            part.eq(data.View(words, self.psum)[run.request_part]),
        ]
        for index, unit in enumerate(units):
            number = Mux(self.function == FloatFunction.RECIPROCAL, self.sum, part.word_select(index, 32))
            m.d.comb += [unit.function_mode.eq(running), unit.request.valid.eq(run.request_valid),
                         unit.request.p.function.eq(self.function), unit.request.p.value.eq(number),
                         unit.answer.ready.eq(1)]
            if self.assertions and index:
                m.d.sync += Assert((unit.request.ready == first.request.ready) &
                                   (unit.answer.valid == first.answer.valid), "function units are out of step")
        with m.If(run.done & (self.function == FloatFunction.RECIPROCAL)):
            m.d.sync += scale.eq(first.answer.payload)
