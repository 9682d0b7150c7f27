"""The MemoryArbiter: turns of the readers, fairness, writes in batches, loads behind stores; stalls and resets."""

import collections
import itertools

import cocotb
import pytest

from hw.enmc.dram_controller import DramControllerConfig
from hw.enmc.memory_arbiter import MemoryArbiter, Reader
from resilin.simulate import simulate_component
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage, merge
from sim.scoreboard import Mismatch, Scoreboard
from sim.stream import StallProfile, StreamDriver, StreamMonitor, _reader as reader, pack

TURN, DEPTH = 3, 6
POINTS = ["turn used up", "turn given up", "load waits for stores", "writes while somebody reads",
          "writes while nobody reads", "longest wait", "all masks", "reset in mid-work"]
coverage = Coverage("memory_arbiter", POINTS)
#: Screener and Executor read below, loads above and where stores go; results go elsewhere.
STORED, RESULTS = 0x1000, 0x2000


def fresh(address):
    """What is at an address that nobody wrote."""
    return (address + 1) * 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835 % (1 << 512)


def merged(old, new, mask):
    bits = sum(0xFF << 8 * byte for byte in range(64) if mask >> byte & 1)
    return old & ~bits | new & bits


class Memory:
    """The DramController: takes requests and write data, each in order, and answers reads ``latency`` cycles later.

    ``order``: (write, tag) of each request; ``words``: what is written, by address.
    """

    name = "memory"

    def __init__(self, dut, bench, ctx, requests, data, latency=4):
        self.dut, self.latency, self.layout = dut, latency, ctx.layout("answers")
        self.words = {}
        self.reset()
        StreamMonitor(dut, "requests", stall=requests, layout=ctx.layout("requests"), callback=self._request)
        StreamMonitor(dut, "write_data", stall=data, layout=ctx.layout("write_data"), callback=lambda item: (
            self.data.append(item)))
        bench.add(self)

    def reset(self):
        self.order, self.requests, self.data = [], collections.deque(), collections.deque()
        self.answers = collections.deque()
        self.dut.answers__valid.value = 0

    def _request(self, item):
        self.order.append((bool(item["write"]), item["tag"]))
        self.requests.append(item)

    def tick(self, cycle):
        while self.requests and (self.data or not self.requests[0]["write"]):
            item = self.requests.popleft()
            word = self.words.get(item["address"], fresh(item["address"]))
            if item["write"]:
                data = self.data.popleft()
                self.words[item["address"]] = merged(word, data["data"], data["mask"])
            else:
                self.answers.append((cycle + self.latency, {"tag": item["tag"], "data": word}))
        comes = bool(self.answers) and self.answers[0][0] <= cycle
        self.dut.answers__valid.value = int(comes)
        if comes:
            self.dut.answers__payload.value = pack(self.layout, self.answers.popleft()[1])
        return comes

    async def drain(self):
        """Nothing to wait for."""

    def finish(self):
        assert not self.requests and not self.data and not self.answers, "a write without data, or data without a write"

    def status(self):
        return f"memory, {len(self.requests)} requests wait"


class Watch:
    """Each cycle: responses to their boards, how long a reader waits, ``written``."""

    name = "watch"

    def __init__(self, harness):
        self.h, dut = harness, harness.dut
        self._signals = [[reader(getattr(dut, f"reads__{index}__{name}")) for name in ("valid", "ready")]
                         for index in range(len(Reader))]
        self._responses = [reader(getattr(dut, f"responses__{index}")) for index in range(len(Reader))]
        self._written = reader(dut.written)
        self.reset()
        harness.bench.add(self)

    def reset(self):
        self.others, self.written = [0] * len(Reader), 0

    def tick(self, cycle):
        offers = [(valid() == 1, ready() == 1) for valid, ready in self._signals]
        for index, (valid, ready) in enumerate(offers):
            granted = any(valid and ready for valid, ready in offers)
            if index == Reader.LOAD.value and not self.h.stores_done():
                self.others[index] = 0  # it waits for stores
            elif valid and not ready:
                self.others[index] += granted
                assert self.others[index] <= TURN * (len(Reader) - 1), f"reader {index} waits too long"
                self.h.hit("longest wait", self.others[index] == TURN * (len(Reader) - 1))
            else:
                self.others[index] = 0
            word = self._responses[index]()
            if word & 1:
                self.h.boards[index].check(word >> 1)
        self.written += self._written()
        return False

    async def drain(self):
        """Nothing to wait for."""

    def finish(self):
        assert self.written == self.h.writes, f"{self.written} writes are told, {self.h.writes} were given"

    def status(self):
        return "watch"


