"""Proof benches of the multi-precision element: its dot products against plain signed multiplications."""

from amaranth.hdl import Assert, Assume, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.multi_precision_pe import MultiPrecisionPe, PeOp
from hw.arith.precision import Precision
from hw.arith.recursive_dot import RecursiveDot, reverse_bits

__all__ = ["DotProof", "ElementProof", "FixedMode", "reference"]


def place(width, mode, lane):
    """Lowest bit of a lane's field of the result, and how many bits of it are defined."""
    lanes = RecursiveDot.lanes(width, mode)
    low = 2 * width // lanes * reverse_bits(lane, lanes.bit_length() - 1)
    return low, RecursiveDot.sign_bit(width, mode) + 1


class DotProof(wiring.Component):
    """Lane ``lane`` of ``mode``, for every operand: combinational, so one step of ``bmc`` proves it for ever.

    ``products``: how many products of the lane may have streamed operands other than zero (all when ``None``); the
    stationary operands, those of the other lanes too, take every value. ``broken``: the reference is wrong where all
    streamed bits are set.
    """

    def __init__(self, width, mode, lane=0, *, products=None, broken=False):
        self.width, self.mode, self.lane, self.products, self.broken = width, mode, lane, products, broken
        super().__init__({"x": In(2 * width), "tile": In(2 * width * (width // 4))})

    def elaborate(self, platform):
        m = Module()
        width, mode = self.width, self.mode
        m.submodules.dut = dut = RecursiveDot(width)
        bits, count = width >> mode, 1 if mode == 0 else 2 << mode
        m.d.comb += [dut.x.eq(self.x), dut.tile.eq(self.tile), dut.mode.eq(mode)]
        if mode == 0:
            m.d.comb += Assume(self.x[:width] == self.x[width:])
        x = [self.x.word_select(i, bits).as_signed() for i in range(count)]
        tile = self.tile.word_select(self.lane, 2 * width)
        w = [tile.word_select(i, bits).as_signed() for i in range(count)]
        for value in x[count if self.products is None else self.products:]:
            m.d.comb += Assume(value == 0)
        total = sum(a * b for a, b in zip(x, w))
        if self.broken:
            total = total + self.x.all()
        low, defined = place(width, mode, self.lane)
        m.d.comb += Assert(dut.result[low:low + defined] == (total + (1 << (defined - 1)))[:defined])
        return m


class FixedMode(wiring.Component):
    """A dot product unit in one mode; at full width, ``x`` is one operand only."""

    def __init__(self, dot, mode):
        self._dot, self._mode = dot, mode
        width = dot.width
        super().__init__({"x": In(width if mode == 0 else 2 * width), "tile": In(2 * width * (width // 4)),
                          "result": Out(2 * width)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.dot = dot = self._dot
        m.d.comb += [dot.x.eq(Cat(self.x, self.x) if self._mode == 0 else self.x), dot.tile.eq(self.tile),
                     dot.mode.eq(self._mode), self.result.eq(dot.result)]
        return m


def reference(width, mode, x, tile):
    """Dot products as polynomials of the nets ``x`` and ``tile``: [({set of nets: coefficient}, bits defined)].

    One a field of the result, lowest field first; the bit with the sign's weight is inverted, as in the unit.
    """
    bits, count = width >> mode, 1 if mode == 0 else 2 << mode
    weights = [1 << i for i in range(bits - 1)] + [-1 << (bits - 1)]
    fields = {}
    for lane in range(RecursiveDot.lanes(width, mode)):
        low, defined = place(width, mode, lane)
        terms = {frozenset(): 1 << (defined - 1)}
        for i in range(count):
            for a, weight_a in enumerate(weights):
                for b, weight_b in enumerate(weights):
                    pair = frozenset((x[bits * i + a], tile[2 * width * lane + bits * i + b]))
                    terms[pair] = weight_a * weight_b
        fields[low] = terms, defined
    return [fields[low] for low in sorted(fields)]


class Probe(wiring.Component):
    """Stands for the dot product unit: shows its inputs, and gives any result."""

    def __init__(self, any_result):
        self._any = any_result
        super().__init__({"x": In(32), "tile": In(128), "mode": In(2), "result": Out(32)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.result.eq(self._any)
        return m


class ElementProof(wiring.Component):
    """What the element gives its dot product unit, and what it makes of any result of it, in any sequence of beats.

    The unit gives any value in any cycle, so this and a proof of the unit cover the element. ``broken``: the reference
    lets a swap take the load of its own cycle.
    """

    def __init__(self, *, broken=False):
        self.broken = broken
        super().__init__({
            "mode": In(Precision), "op": In(PeOp), "first": In(1), "swap": In(1), "half": In(1), "col": In(32),
            "row": In(16), "load": In(4), "load_data": In(32), "any_result": In(32)})

    def elaborate(self, platform):
        m = Module()
        probe = Probe(self.any_result)
        m.submodules.dut = dut = MultiPrecisionPe(dot_class=lambda width, cuts: probe)
        for name in ("mode", "op", "first", "swap", "half", "col", "row", "load", "load_data"):
            m.d.comb += getattr(dut, name).eq(getattr(self, name))
        beat, mac = self.op != PeOp.NOP, self.op == PeOp.MAC
        m.d.comb += [Assume(self.op.as_value() != 3), Assume(~mac | (self.mode == Precision.FX16))]

        # Operands, a cycle after the beat.
        def past(value, cycles):
            for _ in range(cycles):
                held = Signal.like(value)
                m.d.sync += held.eq(value)
                value = held
            return value

        mode = past(self.mode, 1)
        part = past(Mux(self.half, self.col[16:], self.col[:16]), 1)
        shadow, active = Signal(128), Signal(128)
        loaded = Cat(Mux(self.load[i], self.load_data, shadow[32 * i:32 * i + 32]) for i in range(4))
        swapped = Mux(beat & self.swap, loaded if self.broken else shadow, active)
        m.d.sync += [shadow.eq(loaded), active.eq(Cat(Mux(mac, self.row, swapped[:16]), swapped[16:]))]
        operands = Mux(mode == Precision.FX16, Cat(part, part), past(self.col, 1))
        with m.If(past(beat, 1)):
            m.d.comb += [Assert(probe.mode == mode.as_value()), Assert(probe.tile == active),
                         Assert(probe.x == operands)]

        # The result, as the unit gives it a cycle before ``dot``.
        given, emitted = past(self.any_result, 1), past(self.mode, dut.latency)
        is_dot, is_mac = past(self.op == PeOp.DOT, dut.latency), past(mac, dut.latency)
        for precision in Precision:
            lanes = RecursiveDot.lanes(16, precision.value)
            for lane in range(lanes):
                low, defined = place(16, precision.value, lane)
                value = Signal(signed(40))
                m.d.comb += value.eq(given[low:low + defined] - Const(1 << (defined - 1)))
                with m.If(is_dot & (emitted == precision)):
                    m.d.comb += Assert(dut.dot.word_select(lane, 48 // lanes).as_signed() == value)
        total = Signal(signed(44))
        before = Mux(past(self.first, dut.latency), 0, total)
        with m.If(is_mac):
            m.d.sync += total.eq(before + given - Const(1 << 31))
        m.d.comb += Assert(dut.acc == total)
        return m
