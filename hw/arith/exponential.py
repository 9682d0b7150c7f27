"""Base-2 exponential of a non-positive exponent; equals ``golden.arith.exponential`` bit for bit."""

from amaranth.hdl import Array, Const, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Exponential"]


class Exponential(wiring.Component):
    """``y = 2^-x``: table of ``2^table_bits`` points, straight line between points, right shift.

    ``x``: unsigned, ``fraction`` fraction bits and ``integer`` integer bits. ``y``: unsigned, ``result_fraction``
    fraction bits, 0 to 1.0 inclusive. Relative error of the mantissa: -2.5e-5 to +1.27e-4
    (measured over all x by ``tests/arith/test_exponential.py``).

    Latency: 3 cycles (look-up, multiply, subtract and shift). Throughput: one result a cycle, free running.
    Table: ``2^table_bits`` x (mantissa_fraction + 1 + slope) bits of constant logic: 32 x (16 + 10) = 832 bits.
    """

    latency = 3

    def __init__(self, *, fraction=12, integer=5, table_bits=5, mantissa_fraction=15, result_fraction=22):
        if not 0 < table_bits < fraction:
            raise ValueError(f"table_bits = {table_bits} is not allowed: table_bits must be from 1 to {fraction - 1}")
        if not mantissa_fraction <= result_fraction < 1 << integer:
            raise ValueError(f"result_fraction = {result_fraction} is not allowed: result_fraction must be from "
                             f"{mantissa_fraction} to {(1 << integer) - 1}")
        self.line_bits = fraction - table_bits
        self.mantissa_fraction = mantissa_fraction
        size = 1 << table_bits
        points = [round(2 ** (mantissa_fraction - k / size)) for k in range(size + 1)]
        self.points = points[:-1]
        self.drops = [here - after for here, after in zip(points, points[1:])]
        super().__init__({"x": In(unsigned(fraction + integer)), "y": Out(unsigned(result_fraction + 1))})

    @property
    def table_size(self):
        """Bits of the table."""
        return len(self.points) * (self.points[0].bit_length() + self.drops[0].bit_length())

    def elaborate(self, platform):
        m = Module()
        line, width, drop_width = self.line_bits, self.mantissa_fraction + 1, self.drops[0].bit_length()
        fraction = line + (len(self.points) - 1).bit_length()
        position, point, whole = self.x[:line], self.x[line:fraction], self.x[fraction:]

        start = Signal(width, reset_less=True)
        drop = Signal(drop_width, reset_less=True)
        along = Signal(line, reset_less=True)
        shift = Signal(len(whole), reset_less=True)
        m.d.sync += [
            start.eq(Array(Const(value, width) for value in self.points)[point]),
            drop.eq(Array(Const(value, drop_width) for value in self.drops)[point]),
            along.eq(position),
            shift.eq(whole),
        ]

        start_2 = Signal(width, reset_less=True)
        fall = Signal(drop_width, reset_less=True)
        shift_2 = Signal(len(whole), reset_less=True)
        m.d.sync += [start_2.eq(start), fall.eq((drop * along) >> line), shift_2.eq(shift)]

        mantissa = Signal(width)
        result = Signal(self.y.shape(), reset_less=True)
        m.d.comb += mantissa.eq(start_2 - fall)
        m.d.sync += result.eq((mantissa << (len(self.y) - width)) >> shift_2)
        m.d.comb += self.y.eq(result)
        return m
