"""A lane of the EnmcExecutor: FP32 multiply-add, its part of PSUM_FP32, choice of operands, special functions."""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.float_fma import FloatFma, FloatFmaConfig
from hw.arith.float_functions import FloatFunctions, FunctionRequest
from hw.shared import shared

__all__ = ["Addend", "ExecutorLane", "Factor", "LaneOperands", "SCRATCH", "SLOTS"]

#: Slots of PSUM_FP32, and the number of the one behind them, for what SOFTMAX must not leave in PSUM_FP32.
SLOTS = SCRATCH = 4


class Factor(enum.Enum, shape=2):
    """Where a factor comes from: words of the buffers, or a number that all lanes have."""

    WEIGHT = 0
    FEATURE = 1
    PSUM = 2
    CONSTANT = 3


class Addend(enum.Enum, shape=2):
    """Where the addend comes from; ``OTHER`` is another lane's PSUM."""

    PSUM = 0
    OTHER = 1
    FEATURE = 2
    CONSTANT = 3


class LaneOperands(data.Struct):
    """What is multiplied and added: ``slot`` is that of PSUM; ``a`` is never ``CONSTANT``."""

    slot: range(SLOTS + 1)
    a: Factor
    b: Factor
    c: Addend


@shared
class ExecutorLane(wiring.Component):
    """``result`` = a * b + c of the operands chosen ``stages`` cycles before. One operation a cycle, free running.

    A sum that is written in this cycle is read past its register, so an operation can use it ``stages`` cycles after
    the operands of the one that forms it were chosen. Each word of PSUM has a bit ``zero`` beside it, which ``wipe``
    sets and a write with ``visible`` clears: it reads as zero where ``visible`` is 1.

    Parameters: ``stages`` of the multiply-add; ``functions``: has :class:`hw.arith.float_functions.FloatFunctions`,
    which own the multiply-add while ``function_mode`` is 1.

    Members
    -------
    operands: In(:class:`LaneOperands`); weight, feature, other, factor, term: In(32): WEIGHT, FEATURE, OTHER, CONSTANT
        as ``b``, CONSTANT as ``c``
    visible: In, PSUM is read (and written) as the program sees it; blank: In, PSUM reads as zero
    write, write_slot, write_visible: In: ``result`` goes to PSUM
    load, load_slot, load_value: In: a number from outside goes to PSUM; not together with ``write``
    wipe: In: PSUM is zero to the program
    psum: Out(32): what slot ``operands.slot`` reads; result: Out(32)
    request, answer, function_mode: with ``functions`` only: their requests (In) and results (Out)
    """

    def __init__(self, stages, functions):
        self.stages, self.functions = stages, functions
        members = {
            "operands": In(LaneOperands), "weight": In(32), "feature": In(32), "other": In(32), "factor": In(32),
            "term": In(32), "visible": In(1), "blank": In(1), "write": In(1), "write_slot": In(range(SLOTS + 1)),
            "write_visible": In(1), "load": In(1), "load_slot": In(range(SLOTS + 1)), "load_value": In(32),
            "wipe": In(1), "psum": Out(32), "result": Out(32),
        }
        if functions:
            members |= {"request": In(stream.Signature(FunctionRequest())), "answer": Out(stream.Signature(32)),
                        "function_mode": In(1)}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.fma = fma = FloatFma(FloatFmaConfig(stages=self.stages))
        m.d.comb += self.result.eq(fma.result)
        self._psum(m)

        operands = self.operands
        chosen = [Signal(32, name=f"chosen_{name}") for name in "abc"]
        with m.Switch(operands.a):
            for source, value in ((Factor.WEIGHT, self.weight), (Factor.FEATURE, self.feature)):
                with m.Case(source):
                    m.d.comb += chosen[0].eq(value)
            with m.Default():
                m.d.comb += chosen[0].eq(self.psum)
        factors = {Factor.WEIGHT: self.weight, Factor.FEATURE: self.feature, Factor.PSUM: self.psum,
                   Factor.CONSTANT: self.factor}
        addends = {Addend.PSUM: self.psum, Addend.OTHER: self.other, Addend.FEATURE: self.feature,
                   Addend.CONSTANT: self.term}
        for value, select, sources in ((chosen[1], operands.b, factors), (chosen[2], operands.c, addends)):
            with m.Switch(select):
                for source, number in sources.items():
                    with m.Case(source):
                        m.d.comb += value.eq(number)
        if self.functions:
            m.submodules.unit = unit = FloatFunctions(self.stages)
            wiring.connect(m, wiring.flipped(self.request), unit.request)
            wiring.connect(m, unit.result, wiring.flipped(self.answer))
            m.d.comb += unit.fma_result.eq(fma.result)
            chosen = [Mux(self.function_mode, theirs, ours)
                      for theirs, ours in zip((unit.a, unit.b, unit.c), chosen)]
        m.d.comb += [port.eq(value) for port, value in zip((fma.a, fma.b, fma.c), chosen)]
        return m

    def _psum(self, m):
        """The registers of PSUM and the scratch word, written and read."""
        words = [Signal(32, name=f"psum_{slot}", reset_less=True) for slot in range(SLOTS + 1)]
        zero = Signal(SLOTS, init=~0)
        for slot, word in enumerate(words):
            with m.If(self.write & (self.write_slot == slot)):
                m.d.sync += word.eq(self.result)
                if slot < SLOTS:
                    with m.If(self.write_visible):
                        m.d.sync += zero[slot].eq(0)
            with m.If(self.load & (self.load_slot == slot)):
                m.d.sync += word.eq(self.load_value)
                if slot < SLOTS:
                    m.d.sync += zero[slot].eq(0)
        with m.If(self.wipe):
            m.d.sync += zero.eq(~0)
        slot = self.operands.slot
        hidden = self.blank | self.visible & Array([*zero, 0])[slot]
        value = Mux(self.write & (self.write_slot == slot), self.result, Array(words)[slot])
        m.d.comb += self.psum.eq(Mux(hidden, 0, value))
