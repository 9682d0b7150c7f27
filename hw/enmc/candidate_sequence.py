"""Tiles of candidates as operations of the Executor's lanes."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.candidate_fetch import Arrival, Tile
from hw.enmc.executor_lane import Addend, Factor
from hw.enmc.executor_sequence import Operation, Sink
from hw.enmc.function_run import LANES

__all__ = ["CandidateSequence"]

#: The last addition of REDUCE: lanes 0 and 1.
LAST_LEVEL = 3


class CandidateSequence(wiring.Component):
    """For each word of a tile, for each slot: a multiply-add, as soon as its burst is here. After the last tile of a
    group REDUCE: level by level, the lanes of all slots in turn.

    Throughput: an operation a cycle, no cycle between tiles or before and after REDUCE.

    Parameter: ``tile_words``.

    Members
    -------
    tiles: In(stream of :class:`hw.enmc.candidate_fetch.Tile`), taken with the last multiply-add
    whole: In; arrival: In: what of that tile is here, see :class:`hw.enmc.candidate_fetch.CandidateFetch`
    room: In: a result can be asked for; asks: Out: one is
    operation: Out(:class:`Operation`); ready: In: it can be issued; issued: Out
    multiplies: Out: what is issued is a multiply-add, of the word at ``position`` (Out) with the row of ``slot`` (Out)
    reducing: Out: REDUCE is not over
    """

    def __init__(self, tile_words):
        self.tile_words = tile_words
        super().__init__({
            "tiles": In(stream.Signature(Tile)), "whole": In(1), "arrival": In(Arrival(tile_words)),
            "room": In(1), "asks": Out(1), "operation": Out(Operation), "ready": In(1), "issued": Out(1),
            "multiplies": Out(1), "position": Out(range(4 * tile_words)), "slot": Out(2), "reducing": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        tile, arrival, slot, operation = self.tiles.p, self.arrival, self.slot, self.operation
        word, level, last_slot = Signal(range(self.tile_words)), Signal(2), Signal(2)
        first = Signal(init=1)  # word of a group
        here, finishes, row_ends = Signal(), Signal(), Signal()
        m.d.comb += [
            here.eq(self.tiles.valid & (self.whole | ~arrival.feature & (
                (arrival.slot > slot) | (arrival.slot == slot) & (arrival.position != self.position)))),
            finishes.eq(level == LAST_LEVEL),
            self.issued.eq(self.ready & Mux(self.reducing, ~finishes | self.room, here)),
            self.multiplies.eq(self.issued & ~self.reducing), self.asks.eq(self.issued & self.reducing & finishes),
            row_ends.eq(self.issued & (slot == Mux(self.reducing, last_slot, tile.last_slot))),
            self.tiles.ready.eq(row_ends & ~self.reducing & (word + 1 == tile.count)),
        ]
        with m.If(self.issued):
            m.d.sync += slot.eq(Mux(row_ends, 0, slot + 1))
        with m.If(row_ends):
            with m.If(self.reducing):
                m.d.sync += [level.eq(level + 1), self.reducing.eq(~finishes)]
            with m.Else():
                m.d.sync += [self.position.eq(self.position + 1), first.eq(0),
                             word.eq(Mux(self.tiles.ready, 0, word + 1))]
        with m.If(self.tiles.ready):
            m.d.sync += [self.reducing.eq(tile.last), first.eq(tile.last), last_slot.eq(tile.last_slot)]

        m.d.comb += [operation.operands.slot.eq(slot), operation.target.eq(slot), operation.lanes.eq(LANES)]
        with m.If(self.reducing):
            m.d.comb += [
                operation.operands.a.eq(Factor.PSUM), operation.operands.b.eq(Factor.CONSTANT),
                operation.operands.c.eq(Addend.OTHER), operation.level.eq(level),
                operation.sink.eq(Mux(finishes, Sink.RESULT, Sink.PSUM)),
            ]
        with m.Else():
            m.d.comb += [operation.operands.a.eq(Factor.WEIGHT), operation.operands.b.eq(Factor.FEATURE),
                         operation.operands.c.eq(Mux(first, Addend.CONSTANT, Addend.PSUM))]
        return m
