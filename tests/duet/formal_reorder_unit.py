"""Proof benches of the Reorder Unit: its lists for ever, by induction, and the whole unit for a bounded time."""

from amaranth.hdl import Array, Assert, Assume, Cat, Cover, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.duet.bucket_lists import Bucketed, BucketLists, Channel
from hw.duet.reorder_unit import ChannelMap, ReorderUnit
from hw.memory.sram import SramBank
from hw.stream.hold import assert_hold, assume_hold

__all__ = ["ListsProof", "UnitProof"]

class RegisterBank(SramBank):
    """The memory as registers that a proof can look into, ``rows``."""

    def __init__(self, width, depth):
        self.rows = Array(Signal(width, name=f"row_{index}", reset_less=True) for index in range(depth))
        super().__init__(width, depth)

    def elaborate(self, platform):
        m = Module()
        with m.If(self.read_enable):
            m.d.sync += self.read_data.eq(self.rows[self.read_address])
        with m.If(self.write_mask):
            m.d.sync += self.rows[self.write_address].eq(self.write_data)
        return m


class Specification:
    """What the unit has to give: the buckets of the last ``tiles`` that came, and how many channels have left.

    Attributes: ``tile`` and ``count``, the tile that comes in (modulo ``tiles``) and its channels so far; ``leaving``
    and ``left``, the same for the tile that goes out; ``bucket[t][c]``; ``size[t]``, the channels of tile t.
    """

    def __init__(self, m, config, tiles):
        self.config = config
        self.tile, self.leaving = Signal(range(tiles)), Signal(range(tiles))
        self.count, self.left = Signal(range(config.max_channels)), Signal(range(config.max_channels))
        self.bucket = Array(Array(Signal(range(config.buckets), name=f"bucket_{tile}_{channel}")
                                  for channel in range(config.max_channels)) for tile in range(tiles))
        self.size = Array(Signal(range(config.max_channels + 1), name=f"size_{tile}") for tile in range(tiles))
        self.m = m

    def comes(self, source, bucket):
        """The next channel comes when ``source`` moves."""
        m = self.m
        m.d.comb += Assume(source.p.last | (self.count != self.config.max_channels - 1))
        with m.If(source.valid & source.ready):
            m.d.sync += [self.bucket[self.tile][self.count].eq(bucket), self.count.eq(self.count + 1)]
            with m.If(source.p.last):
                m.d.sync += [self.size[self.tile].eq(self.count + 1), self.tile.eq(self.tile + 1), self.count.eq(0)]

    def goes(self, order):
        """What ``order`` offers must be the next channel; it goes when ``order`` moves."""
        m = self.m
        with m.If(order.valid):
            m.d.comb += [
                Assert(self.leaving != self.tile, "a channel of a tile that has not come in whole"),
                Assert(self.is_next(order.p.channel, self.leaving, self.left), "not the next channel of the order"),
                Assert(order.p.last == (self.left + 1 == self.size[self.leaving]), "last is wrong"),
            ]
        with m.If(order.valid & order.ready):
            m.d.sync += self.left.eq(self.left + 1)
            with m.If(order.p.last):
                m.d.sync += [self.left.eq(0), self.leaving.eq(self.leaving + 1)]

    def is_next(self, channel, tile, place):
        """Whether so many channels of the tile as ``place`` are before this one, by bucket and then by ID."""
        other = [Signal.like(self.bucket[0][0], name="other") for _ in range(self.config.max_channels)]
        self.m.d.comb += [signal.eq(self.bucket[tile][index]) for index, signal in enumerate(other)]
        own = Array(other)[channel]
        before = [(index < self.size[tile]) & ((bucket < own) | (bucket == own) & (index < channel))
                  for index, bucket in enumerate(other)]
        return (channel < self.size[tile]) & (sum(before) == place)


