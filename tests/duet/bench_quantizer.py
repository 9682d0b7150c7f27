"""What the Quantizer's tests share: the harness that drives and compares items, cover points."""

import numpy as np

from golden.duet import quantizer as golden
from hw.duet.quantizer import QuantizerConfig
from sim.coverage import Coverage
from tests.dota.harness import StreamHarness

from sim.lanes import pack_lanes

POINTS = ["lowest", "highest", "minus one", "zero", "cut bits all ones", "all lanes differ", "back-to-back", "held up",
          "reset in mid-work"]
coverage = Coverage("quantizer", POINTS)


class Harness(StreamHarness):
    """Drives items, compares every one with the golden model, collects coverage."""

    source, sink = "i", "o"

    def __init__(self, dut):
        super().__init__(dut)
        self.config = QuantizerConfig.from_dict(self.ctx.config)
        self.low, self.high = -(1 << self.config.in_bits - 1), (1 << self.config.in_bits - 1) - 1

    def board_lanes(self):
        return self.config.out_bits

    def random_item(self):
        """Numbers of one item, corner values among them."""
        lanes = self.config.lanes
        x = self.rng.integers(self.low, self.high + 1, lanes)
        corners = self.rng.choice([self.low, self.high, -1, 0], lanes)
        return np.where(self.rng.random(lanes) < self.rng.choice([0, 0.3, 1]), corners, x)

    def put(self, x):
        """Queue an item and expect its result."""
        config = self.config
        result = golden.quantize(x, in_bits=config.in_bits, out_bits=config.out_bits)
        cut = config.in_bits - config.out_bits
        for point, reached in {"lowest": (x == self.low).any(), "highest": (x == self.high).any(),
                               "minus one": (x == -1).any(), "zero": (x == 0).any(),
                               "cut bits all ones": ((x >= 0) & (x + 1 == (result + 1) << cut)).any(),
                               "all lanes differ": len(set(result)) == min(config.lanes, 1 << config.out_bits)}.items():
            if reached:
                coverage.hit(point)
        self.driver.put(pack_lanes(x, config.in_bits))
        if self.corrupt:
            result[-1] ^= 1
        self.board.expect(pack_lanes(result, config.out_bits))
