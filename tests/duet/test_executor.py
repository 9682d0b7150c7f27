"""The Executor against its golden model: results and items for the Speculator under stalls, counters, timing."""

import dataclasses

import cocotb
import numpy as np
import pytest

from golden.duet.executor_config import Region
from golden.duet.speculator_mfu import Function as GoldenFunction
from hw.config import ConfigError
from hw.duet.executor_types import BusKind, ConfigRegion, ExecutorConfig
from hw.duet.function import Function
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile
from tests.dota.harness import PROFILES, stalls

from .bench_executor import POINTS, Harness, Kind, coverage
from .executor_clock import Clock


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_steps(dut, profile):
    """Random layers with random IDs, steps back to back."""
    h = Harness(dut)
    drive, take = stalls(profile, h.ctx.random)
    _, through = stalls(profile, h.ctx.random)
    await h.start(drive, take, through)
    for trial in range(h.ctx.options.get("layers", 8)):
        await h.configure(h.random_layer(GoldenFunction(trial % 4)), h.random_ids() if trial % 3 == 1 else None)
        h.put_steps([h.step() for _ in range(5)])
    await h.finish()


@cocotb.test()
async def cycles(dut):
    """Without stalls every item is taken, and every result offered, in the cycle that the page tells; counters too."""
    h = Harness(dut)
    await h.start()
    counted = dict.fromkeys(h.ctx.layout("counters"), 0)
    for trial in range(h.ctx.options.get("layers", 8)):
        await h.configure(h.random_layer(GoldenFunction(trial % 4), length=h.config.lut_entries if trial < 4 else None))
        sent, seen = len(h.driver.times), len(h.monitor.times)
        before = h.counters()
        items = h.put_steps([h.step() for _ in range(6)], foreign=0)
        await h.settle()
        await h.bench.cycles(3)
        curved = h.layer.function in (GoldenFunction.SIGMOID, GoldenFunction.TANH)
        clock = Clock(h.config, h.layer, curved, h.driver.times[sent])
        for item in items:
            clock.send(item)
        assert h.driver.times[sent:] == clock.passed, _difference("item", h.driver.times[sent:], clock.passed)
        assert h.monitor.times[seen:] == clock.results, _difference("result", h.monitor.times[seen:], clock.results)
        after = h.counters()
        difference = {name: after[name] - before[name] for name in counted if name != "load"}
        expected = {"macs": int(sum(counts.sum() for counts in clock.counts)), "busy": len(clock.busy),
                    "drain": len(clock.ending - clock.busy)}
        assert difference == expected, f"counters: expected {expected}, got {difference}"
        for counts in clock.counts:
            h.hit({"element without a tag": (counts == 0).any() and counts.any(), "no tag at all": not counts.any(),
                   "all tags": (counts == h.config.lut_entries).any()})
    await h.finish()


def _difference(what, got, expected):
    at = next((k for k, pair in enumerate(zip(got, expected)) if pair[0] != pair[1]), min(len(got), len(expected)))
    return f"{what} {at}: expected cycles {expected[at:at + 4]}, got {got[at:at + 4]}"


@cocotb.test()
async def example_of_the_thesis(dut):
    """Figure 5.3 in every element: 27 instructions; 9 for the first output alone; 3 with 2/3 of its inputs zero."""
    h = Harness(dut)
    await h.start()
    segment = h.config.segment
    program = np.array([(5 * dy + x + dx, 3 * dy + dx, x) for x in range(3) for dy in range(3) for dx in range(3)])
    if h.config.lut_entries < len(program) or h.config.weight_lines * segment < 9:
        return  # too small for it
    place = np.tile(np.arange(segment), (4, 1))
    await h.configure(h.random_layer(GoldenFunction.RELU, program=program, use_imap=True, place=place, pool=False))
    elements = h.config.rows * h.config.cols
    for omap, imap, count in ((7, np.ones(15, bool), 27), (1, np.ones(15, bool), 9),
                              (1, np.isin(np.arange(15), [1, 7, 10]), 3)):
        before = h.counters()
        (omaps, (chunk,)) = h.step(rows=np.arange(h.config.rows), chunks=1, density=1.1, whole=True)
        for item in omaps:
            item.map[:segment] = np.arange(segment) < omap.bit_length()
        for item in chunk:
            if item.kind == Kind.INPUT:
                item.map[:] = np.tile(np.resize(imap, 4 * segment).reshape(4, segment)[item.slot], h.config.cols)
        h.put_steps([(omaps, [chunk])], foreign=0)
        await h.settle()
        await h.bench.cycles(3)
        after = h.counters()
        assert after["busy"] - before["busy"] == count, f"{after['busy'] - before['busy']} cycles, not {count}"
        assert after["macs"] - before["macs"] == count * elements
    await h.finish()


