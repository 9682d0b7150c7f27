"""One output of the Projection: alignment units and a carry-save adder tree that accumulates (thesis 5.1.1, step 2)."""

import dataclasses
import functools

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.compressor import Compressor, CompressorPlan
from hw.arith.pipeline import delay
from hw.arith.saturating_shift import SaturatingShift
from hw.shared import shared

__all__ = ["ProjectionTree", "TreePlan"]

ALIGNED, COMPLEMENTED, CLEARED = 3, 1, 3
"""When bits are there that come through an alignment unit, an inverter, the accumulator's clear, in thirds of a full
adder's delay (:meth:`Compressor.within`)."""


@dataclasses.dataclass(frozen=True)
class TreePlan:
    """Widths of a tree, and where its registers are.

    The sign bits of the aligned inputs are added up apart from the others until the first registers, behind which every
    bit of their sum is complemented: that makes a plus of the minus, but for a constant. So an item adds up to
    P x + ``offset``, no sign is extended, and the accumulator takes ``offset`` off again.

    Attributes: ``inputs``, ``bits``, ``max_inputs``, ``levels`` as in the configuration.
    """

    inputs: int
    bits: int
    max_inputs: int
    levels: int

    @property
    def limit(self):
        """Time between registers."""
        return self.levels * Compressor.SUM_TIME

    @property
    def half_width(self):
        """Bits of the sum of the sign bits with their weight, and of that of all others."""
        return (self.inputs << self.bits - 1).bit_length()

    @functools.cached_property
    def offset(self):
        return sum(height << weight for weight, height in self.split[1].items())

    @property
    def item_width(self):
        """Bits of P x + ``offset``."""
        return ((self.inputs << self.bits - 1) + self.offset).bit_length()

    @property
    def max_shift(self):
        """The greatest shift; it makes 1 of the greatest sum."""
        return ((self.max_inputs << self.bits - 1) - 1).bit_length()

    @property
    def width(self):
        """Bits of the accumulator: sums of -2^``max_shift`` to 2^``max_shift``, and the half that rounds."""
        return self.max_shift + 2

    @property
    def latency(self):
        """Cycles from an item to the tree's result: first registers, more cuts, accumulator, sum of its two rows."""
        return len(self.stages[0]) + 3

    def aligned(self, adders, aligned, corrections):
        """Sums of the sign bits and of all others; ``aligned[i]``: bits of weight i, ``corrections``: of weight 0."""
        columns = {weight: [(ALIGNED, bit) for bit in bits] for weight, bits in enumerate(aligned)}
        signs = {self.bits - 1: columns.pop(self.bits - 1)}
        columns[0] += [(0, bit) for bit in corrections]
        return [_bits(adders.within(part, self.half_width, self.limit)) for part in (columns, signs)]

    def joined(self, adders, others, signs):
        """A further stage: both sums in one; ``signs`` are complemented already."""
        columns = {weight: [(0, bit) for bit in others.get(weight, ())] +
                   [(COMPLEMENTED, bit) for bit in signs.get(weight, ())] for weight in range(self.item_width)}
        return _bits(adders.within(columns, self.item_width, self.limit))

    def accumulated(self, adders, item, signs, state):
        """The accumulator after an item; ``state``: weight -> bits; the others as in :meth:`joined`."""
        columns = {weight: [(CLEARED, bit) for bit in state[weight]] for weight in range(self.width)}
        for weight, column in columns.items():
            if -self.offset >> weight & 1:
                column.append((0, C(1, 1)))
            column += [(0, bit) for bit in item.get(weight, ())]
            column += [(COMPLEMENTED, bit) for bit in signs.get(weight, ())]
        return _bits(adders.within(columns, self.width, self.limit))

    @functools.cached_property
    def split(self):
        """Bits in each column of the first registers, weight -> number: of the others, and of the sign bits."""
        parts = self.aligned(CompressorPlan(), [[None] * self.inputs] * self.bits, [None] * self.inputs)
        return [_heights(part) for part in parts]

    @functools.cached_property
    def stages(self):
        """(cuts, accumulator): bits in each column behind each further cut of the tree, and in the accumulator.

        There are as few cuts as leave no more than two bits in any column of the accumulator.
        """
        adders, cuts = CompressorPlan(), []
        item, signs = map(_nothing, self.split)
        while True:
            state = {weight: 1 for weight in range(self.width)}
            while True:
                after = _heights(self.accumulated(adders, item, signs, _nothing(state)))
                grown = {weight: max(height, after[weight]) for weight, height in state.items()}
                if grown == state:
                    return cuts, state
                if max(grown.values()) > 2:
                    break
                state = grown
            item, signs = self.joined(adders, item, signs), {}
            cuts.append(_heights(item))


