"""What the Reorder Unit's tests share: the harness that drives and compares tiles of switching maps, cover points."""

import numpy as np

from golden.duet import reorder_unit as golden
from hw.duet.reorder_unit import ReorderUnitConfig
from sim.coverage import Coverage
from tests.dota.harness import StreamHarness

from sim.lanes import pack_lanes

POINTS = [
    "one channel", "max_channels", "all in the first bucket", "all in the last bucket", "all buckets used",
    "a bucket without a channel between others", "one bucket of max_channels", "a bucket of one channel",
    "last channel alone in its bucket", "order unchanged", "order reversed", "sum of 0", "sum of all lanes",
    "equal thresholds", "a longer tile after a shorter one", "a shorter tile after a longer one", "input held up",
    "reset in mid-work",
]
coverage = Coverage("reorder_unit", POINTS)


class Harness(StreamHarness):
    """Drives tiles of maps, compares the order of each with the golden model, collects coverage."""

    source, sink = "maps", "order"
    timeout = 5000

    def __init__(self, dut):
        super().__init__(dut)
        self.config = ReorderUnitConfig.from_dict(self.ctx.config)
        self.before = None

    async def setting(self, thresholds):
        """Set the thresholds, once everything inside has come out."""
        await self.settle()
        self.thresholds = [int(value) for value in thresholds]
        self.dut.thresholds.value = pack_lanes(self.thresholds, self.config.lanes.bit_length())
        self.hit("equal thresholds", len(set(self.thresholds)) < len(self.thresholds))

    async def random_setting(self):
        """Random thresholds: descending, spread out or close together."""
        rng, lanes = self.rng, self.config.lanes
        low, high = np.sort(rng.integers(0, lanes + 1, 2)) if rng.random() < 0.3 else (0, lanes)
        await self.setting(np.sort(rng.integers(low, high + 1, self.config.buckets - 1))[::-1])

    def random_channels(self):
        most = self.config.max_channels
        return int(self.rng.choice([1, 2, min(3, most), most, *self.rng.integers(1, most + 1, 3)]))

    def random_maps(self, channels):
        """Maps of as many channels, of any density."""
        rng, lanes = self.rng, self.config.lanes
        density = [rng.random((channels, 1)), rng.choice([0, 1], (channels, 1)), rng.random()][rng.integers(3)]
        return rng.random((channels, lanes)) < density

    def put(self, maps):
        """Queue a tile of maps, bool (channels, lanes)."""
        order = golden.order(maps, self.thresholds)
        self.put_expected(maps, order)
        self.cover(golden.bucket_of(golden.channel_sums(maps), self.thresholds), order)

    def put_expected(self, maps, order):
        """Queue a tile of maps that shall come out in this order."""
        ends = len(maps) - 1
        for index, (bits, channel) in enumerate(zip(maps, order)):
            self.driver.put({"map": pack_lanes(bits, 1), "last": int(index == ends)})
            wrong = self.corrupt and index == ends
            self.board.expect({"channel": int(channel) ^ int(wrong), "last": int(index == ends)})
        sums = np.sum(maps, axis=1)
        self.hit("sum of 0", (sums == 0).any())
        self.hit("sum of all lanes", (sums == self.config.lanes).any())

    def cover(self, buckets, order):
        """Count the cover points that a tile reaches."""
        channels, most = len(buckets), self.config.max_channels
        counts = np.bincount(buckets, minlength=self.config.buckets)
        used = np.flatnonzero(counts)
        for point, reached in {
                "one channel": channels == 1, "max_channels": channels == most,
                "all in the first bucket": counts[0] == channels > 1,
                "all in the last bucket": counts[-1] == channels > 1, "all buckets used": counts.all(),
                "a bucket without a channel between others": (np.diff(used) > 1).any(),
                "one bucket of max_channels": counts.max() == most,
                "a bucket of one channel": channels > 1 and (counts == 1).any(),
                "last channel alone in its bucket": channels > 1 and counts[buckets[-1]] == 1,
                "order unchanged": len(used) > 1 and (np.diff(order) > 0).all(),
                "order reversed": channels > 1 and (np.diff(order) < 0).all(),
                "a longer tile after a shorter one": self.before is not None and channels > self.before,
                "a shorter tile after a longer one": self.before is not None and channels < self.before}.items():
            self.hit(point, reached)
        self.before = channels

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)
