"""FloatFma: IEEE 754 binary32 fused multiply-add; equals ``golden.arith.float_fma`` bit for bit."""

import dataclasses
import typing

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.booth import booth_digits, booth_products
from hw.arith.compressor import Compressor, CompressorPlan
from hw.arith.float32 import INFINITY, NAN
from hw.arith.normalize import leading_zeros, normalize, rounds_up
from hw.config import Config, field

__all__ = ["FloatFma", "FloatFmaConfig"]

#: Stages -> where registers stand, besides those of the result. In the order of the data: ``partial`` products,
#: ``rows`` before the adder, ``sum``, ``shift`` before and ``round`` after the normalising shift.
_CUTS = {
    1: (),
    2: ("sum",),
    3: ("sum", "round"),
    4: ("rows", "sum", "round"),
    5: ("rows", "sum", "shift", "round"),
    6: ("partial", "rows", "sum", "shift", "round"),
}
#: Time for partial products before the cut ``partial``, as :meth:`Compressor.within` counts.
_PARTIAL_TIME = 6
#: The same for the addend's way to the adders.
_ALIGN_TIME = 12
#: What a tree with few half adders takes longer than the fastest one.
_SPARE_TIME = 4
#: Bits of the window that the sum is formed in: addend, two bits apart from the product, product, two bits below.
_WINDOW = 76
#: Bits of the sum that the product can reach.
_LOW = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class FloatFmaConfig(Config):
    """Pipeline of the FloatFma."""

    stages: int = field(4, "pipeline stages, which are the latency", unit="cycles", min=1, max=6)

    PRESETS: typing.ClassVar[dict[str, dict]] = {"paper": {}, "small": {"stages": 2}, "fpga": {"stages": 6}}


class _Operand:
    """A number taken apart: ``sign``, ``exponent`` (1 for subnormals), ``number`` (24 bits), and what it is."""

    def __init__(self, m, pattern, name):
        fraction, exponent, self.sign = pattern[:23], pattern[23:31], pattern[31]
        normal, full, some = (Signal(name=f"{name}_{what}") for what in ("normal", "full", "some"))
        m.d.comb += [normal.eq(exponent.any()), full.eq(exponent.all()), some.eq(fraction.any())]
        self.exponent = Cat(exponent[0] | ~normal, exponent[1:])
        self.number = Cat(fraction, normal)
        self.zero = ~normal & ~some
        self.infinite, self.nan = full & ~some, full & some


