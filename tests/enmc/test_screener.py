"""The Screener against its golden model, bit for bit, and against its cycle model, in every cycle of all tests."""

import cocotb
import numpy as np
import pytest

from golden.enmc.screener import Buffer, ScreenerSettings
from hw.config import ConfigError
from hw.enmc.screener import ScreenerConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile

from .bench_screener import POINTS, Harness, hit

#: From a request to the next one for the same place in the weight buffer, less the memory's latency.
ROUND_TRIP = 3

PROFILES = {
    "none": lambda rng: {},
    "slow memory": lambda rng: dict(latency=lambda: rng.choice([1, 1, 2, 40]), requests=StallProfile.random(.5, rng)),
    "slow results": lambda rng: dict(results=StallProfile.random(.9, rng)),
    "slow indices": lambda rng: dict(indices=StallProfile.bursts(rng)),
    "adversarial": lambda rng: dict(latency=lambda: rng.randrange(1, 30), **{
        name: StallProfile.adversarial(rng) for name in ("requests", "jobs", "results", "indices")}),
}


@cocotb.test()
@cocotb.parametrize(profile=list(PROFILES))
async def random_work(dut, profile):
    """Random settings, words, jobs in a row; all buffers are compared in between."""
    h = Harness(dut)
    await h.start(**PROFILES[profile](h.ctx.random))
    for _ in range(8):
        h.set(h.random_settings())
        await h.random_loads()
        h.random_jobs(int(h.rng.integers(1, 8)))
        await h.settle()
        await h.compare_buffers()
        if h.rng.random() < .2:
            await h.clear()
            h.recent = []
            await h.compare_buffers()
    await h.bench.finish()


@cocotb.test()
async def bank_in_use(dut):
    """The second SCREEN after two slow FILTERs of a tile writes its bank only when both have read it."""
    h = Harness(dut)
    await h.start(results=StallProfile.random(.9, h.ctx.random))
    for items in (1, 2, 4):
        h.set(ScreenerSettings(classes=1 << 20, items=items, scale=(1,) * 4, threshold=1 << 30))
        await h.random_loads()
        for _ in range(3):
            for op in ("SCREEN", "FILTER", "FILTER", "SCREEN", "SCREEN", "FILTER"):
                if op == "SCREEN":
                    h.screen(h.random_bursts())
                else:
                    h.filter(0)
        await h.settle()
        await h.compare_buffers()
    await h.bench.finish()


