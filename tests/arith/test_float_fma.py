"""The FloatFma against its golden model: every operation, one a cycle, over all kinds of operands."""

import cocotb
import pytest

from golden.arith.float_fma import fma
from hw.arith.float_fma import FloatFmaConfig
from hw.config import ConfigError
from resilin.simulate import simulate
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage, NotCovered, merge

from .float_vectors import GROUPS, POINTS, cover, triples

coverage = Coverage("float_fma", POINTS)


@cocotb.test()
async def every_cycle(dut):
    """A new operation each cycle; the result ``latency`` cycles later, whatever comes before and after."""
    bench = await start(dut, timeout=None)
    ctx = context()
    latency = ctx.config["stages"]
    a, b, c, group = triples(ctx.rng, ctx.options.get("count", 4096))
    expected = fma(a, b, c)
    cover(coverage, a, b, c, expected, group)
    if ctx.options.get("corrupt"):
        expected[len(expected) // 2] ^= 1
    a, b, c, expected = (x.tolist() for x in (a, b, c, expected))
    for cycle in range(len(a) + latency):
        if cycle < len(a):
            dut.a.value, dut.b.value, dut.c.value = a[cycle], b[cycle], c[cycle]
        await bench.cycles(1)
        # What is read here was there before this edge.
        if cycle >= latency:
            got, index = int(dut.result.value), cycle - latency
            assert got == expected[index], (f"operation {index}, fma({a[index]:#010x}, {b[index]:#010x}, "
                                            f"{c[index]:#010x}): expected {expected[index]:#010x}, got {got:#010x}")
    dut._log.info("%d operations compared", len(expected))


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("float_fma", POINTS, [simulate("float_fma", seed=2)]).check()


@pytest.mark.parametrize("stages", [1, 3, 4, 5, 6])
def test_bit_exact(stages):
    simulate("float_fma", overrides={"stages": stages}, options={"count": 700}, seed=stages)


@pytest.mark.slow
def test_a_million():
    """More than a million operations."""
    count = 130_000
    result = simulate("float_fma", preset="paper", options={"count": count}, seed=3, timeout=3600)
    assert f"{count * len(GROUPS)} operations compared" in result.log and count * len(GROUPS) > 1_000_000
    merge("float_fma", POINTS, [result]).check()


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="expected"):
        simulate("float_fma", options={"corrupt": True, "count": 100})


def test_missed_point_fails():
    with pytest.raises(NotCovered):
        merge("float_fma", POINTS, [simulate("float_fma", options={"count": 1})]).check()


@pytest.mark.parametrize("stages", [0, 7])
def test_refuses_bad_sizes(stages):
    with pytest.raises(ConfigError, match="stages"):
        FloatFmaConfig(stages=stages)
