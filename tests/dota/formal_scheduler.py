"""Proof benches of the Scheduler: the pick logic alone, and whole groups with an arbitrary connection followed."""

from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.dota.mask_columns import Masks
from hw.dota.round_pick import RoundPick
from hw.dota.scheduler import Rounds, Scheduler
from hw.generate import yosys
from hw.stream.hold import assert_hold, assume_hold

__all__ = ["GroupProof", "PickProof", "flat"]


def flat(component):
    """RTLIL of a proof bench, module ``top``, its memories turned into registers: solved far faster than arrays."""
    script = ("read_rtlil in.il; hierarchy -top top; proc; flatten; memory; opt -fast; opt_clean; "
              "write_rtlil out.il")
    return yosys(script, {"in.il": rtlil.convert(component, name="top")})["out.il"]


class PickProof(wiring.Component):
    """Rules of a round, for every combination of non-empty buffers: combinational, one step proves them for ever."""

    def __init__(self, tokens):
        self.tokens = tokens
        super().__init__({"nonempty": In(1 << tokens)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.pick = pick = RoundPick(self.tokens)
        names = range(1, 1 << self.tokens)
        m.d.comb += pick.nonempty.eq(self.nonempty & ~1)
        used, covered, closed = 0, 0, 1
        for index, slot in enumerate(pick.slots):
            valid = slot.source.any()
            sources = RoundPick.sources(self.tokens, index)
            if index not in RoundPick.borrowing_slots(self.tokens):
                m.d.comb += Assert(slot.source == slot.rows, "a slot borrows that cannot")
            m.d.comb += [
                Assert(~valid | Cat(slot.source == mask for mask in sources).any(), "a slot has too large a buffer"),
                Assert(valid == slot.rows.any(), "an ID for no row"),
                Assert((slot.rows & ~slot.source) == 0, "a row that does not need the ID"),
                Assert((slot.rows & covered) == 0, "a row gets two IDs"),
                Assert(closed | ~valid, "slots are not packed"),
                Assert(~valid | pick.nonempty.bit_select(slot.source, 1), "an empty buffer gives"),
                Assert(~valid | ~(used >> slot.source)[0], "a buffer gives twice"),
            ]
            flag = Signal(1 << self.tokens)
            m.d.comb += flag.bit_select(slot.source, 1).eq(valid)
            used, covered, closed = used | flag, covered | slot.rows, valid
        m.d.comb += [
            Assert(pick.pop == used), Assert(~pick.nonempty.any() | pick.slots[0].source.any(), "no progress"),
        ]
        for name in names:
            moved = [(slot.source ^ slot.rows) == name for slot in pick.slots]
            m.d.comb += [Assert(pick.give[name] == Cat(moved).any(), "a moved ID is lost"),
                         Assert(sum(moved) <= 1, "a buffer receives twice")]
            if name not in RoundPick.receivers(self.tokens):
                m.d.comb += Assert(~pick.give[name], "a buffer receives that has no room for moved IDs")
        m.d.comb += Assert(pick.last == ((pick.pop == pick.nonempty) & ~pick.give.any()), "wrong end of the group")
        return m


class GroupProof(wiring.Component):
    """One or two ``groups`` with any masks, pauses and stalls; one connection (row, key) of the last is followed.

    It must be issued exactly once if it was set and never if it was not. ``patience``: cycles without a round, while
    the output is ready and a whole group waits, that count as a deadlock. ``stalls``: whether the output may stall;
    a stall freezes the issue side as a whole, so a proof without reaches much deeper for little loss. ``keys``: how
    many lanes of a beat may carry connections (all when ``None``).
    """

    def __init__(self, config, groups=1, patience=10, stalls=True, keys=None):
        self.config, self.groups, self.patience, self.stalls = config, groups, patience, stalls
        self.keys = config.key_lanes if keys is None else keys
        super().__init__({
            "masks": In(stream.Signature(Masks(config.tokens, config.key_lanes))),
            "rounds": Out(stream.Signature(Rounds(config.tokens, config.id_bits))),
            "row": In(range(config.tokens)), "key": In(range(config.max_keys)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.dut = dut = Scheduler(config, assertions=True)
        wiring.connect(m, wiring.flipped(self.masks), dut.masks)
        wiring.connect(m, dut.rounds, wiring.flipped(self.rounds))
        assume_hold(m, dut.masks)
        assert_hold(m, dut.rounds)
        if not self.stalls:
            m.d.comb += Assume(dut.rounds.ready)
        for index in range(config.tokens):
            m.d.comb += Assume(~dut.masks.p.bits.word_select(index, config.key_lanes)[self.keys:].any())

        # The followed connection is chosen in the first cycle.
        fixed, row, key = Signal(), Signal.like(self.row), Signal.like(self.key)
        m.d.sync += fixed.eq(1)
        m.d.comb += [Assume(fixed | ~dut.masks.valid), Assume(self.row < config.tokens)]
        with m.If(~fixed):
            m.d.sync += [row.eq(self.row), key.eq(self.key)]

        # Input: which group, which beat; no more groups come than asked for.
        entered, beat = Signal(2), Signal(range(config.max_keys // config.key_lanes))
        needed = Signal()
        put = dut.masks.valid & dut.masks.ready
        lane_bits = config.key_lanes.bit_length() - 1
        m.d.comb += [Assume(~dut.masks.valid | (entered < self.groups)),
                     Assume(~dut.masks.valid | dut.masks.p.last | (beat != config.max_keys // config.key_lanes - 1))]
        with m.If(put):
            m.d.sync += beat.eq(beat + 1)
            with m.If((entered == self.groups - 1) & (beat == key[lane_bits:])):
                m.d.sync += needed.eq(dut.masks.p.bits.bit_select(Cat(key[:lane_bits], row), 1))
            with m.If(dut.masks.p.last):
                m.d.sync += [entered.eq(entered + 1), beat.eq(0)]

        # Output: count the issues of the followed connection in its group.
        left, issued, idle = Signal(2), Signal(), Signal(range(self.patience + 2))
        take = dut.rounds.valid & dut.rounds.ready
        here = left == self.groups - 1
        hit = Cat(pick.valid & (pick.id == key) & pick.rows.bit_select(row, 1) for pick in dut.rounds.p.picks).any()
        m.d.comb += Assert(~dut.rounds.valid | (left < entered), "a round of a group that has not come")
        with m.If(take & here):
            m.d.comb += [Assert(~hit | needed, "issued though not needed"), Assert(~hit | ~issued, "issued twice"),
                         Assert(~dut.rounds.p.last | ((issued | hit) == needed), "never issued"),
                         Cover(dut.rounds.p.last & needed & dut.rounds.p.picks[1].valid)]
            m.d.sync += issued.eq(issued | hit)
        with m.If(take & dut.rounds.p.last):
            m.d.sync += left.eq(left + 1)

        waiting = left < entered
        m.d.sync += idle.eq(0)
        with m.If(waiting & dut.rounds.ready & ~take):
            m.d.sync += idle.eq(idle + 1)
        m.d.comb += Assert(idle <= self.patience, "deadlock")
        return m
