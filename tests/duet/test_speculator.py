"""The Speculator against its golden model: maps, orders and gates under stalls; rate, latency, corner cases."""

import cocotb
import numpy as np
import pytest

from golden.duet.speculator import Layer
from golden.duet.speculator_mfu import Function
from hw.config import ConfigError
from hw.duet.layer_settings import LayerSettings
from hw.duet.speculator_types import SpeculatorConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from tests.dota.harness import PROFILES, stalls

from .bench_speculator import POINTS, Harness, coverage


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_layers(dut, profile):
    """Jobs back to back, layer after layer, random settings."""
    h = Harness(dut)
    await h.start(lambda: stalls(profile, h.ctx.random)[0], lambda: stalls(profile, h.ctx.random)[1])
    for _ in range(h.ctx.options.get("layers", 8)):
        await h.begin(h.random_layer())
        for _ in range(5):
            h.put(h.random_job())
    await h.finish()


@cocotb.test()
async def cycles(dut):
    """Every transfer of jobs, maps and gates comes in the cycle that the cycle model tells; counters count."""
    h = Harness(dut)
    await h.start()
    windows = steps = 0
    for _ in range(h.ctx.options.get("layers", 8)):
        await h.settle()
        layer = h.random_layer()
        await h.begin(layer)
        await h.lines.drain()
        name = "gates" if layer.gate else "maps"
        lines, jobs, results = len(h.lines.times), len(h.jobs.times), len(h.monitors[name].times)
        n = h.random_job().n
        work, sent = [], lines  # jobs, and the number of lines that have been sent with each one's tile
        for _ in range(6):
            # Tiles of many and of few channels in turn can wait for the Reorder Unit, which the model leaves out.
            job = h.random_job(**({} if layer.gate else {"n": n}))
            sent += h.put(job)
            work.append((job, sent if job.project else None))
        await h.settle()
        timing, offered, got = h.timing(), h.jobs.times[jobs], iter(h.monitors[name].times[results:])
        for number, (job, end) in enumerate(work):
            times = timing.job(job.n, offered, None if end is None else h.lines.times[end - 1])
            windows, steps = windows + timing.windows * job.project, steps + timing.steps(job.n)
            assert h.jobs.times[jobs + number] == times.taken, f"job {number} taken"
            expected = times.results
            if layer.gate:
                size = h.config.segment
                expected = [expected[min(first + size, job.n) - 1] + 2 for first in range(0, job.n, size)]
            wrong = [(index, time, tells) for index, tells in enumerate(expected) if (time := next(got)) != tells]
            assert not wrong, f"job {number} of {layer}: result, cycle, cycle of the model: {wrong[:3]}"
        assert (h.counter("windows"), h.counter("steps")) == (windows, steps), "counters"
        h.hit("counter projection_waits", h.counter("projection_waits"))
        h.hit("counter array_waits", h.counter("array_waits"))
        h.hit("counter result_waits", h.counter("result_waits"))
    await h.bench.cycles(h.config.max_channels + 10)  # the last order
    assert dut.idle.value == 1, "idle"
    await h.words.send({"address": LayerSettings.ADDRESSES["clear_counters"], "data": 0})
    await h.bench.cycles(2)
    assert int(dut.counters.value) == 0, "counters cleared"
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """At K >= 64 at least 95 % of all cycles are steps of the systolic array, tiles and gates back to back."""
    h = Harness(dut)
    config = h.config
    await h.start()
    rows = 64 // config.trees
    if 2 * rows > config.input_rows:
        return  # no room for the inputs of two jobs
    for gate in (False, True):
        groups = 1 if gate else 2
        await h.begin(h.random_layer(gate=gate, groups=groups, passes=1, group_rows=rows // groups,
                                     **({} if gate else {"taps": (np.zeros((2, config.segment)),)})))
        name = "gates" if gate else "maps"
        first = len(h.monitors[name].times)
        n = h.most(config.max_channels)
        items = -(-n // config.segment) if gate else n
        for _ in range(8):
            h.put(h.random_job(n=n))
        await h.settle()
        starts = h.monitors[name].times[first::items]
        timing = h.timing()
        period = max(timing.windows, timing.steps(n))
        assert np.diff(starts)[2:].tolist() == [period] * 5, f"a job every {np.diff(starts)}, not {period} cycles"
        assert timing.steps(n) >= .95 * period, "the array is not what limits"
    await h.finish()


@cocotb.test()
async def real_tile(dut):
    """Tiles of a 3 x 3 convolution with padding, 64 to 128 channels, in blocks of 4 x 4 (other blocks: nothing)."""
    h = Harness(dut)
    await h.start()
    config = h.config
    if config.segment == 16:
        groups = min(64 // config.cols, config.projection_rows // 2, config.input_rows // 2)
        await h.begin(Layer(
            groups=groups, group_rows=2, passes=1, p_shift=3, block_width=2, tile_width=2, origin_y=7, origin_x=7,
            thresholds=tuple(range(config.buckets - 1))[::-1], taps=(np.zeros((2, 16), int),)))
        for _ in range(3):
            h.put(h.random_job(n=h.most(128), function=Function.RELU, threshold=0, project=True, valid=(True,) * 16))
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, lambda: stalls("slow output", h.ctx.random)[1])
    for _ in range(8):
        await h.begin(h.random_layer())
        for _ in range(3):
            h.put(h.random_job())
        await h.bench.cycles(int(h.rng.integers(1, 400)))
        await h.bench.reset(1)
        for board in h.boards.values():
            board.reset()
        coverage.hit("reset in mid-work")
        await h.refill()
    await h.begin(h.random_layer())
    for _ in range(3):
        h.put(h.random_job())
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


PARTS = dict(array_rows=2, array_cols=4, weight_banks=2, trees=8, activation_rows=8, projection_rows=16, table_banks=2)
NARROW = dict(cols=4, segment=2, array_rows=2, array_cols=16, weight_banks=1, trees=2, bits=2, input_rows=8,
              scale_bits=6, bias_bits=10, pre_bits=9, code_bits=3, output_segments=3, max_channels=30)


def test_bit_exact_and_covered():
    merge("speculator", POINTS, [simulate("speculator", preset="small", seed=2),
                                 simulate("speculator", preset="small", overrides=PARTS, seed=3)]).check()


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [NARROW, dict(segment=8, array_rows=8, trees=16, weight_banks=8)])
def test_bit_exact(overrides):
    simulate("speculator", preset="small", overrides=overrides, seed=4)


@pytest.mark.slow
def test_fpga_size():
    simulate("speculator", preset="fpga", seed=5, options={"layers": 4})


@pytest.mark.slow
def test_paper_size():
    simulate("speculator", preset="paper", seed=6, options={"layers": 2}, testcase=["real_tile", "full_rate", "cycles"])


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field map"):
        simulate("speculator", preset="small", options={"corrupt": 1}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="reset in mid-work"):
        Coverage("speculator", POINTS).check()


@pytest.mark.parametrize("field, value, changes", [
    ("cols", 3, {}), ("cols", 64, dict(segment=32)), ("segment", 12, {}), ("bits", 3, {}), ("array_rows", 32, {}),
    ("weight_rows", 16, {}), ("weight_banks", 64, {}), ("table_entries", 64, {}),
    ("table_banks", 64, dict(cols=4, weight_banks=1)),
    ("projection_rows", 2, dict(trees=2)), ("buckets", 1, {}), ("output_segments", 2, {}), ("max_channels", 1, {})])
def test_config_refuses(field, value, changes):
    with pytest.raises(ConfigError, match=field):
        SpeculatorConfig(**{field: value, **changes})
