"""What the GlobalBuffer's tests share: a checker that follows every port in every cycle, random requests."""

import dataclasses
import functools

import numpy as np

from golden.duet import global_buffer as golden
from hw.duet.global_buffer import GlobalBufferConfig
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.stream import unpack
from sim.timed import TimedDriver

__all__ = ["POINTS", "Harness", "coverage"]

POINTS = [
    "words and bits for one reader", "words and bits for two readers", "two readers meet", "a reader waits",
    "the last reader is served", "two writers meet", "a writer waits", "fill waits", "fill and segment in one cycle",
    "line read while it is written", "map line read while it is written", "mask of zeros", "mask of ones",
    "a request for nothing", "first line", "last line", "last map line", "last column", "reset in mid-work",
    "words keep their value",
]
coverage = Coverage("global_buffer", POINTS)


@functools.cache
def model_of(config):
    """The one model of this simulation: contents outlive a reset, and so a test."""
    return golden.GlobalBuffer(cols=config.cols, segment=config.segment, lines=config.lines, map_lines=config.map_lines)


def packed(values, bits):
    """The word of integers, the first in the low bits."""
    return sum((int(value) & (1 << bits) - 1) << bits * index for index, value in enumerate(values))


def words_of(word, count):
    """The INT16 of a word, the first in the low bits."""
    raw = np.frombuffer(word.to_bytes(2 * count, "little"), dtype="<i2")
    return raw.astype(np.int64)


def bits_of(word, count):
    """The bits of a word as bool."""
    return np.array([word >> index & 1 for index in range(count)], dtype=bool)


class Lockstep:
    """Sees all ports in every cycle: ``ready``, ``answer``, ``data`` and ``map`` must be the golden model's."""

    name = "lockstep"

    def __init__(self, harness):
        self.h = harness
        self.dut = harness.dut
        self.model = model_of(harness.config)
        self.shown = [None, None]
        self.reset()
        harness.bench.add(self)

    def reset(self):
        self.expected = None

    async def drain(self):
        pass

    def finish(self):
        pass

    def status(self):
        return "checker"

    def request(self, name):
        """The request that a port shows, as the golden model takes it, or ``None``."""
        if not int(getattr(self.dut, f"{name}__valid").value):
            return None
        item = unpack(self.h.layouts[name], int(getattr(self.dut, f"{name}__payload").value))
        places = {f"{memory}_address": item[f"{memory}_address"] if item[f"{memory}_enable"] else None
                  for memory in ("data", "map")}
        config = self.h.config
        if name.startswith("read"):
            return golden.ReadRequest(**places)
        width = config.line_words if name == "fill" else config.segment
        values = {"data": words_of(item["data"], width), "map": bits_of(item["map"], width)}
        if name == "fill":
            return golden.LineWrite(**places, **values)
        return golden.SegmentWrite(**places, **values, column=item["column"], mask=bits_of(item["mask"], width))

    def tick(self, cycle):
        self.compare()
        reads, writes = ([self.request(name) for name in names] for names in (self.h.reads, self.h.writes))
        self.cover(reads, writes)
        answers, served = self.model.step(reads, writes)
        self.expected = answers
        for answer in filter(None, answers):
            self.shown = [new if new is not None else old for new, old in zip(answer, self.shown)]
        ready = [answer is not None for answer in answers] + served
        for name, request, go in zip([*self.h.reads, *self.h.writes], [*reads, *writes], ready):
            if request is not None:
                got = int(getattr(self.dut, f"{name}__ready").value)
                assert got == go, f"cycle {cycle}: {name}.ready = {got}, expected {int(go)}"
        return any(ready)

    def compare(self):
        """The outputs against what the requests of the cycle before ask for."""
        if self.expected is None:
            return
        answer = int(self.dut.answer.value)
        expected = packed([value is not None for value in self.expected], 1)
        assert answer == expected, f"answer = {answer:b}, expected {expected:b}"
        for memory, name in enumerate(("data", "map")):
            valid = any(value is not None and value[memory] is not None for value in self.expected)
            assert int(getattr(self.dut, f"{name}__valid").value) == valid, f"{name}.valid is not {valid}"
        if self.shown[0] is not None:
            got = words_of(int(self.dut.data__payload.value), self.h.config.line_words)
            np.testing.assert_array_equal(got, self.shown[0] ^ int(self.h.corrupt), err_msg="words of a line")
        if self.shown[1] is not None:
            got = bits_of(int(self.dut.map__payload.value), self.h.config.line_words)
            np.testing.assert_array_equal(got, self.shown[1], err_msg="bits of a map line")

    def cover(self, reads, writes):
        config = self.h.config
        read_go, write_go = golden.grants(reads), golden.grants(writes)
        asked = [request for request in reads if request is not None]
        data = {request.data_address for request, go in zip(reads, read_go) if go} - {None}
        maps = {request.map_address for request, go in zip(reads, read_go) if go} - {None}
        written = [request for request, go in zip(writes, write_go) if go]
        segments = [request for request in written if isinstance(request, golden.SegmentWrite)]
        for point, reached in {
                "words and bits for one reader": any(None not in dataclasses.astuple(request) for request in asked),
                "words and bits for two readers": sum(read_go) > 1 and data and maps,
                "two readers meet": len(asked) > 1, "a reader waits": sum(read_go) < len(asked),
                "the last reader is served": read_go[-1], "two writers meet": None not in writes[:2],
                "a writer waits": any(request is not None and not go for request, go in zip(writes[:-1], write_go)),
                "fill waits": writes[-1] is not None and not write_go[-1],
                "fill and segment in one cycle": write_go[-1] and sum(write_go) > 1,
                "line read while it is written": data & {request.data_address for request in written},
                "map line read while it is written": maps & {request.map_address for request in written},
                "mask of zeros": any(not request.mask.any() for request in segments),
                "mask of ones": any(request.mask.all() for request in segments),
                "a request for nothing": any(request.data_address is request.map_address is None for request in asked),
                "first line": 0 in data, "last line": config.lines - 1 in data,
                "last map line": config.map_lines - 1 in maps,
                "last column": any(request.column == config.cols - 1 for request in segments),
                "words keep their value": self.shown[0] is not None and not data}.items():
            if reached:
                coverage.hit(point)


