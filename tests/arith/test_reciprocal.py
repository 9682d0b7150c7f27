# amaranth: UnusedElaboratable=no
"""The reciprocal against its golden model, and the model against 1/x."""

import cocotb
import numpy as np
import pytest

from golden.arith import reciprocal as golden
from golden.arith.reciprocal import ARGUMENT_FRACTION, MANTISSA_FRACTION, RESULT_FRACTION, reciprocal
from sim.bench import start
from sim.context import context

WIDTH = 32
ONE = 1 << ARGUMENT_FRACTION
#: Every mantissa that is told apart, as a number from one to two, with the bits after it all clear.
MANTISSAS = ((1 << MANTISSA_FRACTION) + np.arange(1 << MANTISSA_FRACTION)) << (ARGUMENT_FRACTION - MANTISSA_FRACTION)
REST = (1 << (ARGUMENT_FRACTION - MANTISSA_FRACTION)) - 1


@cocotb.test()
async def every_mantissa(dut):
    """Every mantissa, random exponents and low bits, and all powers of two, one a cycle."""
    bench = await start(dut, timeout=None)
    rng, latency = context().rng, context().options["latency"]
    exponents = rng.integers(0, WIDTH - ARGUMENT_FRACTION, len(MANTISSAS))
    low = rng.integers(0, 1 << exponents)
    powers = ONE << np.arange(WIDTH - ARGUMENT_FRACTION)
    inputs = rng.permutation(np.concatenate([(MANTISSAS << exponents) + low, powers, 2 * powers - 1, [ONE + 1]]))
    expected = reciprocal(inputs)
    if context().options.get("corrupt"):
        expected[len(expected) // 2] ^= 1
    for cycle in range(len(inputs) + latency):
        if cycle < len(inputs):
            dut.x.value = int(inputs[cycle])
        await bench.cycles(1)
        # What is read here was produced by the edge before this one.
        if cycle >= latency:
            got, index = int(dut.y.value), cycle - latency
            assert got == expected[index], f"x = {inputs[index]}: expected {expected[index]}, got {got}"


def run(**options):
    from hw.arith.reciprocal import Reciprocal
    from resilin.simulate import simulate_component

    unit = Reciprocal(WIDTH)
    return simulate_component(unit, __name__, options={"latency": unit.latency, **options})


def test_every_mantissa():
    run()


def test_a_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="expected"):
        run(corrupt=True)


def test_table_bits_are_the_documented_ones():
    from hw.arith.reciprocal import Reciprocal

    assert Reciprocal(WIDTH).table_size == 64 * (18 + 11)


def test_error_is_within_the_stated_bounds():
    x = np.concatenate([MANTISSAS, MANTISSAS + REST])
    relative = reciprocal(x) / 2.0**RESULT_FRACTION * (x / ONE) - 1
    assert -golden.MANTISSA_ERROR[0] <= relative.min() and relative.max() <= golden.MANTISSA_ERROR[1]
    assert reciprocal(np.array([ONE]))[0] == 1 << RESULT_FRACTION
    for power in range(1, 11):  # the shift only drops bits
        exact = 1 / (MANTISSAS * 2.0**power / ONE)
        error = reciprocal(MANTISSAS << power) / 2.0**RESULT_FRACTION - exact
        assert error.min() > -(2.0**-RESULT_FRACTION) - golden.MANTISSA_ERROR[0]
        assert (error <= golden.MANTISSA_ERROR[1] * exact).all()


@pytest.mark.parametrize("x", [0, ONE - 1, 1 << 52])
def test_refuses_what_is_out_of_range(x):
    with pytest.raises(ValueError, match="not allowed"):
        reciprocal(np.array([x]))


def test_refuses_bad_sizes():
    from hw.arith.reciprocal import Reciprocal

    with pytest.raises(ValueError, match="width = 22"):
        Reciprocal(22)
