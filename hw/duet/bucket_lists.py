"""Channels of a tile in linked lists, a list a bucket (thesis 5.2.1, Figure 5.5)."""

import functools
import operator

from amaranth.hdl import Assert, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

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
    channel. The channel that comes is written in the place of the last one of its bucket (``tails``), so that any bucket
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
        super().__init__({"i": In(stream.Signature(Bucketed(buckets))),
                          "o": Out(stream.Signature(Channel(self.id_bits)))})

    @property
    def places(self):
        """Words of a bank."""
        return self.max_channels + self.buckets

    def elaborate(self, platform):
        m = Module()
        m.submodules.follower = follower = memory.Memory(shape=self.id_bits, depth=2 * self.places, init=[])
        write, read = follower.write_port(), follower.read_port()
        tails = [[Signal(self.id_bits, name=f"tail_{bank}_{bucket}", reset_less=True)
                  for bucket in range(self.buckets)] for bank in range(2)]

        # A tile is complete and waits for the reader; in the cycle in which it is taken, the other bank is filled.
        waits = Signal()
        busy = Signal()
        take = Signal()
        bank = Signal()
        bank_before = Signal()
        m.d.comb += [take.eq(waits & ~busy), bank.eq(bank_before ^ take)]
        m.d.sync += bank_before.eq(bank)

        # Fill.
        bucket = self.i.p.bucket
        fresh = Signal(init=1)  # the next channel is a tile's first
        newest = Signal(self.id_bits)
        used = Signal(self.buckets)
        channel = Signal(self.id_bits)
        used_before = Signal(self.buckets)
        fill = Signal()
        m.d.comb += [
            self.i.ready.eq(~waits | take), fill.eq(self.i.valid & self.i.ready),
            channel.eq(Mux(fresh, 0, newest + 1)), used_before.eq(Mux(fresh, 0, used)),
            write.en.eq(fill), write.data.eq(channel),
            write.addr.eq(self._place(bank, bucket, self._tail(tails, bank, bucket), ~(bucket & used_before).any())),
        ]
        with m.If(take):
            m.d.sync += waits.eq(0)
        with m.If(fill):
            m.d.sync += [newest.eq(channel), used.eq(used_before | bucket), fresh.eq(self.i.p.last)]
            with m.If(self.i.p.last):
                m.d.sync += waits.eq(1)
            for index, of_bank in enumerate(tails):
                for chosen, tail in zip(bucket, of_bank):
                    with m.If(chosen & (bank == index)):
                        m.d.sync += tail.eq(channel)

        # Read.
        reading = ~bank
        current = Signal(self.buckets)  # bucket of the channel that is offered
        left = Signal(self.buckets)  # buckets that have not been begun
        more = Signal(self.id_bits)  # reads of the tile after the next one
        starts = Signal()  # the next read is a tile's first
        last = Signal()
        first = Signal(self.buckets)
        left_now = Signal(self.buckets)
        more_now = Signal(self.id_bits)
        begin = Signal()
        moves = Signal()
        m.d.comb += [
            moves.eq(~self.o.valid | self.o.ready), read.en.eq((busy | take) & moves),
            more_now.eq(Mux(take, newest, more)), left_now.eq(Mux(take, used, left)),
            first.eq(left_now & ~(left_now - 1)),
            begin.eq(take | starts | (read.data == self._tail(tails, reading, current))),
            read.addr.eq(self._place(reading, first, read.data, begin)),
            self.o.p.channel.eq(read.data), self.o.p.last.eq(last),
        ]
        m.d.sync += [left.eq(left_now), more.eq(more_now), busy.eq(busy | take), starts.eq(take | starts)]
        with m.If(moves):
            m.d.sync += self.o.valid.eq(busy | take)
        with m.If(read.en):
            m.d.sync += [starts.eq(0), last.eq(~more_now.any()), busy.eq(more_now.any()), more.eq(more_now - 1)]
            with m.If(begin):
                m.d.sync += [current.eq(first), left.eq(left_now & ~first)]

        if self.assertions:
            with m.If(fill):
                m.d.sync += [Assert(bucket.any() & ~(bucket & (bucket - 1)).any(), "bucket is not one-hot"),
                             Assert(fresh | (newest != self.max_channels - 1), "a tile of more than max_channels")]
            with m.If(read.en & begin):
                m.d.sync += Assert(left_now.any(), "more channels than in the buckets")
            assert_hold(m, self.o)
        return m

    def _tail(self, tails, bank, bucket):
        """The last channel of the bucket that is chosen, one-hot."""
        chosen = [((bank == index) & one).replicate(self.id_bits) & tail for index, of_bank in enumerate(tails)
                  for one, tail in zip(bucket, of_bank)]
        return _any(chosen)

    def _place(self, bank, bucket, channel, begin):
        """Address of what follows a channel; with ``begin`` of the first in the bucket that is chosen, one-hot."""
        heads = _any(Mux(one, self.max_channels + index, 0) for index, one in enumerate(bucket))
        return Cat(bank, Mux(begin, heads, channel))


def _any(values):
    """All values or-ed."""
    return functools.reduce(operator.or_, values)
