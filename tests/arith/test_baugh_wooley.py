# amaranth: UnusedElaboratable=no
"""Products of signed numbers from single bits against plain multiplication."""

import pytest
from amaranth.hdl import Cat, Const, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.baugh_wooley import signed_products
from hw.arith.compressor import Compressor

from .every_product import check_every_product


class Multiplier(wiring.Component):
    """a * b, sign-extended to ``width`` bits."""

    def __init__(self, a_width, b_width, width):
        super().__init__({"a": In(signed(a_width)), "b": In(signed(b_width)), "y": Out(signed(width))})

    def elaborate(self, platform):
        m = Module()
        adders, width = Compressor(m), len(self.y)
        columns, constant = signed_products(adders, self.a, self.b)
        for weight in range(width):
            columns.setdefault(weight, []).extend([Const(1)] * (constant >> weight & 1))
        one, other = (Cat(Const(0) if bit is None else bit for bit in row) for row in adders.rows(columns, width))
        m.d.comb += self.y.eq(one + other)
        return m


@pytest.mark.parametrize("a_width, b_width, width", [
    (2, 2, 4), (2, 5, 7), (5, 2, 12), (4, 4, 9), (3, 6, 9), (5, 5, 10)])
def test_every_product(a_width, b_width, width):
    check_every_product(Multiplier(a_width, b_width, width), "a", "b")
