"""Sigmoid and tanh of a Q4.11 number in Q0.15; equals ``golden.arith.activation`` bit for bit."""

import math

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Activation", "ActivationFunction"]


class ActivationFunction(enum.Enum, shape=1):
    """What an :class:`Activation` computes."""

    SIGMOID = 0
    TANH = 1


class Activation(wiring.Component):
    """``y = sigmoid(x)`` or ``tanh(x)``: one table of tanh, straight lines between its points, symmetry.

    ``x``: signed, 11 fraction bits. ``y``: signed, 15 fraction bits; sigmoid 0..32767, tanh -32767..32767, and
    ``tanh(-x) = -tanh(x)`` exactly. Absolute error below 1 unit of 2^-15 for every x.

    Latency: :attr:`latency` = 3 cycles (look-up, multiply, add). Throughput: one result a cycle.
    Table: 208 lines x (17 bits + slope of up to 12 bits) of constant logic. Source of the formula:
    ``golden/arith/activation.py``.

    Members
    -------
    x: In(signed(16))
    function: In(:class:`ActivationFunction`), taken with ``x``
    enable: In(1), 1 where it is not connected; while it is 0 all stages stand still
    y: Out(signed(16)), from a register
    """

    latency = 3

    def __init__(self):
        super().__init__({
            "x": In(signed(16)),
            "function": In(ActivationFunction),
            "enable": In(1, init=1),
            "y": Out(signed(16)),
        })

    #: Of the table: from, to (exclusive), points in a unit.
    _REGIONS = (0, 2, 64), (2, 4, 32), (4, 8, 4)

    @classmethod
    def _lines(cls):
        """A list of (first point, rise to the next one) for each region."""
        def point(a, density):
            t = math.tanh(a)
            return min(round(2**17 * (t + t * (1 - t * t) / (9 * density**2))), 4 * 32767 + 1)

        found = []
        for index, (begin, end, density) in enumerate(cls._REGIONS):
            levels = [point(begin + k / density, density) for k in range((end - begin) * density)]
            # The last line of a region ends where the next region begins, so that T is continuous.
            after = cls._REGIONS[min(index + 1, len(cls._REGIONS) - 1)][2]
            levels.append(point(end, after))
            found.append([(here, there - here) for here, there in zip(levels, levels[1:])])
        return found

    def elaborate(self, platform):
        m = Module()
        tanh, negative = self.function == ActivationFunction.TANH, self.x[-1]

        # The complement is one less than the absolute value, so the position along a line is made one greater where
        # that reaches its six bits: at the end of a line this gives the first point of the next one. a has 12 fraction
        # bits.
        below = Signal(15)
        a = Signal(15)
        m.d.comb += [
            below.eq(Mux(negative, ~self.x, self.x)),
            a.eq(Mux(tanh, Mux(below[-1], ~0, Cat(negative, below)), below)),
        ]

        start, slope, along = Signal(17, reset_less=True), Signal(12, reset_less=True), Signal(7, reset_less=True)
        tanh_1, negative_1 = Signal(reset_less=True), Signal(reset_less=True)

        def look_up(region, lines):
            begin, end, density = region
            low = 12 - (density.bit_length() - 1)
            index = a[low:12 + ((end - begin).bit_length() - 1)]
            m.d.sync += [
                start.eq(Array(Const(first, 17) for first, _ in lines)[index]),
                slope.eq(Array(Const(rise, 12) for _, rise in lines)[index]),
                along.eq(a[low - 6:low] + (negative & a[:low - 6].all())),
            ]

        tables = list(zip(self._REGIONS, self._lines()))
        product, base = Signal(12, reset_less=True), Signal(signed(19), reset_less=True)
        tanh_2, negative_2 = Signal(reset_less=True), Signal(reset_less=True)
        y = Signal(signed(16), reset_less=True)
        total = Signal(signed(19))
        with m.If(self.enable):
            with m.If(a[14]):
                look_up(*tables[2])
            with m.Elif(a[13]):
                look_up(*tables[1])
            with m.Else():
                look_up(*tables[0])
            m.d.sync += [tanh_1.eq(tanh), negative_1.eq(negative)]

            # -floor((T + 2) / 4) = floor((~T + 2) / 4), and the same with 4 and 8: one rounding serves both signs.
            # Sigmoid has 1 = 2^17 on top.
            signed_start = Mux(negative_1, ~start, start)[:17]
            m.d.sync += [
                product.eq((slope * along) >> 6),
                base.eq(Cat(signed_start, Mux(tanh_1, negative_1.replicate(2), Cat(~negative_1, 0))).as_signed()
                        + Mux(tanh_1, 2, 4)),
                tanh_2.eq(tanh_1),
                negative_2.eq(negative_1),
            ]
            m.d.sync += y.eq(Mux(tanh_2, total >> 2, Cat(total[3:18] | total[18].replicate(15), 0).as_signed()))
        # Negative: ~(P + product) = ~P - product.
        m.d.comb += [total.eq(Mux(negative_2, base - product, base + product)), self.y.eq(y)]
        return m
