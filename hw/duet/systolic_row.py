"""A row of the systolic array."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.duet.systolic_pe import SystolicPe
from hw.shared import shared

__all__ = ["SystolicRow"]


@shared
class SystolicRow(wiring.Component):
    """``cols`` elements: ``a`` goes from one to the next, ``b`` to the row below; the sum of one is read.

    Parameters: ``cols``; ``bits`` of an operand; ``acc_bits`` of a sum.

    Members
    -------
    a: In(bits), of column 0
    b, b_out: In and Out(cols * bits), column j at bit ``j * bits``
    first, first_out: In and Out(cols), goes with b: the element begins a new sum
    take: In(cols), the column whose sum is on ``result``, at most one
    result: Out(acc_bits), zero where none is taken
    """

    def __init__(self, cols, bits, acc_bits):
        self.cols, self.bits, self.acc_bits = cols, bits, acc_bits
        super().__init__({
            "a": In(bits), "b": In(cols * bits), "b_out": Out(cols * bits),
            "first": In(cols), "first_out": Out(cols), "take": In(cols), "result": Out(acc_bits),
        })

    def elaborate(self, platform):
        m = Module()
        a, b_out, first_out, result = self.a, [], [], 0
        for col in range(self.cols):
            m.submodules[f"pe_{col}"] = pe = SystolicPe(self.bits, self.acc_bits)
            m.d.comb += [pe.a.eq(a), pe.b.eq(self.b.word_select(col, self.bits)), pe.first.eq(self.first[col])]
            taken = Signal(self.acc_bits, name=f"taken_{col}")
            m.d.comb += taken.eq(pe.sum & self.take[col].replicate(self.acc_bits))
            a, result = pe.a_out, result | taken
            b_out.append(pe.b_out)
            first_out.append(pe.first_out)
        m.d.comb += [self.b_out.eq(Cat(b_out)), self.first_out.eq(Cat(first_out)), self.result.eq(result)]
        return m
