"""Sparse attention of a lane: detect, schedule, score, softmax, weigh (thesis 7.6.3; the lane's ATTEND command).

Groups of T query rows move through this pipeline, neighbouring groups overlapped::

    estimated scores -> Detector -> Scheduler -> beat queue -> QK pass -> scores -> MFU softmax -> weights
                                                     |                                                |
                                                     +---------------------------------------> AV pass -> drain

The RMMU alternates: QK of group g + 1, then AV of group g, so that the softmax of g hides behind AV of g - 1 and QK of
g + 1.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.dota.accumulator_drain import AccumulatorDrain
from hw.dota.attention_pass import AttentionCounts, AttentionPass
from hw.dota.beat_queue import BeatQueue
from hw.dota.detector import Detector
from hw.dota.lane_command import engine_ports
from hw.dota.lane_memory import MemoryRead, MemoryWrite
from hw.dota.mfu_types import user_ports
from hw.dota.rmmu import ResultLayout, driver_ports
from hw.dota.row_softmax import RowSoftmax
from hw.dota.scheduler import Scheduler
from hw.stream.connect import connect

__all__ = ["AttentionEngine"]


class AttentionEngine(wiring.Component):
    """Runs an ATTEND command.

    Throughput: a round of distinct keys costs ceil(distinct / vectors_per_cycle) x words RMMU beats in the QK pass
    and again in the AV pass; Detector, Scheduler, softmax and drain work beside it.
    """

    def __init__(self, config, *, assertions=False):
        self.config, self.assertions = config, assertions
        port = MemoryRead(config.address_bits, config.word_bits)
        super().__init__({
            **engine_ports(config),
            "vectors": Out(port).array(config.vectors_per_cycle),
            "queries": Out(port),
            "scores": Out(port),
            "write": Out(MemoryWrite(config.address_bits, config.word_bits)),
            **driver_ports(config.rmmu),
            "result": In(stream.Signature(ResultLayout(config.rmmu), always_ready=True)),
            "drain_row": Out(ceil_log2(config.rows)),
            "drain": In(config.rmmu.drain_layout),
            **user_ports(config.cols),
            "round": Out(1),
            "counts": Out(AttentionCounts(config)),
        })

    def elaborate(self, platform):
        m = Module()
        config, command = self.config, self.command
        active = Signal()
        m.submodules.detector = detector = Detector(config.detector, assertions=self.assertions)
        m.submodules.scheduler = scheduler = Scheduler(config.scheduler, assertions=self.assertions)
        m.submodules.queue = queue = BeatQueue(config)
        m.submodules.attention = attention = AttentionPass(config)
        m.submodules.softmax = softmax = RowSoftmax(config)
        m.submodules.drainer = drainer = AccumulatorDrain(config)

        with m.If(self.start):
            m.d.sync += active.eq(1)
        with m.If(self.finished):
            m.d.sync += active.eq(0)
        self._fetch_scores(m, detector)
        m.d.comb += [
            detector.mode.eq(command.mode),
            detector.threshold.eq(command.threshold),
            detector.count.eq(command.count),
            detector.keys.eq(command.keys),
        ]
        connect(m, detector.masks, scheduler.masks)
        connect(m, scheduler.rounds, queue.rounds)
        m.d.comb += [
            self.round.eq(scheduler.rounds.valid & scheduler.rounds.ready & scheduler.rounds.p.picks[0].valid),
            attention.command.eq(command),
            attention.start.eq(self.start),
            drainer.command.eq(command),
            drainer.start.eq(self.start),
            self.drain_row.eq(drainer.drain_row),
            drainer.drain.eq(self.drain),
        ]
        connect(m, queue.entries, attention.entries)
        m.d.comb += [queue.replay.eq(attention.replay), queue.active.eq(attention.active)]
        for mine, theirs in zip(self.vectors, attention.vectors):
            connect(m, wiring.flipped(mine), theirs)
        connect(m, wiring.flipped(self.queries), attention.queries)
        connect(m, wiring.flipped(self.load), attention.load)
        connect(m, wiring.flipped(self.beat), attention.beat)
        connect(m, wiring.flipped(self.result), softmax.result)
        connect(m, wiring.flipped(self.to_mfu), softmax.to_mfu)
        connect(m, wiring.flipped(self.from_mfu), softmax.from_mfu)
        connect(m, wiring.flipped(self.write), drainer.write)
        connect(m, wiring.flipped(self.counts), attention.counts)
        m.d.comb += [
            softmax.start.eq(self.start),
            softmax.shift.eq(command.shift),
            softmax.weight_enable.eq(attention.weight_enable),
            softmax.weight_advance.eq(attention.weight_advance),
            softmax.weight_half.eq(attention.weight_half),
            softmax.weight_restart.eq(attention.weight_restart),
            attention.weights.eq(softmax.weights),
            attention.weight_first.eq(softmax.weight_first),
            attention.softmax_groups.eq(softmax.groups),
            attention.drained_groups.eq(drainer.groups),
            drainer.go.eq(attention.passed),
            drainer.nonempty.eq(softmax.nonempty),
            self.finished.eq(active & drainer.done),
        ]
        return m

    def _fetch_scores(self, m, detector):
        """Read the estimated scores group by group, row by row, word by word into the Detector."""
        config, command = self.config, self.command
        row, word = Signal(config.address_bits), Signal(config.address_bits)
        words = Signal(config.address_bits)
        rows_left = Signal(command.m.shape())
        in_group = Signal(range(config.tokens))
        group_rows = Signal(range(config.tokens + 1))
        running, have, issue = Signal(), Signal(), Signal()
        scores = detector.scores
        m.d.comb += [
            words.eq((command.keys + config.key_lanes - 1) >> ceil_log2(config.key_lanes)),
            issue.eq(running & (~have | scores.ready)),
            self.scores.enable.eq(issue),
            self.scores.address.eq(row + word),
            scores.valid.eq(have),
            scores.p.data.eq(self.scores.data),
        ]
        held_rows = Signal(group_rows.shape())
        m.d.comb += scores.p.group_rows.eq(held_rows)
        with m.If(issue):
            m.d.sync += [have.eq(1), held_rows.eq(group_rows)]
        with m.Elif(scores.ready):
            m.d.sync += have.eq(0)
        with m.If(self.start):
            m.d.sync += [row.eq(command.s_base), word.eq(0), rows_left.eq(command.m), in_group.eq(0), running.eq(1),
                         group_rows.eq(Mux(command.m < config.tokens, command.m, config.tokens))]
        with m.Elif(issue):
            m.d.sync += word.eq(word + 1)
            with m.If(word + 1 == words):
                m.d.sync += [word.eq(0), row.eq(row + command.s_stride), rows_left.eq(rows_left - 1),
                             in_group.eq(in_group + 1), running.eq(rows_left != 1)]
                with m.If(in_group + 1 == group_rows):
                    left = rows_left - 1
                    m.d.sync += [in_group.eq(0), group_rows.eq(Mux(left < config.tokens, left, config.tokens))]