@shared
class ProjectionTree(wiring.Component):
    """``y = requantize(sum of P x over the items since first, shift, bits)`` for one row of P, without multipliers.

    Each input is negated, or made zero, or passed; full adders in carry-save form sum the bits and the +1 of each
    negation, with the accumulator in the same form; carries are resolved at the end only. Free running.

    Latency: ``y`` is there :attr:`TreePlan.latency` cycles after the item. Throughput: one item a cycle.

    Ports: ``x`` In(inputs * bits) and its complement ``x_n``; ``p`` In(2 * inputs), entries 0, 1 and 3 (-1); ``valid``,
    ``first`` In; ``start`` In, the accumulator's first content, half of 2^``shift``; ``shift`` In; ``y`` Out(bits),
    two's complement.
    """

    def __init__(self, plan):
        self.plan = plan
        super().__init__({
            "x": In(plan.inputs * plan.bits),
            "x_n": In(plan.inputs * plan.bits),
            "p": In(2 * plan.inputs),
            "valid": In(1),
            "first": In(1),
            "start": In(plan.width),
            "shift": In(range(plan.max_shift + 1)),
            "y": Out(plan.bits),
        })

    def elaborate(self, platform):
        m = Module()
        plan, adders = self.plan, Compressor(m)
        cuts, accumulator = plan.stages
        item, signs = (_registered(m, part, name)
                       for part, name in zip(plan.aligned(adders, *self._align(adders)), ("others", "signs")))
        signs = {weight: [adders.bit(~bit) for bit in bits] for weight, bits in signs.items()}
        for index in range(len(cuts)):
            item, signs = _registered(m, plan.joined(adders, item, signs), f"cut_{index}"), {}
        valid = delay(m, self.valid, len(cuts) + 1, name="valid", control=True)
        first = delay(m, self.first, len(cuts) + 1, name="first")

        state = {weight: Signal(height, name=f"sum_{weight}", reset_less=True)
                 for weight, height in accumulator.items()}
        begun = {weight: [adders.bit(Mux(first, 0 if row else self.start[weight], bit)) for row, bit in enumerate(bits)]
                 for weight, bits in state.items()}
        after = plan.accumulated(adders, item, signs, begun)
        with m.If(valid):
            m.d.sync += [bits.eq(Cat(after[weight])) for weight, bits in state.items()]

        total = Signal(plan.width, reset_less=True)
        rows = [Cat(bits[row] if row < len(bits) else C(0, 1) for bits in state.values()) for row in range(2)]
        m.d.sync += total.eq(rows[0] + rows[1])
        m.submodules.shift = shift = SaturatingShift(plan.width, plan.bits, plan.max_shift)
        m.d.comb += [shift.x.eq(total), shift.shift.eq(self.shift), self.y.eq(shift.y)]
        return m

    def _align(self, adders):
        """The aligned inputs' bits by weight, and the +1 of each negation."""
        bits = self.plan.bits
        aligned, corrections = [[] for _ in range(bits)], []
        for index in range(self.plan.inputs):
            nonzero, negative = self.p[2 * index], self.p[2 * index + 1]
            positive = adders.bit(nonzero & ~negative)
            corrections.append(negative)
            for weight in range(bits):
                x, x_n = (vector[index * bits + weight] for vector in (self.x, self.x_n))
                # Both are taken as the complement of the other: so one inverting gate makes the bit.
                aligned[weight].append(adders.bit((~x_n & positive) | (~x & negative)))
        return aligned, corrections


def _bits(columns):
    """The bits alone, without their times."""
    return {weight: [bit for _, bit in column] for weight, column in columns.items() if column}


def _heights(columns):
    return {weight: len(bits) for weight, bits in columns.items()}


def _nothing(heights):
    """Columns of these heights for a plan."""
    return {weight: [None] * height for weight, height in heights.items()}


def _registered(m, columns, name):
    """The columns behind a register."""
    registers = {weight: Signal(len(bits), name=f"{name}_{weight}", reset_less=True)
                 for weight, bits in columns.items()}
    m.d.sync += [register.eq(Cat(columns[weight])) for weight, register in registers.items()]
    return registers
