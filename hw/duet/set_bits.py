"""The set bits of a vector, one index a cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.stream.hold import assert_hold

__all__ = ["SetBits"]


class SetBits(wiring.Component):
    """Turns vectors of ``width`` bits into the indices of their set bits, lowest first.

    Two levels find the next bit: groups with a bit set are fetched one after another into a register, ahead of need,
    while the bits of the group before leave from there. So the search is through a group's bits, or the groups' flags,
    never through all of the vector.

    Latency: :attr:`latency` = 2 cycles from a vector to its first index. Throughput: an index a cycle, also from the
    last of a vector to the first of the next. A vector without a bit is passed over in one cycle, usually hidden behind
    the indices of the vector before it. ``o`` comes from registers through a search of one group; ``i.ready`` depends
    in the same cycle on ``o.ready`` (put a ``SkidBuffer`` behind ``o`` to cut this).

    Parameters
    ----------
    width: bits of a vector, at least 2
    marker: whether a vector without a bit gives an item with field ``none``
    assertions: whether to emit ``Assert`` statements for the invariants

    Members
    -------
    i: In(stream of ``bits``)
    o: Out(stream of ``index``, ``last``: the vector's last set bit; with ``marker`` also ``none``: it has no bit,
        ``index`` is 0 and ``last`` 1)

    Raises ``ValueError`` when ``width`` is not an integer of at least 2.
    """

    latency = 2

    def __init__(self, width, *, marker=False, assertions=False):
        if not isinstance(width, int) or width < 2:
            raise ValueError(f"width = {width!r} is not allowed: width must be an integer, at least 2")
        self.width, self.marker, self.assertions = width, marker, assertions
        #: log2 of a group's bits: about as many groups as bits in a group.
        self.group_bits = (width - 1).bit_length() // 2
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"bits": width}))),
            "o": Out(stream.Signature(data.StructLayout({"index": range(width), "last": 1,
                                                         **({"none": 1} if marker else {})}))),
        })

    def elaborate(self, platform):
        m = Module()
        size = 1 << self.group_bits
        starts = range(0, self.width, size)
        bits = Signal(self.width, reset_less=True)
        waiting = Signal(len(starts))  # groups that have not been fetched
        group, base, final = (Signal(size, reset_less=True), Signal(range(len(starts)), reset_less=True),
                              Signal(reset_less=True))

        arrived = Signal(len(starts))
        m.d.comb += arrived.eq(Cat(self.i.p.bits[start:start + size].any() for start in starts))
        if self.marker:
            # Group 0 is fetched without a bit.
            m.d.comb += arrived[0].eq(self.i.p.bits[:size].any() | ~self.i.p.bits.any())

        next_group, later = _lowest(m, waiting, "next_group")
        next_bit, rest = _lowest(m, group, "next_bit")
        fetch = Signal()
        m.d.comb += [
            fetch.eq(~self.o.valid | self.o.ready & ~rest.any()),
            self.i.ready.eq(~waiting.any() | fetch & ~later.any()),
            self.o.p.index.eq(Cat(_encode(next_bit), base)), self.o.p.last.eq(final & ~rest.any()),
        ]
        if self.marker:
            m.d.comb += self.o.p.none.eq(~group.any())
        with m.If(fetch):
            m.d.sync += [
                self.o.valid.eq(waiting.any()), base.eq(_encode(next_group)), final.eq(~later.any()),
                group.eq(_or(Mux(chosen, bits[start:start + size], 0) for chosen, start in zip(next_group, starts))),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += group.eq(rest)
        with m.If(self.i.ready):
            m.d.sync += [bits.eq(self.i.p.bits), waiting.eq(Mux(self.i.valid, arrived, 0))]
        with m.Elif(fetch):
            m.d.sync += waiting.eq(later)

        if self.assertions:
            assert_hold(m, self.o)
        return m


def _lowest(m, value, name):
    """The lowest set bit of ``value`` alone, and ``value`` without it."""
    lowest, rest = Signal(len(value), name=name), Signal(len(value), name=f"after_{name}")
    m.d.comb += [rest.eq(value & (value - 1)), lowest.eq(value & ~(value - 1))]
    return lowest, rest


def _encode(one_hot):
    """The number of the bit that is set."""
    numbers = range((len(one_hot) - 1).bit_length())
    return Cat(_or(one_hot[k] for k in range(len(one_hot)) if k >> number & 1) for number in numbers)


def _or(values):
    """All values or-ed, as a balanced tree."""
    values = list(values)
    while len(values) > 1:
        values = [a | b for a, b in zip(values[::2], values[1::2])] + values[len(values) & ~1:]
    return values[0]