class Harness:
    """Drives every port with random requests."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.random
        self.config = GlobalBufferConfig.from_dict(self.ctx.config)
        self.corrupt = self.ctx.options.get("corrupt", False)
        self.reads = [f"read__{index}" for index in range(self.config.readers)]
        self.writes = [*(f"write__{index}" for index in range(self.config.writers)), "fill"]
        self.layouts = {name: self.ctx.layout(name) for name in [*self.reads, *self.writes]}

    async def start(self, stall=lambda: None):
        """Clock, reset, the checker, and a driver a port with a stall profile of its own."""
        self.bench = await start(self.dut)
        self.checker = Lockstep(self)
        self.drivers = {name: TimedDriver(self.dut, name, layout=layout, stall=stall())
                        for name, layout in self.layouts.items()}

    def request(self, name, data=None, map=None):
        """A random request for a port; ``data`` and ``map`` say which memories it uses."""
        rng, config = self.rng, self.config
        enable = [rng.random() < 0.6 if given is None else given for given in (data, map)]
        item = {"data_enable": int(enable[0]), "map_enable": int(enable[1])}
        for memory, lines in (("data", config.lines), ("map", config.map_lines)):
            # Few addresses, so that ports meet.
            item[f"{memory}_address"] = rng.choice([0, lines - 1, rng.randrange(min(4, lines)), rng.randrange(lines)])
        if name in self.writes:
            width = config.line_words if name == "fill" else config.segment
            item["data"], item["map"] = rng.getrandbits(16 * width), rng.getrandbits(width)
            if name != "fill":
                item["column"] = rng.choice([0, config.cols - 1, rng.randrange(config.cols)])
                item["mask"] = rng.choice([0, (1 << width) - 1, rng.getrandbits(width)])
        return item

    def put(self, count, names=None):
        """Queue ``count`` random requests for each of the ports."""
        for name in names or self.layouts:
            self.drivers[name].put_many(self.request(name) for _ in range(count))
