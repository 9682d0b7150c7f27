"""What the LoadStoreUnit's tests share: buffers of three units, a memory that answers late, a model of its jobs."""

import collections
import random

from golden.enmc.isa_table import BUFFERS
from golden.enmc.load_store_timing import LoadStoreTiming, MemoryJob
from hw.enmc.enmc_types import ADDRESS_BITS, WORD_BITS, MemoryOp
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.scoreboard import Scoreboard
from sim.stream import unpack
from sim.timed import TimedDriver, TimedMonitor

WORDS = 4
#: Buffers by the unit that has them.
UNITS = {"screener": (0, 1, 4), "executor": (2, 3, 5), "output": (6,)}
OUTPUT = BUFFERS["OUTPUT"]
MOST = (1 << ADDRESS_BITS) - 1
POINTS = [*(f"{op} {name}" for op in ("LOAD", "STORE", "MOVE from", "MOVE to") for name in BUFFERS if name != "INDEX"),
          *(f"{op} of {count}" for op in ("LOAD", "STORE") for count in range(1, WORDS + 1)),
          *(f"rows of {width}" for width in range(1, WORDS + 1)), "buffer moved onto itself", "word below the range",
          "word above the range", "word beyond all bursts", "lowest burst of the range", "highest burst of the range",
          "whole store dropped", "part of a word", "nothing of a word", "read waits", "write waits", "response waits",
          "response at once", *(f"reset in {op.name}" for op in MemoryOp)]
coverage = Coverage("load_store_unit", POINTS)


def initial(address):
    """What the memory has at a burst address before anything is stored there."""
    return random.Random(address).getrandbits(WORD_BITS)


