# amaranth: UnusedElaboratable=no
"""Sigmoid and tanh against their golden model on every input, and the model against float."""

import cocotb
import numpy as np
import pytest

from golden.arith import activation as golden
from hw.arith.activation import Activation, ActivationFunction
from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context

ALL = np.arange(-(1 << 15), 1 << 15)


@cocotb.test()
async def every_input(dut):
    """All inputs of both functions in a random order, with pauses of ``enable``."""
    bench = await start(dut, timeout=None)
    ctx = context()
    x, tanh = ctx.rng.permutation(np.stack([np.tile(ALL, 2), np.repeat([0, 1], len(ALL))], axis=1)).T
    expected = np.where(tanh, golden.tanh(x), golden.sigmoid(x))
    if ctx.options.get("corrupt"):
        expected[len(expected) // 2] ^= 1
    index = 0
    while index < len(x) + Activation.latency:
        given = min(index, len(x) - 1)
        dut.x.value, dut.function.value = int(x[given]) & 0xFFFF, int(tanh[given])
        enable = ctx.random.random() < 0.9
        dut.enable.value = int(enable)
        await bench.cycles(1)
        # What is read here was there before this edge.
        if index >= Activation.latency:
            before = index - Activation.latency
            got, want = dut.y.value.to_signed(), expected[before]
            assert got == want, f"x = {x[before]}, tanh {tanh[before]}: expected {want}, got {got}"
        index += enable


def test_every_input():
    simulate_component(Activation(), __name__)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="expected"):
        simulate_component(Activation(), __name__, options={"corrupt": True})


def test_function_is_the_documented_one():
    assert [(function.name, function.value) for function in ActivationFunction] == [("SIGMOID", 0), ("TANH", 1)]


@pytest.mark.parametrize("function, exact", [(golden.tanh, np.tanh), (golden.sigmoid, lambda x: 1 / (1 + np.exp(-x)))])
def test_error_is_within_the_stated_bound(function, exact):
    result = function(ALL)
    ideal = 2.0**golden.Y_FRACTION * exact(ALL / 2.0**golden.X_FRACTION)
    error = np.abs(result - ideal)
    inner = error[np.abs(ideal) < 32767]
    print(f"{function.__name__}: greatest error {inner.max():.4f}, mean {inner.mean():.4f} [2^-15]")
    assert inner.max() <= golden.ERROR and error.max() < 1
    assert (np.diff(result) >= 0).all(), "not monotonic"


def test_symmetry_and_ends():
    positive = ALL[ALL > 0]
    np.testing.assert_array_equal(golden.tanh(-positive), -golden.tanh(positive))
    np.testing.assert_array_equal(golden.sigmoid(positive), np.minimum(32768 - golden.sigmoid(-positive), 32767))
    assert golden.tanh(np.array([0, 32767, -32768])).tolist() == [0, 32767, -32767]
    assert golden.sigmoid(np.array([0, 32767, -32768])).tolist() == [16384, 32767, 0]


def test_no_point_is_near_a_tie():
    """So that every platform's tanh rounds to the same table."""
    for begin, end, density in golden.REGIONS:
        t = np.tanh(np.arange(begin * density, end * density) / density)
        level = 2.0**golden.POINT_FRACTION * (t + t * (1 - t**2) / (9 * density**2))
        assert np.abs(level % 1 - 0.5).min() > 1e-6


@pytest.mark.parametrize("function", [golden.tanh, golden.sigmoid])
@pytest.mark.parametrize("x", [-(1 << 15) - 1, 1 << 15])
def test_refuses_what_is_out_of_range(function, x):
    with pytest.raises(ValueError, match="outside"):
        function(np.array([x]))