class Harness:
    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.random
        self.corrupt = self.ctx.options.get("corrupt", 0)

    async def start(self, stall=StallProfile.none):
        self.bench = await start(self.dut)
        self.memory = Memory(self.dut, self.bench, self.ctx, stall(), stall())
        self.boards = [Scoreboard(f"responses {index}", bench=self.bench) for index in range(len(Reader))]
        self.readers = [StreamDriver(self.dut, f"reads__{index}", stall=stall()) for index in range(len(Reader))]
        layout = self.ctx.layout("stores")
        self.stores = StreamDriver(self.dut, "stores", stall=stall(), layout=layout)
        self.results = StreamDriver(self.dut, "results", stall=stall(), layout=layout)
        self.words, self.writes = {}, 0
        self.watch = Watch(self)

    def stores_done(self):
        """All writes given so far are in the memory."""
        return self.watch.written == self.writes

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)

    def read(self, which, address):
        self.readers[which.value].put(address)
        word = self.words.get(address, fresh(address))
        self.boards[which.value].expect(word ^ self.corrupt)

    def write(self, driver, address):
        masks = 0, (1 << 64) - 1, 0xF << 4 * self.rng.randrange(16), self.rng.getrandbits(64)
        item = {"address": address, "data": self.rng.getrandbits(512), "mask": self.rng.choice(masks)}
        self.hit("all masks", item["mask"] == 0)
        driver.put(item)
        self.writes += 1
        self.words[address] = merged(self.words.get(address, fresh(address)), item["data"], item["mask"])

    def random_reads(self, count, readers=(Reader.SCREENER, Reader.EXECUTOR)):
        for _ in range(count):
            for which in readers:
                self.read(which, self.rng.randrange(STORED))

    async def settle(self):
        while int(self.dut.busy.value) or any(board.pending() for board in self.boards) or not all(
                driver.idle() for driver in (*self.readers, self.stores, self.results)):
            await self.bench.cycles(1)
        await self.bench.cycles(8)

    async def finish(self):
        await self.settle()
        assert not int(self.dut.busy.value)
        await self.bench.finish()
        for address, word in self.words.items():
            assert self.memory.words[address] == word, f"burst {address:#x}"

    def runs(self):
        """(tag, or "write", length) of requests of one kind in a row."""
        kinds = ("write" if write else tag for write, tag in self.memory.order)
        return [(kind, len(list(items))) for kind, items in itertools.groupby(kinds)]


@cocotb.test()
async def turns(dut):
    """Three readers that always ask: TURN of each in turn, a request a cycle; each one's bursts are its own."""
    h = Harness(dut)
    await h.start()
    h.random_reads(10 * TURN, tuple(Reader))
    begin = h.bench.cycle
    while len(h.memory.order) < 30 * TURN:
        await h.bench.cycles(1)
    assert h.bench.cycle - begin <= 30 * TURN + 4, "not a request a cycle"
    assert h.runs() == [(index % 3, TURN) for index in range(30)], h.runs()
    h.hit("turn used up")
    await h.finish()


@cocotb.test()
async def given_up(dut):
    """A reader that pauses gives its turn away; one that is alone keeps it."""
    h = Harness(dut)
    await h.start()
    h.readers[Reader.EXECUTOR.value].stall = StallProfile.toggle()
    h.random_reads(20)
    await h.settle()
    lengths = collections.defaultdict(list)
    for kind, length in h.runs():
        lengths[kind].append(length)
    assert set(lengths[Reader.EXECUTOR.value][:-1]) == {1}, lengths
    h.hit("turn given up")
    h.memory.order.clear()
    begin = h.bench.cycle
    h.random_reads(20, (Reader.EXECUTOR,))
    h.readers[Reader.EXECUTOR.value].stall = StallProfile.none()
    while len(h.memory.order) < 20:
        await h.bench.cycles(1)
    assert h.bench.cycle - begin <= 24, "not a request a cycle"
    await h.finish()


@cocotb.test()
async def batches(dut):
    """Writes wait for half a queue while somebody reads, and go at once when nobody does."""
    h = Harness(dut)
    await h.start()
    h.random_reads(150)
    for index in range(3 * DEPTH):
        h.write(h.results, RESULTS + index)
        await h.bench.cycles(8)
    assert all(length >= DEPTH // 2 for kind, length in h.runs() if kind == "write"), h.runs()
    assert sum(kind == "write" for kind, _ in h.runs()) > 2
    h.hit("writes while somebody reads")
    await h.settle()
    h.memory.order.clear()
    h.write(h.results, RESULTS)
    await h.bench.cycles(8)
    assert h.memory.order == [(True, h.memory.order[0][1])], "a write waits for nothing"
    h.hit("writes while nobody reads")
    await h.finish()


@cocotb.test()
@cocotb.parametrize(profile=["none", "random", "adversarial"])
async def traffic(dut, profile):
    """Everybody at once: every reader sees its own bursts in order, a load what was stored before it."""
    h = Harness(dut)
    rng = h.rng
    await h.start({"none": StallProfile.none, "random": lambda: StallProfile.random(0.4, rng),
                   "adversarial": lambda: StallProfile.adversarial(rng)}[profile])
    for _ in range(12):
        h.random_reads(rng.randrange(30))
        for index in range(rng.randrange(5)):
            h.write(h.results, RESULTS + rng.randrange(4))
        stores = rng.randrange(9)
        for _ in range(stores):
            h.write(h.stores, STORED + rng.randrange(6))
        # The load-store unit: a job after the other.
        await h.stores.drain()
        h.hit("load waits for stores", stores and not h.stores_done())
        for _ in range(rng.randrange(5)):
            h.read(Reader.LOAD, STORED + rng.randrange(6))
        while h.boards[Reader.LOAD.value].pending():
            await h.bench.cycles(1)
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    rng = h.rng
    await h.start(lambda: StallProfile.random(0.2, rng))
    for _ in range(10):
        h.random_reads(20, tuple(Reader))
        for _ in range(8):
            h.write(h.results, RESULTS + rng.randrange(4))
            h.write(h.stores, STORED + rng.randrange(6))
        await h.bench.cycles(rng.randrange(1, 60))
        await h.bench.reset(1)
        for board in h.boards:
            board.reset()
        h.words, h.writes = dict(h.memory.words), 0
        coverage.hit("reset in mid-work")
    h.random_reads(10, tuple(Reader))
    h.write(h.results, RESULTS)
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def run(**options):
    component = MemoryArbiter(DramControllerConfig.preset("small"), DEPTH, TURN, assertions=True)
    return simulate_component(component, __name__, name="memory_arbiter", **options)


def test_order_and_fairness():
    merge("memory_arbiter", POINTS, [run(seed=3)]).check()


def test_wrong_burst_fails():
    with pytest.raises(AssertionError, match=Mismatch.__name__):
        run(options={"corrupt": 1}, testcase="turns")
