"""Processing element of the systolic array."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.baugh_wooley import signed_products
from hw.arith.compressor import Compressor
from hw.shared import shared

__all__ = ["SystolicPe"]


@shared
class SystolicPe(wiring.Component):
    """``sum`` <= (``first`` ? 0 : ``sum``) + a * b in every cycle, of the operands in its registers.

    The operands and ``first`` go on to the neighbours from these registers. There is no enable: a cycle without work
    has a = 0. There is no reset: the first product of a sum has ``first``. The bits of the products (Baugh-Wooley) and
    of the old sum are reduced to two numbers by carry-save adders, then added.

    Latency: 1 cycle to ``a_out``, ``b_out``, ``first_out``; 2 to ``sum``. Throughput: one product a cycle.

    Parameters: ``bits`` of an operand, at least 2; ``acc_bits`` of a sum, at least 2 * ``bits``; two's complement.

    Members: ``a``, ``b``, ``first`` In; ``a_out``, ``b_out``, ``first_out``, ``sum`` Out.
    """

    def __init__(self, bits, acc_bits):
        super().__init__({
            "a": In(signed(bits)), "b": In(signed(bits)), "first": In(1),
            "a_out": Out(signed(bits)), "b_out": Out(signed(bits)), "first_out": Out(1),
            "sum": Out(signed(acc_bits)),
        })

    def elaborate(self, platform):
        m = Module()
        bits, acc_bits = len(self.a), len(self.sum)
        a, b, first = Signal(bits, reset_less=True), Signal(bits, reset_less=True), Signal(reset_less=True)
        total, kept = Signal(acc_bits, reset_less=True), Signal(acc_bits)
        adders = Compressor(m)
        columns, constant = signed_products(adders, a, b)
        for weight in range(acc_bits):
            columns.setdefault(weight, []).extend([Const(1)] * (constant >> weight & 1) + [kept[weight]])
        one, other = adders.rows(columns, acc_bits)
        m.d.comb += [
            self.a_out.eq(a), self.b_out.eq(b), self.first_out.eq(first), self.sum.eq(total),
            kept.eq(Mux(first, 0, total)),
        ]
        m.d.sync += [
            a.eq(self.a), b.eq(self.b), first.eq(self.first),
            total.eq(Cat(*one) + Cat(Const(0) if bit is None else bit for bit in other)),
        ]
        return m
