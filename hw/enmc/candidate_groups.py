"""Queues of candidates, and the groups of four that are computed side by side."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.pipeline import delay
from hw.arith.pipelined_multiplier import PipelinedMultiplier
from hw.enmc.candidate_step import GROUP
from hw.enmc.enmc_types import ADDRESS_BITS, ITEMS, CandidateSettings
from hw.enmc.screener_types import Candidate

__all__ = ["CandidateGroups", "PlacedGroup", "saturated"]


class PlacedGroup(data.Struct):
    """``count`` classes of ``item``, with the addresses of their rows and of the item's features."""

    item: 2
    count: 3
    classes: data.ArrayLayout(32, GROUP)
    rows: data.ArrayLayout(ADDRESS_BITS, GROUP)
    feature: ADDRESS_BITS


def saturated(address):
    """``address`` (unsigned, of any width), or the last address there is."""
    return address[:ADDRESS_BITS] | address[ADDRESS_BITS:].any().replicate(ADDRESS_BITS)


class CandidateGroups(wiring.Component):
    """A queue an item, all in one memory; four candidates of a queue become a group, the queues in turn.

    With ``flush`` a queue gives what it has, when no candidate comes any more. Latency: a candidate that completes a
    group is taken -> the group is offered: 9 cycles. Throughput: a candidate a cycle in, a group every 8 cycles out.

    Parameter: ``depth``, candidates in a queue, a power of two.

    Members
    -------
    settings: In(:class:`hw.enmc.enmc_types.CandidateSettings`), stable while not ``empty``
    candidates: In(stream of :class:`hw.enmc.screener_types.Candidate`), ready depends on its item
    flush: In; more: In, candidates come later than this cycle: nothing is flushed
    groups: Out(stream of :class:`PlacedGroup`)
    empty: Out, no candidate is inside; working: Out, a queue has a group, or one is formed or offered
    """

    def __init__(self, depth):
        self.depth = depth
        super().__init__({
            "settings": In(CandidateSettings), "candidates": In(stream.Signature(Candidate)), "flush": In(1),
            "more": In(1), "groups": Out(stream.Signature(PlacedGroup)), "empty": Out(1), "working": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = rows = memory.Memory(shape=32, depth=ITEMS * self.depth, init=[])
        write, read = rows.write_port(), rows.read_port()
        levels = Array(Signal(range(self.depth + 1), name=f"level_{item}") for item in range(ITEMS))
        tails = Array(Signal(range(self.depth), name=f"tail_{item}") for item in range(ITEMS))
        heads = Array(Signal(range(self.depth), name=f"head_{item}") for item in range(ITEMS))
        source, candidate = self.candidates, self.candidates.p
        put = Signal()
        m.d.comb += [
            source.ready.eq(levels[candidate.item] != self.depth), put.eq(source.valid & source.ready),
            write.en.eq(put), write.addr.eq(Cat(tails[candidate.item], candidate.item)),
            write.data.eq(candidate.class_index),
        ]

        # The next queue in turn that has a group, or when flushed anything.
        flush, item, served, found = Signal(), Signal(2), Signal(2), Signal()
        m.d.comb += flush.eq(self.flush & ~self.more & ~source.valid)
        has = [(level >= GROUP) | flush & (level != 0) for level in levels]
        for distance in range(ITEMS, 0, -1):
            queue = (served + distance)[:2]
            with m.If(Array(has)[queue]):
                m.d.comb += [item.eq(queue), found.eq(1)]

        busy, forming, full = Signal(), Signal(), Signal()
        left, slot = Signal(range(GROUP + 1)), Signal(range(GROUP))
        group = Signal(PlacedGroup, reset_less=True)
        taken = Signal()
        m.d.comb += [taken.eq(full & self.groups.ready), read.en.eq(forming), self.groups.valid.eq(full),
                     self.groups.payload.eq(group), read.addr.eq(Cat(heads[group.item], group.item))]
        with m.If(taken):
            m.d.sync += full.eq(0)
        with m.If(~busy & (~full | taken) & found):
            count = Mux(levels[item] >= GROUP, GROUP, levels[item][:3])
            m.d.sync += [busy.eq(1), forming.eq(1), served.eq(item), group.item.eq(item), group.count.eq(count),
                         left.eq(count), slot.eq(0)]
        with m.If(forming):
            m.d.sync += [left.eq(left - 1), slot.eq(slot + 1), forming.eq(left != 1)]
        for index in range(ITEMS):
            more, less = put & (candidate.item == index), forming & (group.item == index)
            m.d.sync += [levels[index].eq(levels[index] + more - less), tails[index].eq(tails[index] + more),
                         heads[index].eq(heads[index] + less)]

        # Row of a class: read, two stages of multiplication, sum.
        settings = self.settings
        m.submodules.multiplier = multiplier = PipelinedMultiplier(33, 12)
        m.d.comb += [multiplier.a.eq(read.data), multiplier.b.eq(settings.row_bursts)]
        steps = multiplier.latency + 1
        arrives = delay(m, forming, steps, name="arrives", control=True)
        last = delay(m, left == 1, steps, name="last")
        place = delay(m, slot, steps, name="place")
        number = delay(m, read.data, multiplier.latency, name="number")
        with m.If(arrives):
            m.d.sync += [group.classes[place].eq(number),
                         group.rows[place].eq(saturated(multiplier.product.as_unsigned() + settings.row_base))]
            with m.If(last):
                m.d.sync += [full.eq(1), busy.eq(0)]
        offset = Mux(group.item[0], settings.row_bursts, 0) + (Mux(group.item[1], settings.row_bursts, 0) << 1)
        m.d.sync += group.feature.eq(saturated(offset + settings.feature_base))
        m.d.comb += [self.empty.eq(~busy & ~full & (Cat(levels) == 0)),
                     self.working.eq(busy | full | Cat(level >= GROUP for level in levels).any())]
        return m
