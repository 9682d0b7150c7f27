"""What the systolic array's tests share: the harness that drives and compares tiles, cover points."""

import numpy as np

from golden.duet.systolic_array import matmul
from hw.duet.systolic_array import SystolicArrayConfig
from sim.coverage import Coverage
from tests.dota.harness import StreamHarness

from sim.lanes import pack_lanes

POINTS = [
    "K = 1", "K below cols", "K = cols", "K above cols", "sums kept for the next tile", "sums used after they left",
    "sums abandoned", "no first after reset", "greatest sum", "least sum", "every product", "reset in mid-work",
    "step with last waits for the one before", "step with last waits for room",
]
coverage = Coverage("systolic_array", POINTS)


class Harness(StreamHarness):
    """Drives tiles, compares every column with the golden model, collects coverage."""

    source, sink = "operands", "results"
    timeout = 5000

    def __init__(self, dut):
        super().__init__(dut)
        self.config = SystolicArrayConfig.from_dict(self.ctx.config)
        self.least, self.greatest = -(1 << self.config.bits - 1), (1 << self.config.bits - 1) - 1
        self.products = set()
        self.after_reset()

    def board_lanes(self):
        return {"data": self.config.acc_bits}

    def after_reset(self):
        """What a reset leaves: sums of zero."""
        self.sums = np.zeros((self.config.rows, self.config.cols), dtype=np.int64)
        self.steps, self.open, self.left, self.new = 0, False, False, True

    async def reset(self):
        await self.bench.reset(1)
        self.board.reset()
        self.after_reset()
        coverage.hit("reset in mid-work")

    def random_k(self):
        cols = self.config.cols
        return int(self.rng.choice([1, 2, cols - 1, cols, cols + 1, *self.rng.integers(1, 3 * cols, 3)]))

    def random_tile(self, k):
        """Operands of ``k`` steps: over the full range, extremes only, or one value."""
        rng, config = self.rng, self.config
        values = [np.arange(self.least, self.greatest + 1), [self.least, self.greatest], [-1, 0, 1],
                  [self.least], [self.greatest]]
        pick = [values[rng.choice(len(values), p=[0.6, 0.1, 0.1, 0.1, 0.1])] for _ in range(2)]
        return rng.choice(pick[0], (config.rows, k)), rng.choice(pick[1], (k, config.cols))

    def put(self, a, b, *, first=True, last=True):
        """Queue a tile of a (rows, k) and b (k, cols)."""
        config, k = self.config, a.shape[1]
        for step in range(k):
            self.driver.put({"a": pack_lanes(a[:, step], config.bits), "b": pack_lanes(b[step], config.bits),
                             "first": int(first and step == 0), "last": int(last and step == k - 1)})
        self.cover(a, b, first, last)
        self.steps = k if first else self.steps + k
        self.sums = matmul(a, b, None if first else self.sums, bits=config.bits, acc_bits=config.acc_bits)
        self.open, self.left, self.new = not last, last, False
        if last:
            results = self.sums + self.corrupt * np.eye(*self.sums.shape, dtype=np.int64)
            for col in range(config.cols):
                self.board.expect({"data": pack_lanes(results[:, col], config.acc_bits),
                                   "last": int(col == config.cols - 1)})
            self.hit("greatest sum", results.max() == config.max_k * self.least ** 2)
            self.hit("least sum", results.min() == config.max_k * self.least * self.greatest)

    def put_random(self):
        """Queue a random tile that begins, goes on with or ends sums."""
        k = self.random_k()
        room = self.config.max_k - self.steps
        first = bool(self.rng.random() < 0.6) or room < 1
        self.put(*self.random_tile(min(k, self.config.max_k if first else room)), first=first,
                 last=bool(self.rng.random() < 0.8))

    def cover(self, a, b, first, last):
        """Count the cover points that a tile reaches."""
        cols, k = self.config.cols, a.shape[1]
        for what, reached in {"K = 1": k == 1, "K below cols": k < cols, "K = cols": k == cols,
                              "K above cols": k > cols}.items():
            self.hit(what, reached and first and last)
        self.hit("sums kept for the next tile", self.open and not first)
        self.hit("sums used after they left", self.left and not first)
        self.hit("sums abandoned", self.open and first)
        self.hit("no first after reset", self.new and not first)
        for step in range(k):
            self.products |= {(x, y) for x in set(a[:, step].tolist()) for y in set(b[step].tolist())}
        self.hit("every product", len(self.products) == 1 << 2 * self.config.bits)

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)
