# amaranth: UnusedElaboratable=no
"""The exponential against its golden model on every input, and the model against 2^-x."""

import cocotb
import numpy as np
import pytest

from golden.arith import exponential as golden
from golden.arith.exponential import EXP_FRACTION, EXP_INTEGER, RESULT_FRACTION, exponential
from sim.bench import start
from sim.context import context

ALL = np.arange(1 << (EXP_FRACTION + EXP_INTEGER))


@cocotb.test()
async def every_input(dut):
    """All inputs in a random order, one a cycle; each result ``latency`` cycles later."""
    bench = await start(dut, timeout=None)
    inputs = context().rng.permutation(ALL)
    expected = exponential(inputs)
    if context().options.get("corrupt"):
        expected[len(expected) // 2] ^= 1
    latency = context().options["latency"]
    for cycle in range(len(inputs) + latency):
        if cycle < len(inputs):
            dut.x.value = int(inputs[cycle])
        await bench.cycles(1)
        # What is read here was produced by the edge before this one.
        if cycle >= latency:
            got, index = int(dut.y.value), cycle - latency
            assert got == expected[index], f"x = {inputs[index]}: expected {expected[index]}, got {got}"


def run(**options):
    from hw.arith.exponential import Exponential
    from resilin.simulate import simulate_component

    unit = Exponential()
    return simulate_component(unit, __name__, options={"latency": unit.latency, **options})


def test_every_input():
    run()


def test_a_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="expected"):
        run(corrupt=True)


def test_table_bits_are_the_documented_ones():
    from hw.arith.exponential import Exponential

    assert Exponential().table_size == 32 * (16 + 10)


def test_error_is_within_the_stated_bounds():
    result, exact = exponential(ALL) / 2.0**RESULT_FRACTION, 2.0 ** (-ALL / 2.0**EXP_FRACTION)
    relative = (result / exact - 1)[:1 << EXP_FRACTION]  # the mantissa; a shift only drops bits from it
    assert -golden.MANTISSA_ERROR[0] <= relative.min() and relative.max() <= golden.MANTISSA_ERROR[1]
    dropped = result - exact * (1 + np.tile(relative, 1 << EXP_INTEGER))
    assert -(2.0**-RESULT_FRACTION) < dropped.min() and dropped.max() < 1e-12
    assert (np.diff(result) <= 0).all() and result[0] == 1.0


@pytest.mark.parametrize("x", [-1, 1 << (EXP_FRACTION + EXP_INTEGER)])
def test_refuses_what_is_out_of_range(x):
    with pytest.raises(ValueError, match="outside"):
        exponential(np.array([x]))


@pytest.mark.parametrize("bad", [{"table_bits": 0}, {"table_bits": 12}, {"result_fraction": 32},
                                 {"result_fraction": 14}])
def test_refuses_bad_sizes(bad):
    from hw.arith.exponential import Exponential

    with pytest.raises(ValueError, match=next(iter(bad))):
        Exponential(**bad)
