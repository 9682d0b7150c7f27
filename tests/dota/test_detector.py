"""The Detector against its golden model: every beat of masks under stalls, latency and rate, corner values."""

import cocotb
import numpy as np
import pytest

from golden.dota import detector as golden
from golden.dota.detector import Mode
from hw.config import ConfigError
from hw.dota.detector import DetectorConfig, SelectMode
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage, NotCovered
from sim.scoreboard import Scoreboard
from sim.stream import StallProfile
from sim.timed import TimedDriver, TimedMonitor

POINTS = [
    *(f"{mode.name} {what}" for mode in Mode for what in (
        "all keys selected", "group of one row", "group of all rows", "one key", "max_keys", "ragged last word",
        "row of equal scores", "lowest score", "highest score")),
    "BALANCED tie at the border", "BALANCED tie across words", "BALANCED one of a row", "BALANCED more than there are",
    "THRESHOLD nothing selected", "THRESHOLD rows of different length", "mode changes", "reset in mid-work",
    "input held up",
]
coverage = Coverage("detector", POINTS)

# ---- in the simulation ------------------------------------------------------------------------------------------


def little_endian(values, bits):
    """The packed word of integers, the first in the low bits."""
    return sum((int(value) & (1 << bits) - 1) << bits * index for index, value in enumerate(values))


