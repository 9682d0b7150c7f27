"""Scheduler: token-parallel, out-of-order order of the key loads of T query rows (thesis 7.6.3, Figure 7.16)."""

import dataclasses

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.dota.id_buffer import IdBuffer
from hw.dota.mask_columns import MaskColumns, MaskConfig, Masks
from hw.dota.round_pick import RoundPick

__all__ = ["Rounds", "Scheduler", "SchedulerConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SchedulerConfig(MaskConfig):
    """Sizes of the Scheduler."""

    @property
    def id_bits(self):
        """Width of a key's index."""
        return (self.max_keys - 1).bit_length()

    @property
    def memory_bits(self):
        """Bits of all memories: max_keys IDs a buffer, and half as many more where moved IDs can arrive."""
        halves = 2 * ((1 << self.tokens) - 1) + len(RoundPick.receivers(self.tokens))
        return halves * (self.max_keys // 2) * self.id_bits

    def latency(self, columns):
        """Cycles from the transfer of a group's first beat to the valid of its first round.

        For an idle Scheduler and beats back to back; ``columns`` lists how many keys of each beat some row needs.
        """
        return sum(max(count, 1) for count in columns) + 4

    def period(self, rounds, columns):
        """Cycles between groups of ``rounds`` rounds at most, when neither side stalls; ``columns`` as above."""
        return max(rounds + 1, sum(max(count, 1) for count in columns))


class Rounds(data.StructLayout):
    """A round: up to T picks, packed from slot 0 in the order of issue; ``last`` ends the group.

    ``rows`` (bit t: row t) of the picks of a round are disjoint. Unused slots are zero. A group without connections
    has one round without picks.
    """

    def __init__(self, tokens, id_bits):
        pick = data.StructLayout({"valid": 1, "id": id_bits, "rows": tokens})
        super().__init__({"picks": data.ArrayLayout(pick, tokens), "last": 1})


class Scheduler(wiring.Component):
    """Orders the key loads of groups of T query rows so that rows share loads.

    Fill: each beat of masks is taken apart into its needed keys, one a cycle, and a key's ID goes into the buffer
    named by its column. Issue: :class:`hw.dota.round_pick.RoundPick` chooses at most one ID a row every cycle. The
    next group fills while this one is issued.

    Throughput: one round a cycle while ``rounds.ready``; one needed key a cycle at the fill, and a beat without any
    costs a cycle. Groups follow each other every :meth:`SchedulerConfig.period` cycles.
    Latency: :meth:`SchedulerConfig.latency`.
    Back-pressure: full on both sides; ``masks.ready`` does not depend combinationally on ``rounds.ready``.
    Source: thesis 7.6.3, Algorithm 4, Figures 7.15 and 7.16; ties: docs/dota/scheduler.md.

    Parameters
    ----------
    config: :class:`SchedulerConfig`
    assertions: add checks of invariants (simulation and formal)

    Members
    -------
    masks: In(stream of :class:`hw.dota.mask_columns.Masks`), beats of key_lanes keys, lowest keys first, at most
        max_keys / key_lanes beats a group
    rounds: Out(stream of :class:`Rounds`), registered
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "masks": In(stream.Signature(Masks(config.tokens, config.key_lanes))),
            "rounds": Out(stream.Signature(Rounds(config.tokens, config.id_bits))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.fill = fill = MaskColumns(config.tokens, config.key_lanes, config.max_keys // config.key_lanes)
        m.submodules.pick = pick = RoundPick(config.tokens)
        wiring.connect(m, wiring.flipped(self.masks), fill.masks)
        buffers = {}
        for name in range(1, 1 << config.tokens):
            receives = name in RoundPick.receivers(config.tokens)
            buffers[name] = IdBuffer(config.max_keys, config.id_bits, receives, self.assertions)
            m.submodules[f"buffer_{name:0{config.tokens}b}"] = buffers[name]

        # A group goes fill -> sealed (only while it waits for the one before) -> active.
        sealed, active, swap, step = Signal(), Signal(), Signal(), Signal()
        columns = fill.columns
        full = Array([Const(0, 1), *(buffer.full for buffer in buffers.values())])
        closing = columns.valid & columns.ready & columns.p.last
        last = pick.last & ~Cat(buffer.many for buffer in buffers.values()).any()
        m.d.comb += [
            columns.ready.eq(~sealed & ~full[columns.p.rows]),
            step.eq(~self.rounds.valid | self.rounds.ready),
            swap.eq((sealed | closing) & (~active | step & last)),
        ]
        m.d.sync += [sealed.eq((sealed | closing) & ~swap), active.eq(swap | active & ~(step & last))]
        for name, buffer in buffers.items():
            m.d.comb += [
                buffer.push.eq(columns.valid & columns.ready & (columns.p.rows == name)),
                buffer.push_id.eq(columns.p.id), buffer.swap.eq(swap), buffer.step.eq(step),
                buffer.pop.eq(pick.pop[name]), buffer.give.eq(pick.give[name]), pick.nonempty[name].eq(buffer.nonempty),
            ]
        self._issue(m, step, active, pick.slots, last, buffers)
        return m

    def _issue(self, m, step, active, slots, last, buffers):
        """Two steps: read the heads of the chosen buffers; put their IDs out, moved ones to their next buffer too."""
        chosen = Signal(data.StructLayout({"slots": slots.shape(), "last": 1}), reset_less=True)
        chosen_valid = Signal()
        round_ = Signal.like(self.rounds.payload, reset_less=True)
        m.d.comb += self.rounds.payload.eq(round_)
        ids = []
        for index, slot in enumerate(chosen.slots):
            head = 0
            for name in RoundPick.sources(self.config.tokens, index):
                head = head | Mux(slot.source == name, buffers[name].head, 0)
            ids.append(Signal(self.config.id_bits, name=f"id_{len(ids)}"))
            m.d.comb += ids[-1].eq(head)
        with m.If(step):
            m.d.sync += [
                chosen.slots.eq(slots), chosen.last.eq(last), chosen_valid.eq(active),
                round_.last.eq(chosen.last), self.rounds.valid.eq(chosen_valid),
            ]
            for slot, id_, pick in zip(chosen.slots, ids, round_.picks):
                m.d.sync += [pick.valid.eq(slot.source.any()), pick.id.eq(id_), pick.rows.eq(slot.rows)]
        for name in RoundPick.receivers(self.config.tokens):
            take_id, here = 0, []
            for index in RoundPick.borrowing_slots(self.config.tokens):
                slot = chosen.slots[index]
                here.append((slot.source ^ slot.rows) == name)
                take_id = take_id | Mux(here[-1], ids[index], 0)
            m.d.comb += [buffers[name].take.eq(chosen_valid & Cat(*here).any()), buffers[name].take_id.eq(take_id)]
