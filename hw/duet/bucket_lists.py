"""Channels of a tile in linked lists, a list a bucket (thesis 5.2.1, Figure 5.5)."""

import functools
import operator

from amaranth.hdl import Assert, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.memory.sram import SramBank
from hw.stream.hold import assert_hold

__all__ = ["BucketLists", "Bucketed", "Channel"]


class Bucketed(data.StructLayout):
    """The next channel's bucket, one-hot; ``last``: the channel is the tile's last."""

    def __init__(self, buckets):
        super().__init__({"bucket": buckets, "last": 1})


class Channel(data.StructLayout):
    """A channel's ID; ``last``: it is the last of its tile."""

    def __init__(self, id_bits):
        super().__init__({"channel": id_bits, "last": 1})


class BucketLists(wiring.Component):
    """Takes the buckets of channels 0, 1, .. of a tile; gives the channels bucket by bucket, in order within a bucket.

    A memory holds, in the place of each channel, the next one in its bucket, and in a place for each bucket its first
    channel. The channel that comes is written in the place of the last one of its bucket (``tails``), so any bucket
    takes any number of channels. Reading follows the lists. Both go on at once, on two tiles: one bank is filled while
    the other is read.

    Latency: 2 cycles from a tile's last channel to ``o.valid``. Throughput: a channel a cycle in and out; of two tiles
    in a row the longer one decides. ``i.ready`` comes from registers; ``o`` from the memory's output register.

    Parameters: ``buckets``, ``max_channels`` of a tile; ``assertions`` as in :class:`hw.duet.reorder_unit.ReorderUnit`.

    Members: ``i`` In(stream of :class:`Bucketed`), ``o`` Out(stream of :class:`Channel`).
    """

    def __init__(self, buckets, max_channels, *, assertions=False):
        self.buckets, self.max_channels, self.assertions = buckets, max_channels, assertions
        self.id_bits = ceil_log2(max_channels)
        self.places = max_channels + buckets
        self._state()
        super().__init__({"i": In(stream.Signature(Bucketed(buckets))),
                          "o": Out(stream.Signature(Channel(self.id_bits)))})

    def _state(self):
        """The registers, attributes for the proof's sake."""
        self.follower = SramBank(self.id_bits, 2 * self.places)
        self.tails = [[Signal(self.id_bits, name=f"tail_{bank}_{bucket}", reset_less=True)
                       for bucket in range(self.buckets)] for bank in range(2)]
        self.waits = Signal()  # a tile is complete and waits for the reader
        self.bank = Signal()  # the one to fill, where the reader does not take it in this cycle
        # Fill.
        self.fresh = Signal(init=1)  # the next channel is a tile's first
        self.newest = Signal(self.id_bits)
        self.used = Signal(self.buckets)
        # Read.
        self.busy = Signal()  # the tile has not been read to its end
        self.starts = Signal()  # the next read is its first
        self.more = Signal(self.id_bits)  # reads of it after the next one
        self.current = Signal(self.buckets)  # bucket of the channel that is offered
        self.left = Signal(self.buckets)  # buckets that have not been begun

    def elaborate(self, platform):
        m = Module()
        m.submodules.follower = follower = self.follower
        take = Signal()
        bank_now = Signal()
        m.d.comb += [take.eq(self.waits & ~self.busy), bank_now.eq(self.bank ^ take)]
        m.d.sync += self.bank.eq(bank_now)
        # Tails are read of the registered bank, a shorter path: in a cycle with `take` neither side needs them.

        bucket = self.i.p.bucket
        fill = Signal()
        channel = Signal(self.id_bits)
        used_now = Signal(self.buckets)
        m.d.comb += [
            self.i.ready.eq(~self.waits | take), fill.eq(self.i.valid & self.i.ready),
            channel.eq(Mux(self.fresh, 0, self.newest + 1)), used_now.eq(Mux(self.fresh, 0, self.used)),
            follower.write_mask.eq(fill), follower.write_data.eq(channel),
            follower.write_address.eq(self._place(bank_now, bucket, self._tail(self.bank, bucket),
                                                  ~(bucket & used_now).any())),
        ]
        with m.If(take):
            m.d.sync += self.waits.eq(0)
        with m.If(fill):
            m.d.sync += [self.newest.eq(channel), self.used.eq(used_now | bucket), self.fresh.eq(self.i.p.last)]
            with m.If(self.i.p.last):
                m.d.sync += self.waits.eq(1)
            for index, tails in enumerate(self.tails):
                for chosen, tail in zip(bucket, tails):
                    with m.If(chosen & (bank_now == index)):
                        m.d.sync += tail.eq(channel)

        busy_now = Signal()
        left_now = Signal(self.buckets)
        more_now = Signal(self.id_bits)
        first = Signal(self.buckets)
        begin = Signal()
        moves = Signal()
        last = Signal()
        offered = follower.read_data
        m.d.comb += [
            busy_now.eq(self.busy | take), left_now.eq(Mux(take, self.used, self.left)),
            more_now.eq(Mux(take, self.newest, self.more)), first.eq(left_now & ~(left_now - 1)),
            begin.eq(take | self.starts | (offered == self._tail(~self.bank, self.current))),
            moves.eq(~self.o.valid | self.o.ready), follower.read_enable.eq(busy_now & moves),
            follower.read_address.eq(self._place(~bank_now, first, offered, begin)),
            self.o.p.channel.eq(offered), self.o.p.last.eq(last),
        ]
        m.d.sync += [
            self.busy.eq(busy_now), self.left.eq(left_now), self.more.eq(more_now), self.starts.eq(self.starts | take),
        ]
        with m.If(moves):
            m.d.sync += self.o.valid.eq(busy_now)
        with m.If(follower.read_enable):
            m.d.sync += [
                self.starts.eq(0), self.busy.eq(more_now.any()), self.more.eq(more_now - 1), last.eq(~more_now.any()),
            ]
            with m.If(begin):
                m.d.sync += [self.current.eq(first), self.left.eq(left_now & ~first)]

        if self.assertions:
            with m.If(fill):
                m.d.sync += [Assert(bucket.any() & ~(bucket & (bucket - 1)).any(), "bucket is not one-hot"),
                             Assert(self.fresh | (self.newest != self.max_channels - 1),
                                    "a tile of more than max_channels")]
            assert_hold(m, self.o)
        return m

    def _tail(self, bank, bucket):
        """The last channel of the bucket that is chosen, one-hot."""
        chosen = [((bank == index) & one).replicate(self.id_bits) & tail for index, tails in enumerate(self.tails)
                  for one, tail in zip(bucket, tails)]
        return _any(chosen)

    def _place(self, bank, bucket, channel, begin):
        """Address of what follows a channel; with ``begin`` of the first in the bucket that is chosen, one-hot."""
        heads = _any(Mux(one, self.max_channels + index, 0) for index, one in enumerate(bucket))
        return Cat(bank, Mux(begin, heads, channel))


def _any(values):
    """All values or-ed."""
    return functools.reduce(operator.or_, values)
