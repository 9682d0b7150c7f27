"""The Scheduler's choice of keys for every set of flags, and proofs of whole groups."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.dota import scheduler as golden
from hw.dota import scheduler
from hw.dota.round_pick import RoundPick, name_value
from hw.dota.scheduler import SchedulerConfig
from sim.formal import ProofFailure, prove

from . import formal_scheduler


def flags_of(tokens):
    """Every combination of non-empty buffers up to T = 3, and random ones from T = 4."""
    flags = (1 << tokens) - 1
    if tokens < 4:
        return range(1 << flags)
    rng = np.random.default_rng(tokens)
    dense = rng.random((1500, flags)) < rng.choice([0.03, 0.1, 0.2, 0.5, 0.9], (1500, 1))
    return [sum(1 << int(bit) for bit in np.flatnonzero(row)) for row in dense]


@pytest.mark.parametrize("tokens", [2, 3, 4, 5, 6])
def test_round_pick(tokens):
    """The pick logic alone, against the golden model."""
    dut = RoundPick(tokens)

    async def bench(ctx):
        for flags in flags_of(tokens):
            nonempty = frozenset(name_value(mask, tokens) for mask in range(1, 1 << tokens) if flags >> mask - 1 & 1)
            ctx.set(dut.nonempty, flags << 1)
            got = [(name_value(slot.source, tokens), name_value(slot.rows, tokens)) for slot in ctx.get(dut.slots)]
            expected = golden.pick(nonempty, tokens)
            assert got == [*expected, *[(0, 0)] * (tokens - len(expected))], flags
            moved = {mask & ~rows for mask, rows in expected} - {0}
            assert ctx.get(dut.pop) == sum(1 << name_value(mask, tokens) for mask, _ in expected), flags
            assert ctx.get(dut.give) == sum(1 << name_value(mask, tokens) for mask in moved), flags
            assert ctx.get(dut.last) == (not moved and len(expected) == len(nonempty)), flags

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("tokens", [2, 3, 4, 5])
def test_round_pick_proven(tokens):
    """One step covers every combination of flags; 3 s each."""
    prove(formal_scheduler.PickProof(tokens), depth=1, mode="bmc", name=f"pick_{tokens}")


def prove_group(tokens, depth, **options):
    config = SchedulerConfig(tokens=tokens, max_keys=4, key_lanes=4)
    text = formal_scheduler.flat(formal_scheduler.GroupProof(config, **options))
    return prove(text, depth=depth, mode="bmc", reset=False)


@pytest.mark.parametrize("tokens, keys", [
    (2, 4), pytest.param(3, 4, marks=pytest.mark.slow), pytest.param(4, 2, marks=pytest.mark.slow)])
def test_group_proven(tokens, keys):
    """Every connection issued exactly once and no deadlock, for all masks of a few keys.

    A group that comes in cycle 1 has its first round in cycle keys + 5 and its last by cycle 2 * keys + 4.
    """
    prove_group(tokens, 2 * keys + 7, keys=keys, stalls=False)


def test_group_proof_sees_a_wrong_pick(monkeypatch):
    class Idle(RoundPick):
        """The second slot never issues, though its buffer gives."""

        def elaborate(self, platform):
            m = super().elaborate(platform)
            m.d.comb += self.slots[1].eq(0)
            return m

    monkeypatch.setattr(scheduler, "RoundPick", Idle)
    with pytest.raises(ProofFailure, match="Assert failed"):
        prove_group(2, 12, stalls=False)


def test_proof_sees_a_wrong_pick(monkeypatch, tmp_path):
    class Overlapping(RoundPick):
        """The second pick serves the rows of the first."""

        def elaborate(self, platform):
            m = super().elaborate(platform)
            m.d.comb += self.slots[1].rows.eq(self.slots[0].rows)
            return m

    monkeypatch.setattr(formal_scheduler, "RoundPick", Overlapping)
    with pytest.raises(ProofFailure, match="a row gets two IDs|a row that does not need the ID|Assert failed"):
        prove(formal_scheduler.PickProof(3), depth=1, mode="bmc", name="pick_wrong", keep=tmp_path)
