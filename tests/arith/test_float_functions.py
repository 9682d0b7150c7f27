# amaranth: UnusedElaboratable=no
"""Float functions on their multiply-add unit against the golden model: stalls, latency, rate, sharing, resets."""

import cocotb
import numpy as np
import pytest

from hw.arith.float_functions import FloatFunction, FloatFunctions
from resilin.simulate import simulate_component
from sim.coverage import NotCovered, merge
from sim.stream import StallProfile
from tests.dota.harness import PROFILES, stalls

from .bench_float_functions import POINTS, FunctionsWithUnit, Harness, arguments, coverage


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_requests(dut, profile):
    """Runs of one function and mixtures, with pauses in which the unit is given back."""
    h = Harness(dut)
    await h.start(*stalls(profile, h.ctx.random))
    for _ in range(h.ctx.options.get("runs", 3)):
        h.random_requests(50)
        await h.settle()
        await h.bench.cycles(3)
        assert dut.busy.value == 0, "busy without work"
        coverage.hit("unit lent and given back")
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """The documented latency of one request, and a result in as many cycles as a function has steps."""
    h = Harness(dut)
    await h.start()
    functions = FloatFunctions(h.stages)
    for function in FloatFunction:
        sent, seen = len(h.driver.times), len(h.monitor.times)
        h.put([function.value], arguments(h.rng, function, 1))
        await h.settle()
        assert h.monitor.times[seen] - h.driver.times[sent] == functions.latency(function), "latency"
        rounds = 8
        h.put(np.full(rounds * functions.places, function.value),
              arguments(h.rng, function, rounds * functions.places))
        await h.settle()
        times = h.monitor.times[seen + 1::functions.places]
        assert (np.diff(times) == functions.STEPS[function] * functions.places).all(), f"rate: {np.diff(times)}"
    await h.finish()


@cocotb.test()
async def results_wait(dut):
    """Finished requests circulate unchanged and in order until they can leave."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.97, h.ctx.random))
    h.random_requests(40)
    await h.settle()
    coverage.hit("result waits", int(h.monitor.times[-1] - h.monitor.times[0] > 40 * 18))
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.ctx.random))
    for _ in range(8):
        h.random_requests(20)
        await h.bench.cycles(int(h.rng.integers(1, 150)))
        await h.bench.reset(1)
        h.board.reset()
        await h.bench.cycles(1)
        assert dut.busy.value == 0, "busy after a reset"
        coverage.hit("reset in mid-work")
    h.random_requests(20)
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def run(stages, seed=1, **options):
    return simulate_component(FunctionsWithUnit(stages), __name__, name=f"functions_{stages}", seed=seed,
                              options={"stages": stages, **options})


def test_bit_exact_and_covered():
    merge("float_functions", POINTS, [run(3, runs=12)]).check()


@pytest.mark.parametrize("stages", [1, 4])
def test_bit_exact(stages):
    run(stages, seed=stages)


@pytest.mark.slow
def test_many():
    run(3, seed=7, runs=40)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="expected"):
        run(3, corrupt=True)


def test_missed_point_fails():
    with pytest.raises(NotCovered):
        merge("float_functions", POINTS, []).check()


@pytest.mark.parametrize("latency", [0, 8])
def test_refuses_bad_sizes(latency):
    with pytest.raises(ValueError, match="fma_latency"):
        FloatFunctions(latency)
