"""Dot product of 16 INT4 weights with 16 INT4 features, for an accumulator."""

import dataclasses
import functools

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.booth import booth_digits
from hw.arith.compressor import Compressor, CompressorPlan
from hw.enmc.screener_types import LANES

__all__ = ["DotPlan", "Int4Dot", "feature_code"]

BITS = 4
#: When bits of partial products are there, in thirds of a full adder's delay (:meth:`Compressor.within`).
PRODUCT_TIME = 3


@dataclasses.dataclass(frozen=True)
class DotPlan:
    """Form of the products and places of the registers.

    ``booth``: products from two radix-4 Booth digits of the feature, which all classes share, in place of 16 AND gates
    (Baugh-Wooley). ``levels``: full adders in a row between registers.

    No sign is extended, and the +1 of a negative Booth digit is left out: the products add up to two rows with
    w x = rows + ``correction`` of the features - ``offset``.
    """

    booth: bool
    levels: int

    @property
    def code_bits(self):
        """Bits of a feature as :func:`feature_code` gives it."""
        return 6 if self.booth else BITS

    @property
    def offset(self):
        """What the signs' complements add, for 16 products: a multiple of 256."""
        return LANES * (80 if self.booth else 112)

    @property
    def correction_bits(self):
        """Bits of the correction: the sum over 16 features of the weights, 1 and 4, of their negative digits."""
        return (5 * LANES).bit_length() if self.booth else 0

    @functools.cached_property
    def width(self):
        """Bits of the sum of both rows."""
        columns = self.columns(CompressorPlan(), [None] * LANES * BITS, [None] * LANES * self.code_bits)
        return sum(len(bits) << weight for weight, bits in columns.items()).bit_length()

    @functools.cached_property
    def cuts(self):
        """Bits in each column behind each registers, the last of which has at most two."""
        adders = CompressorPlan()
        columns = self.columns(adders, [None] * LANES * BITS, [None] * LANES * self.code_bits)
        time, cuts = PRODUCT_TIME, []
        while True:
            columns = self.reduce(adders, columns, time)
            cuts.append({weight: len(bits) for weight, bits in columns.items()})
            if max(cuts[-1].values()) <= 2:
                return cuts
            time = 0

    def reduce(self, adders, columns, time):
        """Columns (weight -> bits) that were there at ``time``, added up as far as ``levels`` goes."""
        timed = {weight: [(time, bit) for bit in bits] for weight, bits in columns.items()}
        reduced = adders.within(timed, self.width, self.levels * Compressor.SUM_TIME)
        return {weight: [bit for _, bit in bits] for weight, bits in reduced.items() if bits}

    def columns(self, adders, weights, code):
        """The partial products' bits, weight -> list, of packed ``weights`` and features."""
        columns = {weight: [] for weight in range(7)}
        for lane in range(LANES):
            w = weights[lane * BITS:][:BITS]
            x = code[lane * self.code_bits:][:self.code_bits]
            if self.booth:
                for low, digit in ((0, x[:3]), (2, x[3:])):
                    for index in range(BITS + 1):
                        columns[low + index].append(_bit(adders, _booth_bit(w, digit, index)))
            else:
                for i in range(BITS):
                    for j in range(BITS):
                        columns[i + j].append(_bit(adders, _plain_bit(w, x, i, j)))
        return columns


def _bit(adders, value):
    return None if value is None else adders.bit(value)


def _booth_bit(w, digit, index):
    """Bit of w times a digit without its +1, the sign bit complemented; ``None`` in a plan."""
    one, two, negative = digit
    if one is None:
        return None
    bit = w[min(index, BITS - 1)] & one
    if index:
        bit |= w[index - 1] & two
    bit ^= negative
    return ~bit if index == BITS else bit


def _plain_bit(w, x, i, j):
    """Bit of the product of bits i and j, complemented where one of them is a sign; ``None`` in a plan."""
    if w[i] is None:
        return None
    bit = w[i] & x[j]
    return ~bit if (i == BITS - 1) != (j == BITS - 1) else bit


def feature_code(m, plan, chunk, enable):
    """A chunk of features (64 bits) as the dot products take it, for a register; zeros without ``enable``."""
    if not plan.booth:
        return chunk & enable.replicate(len(chunk))
    adders, bits = Compressor(m), []
    for lane in range(LANES):
        value = [adders.bit(bit & enable) for bit in chunk[lane * BITS:][:BITS]]
        # The digit above these two is that of an unsigned number.
        for one, two, negative in booth_digits(adders, value)[:2]:
            bits += [one, two, negative]
    return Cat(bits)


class Int4Dot(wiring.Component):
    """``one`` + ``other`` = dot product of ``weights`` and ``code``, but for the plan's correction and offset.

    Free running. Latency: one cycle for each of the plan's cuts. Throughput: one a cycle.

    Ports: ``weights`` In(64), INT4 of lane t at bit 4 t; ``code`` In, :func:`feature_code` of the features; ``one``,
    ``other`` Out(plan.width).
    """

    def __init__(self, plan):
        self.plan = plan
        super().__init__({
            "weights": In(LANES * BITS), "code": In(LANES * plan.code_bits),
            "one": Out(plan.width), "other": Out(plan.width),
        })

    def elaborate(self, platform):
        m = Module()
        plan, adders = self.plan, Compressor(m)
        columns, time = plan.columns(adders, self.weights, self.code), PRODUCT_TIME
        for number, cut in enumerate(plan.cuts):
            columns = plan.reduce(adders, columns, time)
            registers = {weight: Signal(height, name=f"cut_{number}_{weight}", reset_less=True)
                         for weight, height in cut.items()}
            m.d.sync += [register.eq(Cat(columns[weight])) for weight, register in registers.items()]
            columns, time = registers, 0
        rows = [Cat(columns[weight][row] if row < cut.get(weight, 0) else Const(0, 1) for weight in range(plan.width))
                for row in range(2)]
        m.d.comb += [self.one.eq(rows[0]), self.other.eq(rows[1])]
        return m
