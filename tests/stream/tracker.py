"""Wrappers for the proofs of the stream blocks: an arbitrary item is followed from its arrival to its departure."""

from amaranth.hdl import Assert, Cover, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.stream.hold import assert_hold, assume_hold

__all__ = ["SingleInput", "Tracker"]


class Tracker:
    """Signals that follow one item: ``active`` while it is inside, its ``value``, and how many are ``ahead`` of it."""

    def __init__(self, m, source, sink, inside, pick, capacity):
        value = Value.cast(source.payload)
        self.active = Signal()
        self.value = Signal.like(value, name="tracked")
        self.ahead = Signal(range(capacity + 1))
        put = source.valid & source.ready
        take = sink.valid & sink.ready
        count = Signal(range(capacity + 2))
        self.count = count
        m.d.sync += count.eq(count + put - take)
        m.d.comb += [Assert(count <= capacity, "more came in than fits"), Assert(count == inside, "lost or duplicated"),
                     Assert(sink.valid <= (count != 0), "an item from nowhere")]
        with m.If(self.active):
            m.d.comb += Assert(self.ahead < count)
            with m.If(take):
                m.d.sync += self.ahead.eq(self.ahead - 1)
                with m.If(self.ahead == 0):
                    m.d.comb += Assert(Value.cast(sink.payload) == self.value, "the item was changed or overtaken")
                    m.d.sync += self.active.eq(0)
            m.d.comb += Cover(take & (self.ahead == 0) & (count == capacity))
        with m.Elif(put & pick):
            m.d.sync += [self.active.eq(1), self.value.eq(value), self.ahead.eq(count - take)]


class SingleInput(wiring.Component):
    """A block with streams ``i`` and ``o`` in free surroundings that obey the hold rule.

    ``inside(block)`` gives the number of items the block says it holds; ``where(m, block, tracker)`` adds what
    induction needs to know: where in the block the followed item is.
    """

    def __init__(self, block, capacity, inside, where):
        self.block, self.capacity, self.inside, self.where = block, capacity, inside, where
        super().__init__({
            "i": In(stream.Signature(block.shape)), "o": Out(stream.Signature(block.shape)), "pick": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.block = block = self.block
        wiring.connect(m, wiring.flipped(self.i), block.i)
        wiring.connect(m, block.o, wiring.flipped(self.o))
        assume_hold(m, block.i)
        assert_hold(m, block.o)
        self.where(m, block, Tracker(m, block.i, block.o, self.inside(block), self.pick, self.capacity))
        return m
