"""Reorder Unit: the order in which the Executor takes the channels of a tile (thesis 5.2.1, Figure 5.5)."""

import dataclasses

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.arith.compressor import Compressor
from hw.config import Config, field
from hw.duet.bucket_lists import BucketLists, Channel

__all__ = ["ChannelMap", "ReorderUnit", "ReorderUnitConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReorderUnitConfig(Config):
    """Sizes of the Reorder Unit."""

    lanes: int = field(16, "bits of a channel's switching map in a tile", unit="bits", min=1, max=256)
    buckets: int = field(16, "buckets, intervals of sums", min=2, max=64)
    max_channels: int = field(512, "channels of a tile at most", unit="channels", min=2, max=4096)

    PRESETS = {
        "paper": {},
        "small": {"lanes": 4, "buckets": 4, "max_channels": 32},
        "fpga": {"max_channels": 64},
    }

    @property
    def id_bits(self):
        """Width of a channel's ID."""
        return ceil_log2(self.max_channels)

    @property
    def latency(self):
        """Cycles from the transfer of a tile's last map to its first channel's valid, the unit otherwise idle."""
        return 4

    def period(self, before, channels):
        """Cycles from a tile's first channel, of ``before``, to the next one's first, when neither side stalls."""
        return max(before, channels)

    @property
    def memory_bits(self):
        """Bits of the list memory, two tiles."""
        return 2 * (self.max_channels + self.buckets) * self.id_bits


class ChannelMap(data.StructLayout):
    """The switching map of the next channel, a bit an output; ``last``: the channel is the tile's last."""

    def __init__(self, lanes):
        super().__init__({"map": lanes, "last": 1})


class ReorderUnit(wiring.Component):
    """Puts channels with about as many outputs to compute next to each other: a stable sort into ``buckets``.

    The ones of each channel's map are summed up, the sum is compared with all thresholds. A channel goes to the bucket
    of the first threshold that its sum exceeds, to the last bucket when it exceeds none; so with thresholds that do not
    ascend its bucket is the number of thresholds that it does not exceed. Every channel gets exactly one bucket,
    whatever the thresholds. :class:`BucketLists` gives the channels in the order of buckets.

    Throughput: a channel a cycle in and out, tiles back to back; of two tiles in a row the longer one decides (one is
    filled while the one before is read).
    Latency: :attr:`ReorderUnitConfig.latency`.
    Back-pressure: full; ``maps.ready`` does not depend in the same cycle on any input.
    Source: thesis 5.2.1, Figures 5.4 and 5.5.

    Parameters: ``config`` a :class:`ReorderUnitConfig`; ``assertions``: check that channels stay until they are taken,
    and that no tile has more than ``max_channels`` (simulation).

    Members
    -------
    thresholds: In(buckets - 1 of 0..lanes), not ascending; stable from a tile's first map to its first channel
    maps: In(stream of :class:`ChannelMap`): channels 0, 1, .. of a tile
    order: Out(stream of :class:`hw.duet.bucket_lists.Channel`), from the memory's output register
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "thresholds": In(data.ArrayLayout(range(config.lanes + 1), config.buckets - 1)),
            "maps": In(stream.Signature(ChannelMap(config.lanes))),
            "order": Out(stream.Signature(Channel(config.id_bits))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.lists = lists = BucketLists(config.buckets, config.max_channels, assertions=self.assertions)
        wiring.connect(m, lists.o, wiring.flipped(self.order))

        # Sum, then compare: a register each, `summed` and `lists.i`.
        total = Signal(range(config.lanes + 1), reset_less=True)
        total_last = Signal(reset_less=True)
        summed = Signal()
        moves = Signal()
        m.d.comb += [moves.eq(~lists.i.valid | lists.i.ready), self.maps.ready.eq(~summed | moves)]
        ones = Compressor(m).sum({0: list(self.maps.p.map)}, len(total))
        with m.If(self.maps.ready):
            m.d.sync += [total.eq(Cat(ones)), total_last.eq(self.maps.p.last), summed.eq(self.maps.valid)]

        exceeded = Signal(config.buckets)
        bucketed = Signal.like(lists.i.payload, reset_less=True)
        valid = Signal()
        m.d.comb += [exceeded.eq(Cat(*(total > threshold for threshold in self.thresholds), 1)),
                     lists.i.payload.eq(bucketed), lists.i.valid.eq(valid)]
        with m.If(moves):
            m.d.sync += [bucketed.bucket.eq(exceeded & ~(exceeded - 1)), bucketed.last.eq(total_last),
                         valid.eq(summed)]
        return m
