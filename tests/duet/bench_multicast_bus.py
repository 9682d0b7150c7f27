"""What the multicast bus' tests share: the rows' side, the harness, cover points."""

import collections

import numpy as np

from golden.duet import multicast_bus as golden
from hw.duet.multicast_bus import MulticastBusConfig
from sim.coverage import Coverage
from sim.stream import StallProfile, pack, unpack
from tests.dota.harness import StreamHarness

POINTS = [
    "one row", "all rows", "equal row IDs", "one element", "all elements", "equal element IDs", "no element",
    "further X-bus only", "rows and further X-bus", "no X-bus", "rows wait", "further X-bus waits", "IDs change",
    "reset in mid-work",
]
coverage = Coverage("multicast_bus", POINTS)


class Rows:
    """The elements' side: takes items after random stalls, and compares what every X-bus shows in every cycle."""

    name = "x"

    def __init__(self, dut, harness, stall):
        self.dut, self.h = dut, harness
        self.layout = harness.ctx.layout("x__0")
        self.stall = stall or StallProfile.none()
        self.expected = collections.deque()
        self.take = 0

    def reset(self):
        """``take`` stays: it may not fall while an item waits."""
        self.expected.clear()

    def status(self):
        return f"{len(self.expected)} items expected"

    async def drain(self):
        pass

    def finish(self):
        assert not self.expected, f"x: {len(self.expected)} items did not come"

    def tick(self, cycle):
        dut, shown = self.dut, {}
        offer, taken = int(dut.offer.value), int(dut.taken.value)
        for k in range(self.h.config.rows):
            word = int(getattr(dut, f"x__{k}").value)
            if word:
                shown[k] = unpack(self.layout, word)
        if offer:
            assert self.expected, "x: an item came and nothing more was expected"
            buses, elements, item = self.expected[0]
            assert int(dut.body.value) == item["body"], "body is another item's"
            expected = {k: {"hit": 1, "enable": taken * sum(int(on) << c for c, on in enumerate(elements[k])),
                            "body": item["body"], "data": item["data"]} for k in np.flatnonzero(buses[:-1]).tolist()}
            assert shown == expected, f"x: expected {expected}, got {shown}"
            if buses[-1]:
                moves = int(dut.through__valid.value) and int(dut.through__ready.value)
                assert taken == bool(moves), "rows and further X-bus in different cycles"
                if self.take and not taken:
                    coverage.hit("further X-bus waits")
            else:
                assert taken == self.take
            if not self.take:
                coverage.hit("rows wait")
        else:
            assert not taken and not shown, f"x: {shown} is shown and nothing is offered"
        if taken:
            self.expected.popleft()
        if not (offer and self.take and not taken):
            self.take = int(not self.stall.step(bool(offer)))
            dut.take.value = self.take
        return bool(taken)


class Harness(StreamHarness):
    """Drives items with random tags and compares what comes out of every X-bus."""

    source, sink = "y", "through"

    def __init__(self, dut):
        super().__init__(dut)
        self.config = MulticastBusConfig.from_dict(self.ctx.config)
        self.natural_ids()

    def natural_ids(self):
        config = self.config
        self.row_ids = np.arange(config.rows + 1)
        self.col_ids = np.tile(np.arange(config.cols), (config.rows, 1))

    async def start(self, drive=None, take_through=None, take_rows=None):
        await super().start(drive, take_through)
        self.rows = Rows(self.dut, self, take_rows)
        self.bench.add(self.rows)

    async def settle(self):
        await self.driver.drain()
        await super().settle()
        while self.rows.expected:
            await self.bench.cycles(1)
        await self.bench.cycles(2)

    async def random_ids(self):
        """Other IDs, once nothing is inside."""
        await self.settle()
        config, rng = self.config, self.rng
        coverage.hit("IDs change")
        choice = rng.random()
        if choice < 0.3:
            values = np.concatenate([np.arange(config.rows + 1), np.tile(np.arange(config.cols), config.rows)])
        else:
            values = np.concatenate([rng.integers(1 << config.row_id_bits, size=config.rows + 1),
                                     rng.integers(1 << config.col_id_bits, size=config.rows * config.cols)])
        for index in rng.permutation(len(values)).tolist():
            self.dut.ids__payload.value = pack(self.ctx.layout("ids"), {"index": index, "value": int(values[index])})
            self.dut.ids__valid.value = 1
            await self.bench.cycles(1)
        self.dut.ids__valid.value = 0
        self.row_ids = values[:config.rows + 1]
        self.col_ids = values[config.rows + 1:].reshape(config.rows, config.cols)

    def put(self, **fields):
        """Queue an item; random where ``fields`` do not say."""
        config, rng, random = self.config, self.rng, self.ctx.random
        row_tag = int(rng.choice(self.row_ids)) if rng.random() < 0.9 else random.getrandbits(config.row_id_bits)
        item = {"row_tag": row_tag, "row_all": int(rng.random() < 0.3),
                "col_tag": random.getrandbits(config.col_id_bits), "col_all": int(rng.random() < 0.3),
                "body": random.getrandbits(config.body_bits), "data": random.getrandbits(config.data_bits)} | fields
        self.driver.put(item)
        buses, elements = golden.deliver(self.row_ids, self.col_ids, item["row_tag"], item["col_tag"], item["row_all"],
                                         item["col_all"])
        if self.corrupt:
            elements = elements ^ True
        if buses[-1]:
            self.board.expect({"body": item["body"], "data": item["data"]})
        if buses[:-1].any():
            self.rows.expected.append((buses, elements, item))
        self.cover(buses, elements, item["col_all"])

    def cover(self, buses, elements, col_all):
        rows, hit = buses[:-1], elements[buses[:-1]]
        for point, reached in (
                ("one row", rows.sum() == 1), ("all rows", rows.all()),
                ("equal row IDs", 1 < rows.sum() < len(rows)), ("further X-bus only", buses[-1] and not rows.any()),
                ("rows and further X-bus", buses[-1] and rows.any()), ("no X-bus", not buses.any()),
                ("one element", len(hit) and (hit.sum(axis=1) == 1).any()),
                ("all elements", len(hit) and hit.all(axis=1).any()),
                ("equal element IDs", len(hit) and not col_all and (hit.sum(axis=1) > 1).any()),
                ("no element", len(hit) and (~hit.any(axis=1)).any())):
            if reached:
                coverage.hit(point)
