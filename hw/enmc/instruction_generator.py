"""InstructionGenerator: candidates into micro-instructions of the EnmcExecutor (thesis 6.4.2, ENMC Controller)."""

import dataclasses
import typing

from amaranth.hdl import Assert, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import field
from hw.enmc.candidate_groups import CandidateGroups, PlacedGroup, saturated
from hw.enmc.candidate_step import CandidateOp, CandidateStep, TileConfig
from hw.enmc.enmc_types import ITEMS, CandidateRange, CandidateSettings
from hw.enmc.screener_types import Candidate
from hw.stream.hold import assert_hold

__all__ = ["InstructionGenerator", "InstructionGeneratorConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstructionGeneratorConfig(TileConfig):
    """Sizes of the InstructionGenerator."""

    queue_depth: int = field(64, "candidates that the queue of an item holds", min=4, max=1024, power_of_two=True)

    PRESETS: typing.ClassVar[dict[str, dict]] = {
        "paper": {}, "small": {"queue_depth": 8, "tile_words": 4}, "fpga": {"queue_depth": 16},
    }

    @property
    def memory_bits(self):
        """Bits of the queues: INDEX."""
        return ITEMS * self.queue_depth * 32


class InstructionGenerator(wiring.Component):
    """Four queues of classes; four candidates of an item are expanded into loads at a time.

    A group: for each tile of up to ``tile_words`` words LOAD_FEATURE, then LOAD_ROW for each candidate. What is fewer
    than four waits for ``flush``. Groups of an item come in the order of its candidates, items with a group in turn.

    Throughput: a candidate a cycle in (of ``candidates`` or of a range); a micro-instruction a cycle out, without a
    bubble between groups of at least 8 micro-instructions. Latency: 10 cycles from a group's last candidate to its
    first micro-instruction. Back-pressure: a candidate whose queue is full waits; at least one queue then has a group.
    Source: thesis 6.4.2; Algorithm 3's candidates.

    Parameters: ``config``, :class:`InstructionGeneratorConfig`; ``assertions``: checks of the rules on inputs.

    Members
    -------
    settings: In(:class:`hw.enmc.enmc_types.CandidateSettings`), stable while not ``empty``
    candidates: In(stream of :class:`hw.enmc.screener_types.Candidate`); a candidate goes before a range
    ranges: In(stream of :class:`hw.enmc.enmc_types.CandidateRange`): one after the other, a class a cycle
    flush: In: what is left is worked on, as soon as no candidate and no range is offered or inside
    steps: Out(stream of :class:`hw.enmc.candidate_step.CandidateStep`), from registers through multiplexers; fields
        that an op does not use may be anything. Addresses beyond 2^30 - 1 are 2^30 - 1.
    empty: Out: no candidate, range or micro-instruction is inside
    working: Out: a range or a group is worked on; low where candidates are fewer than four of an item, and wait
    """

    def __init__(self, config, assertions=False):
        self.config, self.assertions = config, assertions
        super().__init__({
            "settings": In(CandidateSettings), "candidates": In(stream.Signature(Candidate)),
            "ranges": In(stream.Signature(CandidateRange)), "flush": In(1),
            "steps": Out(stream.Signature(CandidateStep)), "empty": Out(1), "working": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.groups = groups = CandidateGroups(self.config.queue_depth)
        span = Signal(CandidateRange)
        running, active = Signal(), Signal()
        m.d.comb += [
            running.eq(span.count != 0), groups.settings.eq(self.settings), groups.flush.eq(self.flush),
            groups.more.eq(running | self.ranges.valid), self.ranges.ready.eq(~running),
            groups.candidates.valid.eq(self.candidates.valid | running),
            self.candidates.ready.eq(groups.candidates.ready),
            self.empty.eq(groups.empty & ~running & ~active),
            self.working.eq(groups.working | running | active),
        ]
        with m.If(self.candidates.valid):
            m.d.comb += groups.candidates.payload.eq(self.candidates.payload)
        with m.Else():
            m.d.comb += [groups.candidates.p.item.eq(span.item), groups.candidates.p.class_index.eq(span.first_class)]
            with m.If(running & groups.candidates.ready):
                m.d.sync += [span.count.eq(span.count - 1), span.first_class.eq(span.first_class + 1)]
        with m.If(self.ranges.valid & self.ranges.ready):
            m.d.sync += span.eq(self.ranges.p)
        self._expand(m, groups.groups, active)
        if self.assertions:
            assert_hold(m, self.steps)
            with m.If(groups.groups.valid):
                m.d.sync += Assert(self.settings.row_bursts != 0, "row_bursts is 0")
        return m

    def _expand(self, m, groups, active):
        """Steps of the group in hand; the next one follows its last row."""
        group = Signal(PlacedGroup, reset_less=True)
        op = Signal(CandidateOp, init=CandidateOp.LOAD_FEATURE)
        left, slot, words = Signal(12, reset_less=True), Signal(2), Signal(range(self.config.tile_words + 1))
        step, go, last, tile_ends = self.steps.p, Signal(), Signal(), Signal()
        m.d.comb += [
            last.eq(left <= self.config.tile_words), words.eq(Mux(last, left[:len(words)], self.config.tile_words)),
            go.eq(self.steps.valid & self.steps.ready), self.steps.valid.eq(active),
            step.op.eq(op), step.count.eq(words), step.last.eq(last), step.item.eq(group.item),
            step.classes.eq(group.classes),
            step.slot.eq(Mux(op == CandidateOp.LOAD_ROW, slot, group.count - 1)),
            step.address.eq(Mux(op == CandidateOp.LOAD_ROW, group.rows[slot], group.feature)),
            tile_ends.eq(go & (op == CandidateOp.LOAD_ROW) & (slot + 1 == group.count)),
            groups.ready.eq(~active | tile_ends & last),
        ]
        with m.If(go):
            with m.If(op == CandidateOp.LOAD_FEATURE):
                m.d.sync += [group.feature.eq(saturated(group.feature + words)), op.eq(CandidateOp.LOAD_ROW)]
            with m.Else():
                m.d.sync += [group.rows[slot].eq(saturated(group.rows[slot] + words)), slot.eq(slot + 1)]
        with m.If(tile_ends):
            m.d.sync += [slot.eq(0), left.eq(left - words), op.eq(CandidateOp.LOAD_FEATURE), active.eq(~last)]
        with m.If(groups.valid & groups.ready):
            m.d.sync += [group.eq(groups.p), active.eq(1), left.eq(self.settings.row_bursts)]
