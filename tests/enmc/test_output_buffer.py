"""The OutputBuffer against its golden model: words, bits, maxima, rates."""

import cocotb
import numpy as np
import pytest

from golden.enmc import output_buffer as golden
from hw.config import ConfigError
from hw.enmc.output_buffer import MINUS_INFINITY, OutputBufferConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile

from .bench_output_buffer import POINTS, Harness, coverage

PROFILES = {"none": lambda rng: None, "slow": lambda rng: StallProfile.random(0.7, rng),
            "adversarial": StallProfile.adversarial}


@cocotb.test()
@cocotb.parametrize(profile=list(PROFILES))
async def random_work(dut, profile):
    """Words of results of 1 to 4 items, accurate results at any time, writes from outside."""
    h = Harness(dut)
    await h.start(PROFILES[profile](h.ctx.random))
    await h.check()
    for index in range(60):
        h.set_items(int(h.rng.integers(1, 5)))
        special = 0.0 if index % 3 else 0.2
        for _ in range(int(h.rng.integers(1, 5))):
            h.put_word(special)
        share = float(h.rng.choice([0, 0.2, 0.9]))
        while not h.driver.idle():
            if h.rng.random() < share:
                h.accurate(int(h.rng.integers(4)), h.numbers((), special))
                coverage.hit("accurate beside results")
            else:
                h.no_accurate()
            await h.bench.cycles(1)
        h.no_accurate()
        await h.check()
        await h.write_word()
        await h.write_maximum(int(h.rng.integers(4)), h.rng.choice([MINUS_INFINITY, 0, 1 << 31, 0xC000_0000]))
        if index % 4 == 0:
            await h.check()
            await h.clear()
            await h.check()
    await h.bench.finish()


@cocotb.test()
async def full_rate(dut):
    """A word every ``period`` cycles; MAX 2 cycles after a word, 1 cycle after an accurate result."""
    h = Harness(dut)
    await h.start()
    await h.bench.cycles(3)
    for _ in range(8):
        h.driver.put({"data": 0, "stored": 0, "valid_mask": 0, "word": 0})
    await h.settle()
    assert (np.diff(h.driver.times) == h.config.period).all(), np.diff(h.driver.times)
    h.driver.put({"data": 0x4000_0000 << 480, "stored": 0, "valid_mask": 1 << 15, "word": 3})
    while len(h.driver.times) < 9:
        await h.bench.cycles(1)
    # Values read after an edge are those of the cycle before it.
    await h.bench.cycles(1)
    assert int(h.dut.maximum.value) & 0xFFFF_FFFF == MINUS_INFINITY
    await h.bench.cycles(1)
    assert int(h.dut.maximum.value) & 0xFFFF_FFFF == 0x4000_0000
    h.dut.accurate.value = 0x4100_0000 << 3 | 3 << 1 | 1
    await h.bench.cycles(1)
    assert int(h.dut.maximum.value) >> 96 == MINUS_INFINITY
    h.no_accurate()
    await h.bench.cycles(1)
    assert int(h.dut.maximum.value) >> 96 == 0x4100_0000
    await h.bench.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start()
    for _ in range(10):
        for _ in range(3):
            h.put_word()
        await h.bench.cycles(int(h.rng.integers(1, 3 * h.config.period)))
        await h.bench.reset(1)
        h.model.clear()
        coverage.hit("reset in mid-work")
        await h.check()
    h.put_word()
    await h.check()
    await h.bench.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("output_buffer", POINTS, [simulate("output_buffer", preset="paper", seed=2)]).check()


@pytest.mark.parametrize("maximum_lanes", [1, 16])
def test_bit_exact(maximum_lanes):
    simulate("output_buffer", preset="small", seed=maximum_lanes, overrides={"maximum_lanes": maximum_lanes})


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="word 0"):
        simulate("output_buffer", preset="paper", options={"corrupt": True}, testcase="reset_in_work")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="word written"):
        Coverage("output_buffer", POINTS).check()


def test_config_refuses():
    with pytest.raises(ConfigError, match="maximum_lanes"):
        OutputBufferConfig(maximum_lanes=3)


def test_golden_order():
    ordered = np.array([0xFFC0_0000, 0xFF80_0000, 0xFF7F_FFFF, 0xBF80_0000, 0x8000_0001, 0x8000_0000, 0, 1, 0x3F80_0000,
                        0x7F7F_FFFF, 0x7F80_0000, 0x7FC0_0000], np.uint32)
    assert (np.diff(golden.order_key(ordered)) > 0).all()
    finite = ordered[2:-2]
    assert golden.maximum(finite) == finite.view(np.float32).max().view(np.uint32)
    assert golden.maximum(ordered) == 0x7FC0_0000


def test_golden_refuses():
    buffer = golden.OutputBuffer()
    with pytest.raises(ValueError, match="index = 4"):
        buffer.read(4)
    with pytest.raises(ValueError, match="items = 5"):
        buffer.filtered(0, np.zeros(16, int), True, np.ones(16), 5)
    with pytest.raises(ValueError, match="numbers"):
        buffer.write(0, np.full(16, 1 << 32))
