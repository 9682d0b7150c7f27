"""The cycle model by itself: what it refuses. That it equals the RTL: test_duet_accelerator.py."""

import pytest

from golden.duet.command import CellOp, Command, Engine, WorkOp
from golden.duet.cycles import CycleModel
from hw.duet.accelerator_config import DuetAcceleratorConfig
from resilin.duet_machine import machine_timing

TIMING = machine_timing(DuetAcceleratorConfig.preset("small"))
EXEC, CELL = (1 << engine for engine in (Engine.EXEC, Engine.CELL))


def cell(count):
    return [Command(Engine.CELL, CellOp.CONFIG, signal=EXEC, b=1, a=1)] * count


def test_a_command_a_few_cycles():
    ends = CycleModel(TIMING, cell(5), {}).ends
    assert [len(times) for times in ends] == [0, 0, 0, 5]
    assert len({after - before for before, after in zip(ends[Engine.CELL], ends[Engine.CELL][1:])}) == 1


def test_full_counter_is_refused():
    CycleModel(TIMING, cell(254), {})
    with pytest.raises(ValueError, match="counter of tokens from CELL to EXEC is full"):
        CycleModel(TIMING, cell(255), {})


def test_deadlock_is_refused():
    waits = Command(Engine.EXEC, WorkOp.CONFIG, wait=CELL, b=0x8000)
    CycleModel(TIMING, [*cell(1), waits], {})
    with pytest.raises(ValueError, match="the commands of EXEC never end"):
        CycleModel(TIMING, [*cell(1), waits, waits], {})
