"""What the Executor's tests share: random layers and steps, the harness that drives and compares them, cover points."""

import numpy as np

from golden.duet import executor as golden
from golden.duet.executor import Item, Kind
from golden.duet.executor_config import PARITIES, Configuration, Region, address
from golden.duet.executor_pe import SLOTS
from golden.duet.sizes import Sizes
from golden.duet.speculator_mfu import Function
from hw.duet.executor_types import ExecutorConfig
from sim.coverage import Coverage
from sim.scoreboard import Scoreboard
from sim.stream import unpack
from sim.timed import TimedDriver, TimedMonitor
from tests.dota.harness import StreamHarness

POINTS = [
    *(f"function {function.name}" for function in Function), "pooling", "two outputs in one word without pooling",
    "IMap used", "IMap not used", "program full", "program empty", "program ends in a tag word",
    "shift 0", "greatest shift", "bias shift 0", "bias shift 15", "negative bias", "saturated result",
    "negative result", "corrected map", "row without work", "row left out", "all rows", "no row", "channel 0",
    "last channel", "one chunk", "many chunks", "input in parts", "element without a tag", "all tags", "no tag at all",
    "step's maps come early", "items for the Speculator", "item for nobody", "item for a row and the Speculator",
    "items by column", "items by row", "items by element", "other IDs", "equal row IDs", "results wait", "bus waits",
    "through waits",
    "configuration changes", "reset in mid-work", "gate with a row left out",
]
coverage = Coverage("executor", POINTS)
CORNERS = (0, 1, -1, 32767, -32768)


def bits(values):
    """The integer of a vector of bits, the first lowest."""
    return int.from_bytes(np.packbits(np.asarray(values, dtype=bool), bitorder="little").tobytes(), "little")


def words(values):
    """The packed integer of 16-bit words, the first lowest."""
    return int.from_bytes(np.asarray(values).astype("<i2").tobytes(), "little")


class Waits:
    """Notices streams that wait."""

    name = "waits"

    def __init__(self, dut):
        self.ports = [(f"{stream} {word}", getattr(dut, f"{stream}__valid"), getattr(dut, f"{stream}__ready"))
                      for stream, word in (("results", "wait"), ("bus", "waits"), ("through", "waits"))]

    def tick(self, cycle):
        for point, valid, ready in self.ports:
            if int(valid.value) and not int(ready.value):
                coverage.hit(point)
        return False

    def status(self):
        return ""

    async def drain(self):
        pass

    def reset(self):
        pass

    finish = reset