class Harness:
    """Drives groups of score rows, compares every beat with the golden model, collects coverage."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.rng
        self.config = DetectorConfig.from_dict(self.ctx.config)
        self.low, self.high = -(1 << self.config.score_bits - 1), (1 << self.config.score_bits - 1) - 1
        self.mode = None

    async def start(self, drive=None, take=None):
        self.bench = await start(self.dut, timeout=1000)
        self.board = Scoreboard("masks", lanes={"bits": self.config.key_lanes}, bench=self.bench)
        self.driver = TimedDriver(self.dut, "scores", stall=drive, layout=self.ctx.layout("scores"))
        self.monitor = TimedMonitor(self.dut, "masks", stall=take, layout=self.ctx.layout("masks"),
                                    callback=self.board.check)

    async def setting(self, mode, keys, threshold=0, count=1):
        """Set the configuration inputs, once everything inside has come out."""
        await self.settle()
        if mode != self.mode and self.mode is not None:
            coverage.hit("mode changes")
        self.mode, self.keys, self.threshold, self.count = mode, keys, threshold, count
        self.dut.mode.value, self.dut.keys.value, self.dut.count.value = mode.value, keys, count
        self.dut.threshold.value = threshold & (1 << self.config.score_bits) - 1

    async def random_setting(self, mode=None):
        rng, most = self.rng, self.config.max_keys
        keys = int(rng.choice([1, most, *rng.integers(1, most + 1, 4)]))
        count = int(rng.choice([1, keys, most, *rng.integers(1, most + 1, 4)]))
        threshold = int(rng.choice([self.low, self.high, 0, *rng.integers(self.low, self.high + 1, 4)]))
        await self.setting(Mode(rng.integers(2)) if mode is None else mode, keys, threshold, count)

    def random_group(self, rows=None):
        """Scores of a group, of a narrow or the full range."""
        rng = self.rng
        rows = int(rng.integers(1, self.config.tokens + 1)) if rows is None else rows
        spread = int(rng.choice([0, 1, 3, self.high]))
        centre = int(rng.choice([self.low, 0, self.high]))
        return np.clip(centre + rng.integers(-spread, spread + 1, (rows, self.keys)), self.low, self.high)

    def put(self, scores):
        """Queue a group; lanes past the last key carry anything, and group_rows matters in the first word only."""
        config, rng = self.config, self.rng
        words = config.words(self.keys)
        junk = rng.integers(self.low, self.high + 1, (len(scores), words * config.key_lanes - self.keys))
        for index, word in enumerate(np.hstack([scores, junk]).reshape(-1, config.key_lanes)):
            self.driver.put({"data": little_endian(word, config.score_bits),
                             "group_rows": int(rng.integers(config.tokens + 1)) if index else len(scores)})
        selected = golden.select(scores, self.mode, self.threshold, self.count, score_bits=config.score_bits)
        if self.ctx.options.get("corrupt"):
            selected[-1, -1] ^= True
        masks = np.pad(selected, ((0, config.tokens - len(scores)), (0, junk.shape[1])))
        beats = masks.reshape(config.tokens, words, config.key_lanes).swapaxes(0, 1).reshape(words, -1)
        for index, beat in enumerate(beats):
            self.board.expect({"bits": little_endian(beat, 1), "last": int(index == words - 1)})
        self.cover(scores, selected)

    def cover(self, scores, selected):
        """Count the cover points that a group reaches."""
        rows, keys = scores.shape
        lanes = self.config.key_lanes
        for what, reached in {
                "all keys selected": selected.all(), "group of one row": rows == 1,
                "group of all rows": rows == self.config.tokens, "one key": keys == 1,
                "max_keys": keys == self.config.max_keys, "ragged last word": keys % lanes,
                "row of equal scores": keys > 1 and (np.ptp(scores, axis=1) == 0).any(),
                "lowest score": (scores == self.low).any(), "highest score": (scores == self.high).any()}.items():
            self.hit(f"{self.mode.name} {what}", reached)
        if self.mode is Mode.THRESHOLD:
            self.hit("THRESHOLD nothing selected", not selected.any())
            self.hit("THRESHOLD rows of different length", len(set(selected.sum(axis=1))) > 1)
            return
        self.hit("BALANCED one of a row", self.count == 1 and keys > 1)
        self.hit("BALANCED more than there are", self.count > keys)
        for row, chosen in zip(scores, selected):
            border = row == row[chosen].min()
            tied = (border & ~chosen).any()
            self.hit("BALANCED tie at the border", tied)
            self.hit("BALANCED tie across words", tied and len(set(np.flatnonzero(border & chosen) // lanes)) > 1)

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)

    async def settle(self):
        """Wait for every expected beat; a hang ends the wait."""
        while self.board.pending():
            await self.bench.cycles(1)

    async def finish(self):
        """Wait for every expected beat, then check that nothing is left over."""
        await self.settle()
        await self.bench.finish()


PROFILES = {
    "none": (lambda rng: None, lambda rng: None),
    "slow input": (lambda rng: StallProfile.random(0.7, rng), lambda rng: None),
    "slow output": (lambda rng: None, lambda rng: StallProfile.random(0.7, rng)),
    "bursts": (lambda rng: StallProfile.bursts(rng), lambda rng: StallProfile.bursts(rng)),
    "after offer": (lambda rng: StallProfile.random(0.2, rng), lambda rng: StallProfile.after_offer(1)),
    "adversarial": (StallProfile.adversarial, StallProfile.adversarial),
}


@cocotb.test()
@cocotb.parametrize(profile=list(PROFILES))
async def random_groups(dut, profile):
    """Back-to-back groups of random scores, random settings."""
    h = Harness(dut)
    drive, take = (make(h.ctx.random) for make in PROFILES[profile])
    await h.start(drive, take)
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


@cocotb.test()
async def cover_points(dut):
    """Every point was reached by the tests before this one, where the run asks for it."""
    if context().options.get("cover"):
        coverage.check()


# ---- pytest -----------------------------------------------------------------------------------------------------


def simulate(**options):
    from resilin.simulate import simulate
    return simulate("detector", **options)


def test_bit_exact_and_covered():
    simulate(preset="fpga", options={"cover": True}, seed=2)


@pytest.mark.parametrize("tokens, max_keys, key_lanes, score_bits", [(3, 32, 8, 8), (2, 8, 8, 2), (6, 16, 1, 5)])
def test_bit_exact(tokens, max_keys, key_lanes, score_bits):
    simulate(preset="small", seed=tokens,
             overrides=dict(tokens=tokens, max_keys=max_keys, key_lanes=key_lanes, score_bits=score_bits))


@pytest.mark.slow
def test_paper_size():
    simulate(preset="paper", testcase=["full_rate"])


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field bits, lane"):
        simulate(preset="fpga", options={"corrupt": True}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="mode changes"):
        Coverage("detector", POINTS).check()


def test_modes_agree():
    assert {mode.name: mode.value for mode in SelectMode} == {mode.name: mode.value for mode in Mode}


def test_golden_examples():
    scores = np.array([[3, -1, 3, 7], [0, 0, 0, 0]])
    np.testing.assert_array_equal(golden.select(scores, Mode.THRESHOLD, threshold=3), [[1, 0, 1, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(golden.select(scores, Mode.BALANCED, count=2), [[1, 0, 0, 1], [1, 1, 0, 0]])
    assert golden.select(scores, Mode.BALANCED, count=9).all()


@pytest.mark.parametrize("scores, mode, threshold, count, message", [
    ([[128]], Mode.THRESHOLD, 0, 1, "a score must be from -128 to 127"),
    ([[0.5]], Mode.THRESHOLD, 0, 1, "integer array"), ([1, 2], Mode.THRESHOLD, 0, 1, "integer array"),
    ([[1]], Mode.THRESHOLD, 200, 1, "threshold must be"), ([[1]], Mode.BALANCED, 0, 0, "count must be"),
    ([[1]], 2, 0, 1, "mode must be"),
])
def test_golden_refuses(scores, mode, threshold, count, message):
    with pytest.raises(ValueError, match=message):
        golden.select(np.array(scores), mode, threshold, count)


@pytest.mark.parametrize("field, value", [("tokens", 7), ("max_keys", 48), ("key_lanes", 1024), ("score_bits", 1)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        DetectorConfig(**{field: value})
