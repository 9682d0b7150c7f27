"""First-in first-out queue between two streams."""

from amaranth.hdl import Assert, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .hold import assert_hold

__all__ = ["Fifo"]


class Fifo(wiring.Component):
    """A queue of ``depth`` items in a memory.

    Latency: an item offered to an empty queue is offered on ``o`` :attr:`latency` = 2 cycles later, 1 with ``bypass``.
    Throughput: one item a cycle in and out at the same time, except that a full queue takes a new item only in the
    cycle after one has left. Without ``bypass`` a queue of depth 2 therefore runs at half rate (its memory has one row,
    written and read in turn); full rate takes a depth of at least 3. ``o`` comes from the memory's output register,
    with ``bypass`` from a choice between that and another register; ``i.ready`` and ``level`` come from registers. No
    combinational path leads from one side to the other.

    Parameters
    ----------
    shape: shape of the payload
    depth: items the queue holds, at least 2 and not necessarily a power of two
    bypass: whether an item goes past the memory, into a register of its own, while the memory is empty and ``o`` free
    assertions: whether to emit ``Assert`` statements for the invariants

    Members: ``i`` and ``o``, streams of ``shape``; ``level``, the number of items held, from 0 to ``depth``.

    The memory has one write and one read port and never reads the row it writes, so that any two-port memory fits.

    Raises ``ValueError`` when ``depth`` is not an integer of at least 2.
    """

    latency = 2

    def __init__(self, shape, depth, *, bypass=False, assertions=False):
        if not isinstance(depth, int) or depth < 2:
            raise ValueError(f"depth = {depth!r} is not allowed: depth must be an integer, at least 2")
        self.shape = shape
        self.depth = depth
        self.bypass = bypass
        if bypass:
            self.latency = 1
        self.assertions = assertions
        # One item waits in a register at the output. These three are attributes for the proof's sake.
        self.rows = depth - 1
        self.memory = Memory(shape=shape, depth=self.rows, init=[])
        self.first = Signal(range(self.rows))
        self.stored = Signal(range(self.rows + 1))
        super().__init__({
            "i": In(stream.Signature(shape)),
            "o": Out(stream.Signature(shape)),
            "level": Out(range(depth + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = self.memory
        write = self.memory.write_port()
        read = self.memory.read_port()
        rows, first, stored = self.rows, self.first, self.stored
        last = Signal(range(rows))

        def advance(index):
            m.d.sync += index.eq(index + 1)
            with m.If(index == rows - 1):
                m.d.sync += index.eq(0)

        put = Signal()
        take = Signal()
        free = Signal()
        past = Signal()  # what is offered now goes past the memory
        m.d.comb += [
            self.i.ready.eq(stored != rows),
            free.eq(self.o.ready | ~self.o.valid),
            put.eq(self.i.valid & self.i.ready & ~past),
            take.eq((stored != 0) & free),
            write.en.eq(put), write.addr.eq(last), write.data.eq(self.i.payload),
            read.en.eq(take), read.addr.eq(first), self.o.payload.eq(read.data),
            self.level.eq(stored + self.o.valid),
        ]
        m.d.sync += stored.eq(stored + put - take)
        with m.If(put):
            advance(last)
        with m.If(take):
            advance(first)
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        if self.bypass:
            passed, from_passed = Signal(self.shape, reset_less=True), Signal()
            m.d.comb += [past.eq(free & (stored == 0)), self.o.payload.eq(Mux(from_passed, passed, read.data))]
            with m.If(past):
                m.d.sync += [passed.eq(self.i.payload), self.o.valid.eq(self.i.valid)]
            with m.If(free):
                m.d.sync += from_passed.eq(past)

        if self.assertions:
            span = Signal(range(2 * rows + 1))
            m.d.comb += span.eq(first + stored)
            m.d.sync += [
                Assert(stored <= rows, "the queue holds more than it has room for"),
                Assert((first < rows) & (last < rows), "a row that does not exist"),
                Assert(last == span - rows * (span >= rows), "the items are not between first and last"),
                Assert(~(put & take & (first == last)), "the row written is read"),
            ]
            if self.bypass:
                m.d.sync += Assert(self.o.valid | (stored == 0), "an item waits behind an empty output")
            assert_hold(m, self.o)
        return m
