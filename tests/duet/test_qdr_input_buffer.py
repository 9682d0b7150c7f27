# amaranth: UnusedElaboratable=no
"""QDR input buffer: what is written a position at a time is read a k at a time; both halves, held reads."""

import cocotb
import pytest

from hw.duet.qdr_input_buffer import QdrInputBuffer
from hw.duet.speculator_types import SpeculatorConfig
from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage

POINTS = ["one half", "both halves", "one position", "some positions", "all positions",
          "written while the other half is read", "held", "all rows"]
coverage = Coverage("qdr_input_buffer", POINTS)


class Harness:
    """Writes jobs' inputs and reads them transposed, both at random times; the board is the matrix of each half."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.random
        self.config = SpeculatorConfig.from_dict(self.ctx.config)

    async def start(self):
        self.bench = await start(self.dut, timeout=None)

    async def layer(self):
        config, rng = self.config, self.rng
        last = config.segment - 1
        self.last_place = rng.choice([0, last, rng.randint(0, last)])
        self.double = rng.getrandbits(1)
        most = config.input_rows >> self.double
        self.k_rows = rng.choice([1, most, rng.randint(1, most)])
        self.dut.last_place.value, self.dut.double.value = self.last_place, self.double
        self.dut.k_rows.value, self.dut.clear.value = self.k_rows, 1
        await self.bench.cycles(1)
        self.dut.clear.value = 0
        coverage.hit({0: "one position", last: "all positions"}.get(self.last_place, "some positions"))
        coverage.hit("both halves" if self.double else "one half")
        if self.k_rows == config.input_rows:
            coverage.hit("all rows")

    async def write(self, half, values, pause):
        """``values``: [row][position] items of M inputs."""
        self.dut.begin.value, self.dut.begin_half.value = 1, half
        await self.bench.cycles(1)
        self.dut.begin.value = 0
        await self.bench.cycles(1)
        assert not int(self.dut.complete.value) >> half & 1
        for value in [value for row in values for value in row]:
            while self.rng.random() < pause:
                self.dut.values__valid.value = 0
                await self.bench.cycles(1)
            self.dut.values__valid.value, self.dut.values__payload.value = 1, value
            await self.bench.cycles(1)
        self.dut.values__valid.value = 0
        await self.bench.cycles(1)
        assert int(self.dut.complete.value) >> half & 1, "complete a cycle after the last item"

    async def read(self, half, values, pause):
        """Every k in order, each compared a cycle later and as long as it is held."""
        config, bits = self.config, self.config.bits
        for k in range(self.k_rows * config.trees):
            row, lane = divmod(k, config.trees)
            self.dut.read_enable.value, self.dut.read_half.value = 1, half
            self.dut.row.value, self.dut.lane.value = row, lane
            await self.bench.cycles(1)
            self.dut.read_enable.value = 0
            self.dut.row.value, self.dut.lane.value = self.rng.randrange(config.input_rows), 0
            expected = [value >> bits * lane & (1 << bits) - 1 for value in values[row]]
            while True:
                await self.bench.cycles(1)
                column = int(self.dut.column.value)
                got = [column >> bits * p & (1 << bits) - 1 for p in range(len(expected))]
                assert got == expected, f"k {k} of half {half}: expected {expected}, got {got}"
                if self.rng.random() >= pause:
                    break
                coverage.hit("held")

    def random_values(self):
        config = self.config
        return [[self.rng.getrandbits(config.trees * config.bits) for _ in range(self.last_place + 1)]
                for _ in range(self.k_rows)]


@cocotb.test()
async def transposed(dut):
    h = Harness(dut)
    await h.start()
    for _ in range(h.ctx.options["layers"]):
        await h.layer()
        half, before = 0, None
        for _ in range(2 + h.double):
            values, pause = h.random_values(), h.rng.choice([0, .5])
            if before is not None and h.double:
                reader = cocotb.start_soon(h.read(*before, pause))
                await h.write(half, values, pause)
                await reader
                coverage.hit("written while the other half is read")
            else:
                await h.write(half, values, pause)
                await h.read(half, values, pause)
            before, half = (half, values), half ^ h.double
        if h.ctx.options.get("corrupt"):
            values[0][0] ^= 1
        await h.read(*before, 0)
    coverage.check()


def run(overrides, **options):
    config = SpeculatorConfig.preset("small", overrides)
    name = "qdr_input_buffer_" + "_".join(str(value) for value in overrides.values())
    simulate_component(QdrInputBuffer(config), __name__, name=name, config=config.to_dict(), options=options)


@pytest.mark.parametrize("overrides", [
    dict(input_rows=8), dict(input_rows=4, trees=2, segment=8, array_rows=8, bits=2)])
def test_transposed(overrides):
    run(overrides, layers=25)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="k 0 of half"):
        run(dict(input_rows=8), layers=25, corrupt=1)
