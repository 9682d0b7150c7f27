"""What the Speculator's tests share: the harness that sends layers and jobs and compares results, cover points."""

import numpy as np

from golden.duet import speculator as golden
from golden.duet.projection import encode_ternary
from golden.duet.speculator_mfu import Function
from golden.duet.speculator_timing import SpeculatorTiming, TimingSize
from hw.duet.layer_settings import LayerSettings
from hw.duet.projection import ProjectionConfig
from hw.duet.speculator_mfu import SpeculatorMfu
from hw.duet.speculator_types import ENTRY_BITS, LineKind, SpeculatorConfig
from hw.duet.switching_map import SwitchingMap
from hw.duet.systolic_array import SystolicArrayConfig
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.scoreboard import Scoreboard
from sim.stream import unpack
from sim.timed import TimedDriver, TimedMonitor

POINTS = [
    *(f"{what} {name}" for what in ("convolution", "gate") for name in (
        "one channel", "all channels", "ragged tile of channels", "inputs kept", "two tiles loaded", "one tile loaded",
        "projected inputs in halves", "projected inputs in one piece", "several passes", "ReLU", "sigmoid", "tanh",
        "no function", "nothing selected", "everything selected")),
    "convolution several groups", "convolution natural order", "convolution positions outside",
    "convolution short tile", "convolution words kept from an earlier tile", "ragged segment of a gate",
    "several functions in a layer",
    "filled while at work", "configuration waits", "reset in mid-work",
    *(f"counter {name}" for name in ("projection_waits", "array_waits", "result_waits")),
]
coverage = Coverage("speculator", POINTS)

NAMES = {Function.NONE: "no function", Function.RELU: "ReLU", Function.SIGMOID: "sigmoid", Function.TANH: "tanh"}


def little_endian(values, bits):
    """The packed word of integers, the first in the low bits."""
    return sum((int(value) & (1 << bits) - 1) << bits * index for index, value in enumerate(values))


