"""A queue whose first item is offered in the next cycle."""

from amaranth.hdl import Assert, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.stream.hold import assert_hold

__all__ = ["RequestQueue"]


class RequestQueue(wiring.Component):
    """A first-in first-out queue of ``depth`` items, a cycle faster than :class:`hw.stream.fifo.Fifo`.

    Latency: :attr:`latency` = 1 cycle from an empty queue: an item goes past the memory into a register. Throughput:
    one item a cycle, except that a full queue takes a new item only in the cycle after one has left. No combinational
    path leads from one side to the other; ``o`` is a choice between two registers.

    Parameters: ``shape`` of the payload, ``depth`` at least 2, ``assertions``. Members: ``i``, ``o``: streams.
    """

    latency = 1

    def __init__(self, shape, depth, *, assertions=False):
        if not isinstance(depth, int) or depth < 2:
            raise ValueError(f"depth = {depth!r} is not allowed: depth must be an integer, at least 2")
        self.shape, self.depth, self.assertions = shape, depth, assertions
        # One item waits in a register at the output. These are attributes for the proof's sake.
        self.rows = depth - 1
        self.memory = Memory(shape=shape, depth=self.rows, init=[])
        self.first = Signal(range(self.rows))
        self.stored = Signal(range(self.rows + 1))
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        rows, first, stored = self.rows, self.first, self.stored
        m.submodules.memory = self.memory
        write, read = self.memory.write_port(), self.memory.read_port()
        last = Signal(range(rows))
        past = Signal(self.shape, reset_less=True)
        from_past, next_item, put, direct = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(stored != rows), next_item.eq(self.o.ready | ~self.o.valid),
            direct.eq(next_item & (stored == 0)), put.eq(self.i.valid & self.i.ready & ~direct),
            write.en.eq(put), write.addr.eq(last), write.data.eq(self.i.payload),
            read.en.eq(next_item & (stored != 0)), read.addr.eq(first),
            self.o.payload.eq(Mux(from_past, past, read.data)),
        ]
        m.d.sync += stored.eq(stored + put - read.en)
        with m.If(next_item):
            m.d.sync += [self.o.valid.eq(self.i.valid & self.i.ready | (stored != 0)), from_past.eq(stored == 0)]
        with m.If(direct):
            m.d.sync += past.eq(self.i.payload)
        for index, moves in ((first, read.en), (last, put)):
            with m.If(moves):
                m.d.sync += index.eq(Mux(index == rows - 1, 0, index + 1))
        if self.assertions:
            span = Signal(range(2 * rows + 1))
            m.d.comb += span.eq(first + stored)
            m.d.sync += [
                Assert(stored <= rows, "the queue holds more than it has room for"),
                Assert((first < rows) & (last < rows), "a row that does not exist"),
                Assert(last == span - rows * (span >= rows), "the items are not between first and last"),
                Assert(self.o.valid | (stored == 0), "an item waits behind an empty output"),
            ]
            assert_hold(m, self.o)
        return m
