"""A queue whose first item is offered in the next cycle."""

from amaranth.hdl import Module, Mux, Signal
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
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        rows = self.depth - 1
        m.submodules.memory = memory = Memory(shape=self.shape, depth=rows, init=[])
        write, read = memory.write_port(), memory.read_port()
        first, last = Signal(range(rows)), Signal(range(rows))
        stored = Signal(range(rows + 1))
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
            assert_hold(m, self.o)
        return m
