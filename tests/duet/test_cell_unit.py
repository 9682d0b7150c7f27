"""The CellUnit against its golden model: every element under stalls, latency and rate, corner values."""

import cocotb
import pytest

from golden.duet.cell_unit import Cell
from hw.config import ConfigError
from hw.duet import cell_unit
from hw.duet.cell_unit import CellUnit, CellUnitConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile
from tests.dota.harness import PROFILES, stalls

from .bench_cell_unit import POINTS, Harness, coverage


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_vectors(dut, profile):
    """Back-to-back vectors, both cells in turn."""
    h = Harness(dut)
    await h.start(*stalls(profile, h.ctx.random))
    for cell in [*Cell] * 3:
        await h.setting(cell)
        for _ in range(12):
            h.put(h.random_vector())
        coverage.hit(f"{cell.name} back to back")
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """Without stalls: the latency, and an item a cycle from vector to vector."""
    h = Harness(dut)
    await h.start()
    for cell in Cell:
        await h.setting(cell)
        sent, seen = len(h.driver.times), len(h.monitor.times)
        for _ in range(10):
            h.put(h.random_vector(3 * h.config.lanes))
        await h.settle()
        sends, times = h.driver.times[sent:], h.monitor.times[seen:]
        assert times[0] - sends[0] == CellUnit.latency, "latency"
        assert times[-1] - times[0] == len(times) - 1 == 29, "a bubble"
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.ctx.random))
    for cell in [*Cell] * 5:
        await h.setting(cell)
        for _ in range(4):
            h.put(h.random_vector())
        await h.bench.cycles(int(h.rng.integers(1, 30)))
        await h.bench.reset(1)
        h.board.reset()
        coverage.hit(f"{cell.name} reset in mid-work")
    h.put(h.random_vector())
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("cell_unit", POINTS, [simulate("cell_unit", preset="small", seed=2)]).check()


@pytest.mark.parametrize("lanes, c_fraction", [(1, 4), (3, 11)])
def test_bit_exact(lanes, c_fraction):
    simulate("cell_unit", preset="small", seed=lanes, overrides=dict(lanes=lanes, c_fraction=c_fraction))


@pytest.mark.slow
def test_paper_size():
    simulate("cell_unit", preset="paper")


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field h, lane"):
        simulate("cell_unit", preset="small", options={"corrupt": True}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="cell changes"):
        Coverage("cell_unit", POINTS).check()


def test_cells_agree():
    assert {cell.name: cell.value for cell in cell_unit.Cell} == {cell.name: cell.value for cell in Cell}


@pytest.mark.parametrize("field, value", [("lanes", 0), ("lanes", 65), ("c_fraction", 3), ("c_fraction", 12)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        CellUnitConfig(**{field: value})
