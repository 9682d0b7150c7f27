"""Turns fetches into items of the bus: reads the GlobalBuffer, puts words and map to the rest of the item."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.executor_types import BusItem
from hw.duet.fetch import Fetch, Seen, Target
from hw.duet.global_buffer import ReadRequest

__all__ = ["BusFeed"]


class BusFeed(wiring.Component):
    """Serves two address generators, the Speculator's first.

    Latency: an item is offered to the bus in the cycle after its fetch was taken. Throughput: a fetch a cycle. While
    the bus does not take an item, its words stay in the memory's output registers: ``held`` tells that nobody may read
    then.

    Members
    -------
    fetch: In(array of two streams of :class:`Fetch`): Speculator, Executor
    seen: Out(array of two :class:`Seen`)
    read: Out(stream of :class:`ReadRequest`), which must be served at once; data, map: In, its answer a cycle later
    held: Out, the answer is still needed
    bus: Out(stream of :class:`BusItem`)
    busy: Out(2), an item of that generator is on its way to the bus
    """

    def __init__(self, config):
        self.config = config
        words = config.cols * config.segment
        super().__init__({
            "fetch": In(stream.Signature(Fetch(config))).array(2),
            "seen": Out(Seen(config)).array(2),
            "read": Out(stream.Signature(ReadRequest(config.global_buffer))),
            "data": In(16 * words), "map": In(words),
            "held": Out(1),
            "bus": Out(stream.Signature(BusItem(config.executor))),
            "busy": Out(2),
        })

    def elaborate(self, platform):
        m = Module()
        config, size = self.config, self.config.segment
        first, second = self.fetch
        item = Signal(Fetch(config), reset_less=True)
        there, fresh, source = Signal(), Signal(), Signal()
        for_bus = (item.target == Target.ROWS) | (item.target == Target.SPECULATOR)
        leaves = Signal()
        chosen = Signal(Fetch(config))
        m.d.comb += [
            leaves.eq(~there | ~for_bus | self.bus.ready),
            first.ready.eq(leaves), second.ready.eq(leaves & ~first.valid),
            chosen.eq(Mux(first.valid, first.payload, second.payload)),
            self.read.valid.eq(leaves & (first.valid | second.valid)),
            self.read.p.data_enable.eq(chosen.read), self.read.p.data_address.eq(chosen.line),
            self.read.p.map_enable.eq(chosen.read_map), self.read.p.map_address.eq(chosen.map_line),
            self.held.eq(~leaves), self.busy.eq(Mux(there, 1 << source, 0)),
        ]
        m.d.sync += fresh.eq(leaves)
        with m.If(leaves):
            m.d.sync += [there.eq(first.valid | second.valid), item.eq(chosen), source.eq(~first.valid)]

        bits = Signal(len(self.map))
        segment = Signal(size)
        m.d.comb += [
            segment.eq((Mux(item.read_map, self.map, item.ones.replicate(len(self.map))))
                       .word_select(item.segment, size) & item.valid),
            bits.eq(Mux(item.select, segment, Mux(item.read_map, self.map, item.ones.replicate(len(self.map))))),
            self.bus.valid.eq(there & for_bus),
            self.bus.p.row_tag.eq(Mux(item.target == Target.SPECULATOR, config.rows, item.row)),
            self.bus.p.row_all.eq(item.all_rows), self.bus.p.col_all.eq(1),
            self.bus.p.kind.eq(item.kind), self.bus.p.slot.eq(item.slot), self.bus.p.line.eq(item.weight_line),
            self.bus.p.mask.eq(item.mask), self.bus.p.last.eq(item.last), self.bus.p.parity.eq(item.parity),
            self.bus.p.address.eq(item.address), self.bus.p.map.eq(bits),
            self.bus.p.data.eq(Mux(item.read, self.data, 0)),
        ]
        for index, seen in enumerate(self.seen):
            m.d.comb += [
                seen.valid.eq(there & fresh & (source == index)), seen.target.eq(item.target), seen.row.eq(item.row),
                seen.select.eq(item.select), seen.any.eq(bits.any()),
                seen.ids.eq(self.data.word_select(item.segment, 16 * size)), seen.map.eq(bits),
            ]
        return m