class FloatFma(wiring.Component):
    """``result`` = ``a * b + c``, exact, rounded once to nearest even. IEEE 754 binary32 in all of its values.

    Subnormal operands and results are exact as the standard has them (gradual underflow), infinities and the signs of
    zeros too; every NaN that results is ``0x7FC00000``. There are no exception flags. a * 1 + c is the sum of a and c,
    a * b + -0 the product (``hw.arith.float32`` has the constants).

    Latency: ``stages`` cycles, the result from a register; operands go into logic. Throughput: one operation a cycle,
    free running.

    One path for all cases: a radix-4 Booth product and the addend, shifted right to its place in a window of 76 bits,
    go into one adder. Where the addend is subtracted it is complemented; the one that this lacks is carried on below
    the sum (:mod:`hw.arith.normalize`) and meets the rounding. Source: thesis 6.4.2 (Executor), IEEE 754-2019.

    Parameters
    ----------
    config: :class:`FloatFmaConfig`

    Members
    -------
    a, b, c: In(32), binary32 patterns
    result: Out(32)
    """

    def __init__(self, config):
        self.config = config
        super().__init__({name: In(unsigned(32)) for name in "abc"} | {"result": Out(unsigned(32))})

    @property
    def latency(self):
        return self.config.stages

    def elaborate(self, platform):
        m = Module()
        cuts = _CUTS[self.config.stages]

        def cut(at, /, **values):
            """The values, or registers with them where a cut is at this place; of a list, one for each."""
            if at not in cuts:
                return values.values()

            def register(name, value):
                if isinstance(value, list):
                    return [register(f"{name}_{index}", part) for index, part in enumerate(value)]
                kept = Signal(len(value), name=f"{at}_{name}", reset_less=True)
                m.d.sync += kept.eq(value)
                return kept

            return [register(name, value) for name, value in values.items()]

        def wire(name, value, shape=None):
            signal = Signal(shape or len(value), name=name)
            m.d.comb += signal.eq(value)
            return signal

        a, b, c = (_Operand(m, pattern, name) for pattern, name in ((self.a, "a"), (self.b, "b"), (self.c, "c")))
        sign = wire("sign", a.sign ^ b.sign)
        minus = wire("minus", sign ^ c.sign)
        product_infinite = wire("product_infinite", a.infinite | b.infinite)
        product_zero = wire("product_zero", a.zero | b.zero)
        nan = a.nan | b.nan | c.nan | product_infinite & (product_zero | c.infinite & minus)
        infinite = product_infinite | c.infinite
        infinite_minus = sign ^ minus & c.infinite

        # Exponent of the window's top bit as the product has it, and how far below it the addend begins.
        product_top = wire("product_top", a.exponent + b.exponent - 100, signed(10))
        apart = wire("apart", product_top - c.exponent, signed(11))
        above = wire("above", product_zero | apart[-1])  # the addend is at the top, wherever the product would be
        top = wire("top", Mux(above, c.exponent, product_top) - 1, 9)
        place = wire("place", Mux(above, 0, apart[:7] | apart[7:10].any().replicate(7)), 7)

        adders = Compressor(m)
        columns, constant = booth_products(adders, Cat(a.number, 0), booth_digits(adders, b.number))
        columns = {weight + 2: bits for weight, bits in columns.items()}
        if "partial" in cuts:
            timed = {weight: [(0, bit) for bit in bits] for weight, bits in columns.items()}
            columns = {weight: [bit for _, bit in bits]
                       for weight, bits in adders.within(timed, _LOW + 1, _PARTIAL_TIME).items()}
        parts, addend, place, minus, flags, top = cut(
            "partial", products=[Cat(columns.get(weight, [])) for weight in range(_LOW + 1)], addend=c.number,
            place=place, minus=minus, flags=Cat(sign, nan, infinite, infinite_minus), top=top)

        aligned, lost = self._align(m, addend, place)
        low_addend, high_addend = (wire(f"{name}_addend", part ^ minus.replicate(len(part)))
                                   for name, part in (("low", aligned[:_LOW]), ("high", aligned[_LOW:])))
        columns = {weight: [(0, bit) for bit in part] for weight, part in enumerate(parts)}
        for weight in range(_LOW + 1):
            if weight < _LOW:
                columns[weight].append((_ALIGN_TIME, low_addend[weight]))
            if constant << 2 >> weight & 1:
                columns[weight].append((0, C(1, 1)))
        limit = self._least_time(columns) + (0 if "partial" in cuts else _SPARE_TIME)
        columns = adders.within(columns, _LOW + 1, limit)
        rows = [Cat(columns[weight][row][1] if row < len(columns[weight]) else C(0, 1) for weight in range(_LOW + 1))
                for row in range(2)]
        first, second, high_addend, lost, minus, flags, top = cut(
            "rows", first=rows[0], second=rows[1], addend=high_addend, lost=lost, minus=minus, flags=flags, top=top)

        # Product and addend are below 2^51 in the low part: the sum modulo 2^51 is exact, its top bit the carry.
        low = wire("low", first + second, _LOW + 1)
        high = wire("high_sum", high_addend + low[-1], _WINDOW - _LOW + 1)
        total, carry = Cat(low[:_LOW], high[:-1]), high[-1]
        # A difference without a carry is negative, its complement the magnitude. One with a carry is one too small,
        # except that bits lost from the addend take most of this one away.
        negative = wire("negative", minus & ~carry)
        one = wire("one", minus & carry & ~lost)
        value, one, lost, negative, flags, top = cut(
            "sum", value=total, one=one, lost=lost, negative=negative, flags=flags, top=top)

        value = wire("magnitude", value ^ negative.replicate(_WINDOW))
        zeros = wire("zeros", leading_zeros(m, value, name="zeros"), 7)
        beyond = wire("beyond", top - zeros, signed(10))
        # The difference of equal numbers is +0. It has as many zeros as the window has bits, 0b1001100.
        equal = wire("equal", negative & zeros[6] & zeros[3] & zeros[2])
        # Less one where the top bit will be set.
        exponent = wire("exponent", beyond[:9] & ~(beyond[-1] | equal).replicate(9))
        shift = wire("shift", Mux(beyond[-1], top[:7], zeros))
        sign = wire("sum_sign", (flags[0] ^ negative) & ~equal)
        value, one, lost, flags, exponent, shift, sign = cut(
            "shift", value=value, one=one, lost=lost, flags=flags, exponent=exponent, shift=shift, sign=sign)

        kept, other = normalize(m, value, shift, 25, one=one, name="normal")
        kept, other, one, flags, exponent, sign = cut(
            "round", kept=kept, other=other | lost, one=one, flags=flags, exponent=exponent, sign=sign)

        up = wire("up", rounds_up(kept[1], kept[0], other, one))
        # The top bit of 24 counts in the exponent, as does a carry into it.
        rounded = wire("rounded", Cat(kept[1:24], exponent) + Cat(up, C(0, 22), kept[24]), 32)
        _, nan, infinite, infinite_minus = flags
        overflow = rounded[31] | rounded[23:31].all()
        result = Signal(32, reset_less=True)
        with m.If(nan):
            m.d.sync += result.eq(NAN)
        with m.Elif(infinite | overflow):
            m.d.sync += result.eq(Cat(C(INFINITY, 31), Mux(infinite, infinite_minus, sign)))
        with m.Else():
            m.d.sync += result.eq(Cat(rounded[:31], sign))
        m.d.comb += self.result.eq(result)
        return m

    @staticmethod
    def _least_time(columns):
        """The least limit for :meth:`Compressor.within` that leaves no more than two bits in a column."""
        limit = _ALIGN_TIME
        while max(map(len, CompressorPlan().within(columns, _LOW + 1, limit).values())) > 2:
            limit += 1
        return limit

    @staticmethod
    def _align(m, number, place):
        """24 bits ``number`` at the top of the window, moved right by ``place``; and whether a set bit fell out."""
        value, lost = number, C(0, 1)  # the bits that can be set, up to the window's top
        for level in range(len(place)):
            step, width = 1 << level, min(len(value) + (1 << level), _WINDOW)
            grown = Signal(width, name=f"align_{level}")
            fallen = len(value) + step - width
            if fallen:
                lost |= place[level] & value[:fallen].any()
            m.d.comb += grown.eq(Mux(place[level], value[fallen:], Cat(C(0, width - len(value)), value)))
            value = grown
        return value, lost
