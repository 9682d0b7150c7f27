"""The Scheduler against its golden model: every round under stalls, worked examples, full rate, latency."""

import itertools

import cocotb
import numpy as np
import pytest

from golden.dota import scheduler as golden
from hw.config import ConfigError
from hw.dota.scheduler import SchedulerConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile

from .bench_scheduler import FIG_7_14, FIG_7_15, POINTS, TOKENS, Harness, column_group, hit, random_group
from .harness import PROFILES, stalls


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_groups(dut, profile):
    """Back-to-back groups of random masks."""
    h = Harness(dut)
    await h.start(*stalls(profile, h.ctx.random))
    h.put(*(random_group(h.ctx.rng, h.config.tokens, h.config.max_keys) for _ in range(25)))
    await h.finish()


@cocotb.test()
async def corner_groups(dut):
    """Empty, full and equal rows, one key, every buffer filled to the brim, and the worked examples."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.3, h.ctx.random))
    tokens, keys = h.config.tokens, h.config.max_keys
    for masks in (FIG_7_14, FIG_7_15):
        if tokens == len(masks):
            h.put(masks, np.zeros((tokens, keys), bool), masks)
    h.put(np.zeros((tokens, 1), bool), np.ones((tokens, keys), bool), np.ones((tokens, 1), bool),
          np.tile(h.ctx.rng.random(keys) < 0.3, (tokens, 1)), np.eye(tokens, keys, keys - tokens, dtype=bool))
    for value in range(1, 1 << tokens):
        h.put(column_group([golden.buffer_name(value, tokens)], keys, tokens))
    for names in itertools.combinations([golden.buffer_name(value, tokens) for value in range(1, 1 << tokens)], 2):
        h.put(column_group(names, min(keys // 2, 16), tokens))
    if tokens == TOKENS:
        h.put(column_group(["B1100", "B1010"], keys // 2), column_group(["B1100", "B1010", "B1001"], keys // 4),
              column_group(["B1100", "B0110", "B0101", "B1001"], keys // 4))
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """Without stalls: latency from idle, no bubble inside a group, and the fill overlaps the issue."""
    h = Harness(dut)
    await h.start()
    tokens, keys, lanes = h.config.tokens, h.config.max_keys, h.config.key_lanes
    for _ in range(20):
        masks = random_group(h.ctx.rng, tokens, keys)
        sent, seen = len(h.driver.times), len(h.monitor.times)
        [count] = h.put(masks)
        await h.settle()
        used = np.add.reduceat(masks.any(axis=0), np.arange(0, masks.shape[1], lanes), dtype=int)
        times = h.monitor.times[seen:]
        assert times[0] - h.driver.times[sent] == h.config.latency(used), "latency"
        assert np.diff(times).tolist() == [1] * (count - 1), "a bubble inside a group"
    for masks in (np.ones((tokens, keys), bool), np.repeat(np.eye(tokens, dtype=bool), keys // tokens, axis=1),
                  random_group(h.ctx.rng, tokens, keys)):
        seen = len(h.monitor.times)
        lengths = h.put(*[masks] * 6)
        await h.settle()
        starts = np.array(h.monitor.times[seen:])[np.cumsum([0, *lengths[:-1]])]
        used = np.add.reduceat(masks.any(axis=0), np.arange(0, masks.shape[1], lanes), dtype=int)
        period = h.config.period(lengths[0], used)
        assert (np.diff(starts) <= period).all(), f"a group every {np.diff(starts)} cycles, {period} at most expected"
    await h.finish()


@cocotb.test()
async def fill_waits(dut):
    """With the output blocked, a group and what fits of the next one fill; nothing is lost."""
    h = Harness(dut)
    await h.start(watch=False)
    full = np.ones((h.config.tokens, h.config.max_keys), bool)
    upper = full.copy()
    upper[:, :h.config.max_keys // 2] = False
    # The second group would put other IDs than the first over them, if its fill did not wait.
    h.put(full, upper, full)
    await h.bench.cycles(4 * h.config.max_keys)
    beats = len(h.beats(full))
    assert h.driver.count < 3 * beats and not h.driver.idle()
    hit("fill waits for issue")
    h.watch()
    await h.finish()


@cocotb.test()
async def fill_ahead(dut):
    """With the output blocked and a whole group waiting, the fill takes what it can hold of the next group."""
    h = Harness(dut)
    await h.start(watch=False)
    tokens, lanes = h.config.tokens, h.config.key_lanes
    full, waiting = np.ones((tokens, h.config.max_keys), bool), np.eye(tokens, 1, dtype=bool)
    following = np.zeros((tokens, h.config.max_keys), bool)
    following[0, lanes::lanes] = True  # no key in the first beat, one in each of the others
    h.put(full, waiting, following)
    await h.bench.cycles(4 * h.config.max_keys)
    # The beat without keys vanishes; a key is held as a column, another in its beat.
    taken = h.driver.count - len(h.beats(full)) - 1
    assert taken == min(len(h.beats(following)), 3), f"{taken} beats of the next group were taken"
    h.watch()
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.ctx.random))
    for _ in range(15):
        h.put(*(random_group(h.ctx.rng, h.config.tokens, h.config.max_keys) for _ in range(4)))
        await h.bench.cycles(int(h.ctx.rng.integers(1, 4 * h.config.max_keys)))
        await h.bench.reset(1)
        h.board.reset()
        hit("reset in mid-work")
    h.put(*(random_group(h.ctx.rng, h.config.tokens, h.config.max_keys) for _ in range(4)))
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("scheduler", POINTS, [simulate("scheduler", preset="fpga", seed=3)]).check()


@pytest.mark.parametrize("tokens, max_keys, key_lanes", [
    (2, 16, 16), (3, 32, 8), pytest.param(5, 16, 4, marks=pytest.mark.slow),
    pytest.param(6, 16, 1, marks=pytest.mark.slow)])
def test_bit_exact(tokens, max_keys, key_lanes):
    simulate("scheduler", preset="small", seed=tokens,
             overrides=dict(tokens=tokens, max_keys=max_keys, key_lanes=key_lanes))


def test_paper_size():
    simulate("scheduler", preset="paper", testcase=["corner_groups", "full_rate"])


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field picks.0.rows"):
        simulate("scheduler", preset="fpga", options={"corrupt": True}, testcase="fill_waits")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="reset in mid-work"):
        Coverage("scheduler", POINTS).check()


@pytest.mark.parametrize("field, value", [("tokens", 7), ("tokens", 1), ("max_keys", 48), ("key_lanes", 1024)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        SchedulerConfig(**{field: value})
