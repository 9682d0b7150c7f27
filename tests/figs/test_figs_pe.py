"""FigsPe against its golden model: sums of passes and of their beginnings, how they leave."""

import cocotb
import pytest

from hw.config import ConfigError
from hw.figs.figs_pe import FigsPeConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge

from .bench_figs_pe import POINTS, Harness, coverage


@cocotb.test()
@cocotb.parametrize(pause=[0.0, 0.3, 0.8])
async def random_passes(dut, pause):
    """Passes of random lengths back to back, with pauses; sums are captured at any time, or shifted."""
    h = Harness(dut)
    await h.start()
    for _ in range(8):
        await h.run(*(h.random_pass() for _ in range(4)), pause=pause)
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """``beta`` products a cycle, passes without a cycle between them; 3 cycles from a pass' last cycle to its sums."""
    h = Harness(dut, capture=0.0, shift=0.0)
    await h.start()
    lengths = [6] * 10
    began = h.bench.cycle
    await h.run(*(h.random_pass(length, use=1.0) for length in lengths))
    assert h.bench.cycle - began == sum(lengths) + 1, f"{sum(lengths)} cycles took {h.bench.cycle - began}"
    await h.finish()
    # Each pass' sums were captured 2 cycles after its last cycle, and seen in the cycle after that.
    assert h.captured == len(lengths)


@cocotb.test()
async def extremes(dut):
    """The greatest and the least products, and sums that wrap on their way to one in range."""
    h = Harness(dut)
    await h.start()
    least = -(1 << h.config.weight_bits - 1)
    for value, weight, point in ((-128, least, "greatest product"), (127, least, "least product")):
        work = h.random_pass(12, use=1.0)
        work.fed[:], work.weights[:] = value, weight
        await h.run(work, pause=0.2)
        coverage.hit(point)
    # As many of the one as bring the sum beyond sum_bits, if that is soon, and then the other back to zero.
    count = (1 << h.config.sum_bits - 1) // (128 * -least) + 1
    if count < 100:
        work = h.random_pass(2 * count, use=1.0)
        work.fed[:], work.weights[:count], work.weights[count:] = -128, least, -least - 1
        await h.run(work)
        coverage.hit("a sum that wraps")
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment makes the operand of its cycle zero; sums, results and activation stay."""
    h = Harness(dut)
    await h.start()
    for _ in range(6):
        await h.run(*(h.random_pass() for _ in range(3)), pause=0.1, resets=0.1)
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("figs_pe", POINTS, [
        simulate("figs_pe", preset="small", seed=1),
        simulate("figs_pe", preset="small", overrides=dict(sum_bits=16, depth=3), seed=2)]).check()


@pytest.mark.parametrize("alpha, depth, beta, weight_bits, sum_bits, multiplier", [
    (0, 2, 1, 16, 24, "tree"), (1, 4, 3, 8, 17, "operator"), (3, 1, 4, 16, 48, "operator"), (7, 2, 2, 8, 32, "tree"),
])
def test_bit_exact(alpha, depth, beta, weight_bits, sum_bits, multiplier):
    simulate("figs_pe", preset="small", seed=alpha, overrides=dict(
        alpha=alpha, depth=depth, beta=beta, weight_bits=weight_bits, sum_bits=sum_bits, multiplier=multiplier))


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="results: expected"):
        simulate("figs_pe", preset="small", options={"corrupt": 1}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="a sum that wraps"):
        Coverage("figs_pe", POINTS).check()


@pytest.mark.parametrize("field, values", [
    ("alpha", dict(alpha=5)), ("depth", dict(alpha=0, depth=1)), ("beta", dict(beta=0)), ("beta", dict(beta=17)),
    ("weight_bits", dict(weight_bits=4)), ("activation_bits", dict(activation_bits=16)),
    ("sum_bits", dict(sum_bits=49)), ("sum_bits", dict(weight_bits=16, sum_bits=23)),
])
def test_config_refuses(field, values):
    with pytest.raises(ConfigError, match=f"^{field} ="):
        FigsPeConfig(**values)
