# amaranth: UnusedElaboratable=no
"""The FloatFma against its golden model: every operation, one a cycle, over all kinds of operands."""

import cocotb
import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.arith.float_fma import fma
from hw.arith.float_fma import FloatFma, FloatFmaConfig
from hw.config import ConfigError
from resilin.simulate import simulate, simulate_component
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage, NotCovered, merge

from .float_vectors import GROUPS, POINTS, cover, triples

coverage = Coverage("float_fma", POINTS)


class FloatFmaLanes(wiring.Component):
    """``count`` units side by side, to test many operations a simulated cycle: lane k at bits ``32 * k`` and up."""

    def __init__(self, config, count):
        self.config, self.count = config, count
        super().__init__({name: In(32 * count) for name in "abc"} | {"result": Out(32 * count)})

    def elaborate(self, platform):
        m = Module()
        for index in range(self.count):
            m.submodules[f"lane_{index}"] = unit = FloatFma(self.config)
            place = slice(32 * index, 32 * index + 32)
            m.d.comb += [unit.a.eq(self.a[place]), unit.b.eq(self.b[place]), unit.c.eq(self.c[place]),
                         self.result[place].eq(unit.result)]
        return m


@cocotb.test()
async def every_cycle(dut):
    """A new operation each cycle; the result ``latency`` cycles later, whatever comes before and after."""
    bench = await start(dut, timeout=None)
    ctx = context()
    lanes, latency = len(dut.a) // 32, ctx.config["stages"]
    a, b, c, group = triples(ctx.rng, ctx.options.get("count", 4096 * lanes))
    expected = fma(a, b, c)
    cover(coverage, a, b, c, expected, group)
    if ctx.options.get("corrupt"):
        expected[len(expected) // 2] ^= 1
    a, b, c, expected = (x.astype("<u4").reshape(-1, lanes) for x in (a, b, c, expected))
    words = [[int.from_bytes(row.tobytes(), "little") for row in x] for x in (a, b, c)]
    for cycle in range(len(a) + latency):
        if cycle < len(a):
            dut.a.value, dut.b.value, dut.c.value = (x[cycle] for x in words)
        await bench.cycles(1)
        # What is read here was there before this edge.
        if cycle >= latency:
            index = cycle - latency
            got = np.frombuffer(int(dut.result.value).to_bytes(4 * lanes, "little"), "<u4")
            if not np.array_equal(got, expected[index]):
                lane = int(np.flatnonzero(got != expected[index])[0])
                operands = ", ".join(f"{x[index, lane]:#010x}" for x in (a, b, c))
                raise AssertionError(f"cycle {index}, lane {lane}: fma({operands}): expected "
                                     f"{expected[index, lane]:#010x}, got {got[lane]:#010x}")
    dut._log.info("%d operations compared", expected.size)


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("float_fma", POINTS, [simulate("float_fma", seed=2)]).check()


@pytest.mark.parametrize("stages", [1, 3, 4, 5, 6])
def test_bit_exact(stages):
    simulate("float_fma", overrides={"stages": stages}, options={"count": 700}, seed=stages)


@pytest.mark.slow
@pytest.mark.parametrize("stages", [3, 6])
def test_a_million(stages):
    """More than a million operations for the pipelines of the presets ``paper`` and ``fpga``."""
    config, count = FloatFmaConfig(stages=stages), 16 * 9400
    result = simulate_component(FloatFmaLanes(config, 16), __name__, name="float_fma_lanes", config=config.to_dict(),
                                options={"count": count}, seed=stages)
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
