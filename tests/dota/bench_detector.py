"""What the Detector's tests share: the harness that drives and compares groups of scores, cover points."""

import numpy as np

from golden.dota import detector as golden
from golden.dota.detector import Mode
from hw.dota.detector import DetectorConfig
from sim.coverage import Coverage

from .harness import StreamHarness

POINTS = [
    *(f"{mode.name} {what}" for mode in Mode for what in (
        "all keys selected", "group of one row", "group of all rows", "one key", "max_keys", "ragged last word",
        "row of equal scores", "lowest score", "highest score")),
    "BALANCED tie at the border", "BALANCED tie across words", "BALANCED one of a row", "BALANCED more than there are",
    "THRESHOLD nothing selected", "THRESHOLD rows of different length", "mode changes", "reset in mid-work",
    "input held up",
]
coverage = Coverage("detector", POINTS)


def little_endian(values, bits):
    """The packed word of integers, the first in the low bits."""
    return sum((int(value) & (1 << bits) - 1) << bits * index for index, value in enumerate(values))


class Harness(StreamHarness):
    """Drives groups of score rows, compares every beat with the golden model, collects coverage."""

    source, sink = "scores", "masks"

    def __init__(self, dut):
        super().__init__(dut)
        self.config = DetectorConfig.from_dict(self.ctx.config)
        self.low, self.high = -(1 << self.config.score_bits - 1), (1 << self.config.score_bits - 1) - 1
        self.mode = None

    def board_lanes(self):
        return {"bits": self.config.key_lanes}

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
        if self.corrupt:
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