class Harness(StreamHarness):
    """Drives configuration and items, compares every result and every item for the Speculator."""

    source, sink = "bus", "results"
    timeout = 4000

    def __init__(self, dut):
        super().__init__(dut)
        self.config = ExecutorConfig.from_dict(self.ctx.config)
        self.sizes = Sizes(**{name: self.ctx.config[name] for name in (
            "rows", "cols", "segment", "weight_lines", "lut_entries", "acc_bits", "max_channels")})
        self.model = golden.Executor(self.sizes)
        self.layer = None
        self.natural_ids()

    def natural_ids(self):
        config = self.config
        self.row_ids = np.arange(config.rows + 1)
        self.col_ids = np.tile(np.arange(config.cols), (config.rows, 1))

    def board_lanes(self):
        return {"data": 16}

    async def start(self, drive=None, take=None, through=None):
        await super().start(drive, take)
        self.words = TimedDriver(self.dut, "config", layout=self.ctx.layout("config"))
        self.through_board = Scoreboard("through", lanes={"data": 16}, bench=self.bench)
        self.through = TimedMonitor(self.dut, "through", stall=through, layout=self.ctx.layout("through"),
                                    callback=self.through_board.check)
        self.bench.add(Waits(self.dut))

    async def settle(self):
        """Wait until nothing is inside."""
        await self.driver.drain()
        await self.bench.cycles(2)  # until `idle` has seen the last item
        await super().settle()
        while self.through_board.pending() or not int(self.dut.idle.value):
            await self.bench.cycles(1)

    async def finish(self):
        await self.settle()
        await super().finish()

    def forget(self):
        """After a reset of the design."""
        self.board.reset()
        self.through_board.reset()
        self.model = golden.Executor(self.sizes)
        self.natural_ids()

    # ---- configuration

    def write(self, where, data):
        self.words.put({"address": where, "data": data})
        self.model.write(where, data)

    async def configure(self, layer, ids=None):
        """A layer's words, in random order, once nothing is inside; ``ids``: (X-buses, elements)."""
        await self.settle()
        if self.layer is not None:
            coverage.hit("configuration changes")
        self.layer = layer
        items = layer.words()
        if ids is not None:
            self.row_ids, self.col_ids = ids
            items += [(address(Region.ROW_ID, k), value) for k, value in enumerate(self.row_ids.tolist())]
            items += [(address(Region.COLUMN_ID, k), value) for k, value in enumerate(self.col_ids.ravel().tolist())]
            coverage.hit("other IDs")
            if len(set(self.row_ids[:-1])) < self.config.rows:
                coverage.hit("equal row IDs")
        for index in self.rng.permutation(len(items)):
            self.write(*items[index])
        await self.words.drain()
        self.cover_layer(layer)

    def random_layer(self, function=None, length=None, **changes):
        config, rng = self.config, self.rng
        segment, n = config.segment, config.lut_entries
        function = Function(rng.integers(4)) if function is None else function
        gate = function in (Function.SIGMOID, Function.TANH)
        if length is None:
            length = int(rng.choice([0, 1, n, *rng.integers(1, n + 1, 5)]))
        program = np.stack([rng.integers(SLOTS * segment, size=length),
                            rng.integers(config.weight_lines * segment, size=length),
                            rng.integers(1 if gate else segment, size=length)], axis=1)
        place = np.zeros((PARITIES, segment), np.int64)
        if not gate:
            place = (np.stack([rng.permutation(segment) for _ in range(PARITIES)]) if rng.random() < 0.5
                     else rng.integers(segment, size=(PARITIES, segment)))
        top = config.sum_bits - 1
        values = dict(
            program=program, function=function, pool=function == Function.RELU and bool(rng.integers(2)),
            use_imap=bool(rng.random() < 0.7), shift=int(rng.choice([0, top, *rng.integers(8, 32, 6)])),
            bias_shift=int(rng.choice([0, 15, rng.integers(16)])),
            bias=rng.integers(-2 ** 31, 2 ** 31, config.max_channels) >> rng.integers(32),
            place=place, owned=rng.random((PARITIES, segment)) < 0.5)
        return Configuration(**{**values, **changes})

    def random_ids(self):
        config, rng = self.config, self.rng
        rows = rng.permutation(config.rows + 1)
        if rng.random() < 0.5:
            rows[rng.integers(config.rows)] = rows[rng.integers(config.rows)]
        return rows, np.stack([rng.permutation(config.cols) for _ in range(config.rows)])

    def counters(self):
        return unpack(self.ctx.layout("counters"), int(self.dut.counters.value))

    # ---- steps

    def random_words(self, *shape):
        rng = self.rng
        if rng.random() < 0.2:
            return rng.choice(CORNERS, shape)
        return rng.integers(-32768, 32768, shape) >> rng.integers(16)

    def step(self, rows=None, chunks=None, density=None, whole=False):
        """The items of a random step: (OMAP items, items of each chunk); ``whole``: an item an input segment."""
        config, rng = self.config, self.rng
        present = self.row_ids[:-1][rng.random(config.rows) < rng.choice([0.5, 0.9, 1.1])] if rows is None else rows
        present = np.unique(present)
        density = rng.choice([0.1, 0.5, 0.9, 1.1]) if density is None else density
        gate = self.layer.function in (Function.SIGMOID, Function.TANH)
        omaps, working = [], []
        for row in present.tolist():
            omap = np.zeros(config.line_words, bool)
            omap[:1 if gate else config.segment] = rng.random(1 if gate else config.segment) < density
            if rng.random() < 0.1 and not whole:
                omap[:] = False
            if omap.any():
                working.append(row)
            channel = int(rng.choice([0, config.max_channels - 1, rng.integers(config.max_channels)]))
            # Past the outputs the map is not looked at.
            junk = np.arange(config.line_words) >= config.segment
            junk &= rng.random(config.line_words) < 0.5
            omaps.append(Item(kind=Kind.OMAP, row_tag=row, address=channel, map=omap | junk,
                                   col_tag=int(rng.integers(config.cols))))
        chunks = int(rng.choice([1, 1, 2, 3, 6])) if chunks is None else chunks
        parity = int(rng.integers(PARITIES))
        density = rng.choice([0, 0.1, 0.5, 0.9, 1.1])
        return omaps, [self.chunk(working, density, index == chunks - 1, parity, whole) for index in range(chunks)]

    def chunk(self, rows, density, last, parity, whole=False):
        config, rng = self.config, self.rng
        everybody = dict(row_all=True, col_all=True)
        items = []
        for slot in rng.permutation(SLOTS).tolist():
            mask = rng.random(config.segment) < (1.1 if whole else rng.choice([0.5, 1.1, 1.1]))
            for part in (mask, ~mask) if not mask.all() else (mask,):
                fields = dict(slot=slot, mask=part, map=rng.random(config.line_words) < density,
                              data=self.random_words(config.line_words))
                if len(np.unique(self.col_ids[0])) == config.cols and rng.random() < 0.1 and not whole:
                    # An element's own words: a column after another, whatever their IDs are in each row.
                    coverage.hit("items by column")
                    items += [Item(kind=Kind.INPUT, row_all=True, col_tag=tag, **fields) for tag in range(config.cols)]
                elif rng.random() < 0.05 and not whole:
                    coverage.hit("items by row")
                    items += [Item(kind=Kind.INPUT, row_tag=tag, col_all=True, **fields)
                              for tag in np.unique(self.row_ids[:-1]).tolist()]
                elif rng.random() < 0.1 and not whole:
                    coverage.hit("items by element")
                    items += self.by_element(fields)
                else:
                    items.append(Item(kind=Kind.INPUT, **everybody, **fields))
                if not part.all():
                    coverage.hit("input in parts")
        for row in rng.permutation(rows).tolist():
            for line in range(config.weight_lines):
                items.append(Item(kind=Kind.WEIGHT, row_tag=row, col_all=True, line=line,
                                  mask=rng.random(config.segment) < 0.5, data=self.random_words(config.line_words)))
        return [*items, Item(kind=Kind.GO, row_all=True, last=last, parity=parity)]

    def by_element(self, fields):
        """Items of single elements, as far as IDs tell them apart; what they hold for other columns has no meaning."""
        config, rng, items = self.config, self.rng, []
        for row_tag in np.unique(self.row_ids[:-1]).tolist():
            ids = self.col_ids[self.row_ids[:-1] == row_tag]
            for col_tag in np.unique(ids).tolist():
                own = (ids == col_tag).any(axis=0).repeat(config.segment)
                items.append(Item(kind=Kind.INPUT, row_tag=row_tag, col_tag=col_tag, slot=fields["slot"],
                                  mask=fields["mask"], map=np.where(own, fields["map"], rng.random(len(own)) < 0.5),
                                  data=np.where(own, fields["data"], self.random_words(len(own)))))
        return items

    def foreign(self):
        """An item for the Speculator alone, or for nobody."""
        config, rng = self.config, self.rng
        tags = np.setdiff1d(np.arange(1 << len(bin(config.rows)) - 2), self.row_ids[:-1])
        if not len(tags):
            return []
        tag = int(rng.choice(tags))
        coverage.hit("items for the Speculator" if tag == self.row_ids[-1] else "item for nobody")
        return [Item(kind=Kind(rng.integers(4)), row_tag=tag, col_all=bool(rng.integers(2)), last=bool(rng.integers(2)),
                          mask=rng.random(config.segment) < 0.5, address=int(rng.integers(1 << config.address_bits)),
                          map=rng.random(config.line_words) < 0.5, data=self.random_words(config.line_words))]

    def put_steps(self, steps, foreign=0.1):
        """Queue steps, the maps of each at a random place after the first chunk of the one before.

        Returns their items in order, without those for others (``foreign``: how many)."""
        items, early = [], 0
        for omaps, chunks in steps:
            if items and self.rng.random() < 0.5:
                at = int(self.rng.integers(early, len(items) + 1))
                if at < len(items):
                    coverage.hit("step's maps come early")
                items[at:at] = omaps
            else:
                items += omaps
            early = len(items) + len(chunks[0])
            items += [item for chunk in chunks for item in chunk]
            self.cover_step(omaps, chunks)
        for item in items:
            while self.rng.random() < foreign:
                for other in self.foreign():
                    self.put(other)
            self.put(item)
        return items

    def put(self, item):
        """Queue an item, and expect what it leads to."""
        before = len(self.model.through)
        results = self.model.send(item)
        config = self.config
        mask, map_ = bits(item.mask if item.mask is not None else []), bits(item.map if item.map is not None else [])
        data = words(item.data) if item.data is not None else 0
        self.driver.put({
            "row_tag": item.row_tag, "row_all": int(item.row_all),
            "col_tag": item.col_tag, "col_all": int(item.col_all),
            "kind": int(item.kind), "slot": item.slot, "line": item.line, "mask": mask, "last": int(item.last),
            "parity": item.parity, "address": item.address, "map": map_, "data": data})
        if len(self.model.through) > before:
            self.through_board.expect({"kind": int(item.kind), "last": int(item.last), "address": item.address,
                                       "mask": mask, "data": data})
            if not item.row_all and item.row_tag in self.row_ids[:-1]:
                coverage.hit("item for a row and the Speculator")
        for result in results:
            data = words(result.data)
            if self.corrupt:
                data ^= 1 << 16 * config.segment - 1
            self.board.expect({"channel": int(result.channel), "parity": result.parity, "data": data,
                               "nonzero": bits(result.nonzero), "mask": bits(result.mask), "last": int(result.last)})
            self.cover_result(result)

    # ---- coverage

    @staticmethod
    def hit(points):
        for point, reached in points.items():
            if reached:
                coverage.hit(point)

    def cover_layer(self, layer):
        config, n = self.config, len(layer.program)
        self.hit({
            f"function {layer.function.name}": True, "pooling": layer.pool, "IMap used": layer.use_imap,
            "two outputs in one word without pooling": not layer.pool and len(set(layer.place[0])) not in (
                1, config.segment),
            "IMap not used": not layer.use_imap, "program full": n == config.lut_entries, "program empty": n == 0,
            "program ends in a tag word": n % config.tag_lanes, "shift 0": layer.shift == 0,
            "greatest shift": layer.shift == config.sum_bits - 1, "bias shift 0": layer.bias_shift == 0,
            "bias shift 15": layer.bias_shift == 15, "negative bias": (layer.bias < 0).any()})

    def cover_step(self, omaps, chunks):
        maps = [item.map[:self.config.segment] for item in omaps]
        channels = [item.address for item in omaps]
        gate = self.layer.function in (Function.SIGMOID, Function.TANH)
        left_out = len(omaps) < len(np.unique(self.row_ids[:-1]))
        self.hit({
            "row without work": any(not omap.any() for omap in maps), "row left out": left_out,
            "all rows": not left_out, "no row": not omaps, "channel 0": 0 in channels,
            "last channel": self.config.max_channels - 1 in channels, "one chunk": len(chunks) == 1,
            "many chunks": len(chunks) > 4, "gate with a row left out": gate and left_out})

    def cover_result(self, result):
        zeros = result.nonzero == 0
        self.hit({"saturated result": np.isin(result.data, (32767, -32768)).any(),
                  "negative result": (result.data < 0).any(), "corrected map": zeros.any() and not zeros.all()})
