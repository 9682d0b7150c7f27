"""Sums of the systolic array meet the scale and bias of their channels."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.stream.hold import assert_hold

__all__ = ["ChannelFeed"]


class ChannelFeed(wiring.Component):
    """Reads the channel table in the order in which sums come, and drops the columns past a job's last channel.

    The order: for every A channels, for every part of the positions (``one_part``: the first only), for each column.

    Latency: :attr:`latency` = 0 for the sums; the first can leave 3 cycles after ``start`` (an entry of the table is
    read and kept in a register). Throughput: a column a cycle. ``results.ready`` depends in the same cycle on
    ``o.ready``.

    Members
    -------
    one_part: In; start: In: begins a job of ``n`` channels from entry ``table_base`` on, only while ``idle``
    table_enable, table_entry: Out; entry: In(scale, bias): of the channel table, a cycle later
    results: In(stream of :class:`hw.duet.systolic_array.Results`), o: Out(stream of
        :class:`hw.duet.speculator_mfu.Sums`)
    """

    latency = 0

    def __init__(self, config, results, sums, assertions=False):
        self.config = config
        self.assertions = assertions
        entry = data.StructLayout({"scale": config.scale_bits, "bias": signed(config.bias_bits)})
        super().__init__({
            "one_part": In(1), "start": In(1), "idle": Out(1),
            "n": In(range(config.max_channels + 1)), "table_base": In(range(config.table_entries)),
            "table_enable": Out(1), "table_entry": Out(range(config.table_entries)), "entry": In(entry),
            "results": In(stream.Signature(results)),
            "o": Out(stream.Signature(sums)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        active, there, drop, joined = Signal(), Signal(), Signal(), Signal()
        read, read_drop, moves = Signal(), Signal(), Signal()  # what the table gives
        entry = Signal.like(self.entry, reset_less=True)
        column, part = Signal(range(config.array_cols)), Signal(range(config.parts))
        left, base = Signal(range(config.max_channels + 1)), Signal.like(self.table_entry)
        last_column, last_part = Signal(), Signal()
        m.d.comb += [
            self.idle.eq(~(active | read | there)),
            last_column.eq(column == config.array_cols - 1),
            last_part.eq(self.one_part | (part == config.parts - 1)),
            joined.eq(self.results.valid & self.results.ready),
            moves.eq(~there | joined), self.table_enable.eq(active & (~read | moves)),
            self.results.ready.eq(there & (drop | self.o.ready)),
            self.o.valid.eq(there & ~drop & self.results.valid),
            self.o.p.acc.eq(self.results.p.data),
            self.o.p.scale.eq(entry.scale), self.o.p.bias.eq(entry.bias),
        ]
        with m.If(moves):
            m.d.sync += [there.eq(read), entry.eq(self.entry), drop.eq(read_drop), read.eq(0)]
        with m.If(self.table_enable):
            m.d.sync += [read.eq(1), read_drop.eq(column >= left), column.eq(column + 1),
                         self.table_entry.eq(self.table_entry + 1)]
            with m.If(last_column):
                m.d.sync += [part.eq(part + 1), self.table_entry.eq(base)]
                with m.If(last_part):
                    m.d.sync += [part.eq(0), left.eq(left - config.array_cols), base.eq(self.table_entry + 1),
                                 self.table_entry.eq(self.table_entry + 1), active.eq(left > config.array_cols)]
        with m.If(self.start):
            m.d.sync += [active.eq(1), left.eq(self.n), base.eq(self.table_base), self.table_entry.eq(self.table_base)]
        if self.assertions:
            assert_hold(m, self.o)
        return m
