"""What the Projection's tests share: the harness that drives and compares sums of items, cover points."""

from golden.duet import projection as golden
from hw.duet.projection import ProjectionConfig
from sim.coverage import Coverage
from tests.dota.harness import StreamHarness
from sim.lanes import pack_lanes

POINTS = [
    *(f"sum of {length}" for length in ("one item", "several items", "max_inputs")),
    *(f"shift {kind}" for kind in ("0", "between", "max_shift")),
    *(f"result {kind}" for kind in ("saturated high", "saturated low", "half rounded up", "inside")),
    "row of zeros", "row of ones", "row of minus ones", "least activation negated", "greatest sum", "least sum",
    "items with a gap inside a sum", "input held up", "reset in mid-work",
]
coverage = Coverage("projection", POINTS)


class Harness(StreamHarness):
    """Drives sums of items, compares every result with the golden model, collects coverage."""

    source, sink = "work", "o"

    def __init__(self, dut):
        super().__init__(dut)
        self.config = ProjectionConfig.from_dict(self.ctx.config)
        self.low, self.high = -(1 << self.config.bits - 1), (1 << self.config.bits - 1) - 1
        self.most = self.config.max_inputs // self.config.inputs

    def board_lanes(self):
        return self.config.bits

    async def setting(self, shift):
        """Set the shift, once everything inside has come out."""
        await self.settle()
        self.shift = self.dut.shift.value = shift
        highest = self.config.max_shift
        coverage.hit("shift " + {0: "0", highest: "max_shift"}.get(shift, "between"))

    async def random_setting(self):
        rng, highest = self.rng, self.config.max_shift
        await self.setting(int(rng.choice([0, highest, *rng.integers(0, highest + 1, 4)])))

    def random_sum(self, items=None):
        """Activations (items, inputs) and entries of P (items, trees, inputs) of one sum; extremes among them."""
        rng, config = self.rng, self.config
        items = int(rng.choice([1, 1, 2, self.most, rng.integers(1, self.most + 1)])) if items is None else items
        items = min(items, self.most)
        x = rng.integers(self.low, self.high + 1, (items, config.inputs))
        if rng.random() < 0.3:
            x[:] = rng.choice([self.low, self.high, -1, 0])
        density = rng.choice([1 / 3, 1, 0.1])
        p = rng.choice([-1, 0, 1], (items, config.trees, config.inputs), p=[density / 2, 1 - density, density / 2])
        for tree in range(config.trees):
            if rng.random() < 0.3:
                p[:, tree] = rng.choice([-1, 0, 1])
        return x, p

    def put(self, x, p):
        """Queue the items of one sum and expect its result."""
        for index, (activations, entries) in enumerate(zip(x, p)):
            self.driver.put({
                "x": pack_lanes(activations, self.config.bits),
                "p": pack_lanes(golden.encode_ternary(entries).ravel(), 2),
                "first": int(index == 0), "last": int(index == len(x) - 1)})
        whole, rows = x.reshape(-1), p.swapaxes(0, 1).reshape(self.config.trees, -1)
        result = golden.project(whole, rows, self.shift, bits=self.config.bits)
        self.cover(x, whole, rows, result)
        if self.corrupt:
            result[-1] ^= 1
        self.board.expect(pack_lanes(result, self.config.bits))

    def cover(self, x, whole, rows, result):
        """Count the cover points that a sum reaches."""
        exact = golden.project_sum(whole, rows, bits=self.config.bits)
        scaled = exact / 2 ** self.shift
        greatest = self.config.max_inputs << self.config.bits - 1
        least = whole == self.low
        for point, reached in {
                "sum of one item": len(x) == 1, "sum of several items": 1 < len(x) < self.most,
                "sum of max_inputs": whole.size == self.config.max_inputs,
                "result saturated high": (scaled > self.high + 0.5).any(),
                "result saturated low": (scaled < self.low - 0.5).any(),
                "result half rounded up": (result == scaled + 0.5).any(),
                "result inside": ((self.low < result) & (result < self.high)).any(),
                "row of zeros": (rows == 0).all(axis=1).any(), "row of ones": (rows == 1).all(axis=1).any(),
                "row of minus ones": (rows == -1).all(axis=1).any(),
                "least activation negated": (least & (rows == -1)).any(),
                "greatest sum": (exact == greatest).any(), "least sum": (exact == -greatest).any()}.items():
            if reached:
                coverage.hit(point)
