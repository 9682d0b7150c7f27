# amaranth: UnusedElaboratable=no
"""Booth products in a compressor against plain multiplication."""

import pytest
from amaranth.hdl import C, Cat, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.booth import booth_digits, booth_products, digit_sizes, split_digits
from hw.arith.compressor import Compressor, CompressorPlan

from .every_product import check_every_product


class Multiplier(wiring.Component):
    """x * v from Booth products, as far as ``limit`` allows from full adders, then by a plain addition."""

    def __init__(self, x_width, v_width, limit):
        self.limit = limit
        super().__init__({"x": In(signed(x_width)), "v": In(v_width), "y": Out(signed(x_width + v_width))})

    def elaborate(self, platform):
        m = Module()
        adders, width = Compressor(m), len(self.y)
        packed = Cat(bit for digit in booth_digits(adders, self.v) for bit in digit if bit is not None)
        assert len(packed) == sum(digit_sizes(len(self.v)))
        columns, constant = booth_products(adders, self.x, split_digits(packed, len(self.v)))
        timed = {weight: [(4, bit) for bit in columns.get(weight, ())] + [(0, C(1, 1))] * (constant >> weight & 1)
                 for weight in range(width)}
        after = adders.within(timed, width, self.limit)
        planned = CompressorPlan().within(timed, width, self.limit)
        assert {weight: [time for time, _ in column] for weight, column in planned.items()} == \
               {weight: [time for time, _ in column] for weight, column in after.items()}
        assert all(time <= max(4, self.limit) for column in after.values() for time, _ in column)
        m.d.comb += self.y.eq(sum(bit << weight for weight, column in after.items() for _, bit in column))
        return m


@pytest.mark.parametrize("x_width, v_width, limit", [
    (4, 1, 9), (5, 2, 12), (5, 3, 12), (4, 4, 0), (4, 4, 7), (4, 4, 100), (3, 5, 13), (5, 4, 21)])
def test_every_product(x_width, v_width, limit):
    check_every_product(Multiplier(x_width, v_width, limit), "x", "v")
