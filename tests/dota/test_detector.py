"""The Detector against its golden model: every beat of masks under stalls, latency and rate, corner values."""

import cocotb
import numpy as np
import pytest

from golden.dota.detector import Mode
from hw.config import ConfigError
from hw.dota.detector import DetectorConfig, SelectMode
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile

from .bench_detector import POINTS, Harness, coverage
from .harness import PROFILES, stalls


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_groups(dut, profile):
    """Back-to-back groups of random scores, random settings."""
    h = Harness(dut)
    await h.start(*stalls(profile, h.ctx.random))
    for _ in range(12):
        await h.random_setting()
        for _ in range(4):
            h.put(h.random_group())
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """Without stalls: latency from idle, and a group every ``period`` cycles."""
    h = Harness(dut)
    await h.start()
    for mode in Mode:
        for keys in {1, h.config.key_lanes, h.config.max_keys - 1, h.config.max_keys}:
            for rows in {1, h.config.tokens}:
                await h.setting(mode, keys, 0, max(1, keys // 3))
                words = h.config.words(keys)
                await h.bench.cycles(4)
                sent, seen = len(h.driver.times), len(h.monitor.times)
                for _ in range(6):
                    h.put(h.random_group(rows))
                await h.settle()
                sends, starts = h.driver.times[sent:], np.array(h.monitor.times[seen::words])
                balanced = mode is Mode.BALANCED
                assert starts[0] - sends[rows * words - 1] == h.config.latency(keys, balanced), "latency"
                period = h.config.period(keys, balanced, rows)
                assert (np.diff(starts)[1:] == period).all(), f"a group every {np.diff(starts)}, not {period} cycles"
                coverage.hit("input held up", int(sends[-1] - sends[0] >= len(sends)))
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.ctx.random))
    for _ in range(12):
        await h.random_setting()
        for _ in range(3):
            h.put(h.random_group())
        await h.bench.cycles(int(h.rng.integers(1, 2 * h.config.latency(h.keys, True))))
        await h.bench.reset(1)
        h.board.reset()
        coverage.hit("reset in mid-work")
    await h.random_setting()
    for _ in range(3):
        h.put(h.random_group())
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("detector", POINTS, [simulate("detector", preset="fpga", seed=2)]).check()


@pytest.mark.parametrize("tokens, max_keys, key_lanes, score_bits", [(3, 32, 8, 8), (2, 8, 8, 2), (6, 16, 1, 5)])
def test_bit_exact(tokens, max_keys, key_lanes, score_bits):
    simulate("detector", preset="small", seed=tokens,
             overrides=dict(tokens=tokens, max_keys=max_keys, key_lanes=key_lanes, score_bits=score_bits))


@pytest.mark.slow
def test_paper_size():
    simulate("detector", preset="paper", testcase=["full_rate"])


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field bits, lane"):
        simulate("detector", preset="fpga", options={"corrupt": True}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="mode changes"):
        Coverage("detector", POINTS).check()


def test_modes_agree():
    assert {mode.name: mode.value for mode in SelectMode} == {mode.name: mode.value for mode in Mode}


@pytest.mark.parametrize("field, value", [("tokens", 7), ("max_keys", 48), ("key_lanes", 1024), ("score_bits", 1)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        DetectorConfig(**{field: value})