@cocotb.test()
async def curves(dut):
    """Sigmoid and tanh on every line of their table, on both sides of zero: biases alone, without a product."""
    h = Harness(dut)
    await h.start()
    channels, rows = h.config.max_channels, np.arange(h.config.rows)
    if channels < 16:
        return  # as many lines, but far more layers
    steps = np.repeat([64, 128, 1024], [128, 64, 16])  # of the table's argument, 12 fraction bits
    ends = np.cumsum(steps)
    for function in (GoldenFunction.SIGMOID, GoldenFunction.TANH):
        x = h.rng.integers(ends - steps, ends) >> (function == GoldenFunction.TANH)
        x = np.concatenate([x, ~x])
        for first in range(0, len(x), channels):
            bias = np.resize(x[first:first + channels], channels)
            await h.configure(h.random_layer(function, length=0, bias=bias, bias_shift=0, shift=0))
            for channel in range(0, channels, len(rows)):
                omaps, chunks = h.step(rows=rows, chunks=1, density=1.1, whole=True)
                h.put_steps([([dataclasses.replace(item, address=(channel + row) % channels)
                               for row, item in enumerate(omaps)], chunks)])
    await h.finish()


@cocotb.test()
async def rows_and_speculator(dut):
    """An ID shared by a row and the Speculator: both take the item, in one cycle, whoever is late."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.3, h.ctx.random), StallProfile.random(0.7, h.ctx.random))
    rows = np.arange(h.config.rows + 1)
    rows[-1] = 1
    await h.configure(h.random_layer(GoldenFunction.RELU), (rows, h.col_ids))
    h.put_steps([h.step() for _ in range(8)])
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.ctx.random), StallProfile.random(0.5, h.ctx.random))
    for trial in range(12):
        await h.configure(h.random_layer(), h.random_ids() if trial % 2 else None)
        h.put_steps([h.step() for _ in range(3)])
        await h.bench.cycles(int(h.rng.integers(1, 600)))
        await h.bench.reset(1)
        h.forget()
        coverage.hit("reset in mid-work")
    await h.configure(h.random_layer())
    h.put_steps([h.step() for _ in range(3)])
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("executor", POINTS, [simulate("executor", preset="small", seed=1)]).check()


SHAPES = [
    dict(rows=3, cols=5, segment=8, weight_lines=1, lut_entries=40, tag_lanes=8, max_channels=5, address_bits=3),
    dict(rows=2, cols=3, segment=4, weight_lines=4, lut_entries=2, tag_lanes=1, acc_bits=40, max_channels=2,
         address_bits=16),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_bit_exact(shape):
    simulate("executor", preset="small", seed=shape["rows"], overrides=shape, options={"layers": 4})


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fpga", "paper"])
def test_larger_sizes(preset):
    simulate("executor", preset=preset, options={"layers": 2}, testcase=["cycles", "example_of_the_thesis"])


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field data, lane"):
        simulate("executor", preset="small", options={"corrupt": True}, testcase="cycles")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="bus waits"):
        Coverage("executor", POINTS).check()


@pytest.mark.parametrize("ours, model", [(Function, GoldenFunction), (ConfigRegion, Region), (BusKind, Kind)])
def test_numbers_agree(ours, model):
    assert {member.name: member.value for member in ours} == {member.name: member.value for member in model}


@pytest.mark.parametrize("values, field", [
    (dict(rows=1), "rows"), (dict(segment=12), "segment"), (dict(lut_entries=145), "lut_entries"),
    (dict(lut_entries=16), "lut_entries"), (dict(tag_lanes=12), "tag_lanes"), (dict(address_bits=8), "address_bits")])
def test_config_refuses(values, field):
    with pytest.raises(ConfigError, match=field):
        ExecutorConfig(**values)
