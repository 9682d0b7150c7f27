"""Proofs of the Reorder Unit: each channel of a tile exactly once, in the right order, for every input."""

import pytest

from hw.duet import bucket_lists
from hw.duet.bucket_lists import BucketLists
from hw.duet.reorder_unit import ReorderUnitConfig
from sim.formal import ProofFailure, prove
from tests.dota.formal_scheduler import flat

from . import formal_reorder_unit


@pytest.fixture(autouse=True)
def register_bank(monkeypatch):
    monkeypatch.setattr(bucket_lists, "SramBank", formal_reorder_unit.RegisterBank)


def prove_lists(buckets, max_channels):
    config = ReorderUnitConfig(lanes=1, buckets=buckets, max_channels=max_channels)
    prove(flat(formal_reorder_unit.ListsProof(config)), depth=2, mode="prove")


@pytest.mark.parametrize("buckets, max_channels", [
    (2, 2), (2, 3), (3, 4), pytest.param(4, 5, marks=pytest.mark.slow)])
def test_lists_proven_for_ever(buckets, max_channels):
    """By induction: all tiles, pauses, stalls and resets."""
    prove_lists(buckets, max_channels)


@pytest.mark.parametrize("lanes, buckets, max_channels, depth", [
    (1, 2, 3, 11), pytest.param(2, 3, 4, 12, marks=pytest.mark.slow)])
def test_unit_proven(lanes, buckets, max_channels, depth):
    """All maps and thresholds for ``depth`` cycles from a reset, in which two or three of the greatest tiles come."""
    config = ReorderUnitConfig(lanes=lanes, buckets=buckets, max_channels=max_channels)
    prove(flat(formal_reorder_unit.UnitProof(config)), depth=depth, mode="bmc")


def test_unit_reaches_a_reversed_tile():
    config = ReorderUnitConfig(lanes=2, buckets=3, max_channels=3)
    prove(flat(formal_reorder_unit.UnitProof(config)), depth=14, mode="cover")


def test_proof_sees_a_tile_overwritten(monkeypatch, tmp_path):
    class Hasty(BucketLists):
        """Takes channels while a tile waits for the reader."""

        def elaborate(self, platform):
            m = super().elaborate(platform)
            m.d.comb += self.i.ready.eq(1)
            return m

    monkeypatch.setattr(formal_reorder_unit, "BucketLists", Hasty)
    config = ReorderUnitConfig(lanes=1, buckets=2, max_channels=2)
    with pytest.raises(ProofFailure, match="Assert failed"):
        prove(flat(formal_reorder_unit.ListsProof(config)), depth=8, mode="bmc", keep=tmp_path)
