"""Dot products of every precision from signed 2 x 2 multipliers and shifters, after Bit Fusion: for comparison."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.recursive_dot import RecursiveDot, check_dot_width, reverse_bits

__all__ = ["BrickDot"]


class BrickDot(wiring.Component):
    """The function and the ports of :class:`RecursiveDot`, composed the plain way.

    Each of the ``width`` x ``width`` / 4 bricks multiplies two operands of 2 bits, each taken as signed where it is
    the top piece of its operand (3 x 3 bit signed multiplication), and a tree of adders with a multiplexed shift at
    every input sums them, one mode's alignment after the other (Sharma et al., ISCA 2018, spatial fusion).

    Latency: 0. Throughput: one beat a cycle. Source: thesis Fig. 7.13 c. ``cuts`` must be empty.
    """

    latency = 0

    def __init__(self, width=16, cuts=()):
        check_dot_width(width)
        if cuts:
            raise ValueError(f"cuts = {cuts!r} is not allowed: BrickDot takes no cut")
        self.width = width
        super().__init__({"x": In(2 * width), "tile": In(2 * width * (width // 4)), "mode": In(2),
                          "result": Out(2 * width)})

    def elaborate(self, platform):
        m = Module()
        width = self.width
        lanes = width // 4
        modes = range(width.bit_length() - 1)

        def choose(values):
            """The mode's one of ``values``, one a mode."""
            chosen = values[-1]
            for mode in reversed(modes[:-1]):
                chosen = Mux(self.mode == mode, values[mode], chosen)
            return chosen

        def source(g, c, mode):
            """(lane of the tile, piece, position of the streamed and stationary piece in their operands)."""
            pieces = (width >> mode) // 2
            if mode == 0:
                w = (g % pieces ^ c) ^ (pieces // 2 if g >= pieces else 0)
                return 0, w, g % pieces, w
            w = g ^ c & (pieces - 1)
            lane = reverse_bits(c // pieces, (lanes // pieces).bit_length() - 1)
            return lane, w, g % pieces, w % pieces

        sums = [[] for _ in range(lanes)]
        for c in range(lanes):
            for g in range(width):
                sources = [source(g, c, mode) for mode in modes]
                w = choose([self.tile[2 * width * lane + 2 * piece:][:2] for lane, piece, _, _ in sources])
                ends = [(width >> mode) // 2 - 1 for mode in modes]
                x_signed = choose([C(int(s == end), 1) for (_, _, s, _), end in zip(sources, ends)])
                w_signed = choose([C(int(t == end), 1) for (_, _, _, t), end in zip(sources, ends)])
                x = self.x[2 * g:2 * g + 2]
                product = Signal(signed(6), name=f"brick_{c}_{g}")
                m.d.comb += product.eq(Cat(x, x[1] & x_signed).as_signed() * Cat(w, w[1] & w_signed).as_signed())
                shifts = [2 * (s + t) for _, _, s, t in sources]
                sums[c].append(choose([Cat(C(0, shift), product).as_signed() for shift in shifts]))
        # Sums of one lane each, of pairs of lanes, ... of all: the narrowest mode's dot products come first.
        totals = [_tree(terms) for terms in sums]
        results = {}
        for mode in reversed(modes):
            count = RecursiveDot.lanes(width, mode)
            while len(totals) > count:
                totals = [totals[i] + totals[i + 1] for i in range(0, len(totals), 2)]
            inverted = 1 << RecursiveDot.sign_bit(width, mode)
            results[mode] = Cat((total ^ inverted).as_unsigned()[:2 * width // count] for total in map(_signal(
                m, 2 * width // count, f"dot_{mode}"), totals))
        m.d.comb += self.result.eq(choose([results[mode] for mode in modes]))
        return m


def _tree(terms):
    """Sum of ``terms`` as a balanced tree of adders."""
    while len(terms) > 1:
        terms = [terms[i] + terms[i + 1] for i in range(0, len(terms), 2)]
    return terms[0]


def _signal(m, width, name):
    """A function that gives a value a signed signal of ``width`` bits."""
    def make(value):
        signal = Signal(signed(width), name=name)
        m.d.comb += signal.eq(value)
        return signal
    return make
