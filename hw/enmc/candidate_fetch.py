"""Micro-instructions of candidates into reads of the DRAM, and where the bursts that come belong."""

from amaranth.hdl import Assert, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.candidate_groups import saturated
from hw.enmc.candidate_step import GROUP, CandidateOp, CandidateStep
from hw.enmc.enmc_types import ADDRESS_BITS
from hw.stream.fifo import Fifo

__all__ = ["Arrival", "CandidateFetch", "Group", "Tile"]

#: Tiles that were begun and are not multiplied.
TILES = 4
#: Groups whose last tile was begun and whose results are not all out.
GROUPS = 3


class Tile(data.Struct):
    """``count`` words of the features and of each row, slots 0 to ``last_slot``; ``last`` of a group."""

    count: 5
    last_slot: 2
    last: 1


class Group(data.Struct):
    """Whose results the last tile of a group gives: ``classes`` 0 to ``last_slot``."""

    item: 2
    last_slot: 2
    classes: data.ArrayLayout(32, GROUP)


class Arrival(data.StructLayout):
    """Where the next burst belongs: a word of the features (``feature``) or of the row of ``slot``. ``position`` of the
    word counts through all tiles, modulo four tiles; the buffers hold two."""

    def __init__(self, tile_words):
        super().__init__({"feature": 1, "slot": 2, "position": range(4 * tile_words)})


class CandidateFetch(wiring.Component):
    """Asks for a burst a cycle, as long as there is room for it: a word's place is that of the word two tiles before
    it, free when that one has been multiplied in all slots.

    Latency: a tile is offered 2 cycles after its LOAD_FEATURE began, its first request 1 cycle after.
    Throughput: a request a cycle; a micro-instruction takes as many cycles as words.

    Parameters: ``tile_words``; ``assertions``.

    Members
    -------
    source: In(stream of :class:`hw.enmc.candidate_step.CandidateStep`)
    requests: Out(stream of burst addresses)
    tiles: Out(stream of :class:`Tile`), taken when all of the tile has been multiplied
    groups: Out(stream of :class:`Group`), one for each last tile
    arrived: In, the next burst is here; arrival: Out(:class:`Arrival`), where it belongs
    whole: Out, all of the tile offered is here; when not, the next burst belongs to it
    multiplied: In, position of the next word to be multiplied
    empty: Out, all that was begun has been multiplied
    """

    def __init__(self, tile_words, assertions=False):
        self.tile_words, self.assertions = tile_words, assertions
        super().__init__({
            "source": In(stream.Signature(CandidateStep)),
            "requests": Out(stream.Signature(ADDRESS_BITS)),
            "tiles": Out(stream.Signature(Tile)), "groups": Out(stream.Signature(Group)),
            "arrived": In(1), "arrival": Out(Arrival(tile_words)), "whole": Out(1),
            "multiplied": In(range(4 * tile_words)), "empty": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.tiles = tiles = Fifo(Tile, TILES, assertions=self.assertions)
        m.submodules.arriving = arriving = Fifo(Tile, TILES, assertions=self.assertions)
        m.submodules.groups = groups = Fifo(Group, GROUPS, assertions=self.assertions)
        wiring.connect(m, tiles.o, wiring.flipped(self.tiles))
        wiring.connect(m, groups.o, wiring.flipped(self.groups))

        source, job = self.source, self.source.p
        word = Signal(range(self.tile_words))
        tile, begun, position = (Signal(range(4 * self.tile_words), name=name)
                                 for name in ("tile", "begun", "position"))
        begins, free, request, last = (Signal(name=name) for name in ("begins", "free", "request", "last"))
        queued, enters = Signal(), Signal()
        address = Signal(ADDRESS_BITS, reset_less=True)
        m.d.comb += [
            begins.eq((job.op == CandidateOp.LOAD_FEATURE) & (word == 0)),
            position.eq(Mux(begins, begun, tile + word)),
            free.eq((position ^ self.multiplied) != 2 * self.tile_words),
            queued.eq(tiles.i.ready & arriving.i.ready & (groups.i.ready | ~job.last)),
            request.eq(source.valid & free & (~self.requests.valid | self.requests.ready) & (~begins | queued)),
            last.eq(word + 1 == job.count), source.ready.eq(request & last), enters.eq(request & begins),
            groups.i.valid.eq(enters & job.last), groups.i.p.item.eq(job.item), groups.i.p.last_slot.eq(job.slot),
            groups.i.p.classes.eq(job.classes),
            self.requests.payload.eq(address), self.empty.eq(begun == self.multiplied),
        ]
        for queue in (tiles, arriving):
            m.d.comb += [queue.i.valid.eq(enters), queue.i.p.count.eq(job.count), queue.i.p.last_slot.eq(job.slot),
                         queue.i.p.last.eq(job.last)]
        with m.If(enters):
            m.d.sync += [tile.eq(begun), begun.eq(begun + job.count)]
        with m.If(request):
            m.d.sync += [word.eq(Mux(last, 0, word + 1)), self.requests.valid.eq(1),
                         address.eq(saturated(job.address + word))]
        with m.Elif(self.requests.ready):
            m.d.sync += self.requests.valid.eq(0)
        self._arrive(m, arriving)
        if self.assertions:
            self._assertions(m, arriving)
        return m

    def _arrive(self, m, arriving):
        """Through the tiles in the order of the requests."""
        arrival, now, start = self.arrival, arriving.o.p, Signal(range(4 * self.tile_words))
        word, slot, feature = Signal(range(self.tile_words)), Signal(2), Signal(init=1)
        row_ends, whole = Signal(), Signal(range(TILES + 1))
        m.d.comb += [
            arrival.feature.eq(feature), arrival.slot.eq(slot), arrival.position.eq(start + word),
            row_ends.eq(self.arrived & (word + 1 == now.count)), self.whole.eq(whole != 0),
            arriving.o.ready.eq(row_ends & ~feature & (slot == now.last_slot)),
        ]
        with m.If(self.arrived):
            m.d.sync += word.eq(Mux(row_ends, 0, word + 1))
        with m.If(row_ends):
            m.d.sync += [feature.eq(0), slot.eq(Mux(feature, 0, slot + 1))]
        with m.If(arriving.o.ready):
            m.d.sync += [feature.eq(1), start.eq(start + now.count)]
        m.d.sync += whole.eq(whole + arriving.o.ready - (self.tiles.valid & self.tiles.ready))

    def _assertions(self, m, arriving):
        job, slot, count = self.source.p, Signal(2), Signal(5)
        with m.If(self.source.valid & self.source.ready):
            m.d.sync += [slot.eq(Mux(job.op == CandidateOp.LOAD_FEATURE, 0, slot + 1)), count.eq(job.count)]
        with m.If(self.source.valid):
            m.d.sync += [
                Assert((job.count != 0) & (job.count <= self.tile_words), "count is not 1 to tile_words"),
                Assert((job.op == CandidateOp.LOAD_FEATURE) | (job.slot == slot) & (job.count == count),
                       "a row that is not the next one of the tile"),
            ]
        m.d.sync += Assert(~self.arrived | arriving.o.valid, "a burst that nobody asked for")
