"""The ID queue between Scheduler and RMMU (thesis Fig. 7.12 "Queue"): rounds cut into beats, each read twice."""

from amaranth.hdl import Array, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.dota.scheduler import Rounds

__all__ = ["BeatQueue", "QueueEntry"]


class QueueEntry(data.StructLayout):
    """The key vectors of one RMMU beat: an ID and its rows (T bits, none: no vector) a stream; end of group."""

    def __init__(self, config):
        pick = data.StructLayout({"id": config.scheduler.id_bits, "rows": config.tokens})
        super().__init__({"picks": data.ArrayLayout(pick, config.vectors_per_cycle), "last": 1})


class BeatQueue(wiring.Component):
    """Circular buffer of beats with two read positions, for the QK pass and for the AV pass that follows it.

    A round of p picks becomes max(1, ceil(p / vectors_per_cycle)) entries, one a cycle. While ``active``, ``entries``
    gives them from the position that ``replay`` chooses (0: QK, 1: AV) up to the end of a group; ``active`` must fall
    in the cycle after that end. What the AV pass has read is free. Two groups of the greatest possible size fit, so
    that the QK pass of a group never waits for the AV pass of the one before.

    Throughput: one entry a cycle. Latency: an entry is offered two cycles after it was taken from its round.
    """

    def __init__(self, config):
        self.config = config
        self.depth = 1 << ceil_log2(2 * config.tokens * config.max_keys)
        super().__init__({
            "rounds": In(stream.Signature(Rounds(config.tokens, config.scheduler.id_bits))),
            "entries": Out(stream.Signature(QueueEntry(config))),
            "replay": In(1),
            "active": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        streams = config.vectors_per_cycle
        slots = -(-config.tokens // streams)
        picks = self.rounds.p.picks
        slot = Signal(range(slots))
        chunks, more = [], []
        for k in range(slots):
            chunk = Signal(QueueEntry(config), name=f"chunk_{k}")
            for s in range(streams):
                if k * streams + s < config.tokens:
                    pick = picks[k * streams + s]
                    m.d.comb += [chunk.picks[s].id.eq(pick.id),
                                 chunk.picks[s].rows.eq(pick.rows & pick.valid.replicate(config.tokens))]
            follows = picks[(k + 1) * streams].valid if (k + 1) * streams < config.tokens else 0
            m.d.comb += chunk.last.eq(self.rounds.p.last & ~follows)
            chunks.append(chunk)
            more.append(Value.cast(follows))

        # Positions are one bit longer than an address, which tells full from empty.
        shape = unsigned(ceil_log2(self.depth) + 1)
        head, scored, weighed, count = Signal(shape), Signal(shape), Signal(shape), Signal(shape)
        m.submodules.store = store = memory.Memory(shape=QueueEntry(config), depth=self.depth, init=[])
        write, read = store.write_port(), store.read_port()
        push, round_ends = Signal(), Signal()
        m.d.comb += [
            count.eq(head - weighed),
            push.eq(self.rounds.valid & ~count[-1]),
            round_ends.eq(~Array(more)[slot]),
            write.addr.eq(head), write.en.eq(push), write.data.eq(Array(chunks)[slot]),
            self.rounds.ready.eq(~count[-1] & round_ends),
        ]
        with m.If(push):
            m.d.sync += [head.eq(head + 1), slot.eq(Mux(round_ends, 0, slot + 1))]

        have, fetch = Signal(), Signal()
        position = Mux(self.replay, weighed, scored)
        m.d.comb += [
            # Past the end of a group nothing is fetched: the reader chooses the next pass first.
            fetch.eq(self.active & (position != head) & (~have | (self.entries.ready & ~self.entries.p.last))),
            read.addr.eq(position), read.en.eq(fetch),
            self.entries.valid.eq(have),
            self.entries.p.eq(read.data),
        ]
        with m.If(fetch):
            m.d.sync += have.eq(1)
            with m.If(self.replay):
                m.d.sync += weighed.eq(weighed + 1)
            with m.Else():
                m.d.sync += scored.eq(scored + 1)
        with m.Elif(self.entries.ready):
            m.d.sync += have.eq(0)
        return m