class UnitProof(wiring.Component):
    """The whole unit, with any thresholds that stay the same.

    ``patience``: cycles without a channel, while the output is ready and a whole tile waits, that count as a deadlock.
    """

    def __init__(self, config, patience=4):
        self.config, self.patience = config, patience
        super().__init__({
            "thresholds": In(data.ArrayLayout(range(config.lanes + 1), config.buckets - 1)),
            "maps": In(stream.Signature(ChannelMap(config.lanes))),
            "order": Out(stream.Signature(Channel(config.id_bits))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.dut = dut = ReorderUnit(config, assertions=True)
        wiring.connect(m, wiring.flipped(self.maps), dut.maps)
        wiring.connect(m, dut.order, wiring.flipped(self.order))
        assume_hold(m, dut.maps)
        assert_hold(m, dut.order)
        fixed = Signal()
        thresholds = Signal(self.thresholds.shape())
        m.d.sync += fixed.eq(1)
        m.d.comb += [dut.thresholds.eq(thresholds), Assume(fixed | ~dut.maps.valid)]
        with m.If(~fixed):
            m.d.sync += thresholds.eq(self.thresholds)
        bucket = config.buckets - 1
        for index in reversed(range(config.buckets - 1)):
            bucket = Mux(sum(dut.maps.p.map) > thresholds[index], index, bucket)
        specification = Specification(m, config, tiles=8)
        specification.comes(dut.maps, bucket)
        specification.goes(dut.order)

        idle = Signal(range(self.patience + 2))
        m.d.sync += idle.eq(0)
        with m.If((specification.leaving != specification.tile) & dut.order.ready & ~dut.order.valid):
            m.d.sync += idle.eq(idle + 1)
        m.d.comb += [Assert(idle <= self.patience, "deadlock"),
                     Cover(dut.order.valid & dut.order.p.last & (specification.leaving == 1) &
                           (dut.order.p.channel == 0) & (specification.left == 2))]
        return m


class ListsProof(wiring.Component):
    """The lists with any buckets: what they give, and the invariants from which it follows for ever.

    A channel must be offered in every cycle from the second one after a whole tile has come until it has left. The
    invariants say what the registers and the memory (a :class:`RegisterBank`) hold, for each tile that is in work.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({"i": In(stream.Signature(Bucketed(config.buckets))),
                          "o": Out(stream.Signature(Channel(config.id_bits)))})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.dut = dut = BucketLists(config.buckets, config.max_channels, assertions=True)
        assert isinstance(dut.follower, RegisterBank)
        wiring.connect(m, wiring.flipped(self.i), dut.i)
        wiring.connect(m, dut.o, wiring.flipped(self.o))
        assume_hold(m, dut.i)
        one_hot = dut.i.p.bucket
        m.d.comb += Assume(sum(one_hot) == 1)
        spec = Specification(m, config, tiles=4)
        spec.comes(dut.i, Cat(Cat(one for index, one in enumerate(one_hot) if index >> bit & 1).any()
                              for bit in range(ceil_log2(config.buckets))))
        spec.goes(dut.o)
        whole_before = Signal.like(spec.tile)
        m.d.sync += whole_before.eq(spec.tile)
        m.d.comb += Assert(dut.o.valid | (spec.leaving == whole_before), "a pause though a channel could be offered")
        self.invariants(m, dut, spec)
        return m

    def invariants(self, m, dut, spec):
        # The tile that waits, or the one that comes in, is in bank `filled`; the one that is read is `taken`.
        filled, taken, before = (Signal.like(spec.tile, name=name) for name in ("filled", "taken", "before"))
        m.d.comb += [filled.eq(spec.tile - dut.waits), taken.eq(filled - 1), before.eq(filled - 2),
                     Assert(dut.bank == filled[0]), Assert(dut.fresh == (spec.count == 0)),
                     Assert(spec.count < self.config.max_channels),
                     Assert(~dut.waits | dut.fresh)]
        m.d.comb += [Assert(bucket < self.config.buckets) for buckets in spec.bucket for bucket in buckets]
        channels = Signal(range(self.config.max_channels + 1))
        m.d.comb += channels.eq(Mux(dut.waits, spec.size[filled], spec.count))
        with m.If(channels != 0):
            m.d.comb += [Assert(dut.newest == channels - 1),
                         Assert(dut.used == self.nonempty(spec, filled, channels))]
            self.lists(m, dut, spec, filled, channels)
        with m.If(dut.waits):
            self.whole(m, spec, filled)

        with m.If(dut.busy):
            self.whole(m, spec, taken)
            self.lists(m, dut, spec, taken, spec.size[taken])
            m.d.comb += Assert(dut.o.valid)
        with m.If(dut.o.valid):
            self.whole(m, spec, spec.leaving)
            m.d.comb += Assert(spec.left < spec.size[spec.leaving])
        nonempty = self.nonempty(spec, taken, spec.size[taken])
        with m.If(~dut.o.valid):
            m.d.comb += [Assert(spec.leaving == filled), Assert(spec.left == 0), Assert(~dut.starts)]
        with m.Elif(dut.starts):
            m.d.comb += [Assert(dut.busy), Assert(spec.leaving == before), Assert(dut.o.p.last),
                         Assert(dut.more == spec.size[taken] - 1), Assert(dut.left == nonempty)]
        with m.Elif(dut.busy):
            bucket = spec.bucket[taken][dut.o.p.channel]
            m.d.comb += [Assert(spec.leaving == taken), Assert(dut.more + spec.left + 2 == spec.size[taken]),
                         Assert(dut.current == 1 << bucket), Assert(dut.left == (nonempty & (~1 << bucket)))]
        with m.Else():
            m.d.comb += [Assert(spec.leaving == taken), Assert(dut.o.p.last)]

    def whole(self, m, spec, tile):
        """A tile that has come in whole."""
        size = spec.size[tile]
        m.d.comb += [Assert(size != 0), Assert(size <= self.config.max_channels)]

    def nonempty(self, spec, tile, channels):
        """Buckets that the first channels of a tile are in."""
        return Cat(Cat((index < channels) & (spec.bucket[tile][index] == bucket)
                       for index in range(self.config.max_channels)).any() for bucket in range(self.config.buckets))

    def lists(self, m, dut, spec, tile, channels):
        """The lists of the first channels of a tile are right, tails included."""
        most, rows = self.config.max_channels, dut.follower.rows
        with m.Switch(tile[0]):
            for bank in range(2):
                with m.Case(bank):
                    for bucket in range(self.config.buckets):
                        member = [(index < channels) & (spec.bucket[tile][index] == bucket) for index in range(most)]
                        for index in range(most):
                            place = rows[2 * (most + bucket) + bank]
                            for earlier in range(index):
                                place = Mux(member[earlier], rows[2 * earlier + bank], place)
                            tail = ~Cat(member[index + 1:]).any()
                            with m.If(member[index]):
                                m.d.comb += [Assert(place == index, "a link is wrong"),
                                             Assert(~tail | (dut.tails[bank][bucket] == index), "a tail is wrong")]
