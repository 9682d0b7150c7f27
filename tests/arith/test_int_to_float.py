# amaranth: UnusedElaboratable=no
"""Integers to floats against the golden model: every power of two and its neighbours, ties, random numbers."""

import cocotb
import numpy as np
import pytest

from golden.arith.int_to_float import int_to_float
from hw.arith.int_to_float import IntToFloat
from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context


def numbers(rng, count):
    """Corners (powers of two and what is next to them, half-way cases of every size), then random ones."""
    near = [sign * (1 << power) + step for power in range(32) for sign in (-1, 1) for step in (-2, -1, 0, 1, 2)]
    ties = [sign * (((1 << 24) + 2 * odd + 1) << power) for power in range(7) for odd in (0, 1, 2, (1 << 23) - 1)
            for sign in (-1, 1)]
    x = np.concatenate([[0], near, ties, [tie + step for tie in ties for step in (-1, 1)],
                        rng.integers(-2**31, 2**31, count) >> rng.integers(0, 32, count)])
    return rng.permutation(x[(x >= -2**31) & (x < 2**31)])


@cocotb.test()
async def every_cycle(dut):
    """A new number each cycle; its float ``latency`` cycles later."""
    bench = await start(dut, timeout=None)
    ctx = context()
    latency = ctx.options["latency"]
    x = numbers(ctx.rng, 12_000)
    expected = int_to_float(x)
    if ctx.options.get("corrupt"):
        expected[len(expected) // 2] ^= 1
    for cycle in range(len(x) + latency):
        if cycle < len(x):
            dut.x.value = int(x[cycle]) & 0xFFFF_FFFF
        await bench.cycles(1)
        # What is read here was there before this edge.
        if cycle >= latency:
            got, index = int(dut.result.value), cycle - latency
            assert got == expected[index], f"x = {x[index]}: expected {expected[index]:#010x}, got {got:#010x}"


def run(stages, **options):
    unit = IntToFloat(stages)
    simulate_component(unit, __name__, name=f"int_to_float_{stages}", options={"latency": unit.latency, **options},
                       seed=stages)


@pytest.mark.parametrize("stages", [1, 2])
def test_bit_exact(stages):
    run(stages)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="expected"):
        run(1, corrupt=True)


@pytest.mark.parametrize("stages", [0, 3])
def test_refuses_bad_sizes(stages):
    with pytest.raises(ValueError, match="stages"):
        IntToFloat(stages)