class Harness:
    """Sends layers and jobs, compares every result with the golden model, collects coverage."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.rng
        self.corrupt = self.ctx.options.get("corrupt", False)
        self.config = config = SpeculatorConfig.from_dict(self.ctx.config)
        self.size = golden.SpeculatorSize(**{name: getattr(config, name)
                                             for name in golden.SpeculatorSize.__dataclass_fields__})
        self.model = golden.Speculator(self.size)
        self.layer = None
        self.count = 0
        self.max_shift = self.array().acc_bits + config.scale_bits - config.pre_bits
        self.upper = False  # the half of weights and channel table that this layer uses

    async def start(self, drive=None, take=None):
        """Clock, reset, drivers, monitors; ``drive``, ``take``: functions that make a stall profile, or ``None``."""
        drive, take = drive or (lambda: None), take or (lambda: None)
        self.bench = await start(self.dut, timeout=3000)
        self.words, self.lines, self.jobs = (
            TimedDriver(self.dut, name, stall=drive(), layout=self.ctx.layout(name))
            for name in ("config", "line", "jobs"))
        self.boards, self.monitors = {}, {}
        for name, lanes in (("maps", {"map": 1}), ("order", None), ("gates", {"data": 16, "map": 1})):
            self.boards[name] = Scoreboard(name, lanes=lanes, bench=self.bench)
            self.monitors[name] = TimedMonitor(self.dut, name, stall=take(), layout=self.ctx.layout(name),
                                               callback=self.boards[name].check)
        await self.refill()

    def array(self):
        """Configuration of the systolic array inside."""
        config = self.config
        return SystolicArrayConfig(rows=config.array_rows, cols=config.array_cols, bits=config.bits, max_k=config.max_k)

    def timing(self):
        """The cycle model of this design and layer."""
        config = self.config
        array = self.array()
        projection = ProjectionConfig(inputs=config.lanes, trees=config.trees, bits=config.bits,
                                      max_inputs=config.lanes * config.max_passes)
        sizes = {name: getattr(config, name) for name in
                 ("segment", "trees", "array_rows", "array_cols", "activation_rows", "input_rows")}
        return SpeculatorTiming(TimingSize(
            **sizes, array_depth=array.depth, projection_latency=projection.latency, array_latency=array.latency,
            result_latency=SpeculatorMfu.latency + SwitchingMap.latency), self.layer)

    async def refill(self):
        """Write all of every memory: nothing that a test before left there, or lost in a reset, stays."""
        for name in ("weight", "channel"):
            self.fill_all(name)
        config = self.config
        groups = min(config.activation_rows // golden.SLOTS, config.input_rows, config.projection_rows)
        await self.begin(golden.Layer(groups=groups, taps=(np.zeros((2, config.segment)),)))
        for _ in range(1 if 2 * self.rows > config.activation_rows else 2):
            self.put_tile(whole=True)
        await self.lines.drain()

    def pending(self):
        return sum(board.pending() for board in self.boards.values())

    def counter(self, name):
        """A performance counter of the design."""
        return unpack(self.ctx.layout("counters"), int(self.dut.counters.value))[name]

    async def settle(self):
        """Wait for every expected result; a hang ends the wait."""
        while self.pending() or not (self.lines.idle() and self.jobs.idle()):
            await self.bench.cycles(1)

    async def finish(self):
        await self.settle()
        await self.bench.finish()

    # ---- lines -----------------------------------------------------------------------------------------------------

    def put_line(self, kind, address, words, mask=None, last=0):
        mask = (1 << self.config.segment) - 1 if mask is None else mask
        self.lines.put({"kind": kind.value, "address": int(address), "mask": mask, "last": last,
                        "data": little_endian(words, 16)})

    def fill(self, name, address, line_bits):
        """A line of bits for a buffer, into the model and the design."""
        weights = 1 << np.arange(16)
        words = line_bits.reshape(-1, 16) @ weights
        words = words - ((words >> 15) << 16)
        self.model.fill(name, address, words)
        self.put_line({"projection": LineKind.PROJECTION, "weight": LineKind.WEIGHT,
                       "channel": LineKind.CHANNEL}[name], address, words)

    def fill_all(self, name, upper=None):
        """Random content of a buffer, or of its lower or upper half."""
        config, rng = self.config, self.rng
        bits = {"projection": config.projection_rows * config.trees * config.lanes * 2,
                "weight": config.weight_rows * config.array_cols * config.bits,
                "channel": config.table_entries * ENTRY_BITS}[name]
        if name == "projection":
            sparse = rng.choice([-1, 0, 1], p=[1 / 6, 2 / 3, 1 / 6], size=bits // 2)
            content = (encode_ternary(sparse)[:, None] >> np.arange(2)).ravel() & 1
        else:
            content = rng.integers(0, 2, bits)
            if name == "channel":
                content = content.reshape(-1, ENTRY_BITS)
                content[:, config.scale_bits + config.bias_bits:] = 0
                # Biases small enough that pre-activations of all sizes occur.
                sign = content[:, [config.scale_bits + config.bias_bits - 1]]
                small = rng.integers(0, 2, (len(content), 1), dtype=bool)
                top = slice(config.scale_bits + config.pre_bits - 1, config.scale_bits + config.bias_bits)
                content[:, top] = np.where(small, sign, content[:, top])
                content = content.ravel()
        content = content.reshape(-1, config.line_bits)
        lines = len(content)
        chosen = range(lines) if upper is None or lines < 2 else range(lines // 2 * upper, lines // 2 * (1 + upper))
        for address in chosen:
            self.fill(name, address, content[address])

    # ---- layers ----------------------------------------------------------------------------------------------------

    def random_layer(self, **fields):
        config, rng = self.config, self.rng
        size = config.segment.bit_length() - 1
        gate = bool(fields.get("gate", rng.integers(3) == 0))
        most = min(config.projection_rows, config.input_rows, config.weight_rows // 2 // config.trees)
        groups = 1 if gate else int(rng.choice([1, 2, min(config.activation_rows // golden.SLOTS, most)]))
        passes = int(rng.integers(1, min(config.max_passes, most // groups) + 1))
        most //= groups * passes
        group_rows = int(rng.choice([1, most, rng.integers(1, most + 1)]))
        block_width = int(rng.integers(size + 1))
        taps = () if gate else tuple(rng.integers(0, 2, (2, config.segment)) for _ in range(passes))
        thresholds = np.sort(rng.integers(0, config.segment + 1, config.buckets - 1))[::-1]
        sums = config.lanes * passes / 3
        values = dict(
            gate=gate, groups=groups, passes=passes, group_rows=group_rows,
            p_shift=int(rng.integers(0, max(2, int(sums).bit_length()))), block_width=block_width,
            tile_width=int(rng.integers(size + 1)), stride_y=int(rng.integers(1, 8)), stride_x=int(rng.integers(1, 8)),
            origin_y=int(rng.integers(2 * config.segment >> block_width)), origin_x=int(rng.integers(2 << block_width)),
            unused=int(rng.choice([0, 0, rng.integers(config.segment)])),
            keep_order=bool(rng.integers(4) == 0), thresholds=tuple(int(t) for t in thresholds), taps=taps)
        return golden.Layer(**{**values, **fields})

    async def begin(self, layer):
        """Configure a layer; weights and channels for it come while the layer before is still at work."""
        config = self.config
        await self.jobs.drain()
        at_work = self.pending() > 0
        self.upper = not self.upper
        for name in ("weight", "channel"):
            self.fill_all(name, self.upper)
        self.hit("filled while at work", at_work)
        addresses = LayerSettings.ADDRESSES
        words = [(address, int(getattr(layer, name))) for name, address in addresses.items()
                 if name not in ("clear_counters", "thresholds", "taps")]
        words += [(addresses["thresholds"] + i, t) for i, t in enumerate(layer.thresholds)]
        for index, (far_y, far_x) in enumerate(layer.taps):
            word = little_endian(far_y, 1) | little_endian(far_x, 1) << config.segment
            words.append((addresses["taps"] + index, word))
        for address, value in [words[int(i)] for i in self.rng.permutation(len(words))]:
            self.words.put({"address": address, "data": value})
        await self.bench.cycles(1)
        self.hit("configuration waits", at_work and not self.words.idle())
        await self.words.drain()
        await self.lines.drain()
        self.fill_all("projection")
        self.layer, self.functions = layer, set()
        self.model.configure(layer)
        self.rows = layer.passes if layer.gate else golden.SLOTS * layer.groups
        self.first = True

    def most(self, n):
        """The greatest number of channels up to ``n`` whose weights fit in half of the buffer."""
        config = self.config
        tiles = config.weight_rows // 2 // (self.layer.k_rows * config.trees)
        return min(n, config.max_channels, tiles * config.array_cols, config.table_entries // 2)

    def random_job(self, **fields):
        config, rng, layer = self.config, self.rng, self.layer
        k = layer.k_rows * config.trees
        half = config.weight_rows // 2
        most = self.most(config.max_channels)
        n = int(rng.choice([1, most, rng.integers(1, most + 1), rng.integers(1, most + 1)]))
        n = fields.get("n", n)
        tiles = -(-n // config.array_cols)
        low, high = -(1 << config.pre_bits - 1), (1 << config.pre_bits - 1) - 1
        function = Function(rng.choice([Function.RELU, *Function]) if not layer.gate else rng.choice(list(Function)))
        values = dict(
            n=n, project=bool(self.first or rng.integers(4)), function=function,
            threshold=int(rng.choice([low, high, 0, 30, rng.integers(low, high + 1)])),
            q_shift=int(rng.integers(2, min(k.bit_length() + 8, self.max_shift + 1))),
            weight_base=int(half * self.upper + rng.integers(half - tiles * k + 1)),
            table_base=int(config.table_entries // 2 * self.upper + rng.integers(config.table_entries // 2 - n + 1)),
            valid=tuple(bool(bit) for bit in rng.integers(0, 4, config.segment) > 0)
            if rng.integers(2) else (True,) * config.segment)
        job = golden.Job(**{**values, **fields})
        if layer.unused:
            valid = np.array(job.valid)
            valid[config.segment - layer.unused:] = False
            job = golden.Job(**{**job.__dict__, "valid": tuple(bool(bit) for bit in valid)})
        return job

    def put_tile(self, whole=False):
        """Lines of a random tile or vector: in any order, some in parts, some words not at all unless ``whole``.

        Returns the number of lines.
        """
        config, rng = self.config, self.rng
        spread = int(rng.choice([1 << 12, 1 << 15]))
        parts, everything = [], (1 << config.segment) - 1
        for address in rng.permutation(self.rows):
            mask = int(rng.integers(1 << config.segment))
            choice = 0 if whole else int(rng.integers(4))
            masks = {0: [everything], 1: [everything], 2: [mask, mask ^ everything], 3: [mask]}[choice]
            self.hit("convolution words kept from an earlier tile", choice == 3 and not self.layer.gate)
            parts += [(address, mask) for mask in masks]
        for index, (address, mask) in enumerate(parts):
            words = np.clip(rng.integers(-spread, spread, config.lanes), -(1 << 15), (1 << 15) - 1)
            last = index == len(parts) - 1
            self.model.activation(int(address), words, [mask >> p & 1 for p in range(config.segment)], last)
            self.put_line(LineKind.ACTIVATION, address, words, mask, int(last))
        return len(parts)

    def put(self, job):
        """Queue a job, with its tile where it takes one, and expect its results; returns the number of lines."""
        config, layer = self.config, self.layer
        lines = self.put_tile() if job.project else 0
        self.first = False
        self.jobs.put({"project": int(job.project), "function": int(job.function), "threshold": job.threshold,
                       "q_shift": job.q_shift, "n": job.n, "weight_base": job.weight_base,
                       "table_base": job.table_base, "valid": little_endian(job.valid, 1)})
        result = self.model.run(job)
        label = f"{self.count} {job} of {layer}" if self.ctx.options.get("debug") else self.count
        self.count += 1
        self.cover(job, result)
        if layer.gate:
            segments = -(-job.n // config.segment)
            z, bits = np.zeros(segments * config.segment, np.int64), np.zeros(segments * config.segment, bool)
            z[:job.n], bits[:job.n] = result.z[:, 0], result.map[:, 0]
            for index in range(segments):
                part = slice(config.segment * index, config.segment * (index + 1))
                self.boards["gates"].expect({"index": index, "data": little_endian(z[part], 16),
                                             "map": little_endian(bits[part], 1) ^ self.corrupt,
                                             "last": int(index == segments - 1)}, label)
            return lines
        for channel in range(job.n):
            self.boards["maps"].expect({"channel": channel, "map": little_endian(result.map[channel], 1) ^ self.corrupt,
                                        "last": int(channel == job.n - 1)}, label)
        for index, channel in enumerate(result.order):
            self.boards["order"].expect({"channel": int(channel), "last": int(index == job.n - 1)}, label)
        return lines

    # ---- coverage --------------------------------------------------------------------------------------------------

    def cover(self, job, result):
        config, layer = self.config, self.layer
        kind = "gate" if layer.gate else "convolution"
        tall = 2 * self.rows > config.activation_rows
        valid = np.ones(1, bool) if layer.gate else np.array(job.valid)
        selected = result.map[:, valid]
        for what, reached in {
                "one channel": job.n == 1, "all channels": job.n == config.max_channels,
                "ragged tile of channels": job.n > config.array_cols and job.n % config.array_cols,
                "inputs kept": not job.project, "one tile loaded": tall, "two tiles loaded": not tall,
                "projected inputs in halves": 2 * layer.k_rows <= config.input_rows,
                "projected inputs in one piece": 2 * layer.k_rows > config.input_rows,
                "several passes": layer.passes > 1, NAMES[job.function]: True,
                "nothing selected": not selected.any(),
                "everything selected": selected.size and selected.all()}.items():
            self.hit(f"{kind} {what}", reached)
        self.functions.add(job.function)
        self.hit("several functions in a layer", len(self.functions) > 1)
        if layer.gate:
            self.hit("ragged segment of a gate", job.n % config.segment)
            return
        self.hit("convolution several groups", layer.groups > 1)
        self.hit("convolution natural order", layer.keep_order)
        self.hit("convolution positions outside", not all(job.valid))
        self.hit("convolution short tile", layer.unused)

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)
