"""The passes of sparse attention over the RMMU: queries loaded, keys or values read and broadcast (thesis 7.6.3)."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.multi_precision_pe import PeOp
from hw.arith.precision import Precision
from hw.dota.beat_queue import QueueEntry
from hw.dota.lane_command import CommandLayout
from hw.dota.lane_memory import MemoryRead
from hw.dota.rmmu import LoadKind, driver_ports

__all__ = ["AttentionCounts", "AttentionPass", "ScoreTag", "group_count"]


class ScoreTag(data.StructLayout):
    """What a QK beat's result is: tokens it scores, word of the vector, and whether it ends vector and group."""

    def __init__(self, config):
        super().__init__({"tokens": config.tokens, "word": range(config.max_words), "last_word": 1, "last": 1})


def group_count(config):
    """Shape of a counter of groups of T query rows."""
    return range((1 << config.address_bits + 1) // config.tokens + 2)


class AttentionCounts(wiring.Signature):
    """What a cycle adds to the lane's counters: vectors read, connections computed, why a pass waits."""

    def __init__(self, config):
        vectors = range(config.vectors_per_cycle + 1)
        super().__init__({
            "key_reads": Out(vectors),
            "value_reads": Out(vectors),
            "connections": Out(range(config.tokens + 1)),
            "stall_schedule": Out(1),
            "stall_softmax": Out(1),
            "stall_drain": Out(1),
        })


class AttentionPass(wiring.Component):
    """Turns queue entries into RMMU beats, alternating QK(0), QK(1), AV(0), QK(2), AV(1), ...

    Token t owns PE rows t x token_rows on; rows 2w and 2w + 1 of them hold word w of its vector (low and high half).
    A QK beat multiplies a key word with the stationary query words, an AV beat adds weight x value word to the
    accumulators. Three stages: entry, SRAM address, RMMU beat. Throughput: one word of each stream a cycle; two cycles
    between passes.
    """

    def __init__(self, config):
        self.config = config
        port = MemoryRead(config.address_bits, config.word_bits)
        groups = group_count(config)
        super().__init__({
            "command": In(CommandLayout(config)),
            "start": In(1),
            "entries": In(stream.Signature(QueueEntry(config))),
            "replay": Out(1),
            "active": Out(1),
            "vectors": Out(port).array(config.vectors_per_cycle),
            "queries": Out(port),
            **driver_ports(config.rmmu),
            "weight_enable": Out(config.tokens),
            "weight_advance": Out(config.tokens),
            "weight_half": Out(1),
            "weight_restart": Out(1),
            "weight_first": In(config.tokens),
            "weights": In(data.ArrayLayout(16, config.tokens)),
            "softmax_groups": In(groups),
            "drained_groups": In(groups),
            "passed": Out(1),
            "counts": Out(AttentionCounts(config)),
        })

    def elaborate(self, platform):
        m = Module()
        config, command = self.config, self.command
        scored, weighed, loaded, swapped = (Signal(group_count(config), name=name)
                                            for name in ("scored", "weighed", "loaded", "swapped"))
        unscored = Signal(command.m.shape())  # rows whose QK pass has not begun
        unloaded = Signal(command.m.shape())  # rows whose query is not loaded
        with m.If(self.start):
            m.d.sync += [scored.eq(0), weighed.eq(0), loaded.eq(0), swapped.eq(0), unscored.eq(command.m),
                         unloaded.eq(command.m)]
        with m.Else():
            self._choose(m, scored, weighed, loaded, unscored)
            self._load_queries(m, loaded, swapped, unloaded)
        self._passes(m, weighed, swapped)
        return m

    def _choose(self, m, scored, weighed, loaded, unscored):
        """The next pass, when none runs: QK as long as the AV pass is at most one group behind."""
        config = self.config
        score = Signal()
        m.d.comb += score.eq((unscored != 0) & (scored - weighed < 2))
        with m.If(self.active):
            with m.If(self.entries.valid & self.entries.ready & self.entries.p.last):
                m.d.sync += self.active.eq(0)
        with m.Elif(score):
            with m.If(loaded > scored):
                m.d.sync += [self.active.eq(1), self.replay.eq(0), scored.eq(scored + 1),
                             unscored.eq(Mux(unscored > config.tokens, unscored - config.tokens, 0))]
        with m.Elif(weighed != scored):
            m.d.comb += [
                self.counts.stall_softmax.eq(self.softmax_groups <= weighed),
                self.counts.stall_drain.eq(~self.counts.stall_softmax & (self.drained_groups < weighed)),
            ]
            with m.If(~self.counts.stall_softmax & ~self.counts.stall_drain):
                m.d.sync += [self.active.eq(1), self.replay.eq(1), weighed.eq(weighed + 1)]
                m.d.comb += self.weight_restart.eq(1)

    def _load_queries(self, m, loaded, swapped, unloaded):
        """Fill the shadow registers with the queries of the next group once the last swap has emptied them."""
        config, command = self.config, self.command
        query = Signal(config.address_bits)
        token, word = Signal(range(config.tokens)), Signal(range(config.max_words))
        fresh = Signal(init=1)
        issue = Signal()
        m.d.comb += [
            issue.eq((unloaded != 0) & (loaded <= swapped)),
            self.queries.enable.eq(issue),
            self.queries.address.eq(Mux(fresh, command.a_base, query) + word),
        ]
        with m.If(issue):
            m.d.sync += word.eq(word + 1)
            with m.If(word + 1 == command.words):
                m.d.sync += [word.eq(0), token.eq(token + 1), unloaded.eq(unloaded - 1), fresh.eq(unloaded == 1),
                             query.eq(Mux(fresh, command.a_base, query) + command.a_stride)]
                with m.If((token == config.tokens - 1) | (unloaded == 1)):
                    m.d.sync += [token.eq(0), loaded.eq(loaded + 1)]
        landing = Signal()
        landing_row = Signal(range(config.rows))
        m.d.sync += [landing.eq(issue), landing_row.eq(token * config.token_rows + 2 * word)]
        m.d.comb += [self.load.valid.eq(landing), self.load.p.kind.eq(LoadKind.PAIR),
                     self.load.p.row.eq(landing_row), self.load.p.data.eq(self.queries.data)]

    def _passes(self, m, weighed, swapped):
        config, command = self.config, self.command
        streams = range(config.vectors_per_cycle)
        entry = self.entries.p
        # Stage 1: a queue entry, held for the words of its vectors.
        word = Signal(range(config.max_words))
        last_word, begins = Signal(), Signal()
        m.d.comb += [last_word.eq(word + 1 == command.words), self.entries.ready.eq(self.active & last_word),
                     self.counts.stall_schedule.eq(self.active & ~self.entries.valid)]
        with m.If(~self.active):
            m.d.sync += begins.eq(1)
        with m.Elif(self.entries.valid):
            m.d.sync += [begins.eq(0), word.eq(Mux(last_word, 0, word + 1))]

        stage = data.StructLayout({
            "valid": 1, "value": 1, "half": 1, "swap": 1, "last_word": 1, "last": 1, "word": word.shape(),
            "rows": data.ArrayLayout(config.tokens, config.vectors_per_cycle),
        })
        addressed, issued = Signal(stage), Signal(stage)
        m.d.sync += [
            addressed.valid.eq(self.active & self.entries.valid), addressed.value.eq(self.replay),
            addressed.half.eq(~weighed[0]), addressed.swap.eq(begins & ~self.replay),
            addressed.last_word.eq(last_word), addressed.last.eq(entry.last & last_word), addressed.word.eq(word),
            issued.eq(addressed),
        ]
        base = Mux(self.replay, command.v_base, command.b_base)
        stride = Mux(self.replay, command.v_stride, command.b_stride)
        for s in streams:
            address = Signal(config.address_bits, name=f"address_{s}", reset_less=True)
            m.d.sync += [
                address.eq(base + entry.picks[s].id * stride + word + s * command.copy_stride),
                addressed.rows[s].eq(entry.picks[s].rows),
            ]
            # Stage 2: SRAM address; weights are read beside.
            m.d.comb += [self.vectors[s].address.eq(address),
                         self.vectors[s].enable.eq(addressed.valid & addressed.rows[s].any())]
        wanted = Signal(config.tokens)
        weight_first = Signal(config.tokens)
        m.d.comb += [
            wanted.eq(_union(addressed.rows, streams) & (addressed.valid & addressed.value).replicate(config.tokens)),
            self.weight_enable.eq(wanted),
            self.weight_advance.eq(wanted & addressed.last_word.replicate(config.tokens)),
            self.weight_half.eq(addressed.half),
        ]
        m.d.sync += weight_first.eq(self.weight_first)

        # Stage 3: the beat.
        beat = self.beat.p
        tokens = Signal(config.tokens)
        swap = issued.valid & issued.swap
        tag = Signal(ScoreTag(config))
        m.d.comb += [
            tokens.eq(_union(issued.rows, streams)),
            tag.tokens.eq(tokens), tag.word.eq(issued.word), tag.last_word.eq(issued.last_word),
            tag.last.eq(issued.last),
            self.beat.valid.eq(issued.valid), beat.first.eq(1), beat.last.eq(~issued.value), beat.tag.eq(tag),
            self.passed.eq(issued.valid & issued.value & issued.last),
        ]
        with m.If(swap):
            m.d.sync += swapped.eq(swapped + 1)
        m.d.comb += [beat.cols[s].eq(self.vectors[s].data) for s in streams]
        for token in range(config.tokens):
            select = Signal(range(max(2, config.vectors_per_cycle)), name=f"select_{token}")
            for s in streams:
                with m.If(issued.rows[s][token]):
                    m.d.comb += select.eq(s)
            for k in range(config.token_rows):
                row = token * config.token_rows + k
                control = beat.control[row]
                takes = tokens[token] & (issued.word == k // 2)
                m.d.comb += [control.mode.eq(Precision.FX16), control.half.eq(k % 2), control.swap.eq(issued.swap),
                             control.first.eq(weight_first[token]), control.select.eq(select),
                             beat.rows[row].eq(self.weights[token])]
                # A swap needs an operation: at the start of a QK pass every row multiplies, wanted or not.
                with m.If(issued.value & takes):
                    m.d.comb += control.op.eq(PeOp.MAC)
                with m.Elif(~issued.value & (takes | issued.swap)):
                    m.d.comb += control.op.eq(PeOp.DOT)

        reads = Signal(range(config.vectors_per_cycle + 1))
        once = issued.valid & issued.last_word
        m.d.comb += reads.eq(sum(issued.rows[s].any() for s in streams))
        with m.If(once & issued.value):
            m.d.comb += self.counts.value_reads.eq(reads)
        with m.If(once & ~issued.value):
            m.d.comb += [self.counts.key_reads.eq(reads),
                         self.counts.connections.eq(sum(tokens[t] for t in range(config.tokens)))]


def _union(rows, streams):
    """The tokens that any stream serves."""
    union = rows[0]
    for s in streams[1:]:
        union = union | rows[s]
    return union
