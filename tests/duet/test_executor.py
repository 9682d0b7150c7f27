"""The Executor against its golden model: results and items for the Speculator under stalls, counters, timing."""

import cocotb
import numpy as np
import pytest

from golden.duet.executor_config import Region
from golden.duet.speculator_mfu import Function as GoldenFunction
from hw.config import ConfigError
from hw.duet.executor_types import BusKind, ConfigRegion, ExecutorConfig
from hw.duet.function import Function
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile
from tests.dota.harness import PROFILES, stalls

from .bench_executor import POINTS, Harness, Kind, coverage


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_steps(dut, profile):
    """Random layers with random IDs, steps back to back."""
    h = Harness(dut)
    drive, take = stalls(profile, h.ctx.random)
    _, through = stalls(profile, h.ctx.random)
    await h.start(drive, take, through)
    for trial in range(h.ctx.options.get("layers", 8)):
        await h.configure(h.random_layer(GoldenFunction(trial % 4)), h.random_ids() if trial % 3 == 1 else None)
        h.put_steps([h.step() for _ in range(5)])
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("executor", POINTS, [simulate("executor", preset="small", seed=1)]).check()
