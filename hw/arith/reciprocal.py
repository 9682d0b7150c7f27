"""Reciprocal of a fixed-point number of at least one; equals ``golden.arith.reciprocal`` bit for bit."""

from amaranth.hdl import Array, Const, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Reciprocal"]


class Reciprocal(wiring.Component):
    """``y = 1 / x`` for x >= 1: normalise, table of ``2^table_bits`` points with straight lines between, shift back.

    ``x``: unsigned, ``fraction`` fraction bits, ``width`` bits in all; below one (0 included) ``y`` is meaningless.
    ``y``: unsigned, ``result_fraction`` fraction bits, at most 1.0.

    Latency: 5 cycles (normalise, look-up, multiply, subtract, shift). Throughput: one result a cycle, free running.
    Table: 64 x (18 + 11) = 1856 bits of constant logic with the defaults.
    """

    latency = 5

    def __init__(self, width, *, fraction=22, mantissa_fraction=16, table_bits=6, result_fraction=17):
        if not 0 < table_bits < mantissa_fraction <= fraction < width:
            raise ValueError(f"table_bits = {table_bits}, mantissa_fraction = {mantissa_fraction}, "
                             f"fraction = {fraction}, width = {width} are not allowed: they must increase in "
                             "this order")
        self.fraction, self.mantissa_fraction, self.table_bits = fraction, mantissa_fraction, table_bits
        size = 1 << table_bits
        points = [round(2 ** (result_fraction + table_bits) / (size + k)) for k in range(size + 1)]
        self.points = points[:-1]
        self.drops = [here - after for here, after in zip(points, points[1:])]
        super().__init__({"x": In(unsigned(width)), "y": Out(unsigned(result_fraction + 1))})

    @property
    def table_size(self):
        """Bits of the table."""
        return len(self.points) * (self.points[0].bit_length() + self.drops[0].bit_length())

    def elaborate(self, platform):
        m = Module()
        line, width, drop_width = self.mantissa_fraction - self.table_bits, len(self.y), self.drops[0].bit_length()
        greatest = len(self.x) - 1 - self.fraction

        exponent = Signal(range(greatest + 1), reset_less=True)
        mantissa = Signal(self.mantissa_fraction, reset_less=True)
        for power in range(greatest + 1):  # the last assignment, of the highest bit that is set, wins
            top = self.fraction + power
            with m.If(self.x[top]):
                m.d.sync += [exponent.eq(power), mantissa.eq(self.x[top - self.mantissa_fraction:top])]

        start = Signal(width, reset_less=True)
        drop = Signal(drop_width, reset_less=True)
        along = Signal(line, reset_less=True)
        shift = Signal(exponent.shape(), reset_less=True)
        m.d.sync += [
            start.eq(Array(Const(value, width) for value in self.points)[mantissa[line:]]),
            drop.eq(Array(Const(value, drop_width) for value in self.drops)[mantissa[line:]]),
            along.eq(mantissa[:line]),
            shift.eq(exponent),
        ]

        start_2 = Signal(width, reset_less=True)
        fall = Signal(drop_width, reset_less=True)
        shift_2 = Signal(exponent.shape(), reset_less=True)
        m.d.sync += [start_2.eq(start), fall.eq((drop * along) >> line), shift_2.eq(shift)]

        inverse = Signal(width, reset_less=True)
        shift_3 = Signal(exponent.shape(), reset_less=True)
        m.d.sync += [inverse.eq(start_2 - fall), shift_3.eq(shift_2)]

        result = Signal(width, reset_less=True)
        m.d.sync += result.eq(inverse >> shift_3)
        m.d.comb += self.y.eq(result)
        return m
