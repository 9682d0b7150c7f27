"""Executor: an array of elements that computes exactly what the Speculator asks for (thesis 5.1.2, 5.2.1)."""

from amaranth.hdl import Assert, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.pipeline import reduce_tree
from hw.duet.executor_row import ExecutorRow
from hw.duet.executor_settings import ExecutorSettings, executor_fields
from hw.duet.executor_types import (
    BusBody, BusItem, BusKind, ConfigWord, Counters, ExecutorConfig, Results, SpeculatorItem,
)
from hw.duet.multicast_bus import YBus
from hw.duet.output_stage import OutputStage
from hw.duet.step_control import StepControl
from hw.duet.step_maps import StepMaps
from hw.duet.tag_expansion import TagExpansion
from hw.registers import registers
from hw.stream.connect import connect

__all__ = ["Executor", "ExecutorConfig"]

#: Tags of a bus item.
_TAGS = ("row_tag", "row_all", "col_tag", "col_all")


class Executor(wiring.Component):
    """R x C elements behind a multicast bus: each row computes the outputs of one channel, step by step.

    A step's items bring the rows' output maps, then chunk by chunk the inputs with their maps and the weights; the maps
    become tags of the program's instructions, and an element runs the tagged ones only, one a cycle. Chunks are double
    buffered: an element begins the next one by itself as soon as it is complete. At the end of a step the partial sums
    are added over each row, requantized, activated, pooled, and leave row by row, while the next step computes.

    Throughput: an item of the bus a cycle while its bank is free; a multiplication a cycle in each element; a row of
    results a cycle. Cycle by cycle: docs/duet/executor.md, Timing.
    Back-pressure: full on all sides; ``bus.ready`` depends in the same cycle on ``through.ready`` only. ``results``
    come from a register.
    Source: thesis 5.1.2 (elements), 5.2.1 (data flow, correction of the map), 5.1 (network).

    Parameters: ``config`` an :class:`~hw.duet.executor_types.ExecutorConfig`; ``assertions``: check the order of items
    and the rules of all parts.

    Members
    -------
    config: In(stream of :class:`~hw.duet.executor_types.ConfigWord`, always ready), while ``idle``
    bus: In(stream of :class:`~hw.duet.executor_types.BusItem`)
    through: Out(stream of :class:`~hw.duet.executor_types.SpeculatorItem`)
    results: Out(stream of :class:`~hw.duet.executor_types.Results`)
    idle: Out, no item, no chunk in work, no result is inside
    counters: Out(:class:`~hw.duet.executor_types.Counters`), since reset, modulo their widths
    """

    def __init__(self, config, assertions=False):
        self.sizes = config
        self.assertions = assertions
        super().__init__({
            "config": In(stream.Signature(ConfigWord(), always_ready=True)),
            "bus": In(stream.Signature(BusItem(config))),
            "through": Out(stream.Signature(SpeculatorItem(config))),
            "results": Out(stream.Signature(Results(config))),
            "idle": Out(1),
            "counters": Out(Counters()),
        })
        self.registers = registers(executor_fields(config))

    def elaborate(self, platform):
        m = Module()
        config, assertions = self.sizes, self.assertions
        body = BusBody(config)
        # A MulticastBus whose X-buses are in the rows.
        m.submodules.bus = bus = YBus(config.bus, assertions)
        m.submodules.settings = settings = ExecutorSettings(config)
        m.submodules.control = control = StepControl(config, assertions)
        m.submodules.maps = maps = StepMaps(config)
        m.submodules.tags = tags = TagExpansion(config)
        m.submodules.output = output = OutputStage(config, assertions)
        connect(m, wiring.flipped(self.config), settings.words)
        connect(m, settings.ids, bus.ids)
        connect(m, output.results, wiring.flipped(self.results))
        layer = settings.settings

        # The bus, whose items wait in it until control takes them.
        sent = Signal(body)
        item, through = data.View(body, bus.body), data.View(body, bus.through.p.body)
        m.d.comb += [
            [sent[name].eq(self.bus.p[name]) for name, _ in body],
            [bus.y.p[name].eq(self.bus.p[name]) for name in (*_TAGS, "data")],
            bus.y.p.body.eq(sent), bus.y.valid.eq(self.bus.valid), self.bus.ready.eq(bus.y.ready),
            [self.through.p[name].eq(through[name]) for name in ("kind", "last", "address", "mask")],
            self.through.p.data.eq(bus.through.p.data), self.through.valid.eq(bus.through.valid),
            bus.through.ready.eq(self.through.ready),
            control.kind.eq(item.kind), control.last.eq(item.last), control.parity.eq(item.parity),
            bus.take.eq(control.take), control.taken.eq(bus.taken),
        ]

        # Maps and tags.
        m.d.comb += [
            maps.bias_write.eq(settings.bias_write), maps.bias_shift.eq(layer.bias_shift),
            maps.write.eq(Mux(bus.taken & (item.kind == BusKind.OMAP), bus.hits, 0)),
            maps.look.eq(bus.offer & (item.kind == BusKind.OMAP)), maps.omap.eq(item.map[:config.segment]),
            maps.channel.eq(item.address), maps.move.eq(control.move),
            tags.program_write.eq(settings.program_write), tags.length.eq(layer.length),
            tags.use_imap.eq(layer.use_imap),
            tags.slot.eq(item.slot), tags.mask.eq(item.mask), tags.map.eq(item.map),
            [tags.omap[r].eq(maps.next[r].omap) for r in range(config.rows)],
            tags.start.eq(control.expand), tags.rows.eq(control.expand_rows), tags.bank.eq(control.bank),
            control.expanded.eq(tags.done),
        ]

        # The array.
        issued, meets = [], []
        for r in range(config.rows):
            row = m.submodules[f"row_{r}"] = ExecutorRow(config, assertions)
            m.d.comb += [row.x[name].eq(value) for name, value in bus.x_item(r).items()]
            m.d.comb += [
                row.program_write.eq(settings.program_write), row.swap.eq(control.swap),
                row.grant.eq(control.grant), row.grant_first.eq(control.grant_first),
                row.row_tags.eq(tags.row_tags[r]), row.column_tags.eq(tags.column_tags),
                row.psum_read.eq(output.psum_read), row.psum_index.eq(output.psum_index),
                control.all_finished[r].eq(row.all_finished), control.any_finished[r].eq(row.any_finished),
                output.sums[r].eq(row.sum), output.rows[r].eq(maps.current[r]),
            ]
            issued.append(row.issued)
            meets.append(row.meets)
        columns = reduce_tree(m, meets, lambda a, b: a | b, 0, name="meets")
        m.d.comb += [
            # The map of a column goes with its words, whichever rows take them.
            tags.imap_write.eq(Mux(item.kind == BusKind.INPUT, columns, 0)),
            output.settings.eq(layer), output.start.eq(control.read), output.parity.eq(control.read_parity),
            output.needed.eq(maps.needed), control.read_done.eq(output.read_done), control.output_free.eq(output.free),
            control.reading.eq(output.reading),
            self.idle.eq(~(bus.offer | bus.through.valid | control.inside | self.results.valid) & output.free),
        ]
        self._count(m, issued, control.ending)
        if assertions:
            with m.If(self.config.valid):
                m.d.sync += Assert(self.idle, "a configuration word while a step is inside")
        return m

    def _count(self, m, issued, ending):
        """The counters. ``issued`` comes a cycle late, so the rest is made late too."""
        total = Signal(range(self.sizes.rows * self.sizes.cols + 1))
        draining, busy, drain = Signal(), Signal(), Signal()
        m.d.comb += busy.eq(Cat(issued).any())
        m.d.sync += [total.eq(reduce_tree(m, issued, lambda a, b: a + b, 0, name="issued")), draining.eq(ending),
                     self.counters.macs.eq(self.counters.macs + total)]
        m.d.comb += drain.eq(draining & ~busy)
        for count, event in ((self.counters.busy, busy), (self.counters.drain, drain),
                             (self.counters.load, ~busy & ~drain)):
            with m.If(event):
                m.d.sync += count.eq(count + 1)