class Model:
    """The jobs, one after the other: buffers (number -> words, integers of 512 bits), memory, what goes where.

    Written from docs/enmc/machine.md (LDR, STR, MOVE). Of OUTPUT's words the bits of the numbers to be stored are the
    low 16 bits of the word: they come with it from the bench.
    """

    def __init__(self, buffers):
        self.buffers = {number: list(words) for number, words in buffers.items()}
        self.low, self.high = 0, MOST

    def mask(self, buffer, word):
        """Bytes of a word that are stored: a bit each."""
        if buffer != OUTPUT:
            return (1 << WORD_BITS // 8) - 1
        return sum(0xF << 4 * number for number in range(WORD_BITS // 32) if word >> number & 1)

    def places(self, job):
        """Burst addresses of a store's words."""
        return [job["address"] + word % job["width"] + job["stride"] * (word // job["width"])
                for word in range(job["count"])]

    def run(self, job, memory):
        """Do a job: ``memory(address)`` gives a burst. Returns the addresses that are read, the writes as dicts of
        address, data, mask, and the number of words dropped."""
        op, buf1 = MemoryOp(job["op"]), job["buf1"]
        if op == MemoryOp.MOVE:
            self.buffers[job["buf2"]] = list(self.buffers[buf1])
            return [], [], 0
        if op == MemoryOp.LOAD:
            addresses = [job["address"] + word for word in range(job["count"])]
            for word, address in enumerate(addresses):
                self.buffers[buf1][word] = memory(address)
            return addresses, [], 0
        writes = []
        for word, place in zip(self.buffers[buf1], self.places(job)):
            if self.low <= place < self.high:
                writes.append({"address": place, "data": word, "mask": self.mask(buf1, word)})
        return [], writes, job["count"] - len(writes)


class Buffers:
    """A unit's side of a BufferAccess port: ``words``, buffer -> 4 integers; a word is read in a cycle."""

    def __init__(self, dut, bench, rng, name):
        self.name, self.dut, self.rng = name, dut, rng
        self.words = {number: [rng.getrandbits(WORD_BITS) for _ in range(WORDS)] for number in UNITS[name]}
        bench.add(self)

    def _port(self, name):
        return int(getattr(self.dut, f"{self.name}__{name}").value)

    def tick(self, cycle):
        buffer = self._port("read_buffer")
        word = self.rng.getrandbits(WORD_BITS)
        if buffer in self.words:
            word = self.words[buffer][self._port("read_index")]
        getattr(self.dut, f"{self.name}__read_data").value = word
        if self.name == "output":
            self.dut.output_stored.value = word & 0xFFFF
        if self._port("write_enable"):
            buffer = self._port("write_buffer")
            assert buffer in self.words, f"{self.name} has no buffer {buffer}"
            self.words[buffer][self._port("write_index")] = self._port("write_data")
        return False

    def reset(self):
        """Words stay as they are."""

    async def drain(self):
        """Nothing to wait for."""

    def finish(self):
        """Nothing to check: :meth:`Harness.check` compares the words."""

    def status(self):
        return "buffers"


class Memory:
    """Answers reads in order, each ``delay()`` cycles or more after it was taken; keeps what was written."""

    name = "memory"

    def __init__(self, dut, bench, rng, delay):
        self.dut, self.bench, self.rng, self.delay = dut, bench, rng, delay
        self.words = {}
        self.reset()
        bench.add(self)

    def reset(self):
        self.due = collections.deque()
        self.dut.responses.value = 0

    def word(self, address):
        return self.words.get(address, initial(address))

    def asked(self, address):
        delay = self.delay()
        coverage.hit("response at once" if delay == 0 and not self.due else "response waits")
        self.due.append((self.bench.cycle + delay, address))

    def written(self, write):
        bits = sum(0xFF << 8 * byte for byte in range(WORD_BITS // 8) if write["mask"] >> byte & 1)
        self.words[write["address"]] = self.word(write["address"]) & ~bits | write["data"] & bits

    def tick(self, cycle):
        data, valid = self.rng.getrandbits(WORD_BITS), 0
        if self.due and self.due[0][0] <= cycle:
            data, valid = self.word(self.due.popleft()[1]), 1
        self.dut.responses.value = data << 1 | valid
        return bool(valid)

    async def drain(self):
        """Nothing to wait for."""

    def finish(self):
        assert not self.due, "answers that nobody waited for"

    def status(self):
        return f"memory, {len(self.due)} answers to give"


class Lockstep:
    """The cycle model beside the unit: busy, the read and the write that are offered, in every cycle."""

    name = "cycle model"

    def __init__(self, dut, bench, ctx):
        self.dut, self.layout = dut, ctx.layout("jobs")
        self.low, self.high = 0, MOST
        self.reset()
        bench.add(self)

    def reset(self):
        self.model, self.op, self.drops = LoadStoreTiming(), None, 0

    def _moves(self, stream):
        return int(getattr(self.dut, f"{stream}__valid").value) & int(getattr(self.dut, f"{stream}__ready").value)

    def tick(self, cycle):
        dut, model = self.dut, self.model
        model.low, model.high = self.low, self.high
        read = int(dut.reads__payload.value) if int(dut.reads__valid.value) else None
        write = int(dut.writes__payload.value) & MOST if int(dut.writes__valid.value) else None
        got, expected = (int(dut.busy.value), read, write), (model.busy, model.read, model.write)
        assert got == expected, f"cycle {cycle}: busy, read, write are {got}, not {expected}"
        self.drops += int(dut.dropped.value)
        read_taken, write_taken, job = self._moves("reads"), self._moves("writes"), None
        coverage.hit("read waits", read is not None and not read_taken)
        coverage.hit("write waits", write is not None and not write_taken)
        if self._moves("jobs"):
            item = unpack(self.layout, int(dut.jobs__payload.value))
            self.op = MemoryOp(item["op"])
            job = MemoryJob(self.op.name, item["address"], WORDS if self.op == MemoryOp.MOVE else item["count"],
                            item["width"], item["stride"])
        model.step(job, read_taken, int(dut.responses.value) & 1, write_taken)
        return job is not None

    async def drain(self):
        """Nothing to wait for."""

    def finish(self):
        """Nothing is left to check."""

    def status(self):
        return f"{self.op}, busy {self.model.busy}"


class Harness:
    """The unit among buffers and memory; option ``corrupt``: a bit that is expected wrong in every write."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.random
        self.corrupt = self.ctx.options.get("corrupt", 0)

    async def start(self, stall=lambda: None, delay=lambda: 0):
        """``stall`` makes the stall profiles of the streams, ``delay`` draws cycles of a response."""
        dut = self.dut
        self.bench = await start(dut, timeout=500)
        self.lockstep = Lockstep(dut, self.bench, self.ctx)
        self.boards = {name: Scoreboard(name, bench=self.bench) for name in ("reads", "writes")}
        self.units = {name: Buffers(dut, self.bench, self.rng, name) for name in UNITS}
        self.driver = TimedDriver(dut, "jobs", stall=stall(), layout=self.ctx.layout("jobs"))
        self.reads = TimedMonitor(dut, "reads", stall=stall(), callback=self._read)
        self.writes = TimedMonitor(dut, "writes", stall=stall(), layout=self.ctx.layout("writes"),
                                   callback=self._written)
        self.memory = Memory(dut, self.bench, self.rng, delay)
        self.take_over()

    def take_over(self):
        """The model begins with what buffers and memory hold."""
        self.model = Model({number: words for unit in self.units.values() for number, words in unit.words.items()})
        self.stored, self.dropped, self.lockstep.drops = dict(self.memory.words), 0, 0
        self.limit(self.lockstep.low, self.lockstep.high)

    def limit(self, low, high):
        """Bursts that may be written; while nothing is inside."""
        self.dut.write_low.value, self.dut.write_high.value = low, high
        for each in (self.lockstep, self.model):
            each.low, each.high = low, high

    def _read(self, address):
        self.boards["reads"].check(address)
        self.memory.asked(address)

    def _written(self, write):
        self.boards["writes"].check(write)
        self.memory.written(write)

    def put(self, op, buf1, **fields):
        """Queue a job, and expect what it does; fields that it does not use are random."""
        rng = self.rng
        job = {"op": op.value, "buf1": buf1, "buf2": rng.randrange(8), "address": rng.randrange(MOST),
               "count": rng.randrange(8), "width": rng.randrange(8), "stride": rng.getrandbits(22), **fields}
        self.driver.put(job)
        self._cover(op, job)
        reads, writes, dropped = self.model.run(job, lambda address: self.stored.get(address, initial(address)))
        self.boards["reads"].expect_many(reads)
        self.boards["writes"].expect_many([{**write, "data": write["data"] ^ self.corrupt} for write in writes])
        for write in writes:
            kept = Memory.__new__(Memory)
            kept.words = self.stored
            kept.written(write)
        self.dropped += dropped

    def _cover(self, op, job):
        names = {number: name for name, number in BUFFERS.items()}
        first, second = names[job["buf1"]], names.get(job["buf2"])
        if op == MemoryOp.MOVE:
            coverage.hit(f"MOVE from {first}")
            coverage.hit(f"MOVE to {second}")
            coverage.hit("buffer moved onto itself", first == second)
            return
        coverage.hit(f"{op.name} {first}")
        coverage.hit(f"{op.name} of {job['count']}")
        if op == MemoryOp.LOAD:
            return
        coverage.hit(f"rows of {job['width']}")
        low, high, places = self.model.low, self.model.high, self.model.places(job)
        beyond = max(places) > MOST and low <= max(places) & MOST < high
        for point, reached in (("word below the range", min(places) < low),
                               ("word above the range", max(places) >= high),
                               ("word beyond all bursts", beyond),
                               ("lowest burst of the range", low in places and low < high),
                               ("highest burst of the range", high - 1 in places and low < high),
                               ("whole store dropped", not any(low <= place < high for place in places))):
            coverage.hit(point, reached)
        if job["buf1"] == OUTPUT:
            for word in self.model.buffers[OUTPUT][:job["count"]]:
                coverage.hit("part of a word", word & 0xFFFF not in (0, 0xFFFF))
                coverage.hit("nothing of a word", word & 0xFFFF == 0)

    async def settle(self):
        """Wait until all jobs are done."""
        while not self.driver.idle():
            await self.bench.cycles(1)
        await self.bench.cycles(2)  # the job that was taken is seen as busy
        while int(self.dut.busy.value):
            await self.bench.cycles(1)
        await self.bench.cycles(1)

    async def check(self):
        """All jobs are done: buffers, memory and dropped words are as in the model."""
        await self.settle()
        for unit in self.units.values():
            for number, words in unit.words.items():
                assert words == self.model.buffers[number], f"buffer {number}"
        assert self.memory.words == self.stored, "memory"
        assert self.lockstep.drops == self.dropped, f"{self.lockstep.drops} words dropped, not {self.dropped}"

    async def reset(self):
        """Reset in mid-work; buffers and memory keep what they have."""
        await self.bench.reset(1)
        for board in self.boards.values():
            board.reset()
        self.take_over()

    async def finish(self):
        await self.check()
        await self.bench.finish()
