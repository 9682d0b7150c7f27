"""Maps of a tile whose positions went through the systolic array in parts, put together."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.stream.fifo import Fifo

__all__ = ["MapAssembly"]


class MapAssembly(wiring.Component):
    """Joins the parts of each channel's map: for every A channels all maps of part 0 come, then those of part 1, ...

    Each part but the last waits in a queue of A maps. Latency: :attr:`latency` = 0 cycles from the last part.
    Throughput: a map of a part a cycle. ``i.ready`` depends in the same cycle on ``o.ready``.

    Members
    -------
    start: In: a job of ``n`` channels begins; n stays until its last map has left
    i: In(stream(``array_rows``)), o: Out(stream(S)), position p at bit p
    """

    latency = 0

    def __init__(self, config):
        self.config = config
        super().__init__({
            "start": In(1), "n": In(range(config.max_channels + 1)),
            "i": In(stream.Signature(config.array_rows)), "o": Out(stream.Signature(config.segment)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        column, part = Signal(range(config.array_cols)), Signal(range(config.parts))
        left, last_column = Signal(range(config.max_channels + 1)), Signal()
        last_part = part == config.parts - 1
        m.d.comb += last_column.eq((column == config.array_cols - 1) | (column + 1 == left))
        queues = []
        for index in range(config.parts - 1):
            m.submodules[f"part_{index}"] = queue = Fifo(config.array_rows, max(3, config.array_cols))
            m.d.comb += [
                queue.i.payload.eq(self.i.payload), queue.i.valid.eq(self.i.valid & (part == index)),
                queue.o.ready.eq(last_part & self.o.valid & self.o.ready),
            ]
            with m.If(part == index):
                m.d.comb += self.i.ready.eq(queue.i.ready)
            queues.append(queue)
        m.d.comb += [
            self.o.valid.eq(last_part & self.i.valid & Cat(queue.o.valid for queue in queues).all()),
            self.o.payload.eq(Cat(*(queue.o.payload for queue in queues), self.i.payload)),
        ]
        with m.If(last_part):
            m.d.comb += self.i.ready.eq(self.o.ready & self.o.valid)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += column.eq(column + 1)
            with m.If(last_column):
                m.d.sync += [column.eq(0), part.eq(Mux(last_part, 0, part + 1))]
                with m.If(last_part):
                    m.d.sync += left.eq(left - config.array_cols)
        with m.If(self.start):
            m.d.sync += left.eq(self.n)
        return m
