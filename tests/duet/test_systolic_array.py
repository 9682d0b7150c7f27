"""The systolic array against its golden model: every sum under stalls, latency, rate and use of the elements."""

import cocotb
import numpy as np
import pytest

from golden.duet.systolic_array import sum_bits
from hw.config import ConfigError
from hw.duet.systolic_array import SystolicArrayConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile
from tests.dota.harness import PROFILES, stalls

from .bench_systolic_array import POINTS, Harness, coverage

RANDOM = [f"random_tiles/profile={index}" for index in range(len(PROFILES))]
#: The sizes of the thesis' study of the Speculator (5.3.6).
STUDY = [(8, 8), (8, 16), (16, 16), (16, 32), (32, 32)]


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_tiles(dut, profile):
    """Back-to-back tiles of random length, sums carried or not."""
    h = Harness(dut)
    await h.start(*stalls(profile, h.ctx.random))
    for _ in range(16):
        h.put_random()
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """Without stalls: latency from idle, no bubble within a tile, tiles ``period`` cycles apart."""
    h = Harness(dut)
    await h.start()
    cols = h.config.cols
    for k in (1, cols // 2, cols - 1, cols, cols + 1, 2 * cols + 3):
        k = min(max(k, 1), h.config.max_k)
        await h.bench.cycles(h.config.cols)
        sent, seen = len(h.driver.times), len(h.monitor.times)
        for _ in range(6):
            h.put(*h.random_tile(k))
        await h.settle()
        sends, columns = np.array(h.driver.times[sent:]), np.array(h.monitor.times[seen:]).reshape(6, cols)
        assert columns[0, 0] - sends[k - 1] == h.config.latency, f"latency {columns[0, 0] - sends[k - 1]}"
        assert (np.diff(columns) == 1).all(), "a pause between the columns of a tile"
        assert (np.diff(columns[:, 0]) == h.config.period(k)).all(), f"K = {k}: tiles {np.diff(columns[:, 0])} apart"
        if k >= cols:
            assert (np.diff(sends) == 1).all(), f"K = {k}: bubbles between the steps"
        else:
            coverage.hit("step with last waits for the one before")
    await h.finish()


@cocotb.test()
async def use_of_the_elements(dut):
    """Multiply-accumulates of a sequence of tiles over what the elements could do from first step to last result."""
    h = Harness(dut)
    await h.start()
    for k in (8, 16, 32, 64, 128, 256):
        tiles = -(-2048 // k)
        sent, seen = len(h.driver.times), len(h.monitor.times)
        for _ in range(tiles):
            h.put(*h.random_tile(k))
        await h.settle()
        span = h.monitor.times[-1] - h.driver.times[sent] + 1
        steady = k * (tiles - 1) / (h.monitor.times[-h.config.cols] - h.monitor.times[seen])
        dut._log.info("%d x %d, K = %d: %d tiles in %d cycles, %.1f %% of peak, %.1f %% without fill and drain",
                      h.config.rows, h.config.cols, k, tiles, span, 100 * tiles * k / span, 100 * steady)
        assert steady == min(1, k / h.config.cols)
        assert k < 64 or tiles * k / span >= 0.95
    await h.finish()


@cocotb.test()
async def extremes(dut):
    """The greatest and the least sum of ``max_k`` products, in one tile and in two parts; every product of operands."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.2, h.ctx.random))
    config = h.config
    for left, right in ((h.least, h.least), (h.least, h.greatest)):
        a, b = np.full((config.rows, config.max_k), left), np.full((config.max_k, config.cols), right)
        h.put(a, b)
        half = config.max_k // 2
        h.put(a[:, :half], b[:half], last=False)
        h.put(a[:, half:], b[half:], first=False)
    values = np.arange(h.least, h.greatest + 1)
    for x in values:
        h.put(np.resize(x, (config.rows, len(values))), np.repeat(values[:, None], config.cols, axis=1))
    await h.finish()


@cocotb.test()
async def results_not_taken(dut):
    """Nothing is lost while results wait; steps without ``last`` still go."""
    h = Harness(dut)
    await h.start(None, StallProfile.bursts(h.ctx.random, run=20, pause=8 * h.config.cols))
    for _ in range(12):
        h.put(*h.random_tile(h.config.cols))
    await h.settle()
    waits = np.diff(h.driver.times).max()
    h.hit("step with last waits for room", waits > h.config.cols)
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind: sums are zero, no old column comes."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.3, h.ctx.random))
    for _ in range(16):
        for _ in range(3):
            h.put_random()
        await h.bench.cycles(int(h.rng.integers(1, 4 * h.config.cols)))
        await h.reset()
        if h.rng.random() < 0.5:
            h.put(*h.random_tile(h.random_k()), first=False)
    h.put_random()
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("systolic_array", POINTS, [simulate("systolic_array", preset="small", overrides={"max_k": 300}, seed=1),
                                     simulate("systolic_array", preset="fpga", seed=2)]).check()


@pytest.mark.parametrize("rows, cols, bits, max_k", [(2, 2, 4, 7), (7, 3, 2, 64), (3, 5, 8, 33), (5, 9, 3, 4096)])
def test_bit_exact(rows, cols, bits, max_k):
    simulate("systolic_array", preset="small", seed=rows,
             overrides=dict(rows=rows, cols=cols, bits=bits, max_k=max_k),
             testcase=[*RANDOM, "full_rate", "results_not_taken", "reset_in_work"])


@pytest.mark.slow
@pytest.mark.parametrize("rows, cols", STUDY)
def test_sizes_of_the_study(rows, cols):
    simulate("systolic_array", preset="paper", overrides=dict(rows=rows, cols=cols), seed=rows,
             testcase=[*RANDOM, "full_rate", "use_of_the_elements", "reset_in_work"])


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field data, lane"):
        simulate("systolic_array", preset="small", options={"corrupt": 1}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="K = cols"):
        Coverage("systolic_array", POINTS).check()


@pytest.mark.parametrize("max_k, bits", [(1, 2), (7, 4), (4095, 4), (4096, 4), (64, 8)])
def test_sums_fit(max_k, bits):
    assert SystolicArrayConfig(max_k=max_k, bits=bits).acc_bits == sum_bits(max_k, bits)


@pytest.mark.parametrize("field, value", [("rows", 1), ("cols", 129), ("bits", 1), ("max_k", 0)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        SystolicArrayConfig(**{field: value})
