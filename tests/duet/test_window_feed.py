# amaranth: UnusedElaboratable=no
"""Windows from the activation buffer against their pixels one by one, in every geometry; order, rate and latency."""

import itertools

import cocotb
import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.activation_buffer import ActivationBuffer, ActivationLine
from hw.duet.line_memory import LineMemory
from hw.duet.speculator_types import SLOTS, Settings, SpeculatorConfig
from hw.duet.window_feed import Window, WindowFeed
from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage, merge
from sim.scoreboard import Scoreboard
from sim.stream import pack
from sim.timed import TimedDriver, TimedMonitor
from tests.dota.harness import PROFILES, stalls

POINTS = ["gate", "convolution", "two tiles at once", "one tile at once", "several passes", "several groups",
          "several rows of P", "line in parts", "tile in part", "block of one row", "block of one column"]
coverage = Coverage("window_feed", POINTS)
SHIFT = 4


class Feed(wiring.Component):
    """The activation buffer, a projection buffer and the feed between them."""

    def __init__(self, config):
        self.config = config
        self.feed = WindowFeed(config, SHIFT, assertions=True)
        self.memory = LineMemory(config.line_bits, config.trees * config.lanes * 2, config.projection_rows)
        super().__init__({
            "settings": In(Settings(config, SHIFT)), "double": In(1), "clear": In(1), "jobs": In(stream.Signature(1)),
            "lines": In(stream.Signature(ActivationLine(config))),
            "p_lines": In(self.memory.write.signature.flip()),
            "work": Out(stream.Signature(Window(config))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.feed, m.submodules.memory = feed, memory = self.feed, self.memory
        m.submodules.buffer = buffer = ActivationBuffer(self.config)
        for name in ("loaded", "half", "pixels"):
            m.d.comb += getattr(feed, name).eq(getattr(buffer, name))
        for name in ("finish", "free_room", "read_enable", "rows"):
            m.d.comb += getattr(buffer, name).eq(getattr(feed, name))
        m.d.comb += [
            feed.settings.eq(self.settings), feed.start.eq(self.jobs.valid & feed.free), self.jobs.ready.eq(feed.free),
            buffer.double.eq(self.double), buffer.clear.eq(self.clear),
            memory.read_enable.eq(feed.p_enable), memory.read_row.eq(feed.p_row), feed.p.eq(memory.row),
        ]
        wiring.connect(m, wiring.flipped(self.lines), buffer.lines)
        wiring.connect(m, wiring.flipped(self.p_lines), memory.write)
        wiring.connect(m, feed.work, wiring.flipped(self.work))
        return m


class Harness:
    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.rng
        self.config = SpeculatorConfig.from_dict(self.ctx.config)

    async def start(self, drive=None, take=None):
        self.bench = await start(self.dut)
        self.lines = TimedDriver(self.dut, "lines", stall=drive, layout=self.ctx.layout("lines"))
        self.p_lines = TimedDriver(self.dut, "p_lines", layout=self.ctx.layout("p_lines"))
        self.jobs = TimedDriver(self.dut, "jobs")
        self.board = Scoreboard("work", lanes={"x": self.config.bits, "p": 2}, bench=self.bench)
        self.monitor = TimedMonitor(self.dut, "work", stall=take, layout=self.ctx.layout("work"),
                                    callback=self.board.check)
        self.p_bits = 0
        for address in range(self.config.projection_rows * self.config.trees // 8):
            line = self.ctx.random.getrandbits(self.config.line_bits)
            self.p_lines.put({"address": address, "data": line})
            self.p_bits |= line << address * self.config.line_bits
        while not self.p_lines.idle():
            await self.bench.cycles(1)

    async def settle(self):
        while self.board.pending() or not self.lines.idle():
            await self.bench.cycles(1)
        await self.bench.cycles(5)

    async def layer(self, **fields):
        """Begin a layer of random geometry."""
        config, rng = self.config, self.rng
        await self.settle()
        size = config.segment.bit_length() - 1
        block_width = int(rng.integers(size + 1))
        gate = int(rng.integers(3) == 0)
        groups = 1 if gate else int(rng.choice([1, config.activation_rows // SLOTS, 2]))
        most = config.projection_rows // groups
        passes = int(rng.integers(1, min(config.max_passes, most) + 1))
        group_rows = int(rng.integers(1, min(most // passes, config.input_rows // groups) + 1))
        self.layer_fields = dict(
            gate=gate, groups=groups, passes=passes, group_rows=group_rows, k_rows=groups * group_rows, p_shift=0,
            block_width=block_width, tile_width=int(rng.integers(size + 1)),
            stride_y=int(rng.integers(1, 8)), stride_x=int(rng.integers(1, 8)),
            origin_y=int(rng.integers(2 * config.segment >> block_width)),
            origin_x=int(rng.integers(2 << block_width)), keep_order=0,
            unused=int(rng.choice([0, 0, config.segment - 1, rng.integers(config.segment)])))
        self.layer_fields.update(fields)
        self.far = rng.integers(0, 2, (config.max_passes, 2, config.segment))
        plain = {f"taps.{q}.{name}": sum(int(bit) << t for t, bit in enumerate(self.far[q][axis]))
                 for q in range(config.max_passes) for axis, name in enumerate(("far_y", "far_x"))}
        plain.update({f"thresholds.{i}": 0 for i in range(config.buckets - 1)})
        self.dut.settings.value = pack(self.ctx.layout("settings"), {**self.layer_fields, **plain})
        f = self.layer_fields
        self.tile_rows = f["passes"] if f["gate"] else SLOTS * f["groups"]
        double = int(2 * self.tile_rows <= config.activation_rows)
        self.dut.double.value = double
        self.dut.clear.value = 1
        await self.bench.cycles(1)
        self.dut.clear.value = 0
        for point, reached in {
                "gate": f["gate"], "convolution": not f["gate"], "two tiles at once": double,
                "one tile at once": not double, "several passes": f["passes"] > 1, "several groups": f["groups"] > 1,
                "several rows of P": f["group_rows"] > 1, "block of one row": f["block_width"] == size,
                "tile in part": f["unused"], "block of one column": f["block_width"] == 0}.items():
            if reached:
                coverage.hit(point)

    def put_tile(self):
        """Queue the lines of a tile, expect its windows; returns the number of lines."""
        config, rng, f = self.config, self.rng, self.layer_fields
        tile = rng.integers(-(1 << 15), 1 << 15, (self.tile_rows, config.cols, config.segment))
        self.jobs.put(0)
        parts = []
        for address in rng.permutation(self.tile_rows):
            if rng.integers(2):
                parts.append((address, (1 << config.segment) - 1))
            else:
                mask = int(rng.integers(1 << config.segment))
                parts += [(address, mask), (address, mask ^ (1 << config.segment) - 1)]
                coverage.hit("line in parts")
        for index, (address, mask) in enumerate(parts):
            junk = rng.integers(-(1 << 15), 1 << 15, (config.cols, config.segment))
            chosen = np.array([mask >> p & 1 for p in range(config.segment)], bool)
            words = np.where(chosen, tile[address], junk).ravel()
            self.lines.put({"address": int(address), "mask": mask, "last": int(index == len(parts) - 1),
                            "data": sum((int(word) & 0xffff) << 16 * i for i, word in enumerate(words))})
        small = tile >> 16 - config.bits
        positions = 1 if f["gate"] else config.segment - f["unused"]
        loops = (f["groups"], f["group_rows"], positions, f["passes"])
        for g, kk, p, q in itertools.product(*(range(count) for count in loops)):
            x = small[q].T if f["gate"] else np.array([self.pixel(small, g, p, q, t) for t in range(config.segment)])
            row = (g * f["passes"] + q) * f["group_rows"] + kk
            p_bits = config.trees * config.lanes * 2
            self.board.expect({
                "x": sum((int(value) & (1 << config.bits) - 1) << config.bits * i for i, value in enumerate(x.ravel())),
                "p": (self.p_bits >> p_bits * row & (1 << p_bits) - 1) ^ self.ctx.options.get("corrupt", 0),
                "first": int(q == 0), "last": int(q == f["passes"] - 1)})
        return len(parts)

    def pixel(self, tile, g, p, q, t):
        """Channels of one pixel, as docs/duet/speculator.md has it."""
        f = self.layer_fields
        tw = 1 << f["block_width"]
        th = self.config.segment // tw
        dy, dx = t // tw + th * self.far[q][0][t], t % tw + tw * self.far[q][1][t]
        y = (f["origin_y"] + (p >> f["tile_width"]) * f["stride_y"] + dy) % (2 * th)
        x = (f["origin_x"] + p % (1 << f["tile_width"]) * f["stride_x"] + dx) % (2 * tw)
        return tile[SLOTS * g + 2 * (y // th) + x // tw, :, y % th * tw + x % tw]


@cocotb.test()
@cocotb.parametrize(profile=PROFILES)
async def random_layers(dut, profile):
    """Tiles back to back, random geometry."""
    h = Harness(dut)
    await h.start(*stalls(profile, h.ctx.random))
    for _ in range(h.ctx.options["layers"]):
        await h.layer()
        for _ in range(3):
            h.put_tile()
    await h.settle()
    await h.bench.finish()


@cocotb.test()
async def full_rate(dut):
    """A window a cycle, over the borders of tiles too; latency from the last line."""
    h = Harness(dut)
    await h.start()
    for gate in (0, 1):
        rows = h.config.projection_rows // 2
        await h.layer(gate=gate, groups=1, k_rows=rows, group_rows=rows, passes=1 + gate, unused=0)
        sent, seen = len(h.lines.times), len(h.monitor.times)
        lines = h.put_tile()
        for _ in range(4):
            h.put_tile()
        windows = h.board.pending()
        await h.settle()
        times = h.monitor.times[seen:]
        assert times[0] - h.lines.times[sent + lines - 1] == ActivationBuffer.latency + WindowFeed.latency, "latency"
        assert times[-1] - times[0] == windows - 1, "a window a cycle"
    await h.bench.finish()


@cocotb.test()
async def reset_in_work(dut):
    h = Harness(dut)
    await h.start()
    for _ in range(6):
        await h.layer()
        h.put_tile()
        h.put_tile()
        await h.bench.cycles(int(h.rng.integers(1, 60)))
        await h.bench.reset(1)
        h.board.reset()
    await h.layer()
    h.put_tile()
    await h.settle()
    await h.bench.finish()


CONFIG = dict(activation_rows=32, projection_rows=16, input_rows=16, max_passes=4, trees=4, bits=4)


def run(overrides, **options):
    config = SpeculatorConfig.preset("small", {**CONFIG, **overrides})
    name = "window_feed_" + "_".join(str(value) for value in overrides.values())
    return simulate_component(Feed(config), __name__, name=name, config=config.to_dict(),
                              options=dict(layers=8, **options), testcase=options.get("testcase"))


@pytest.mark.parametrize("overrides", [dict(segment=8, array_rows=8), dict(segment=2, array_rows=2, cols=4, bits=2)])
def test_windows(overrides):
    result = run(overrides)
    if overrides["segment"] == 8:
        merge("window_feed", POINTS, [result]).check()


@pytest.mark.slow
def test_windows_of_16_pixels():
    run(dict(segment=16, array_rows=16, weight_banks=16))


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field p"):
        run(dict(segment=8, array_rows=8), corrupt=1, testcase="full_rate")