@cocotb.test()
async def corners(dut):
    """Least and greatest sums, ties with the threshold, wrapping, rounding, the last classes."""
    h = Harness(dut)
    await h.start()
    for x, w in ((0x88, 0x88), (0x88, 0x77), (0x77, 0x77)):
        h.set(ScreenerSettings(classes=64, chunks=32, scale=(65535,) * 4, shift=20, threshold=0))
        for index in range(4):
            await h.load(Buffer.FEATURE, index, np.full(64, x, np.uint8))
        bursts = np.full((1, 33, 64), w, np.uint8)
        bursts[:, -1] = h.rng.integers(256, size=64)
        h.screen(bursts)
        h.filter(0)
        hit("least and greatest sum", w == 0x77)
        await h.settle()
    # Products that are powers of two: what is lost above 32 bits is one bit, wherever it is.
    for index in range(4):
        await h.load(Buffer.FEATURE, index, np.full(64, 0x88, np.uint8))
    for shift in (0, 2, 9, 18):
        h.set(ScreenerSettings(classes=64, chunks=4, scale=(1 << 15,) * 4, shift=shift))
        number = np.arange(64)
        weights = np.array([0x88, 0x44, 0xEE, 0x11], np.uint8)[number // 16]
        bursts = np.zeros((8, 5, 8, 8), np.uint8)
        bursts[:, :-1] = weights.reshape(8, 1, 8, 1)
        bursts[:, -1, :, 4:6] = (1 << number % 16).astype("<u2").view(np.uint8).reshape(8, 8, 2)
        h.screen(bursts.reshape(8, 5, 64))
        h.filter(0)
        await h.settle()
        assert set(np.abs(h.model.psum)) <= {(1 << 31) - 1, *(1 << n for n in range(32))}
        hit("one bit above 32", shift == 0)
    # Words as sums: ties, zeros, numbers that FP32 has not, classes up to the last.
    for items, threshold, first in ((1, 5, 0), (2, (1 << 24) + 1, 64), (3, -1, (1 << 32) - 17), (4, -(1 << 31), 0)):
        h.set(ScreenerSettings(classes=(1 << 32) - 1, items=items, threshold=threshold))
        for index in range(4):
            values = np.array([threshold, threshold + 1, 0, 1, -1, (1 << 31) - 1, -(1 << 31), (1 << 24) + 1,
                               (1 << 24) + 3, -(1 << 24) - 1, *h.rng.integers(-1 << 31, 1 << 31, 6)], np.int64)
            await h.load(Buffer.PSUM, index, values.astype("<i4").view(np.uint8))
        h.recent = []
        h.filter(first)
        h.filter(first)
        # Buffers 0 and 1 are free while a FILTER runs.
        await h.driver.drain()
        assert int(dut.filter_busy.value) and not int(dut.mac_busy.value)
        await h.load(Buffer.FEATURE, 3, h.random_bytes(64))
        await h.load(Buffer.WEIGHT, 1, h.random_bytes(64))
        assert int(dut.filter_busy.value)
        await h.settle()
        await h.compare_buffers()
    h.set(ScreenerSettings(classes=64, threshold=-(1 << 31)))
    await h.clear()
    for index in range(4):
        await h.load(Buffer.WEIGHT, index, np.full(64, 0x77, np.uint8))
    await h.load(Buffer.FEATURE, 0, np.full(64, 0x77, np.uint8))
    for index in range(4):
        await h.load(Buffer.PSUM, index, np.full(16, (1 << 31) - 1, "<i4").view(np.uint8))
    h.alone("MUL_ADD")
    h.alone("MUL_ADD")
    h.filter(0)
    h.alone("MUL")
    h.filter(0)
    await h.settle()
    await h.compare_buffers()
    await h.bench.finish()


@cocotb.test()
async def full_rate(dut):
    """One item, bursts in a constant time: no bubble between tiles, and as fast as the buffer's depth allows."""
    h = Harness(dut)
    depth, choice = h.config.weight_bursts, {}
    await h.start(latency=lambda: choice["latency"])
    for latency in (depth - ROUND_TRIP, depth - ROUND_TRIP + 1, depth + 4):
        choice["latency"] = latency
        h.set(ScreenerSettings(classes=1 << 20, chunks=9, scale=(1,) * 4, shift=4, threshold=(1 << 31) - 1))
        await h.load(Buffer.FEATURE, 0, h.random_bytes(64))
        first, word, tiles = len(h.dram.requested), len(h.words.times), 5
        for tile in range(tiles):
            h.screen(h.random_bursts(8))
            h.filter(64 * tile)
        await h.settle()
        requested = np.array(h.dram.requested[first:])
        assert len(requested) == tiles * 80
        if latency + ROUND_TRIP <= depth:
            assert (np.diff(requested) == 1).all(), "a bubble"
            assert (np.diff(h.words.times[word::4]) == 80).all(), "a bubble between the results"
        else:
            assert (requested[depth:] - requested[:-depth] == latency + ROUND_TRIP).all(), "places are not used again"
            hit("weight buffer full")
    await h.bench.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind but the words, which are zeros."""
    h = Harness(dut)
    random = h.ctx.random
    await h.start(latency=lambda: random.randrange(1, 20), results=StallProfile.random(.5, random))
    for _ in range(10):
        h.set(h.random_settings())
        await h.random_loads()
        h.random_jobs(4)
        await h.bench.cycles(int(h.rng.integers(1, 300)))
        await h.bench.reset(1)
        h.results.reset()
        h.indices.reset()
        h.model.clear()
        h.recent = []
        hit("reset in mid-work")
        await h.compare_buffers()
    h.set(h.random_settings())
    await h.random_loads()
    h.random_jobs(4)
    await h.settle()
    await h.bench.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("screener", POINTS, [simulate("screener", preset="small", seed=seed) for seed in (1, 2)]).check()


@pytest.mark.slow
@pytest.mark.parametrize("preset, overrides", [
    ("paper", {}), ("fpga", {}), ("small", dict(weight_bursts=7, finish_lanes=2, filter_lanes=8, levels=5)),
    ("small", dict(weight_bursts=9, finish_lanes=8, filter_lanes=1, convert_stages=2, levels=4)),
    ("small", dict(weight_bursts=13, finish_lanes=4, filter_lanes=2, booth=False, levels=6)),
])
def test_bit_exact(preset, overrides):
    simulate("screener", preset=preset, overrides=overrides, seed=3)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field data, lane 0"):
        simulate("screener", preset="small", options={"corrupt": True}, testcase="full_rate")


def test_wrong_cycles_fail():
    with pytest.raises(AssertionError, match=r"cycle \d+: .* expected"):
        simulate("screener", preset="small", options={"deeper": 1}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="MUL_ADD wraps"):
        Coverage("screener", POINTS).check()


@pytest.mark.parametrize("field, value", [("weight_bursts", 3), ("finish_lanes", 3), ("filter_lanes", 16),
                                          ("convert_stages", 3), ("levels", 3)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        ScreenerConfig(**{field: value})
