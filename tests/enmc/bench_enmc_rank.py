"""What the EnmcRank's tests share: a host at its DDR4 port, chips that check every rule, the golden rank beside."""

import collections
import dataclasses

import numpy as np

from golden.enmc.enmc_rank import EnmcRank
from golden.enmc.isa import Instruction, decode, make
from golden.enmc.timing import DdrTiming
from hw.enmc.enmc_rank import EnmcRankConfig
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.dram import ChipModel, DramRank
from sim.stream import _reader as reader, pack

from .ddr_host import DES, precharge

PHASES, BEAT_BITS, CLOCK_BITS = 4, 64, 128
BURST = 64
BUSY, OWNER, ERROR = 1, 2, 4
POINTS = ["probabilities", "candidates in groups", "candidates left over", "range", "several items",
          "instruction FIFO full", "reset in mid-work", "host traffic before", "host traffic after", "refresh", "error",
          "illegal instruction", "Screener and Executor at once"]
coverage = Coverage("enmc_rank", POINTS)


class RankHost:
    """Drives the host's pins of a rank: instructions and queries in order, four or more DRAM clocks apart, and ordinary
    commands; :meth:`run` keeps to the room that STATUS tells."""

    name = "host"

    def __init__(self, dut, bench, ctx, config):
        self.dut, self.bench, self.rng, self.config = dut, bench, ctx.random, config
        self.layout = ctx.layout("host__command__0")
        self.read_latency = config.cl + 2 * PHASES
        self._dq_in, self._reply = reader(dut.host__dq_in), reader(dut.reply)
        self.reset()
        bench.add(self)

    def reset(self):
        self.queue, self.bus, self.reads = collections.deque(), {}, {}
        self.now = self.free_at = 0
        self.sent = 0
        for phase in range(PHASES):
            getattr(self.dut, f"host__command__{phase}").value = pack(self.layout, DES)
        self.dut.host__dq_out_enable.value = 0
        self.before = [DES] * PHASES

    async def drain(self):
        while self.queue or self.reads:
            await self.bench.cycles(1)

    def finish(self):
        assert not self.queue and not self.reads, "answers are missing"

    def status(self):
        return f"host, {len(self.queue)} commands left, {len(self.reads)} clocks of data missing"

    def tick(self, cycle):
        self._take()
        commands = [DES] * PHASES
        moved = False
        for phase in range(PHASES):
            clock = self.now + phase
            if self.queue and clock >= self.free_at + self.queue[0][0]:
                gap, pins, write, answer = self.queue.popleft()
                commands[phase], self.free_at, moved = pins, clock, True
                for place in range(4):
                    if write is not None:
                        self.bus[clock + self.config.cwl + place] = write >> place * CLOCK_BITS & (1 << CLOCK_BITS) - 1
                    if answer is not None:
                        self.reads[clock + self.read_latency + place] = place, answer
        for phase, (pins, last) in enumerate(zip(commands, self.before)):
            if pins is not last:
                getattr(self.dut, f"host__command__{phase}").value = pack(self.layout, pins)
        self.before = commands
        parts = [self.bus.pop(self.now + phase, None) for phase in range(PHASES)]
        enable = sum((part is not None) << phase for phase, part in enumerate(parts))
        self.dut.host__dq_out_enable.value = enable
        if enable:
            self.dut.host__dq_out.value = sum((part or 0) << phase * CLOCK_BITS for phase, part in enumerate(parts))
        self.now += PHASES
        return moved

    def _take(self):
        """Data that the host was promised for the DRAM clocks seen now: those driven two calls before, and a cycle."""
        word = reply = None
        for phase in range(PHASES):
            place, answer = self.reads.pop(self.now - PHASES + phase, (None, None))
            if answer is None:
                continue
            word, reply = self._dq_in() if word is None else word, self._reply() if reply is None else reply
            answer(place, word >> phase * CLOCK_BITS & (1 << CLOCK_BITS) - 1, reply >> phase & 1)

    def put(self, pins, gap, write=None, answer=None):
        self.queue.append((gap, pins, write, answer))

    def _reader(self, of_rank):
        """A function that collects a burst, and the list that it ends up in."""
        parts, done = [0] * 4, []

        def answer(place, part, reply):
            assert reply == of_rank, "an answer where the chips' data belong, or the other way round"
            parts[place] = part
            if place == 3:
                done.append(sum(part << index * CLOCK_BITS for index, part in enumerate(parts)))
        return answer, done

    def send(self, instruction):
        junk = self.rng.getrandbits(7 * BEAT_BITS) << BEAT_BITS
        self.put(precharge(instruction.command, self.rng.randrange(16)), self.rng.choice((4, 4, 4, 5, 7, 20)),
                 write=junk | instruction.operand)
        self.sent += 1

    async def query(self, register):
        """The 512 bits of the answer; ``register``: its name, or the instruction."""
        instruction = make("QUERY", register) if isinstance(register, str) else register
        answer, done = self._reader(1)
        self.put(precharge(instruction.command), 4, answer=answer)
        while not done:
            await self.bench.cycles(1)
        return done[0]

    async def idle(self):
        """Wait until the rank is neither busy nor owner; gives STATUS."""
        while (status := await self.query("STATUS")) & (BUSY | OWNER):
            self.bench.kick()
            await self.bench.cycles(20)
        return status

    async def run(self, instructions):
        """Send a program; the values of its QUERY, each after all before it is done."""
        replies, room = [], 0
        for instruction in instructions:
            definition = decode(instruction).definition
            if definition is not None and definition.register == "read":
                await self.drain()
                await self.idle()
                replies.append(await self.query(instruction))
                continue
            while room < 1:
                await self.drain()
                room = self.config.depth - 1 - (await self.query("STATUS") >> 8 & 255)
                if room < 1:
                    coverage.hit("instruction FIFO full")
            self.send(instruction)
            room -= 1
        await self.drain()
        await self.idle()
        return replies

    async def write(self, address, data):
        """Ordinary traffic: a burst of 64 bytes, with ACTIVATE before and PRECHARGE after it."""
        self._row(address)
        self.put(self._column(address, 0b100), 20, write=int.from_bytes(bytes(data), "little"))
        self.put(precharge(0, self._bank(address)), 60)
        await self.drain()
        await self.bench.cycles(10)

    async def refresh(self):
        """PRECHARGE ALL, long after what went before, and REFRESH: the host's duty while it has the chips."""
        self.put(precharge(1 << 10), 100)
        self.put({"cs_n": 0, "act_n": 1, "bg": 0, "ba": 0, "a": 0b001 << 14}, 20)
        await self.drain()

    async def read(self, address):
        answer, done = self._reader(0)
        self._row(address)
        self.put(self._column(address, 0b101), 20, answer=answer)
        self.put(precharge(0, self._bank(address)), 60)
        await self.drain()
        await self.bench.cycles(10)
        return np.frombuffer(done[0].to_bytes(BURST, "little"), np.uint8)

    @staticmethod
    def _bank(address):
        burst = address // BURST
        return burst & 3 | (burst >> 9 & 3) << 2

    def _pins(self, address, act_n, a):
        bank = self._bank(address)
        return {"cs_n": 0, "act_n": act_n, "bg": bank & 3, "ba": bank >> 2, "a": a}

    def _row(self, address):
        self.put(self._pins(address, 0, address // BURST >> 11), 60)

    def _column(self, address, operation):
        return self._pins(address, 1, operation << 14 | 1 << 12 | (address // BURST >> 2 & 127) << 3)


class Harness:
    """A rank in a test, its chips and host, the golden rank. Option ``corrupt``: bits that the comparison changes."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.rng
        self.corrupt = self.ctx.options.get("corrupt", 0)
        self.config = EnmcRankConfig.from_dict(self.ctx.config)
        timing = DdrTiming(**{spec.name: getattr(self.config, spec.name) for spec in dataclasses.fields(DdrTiming)})
        self.chips = DramRank(timing, row_bits=self.config.row_bits, uninitialised="raise")
        self.golden = EnmcRank(self.config.row_bits)

    async def start(self):
        self.bench = await start(self.dut, timeout=20000)
        ChipModel(self.bench, self.dut, self.chips)
        self.host = RankHost(self.dut, self.bench, self.ctx, self.config)
        # The memory begins as zeros, on both sides.
        self.size = self.golden.bursts * BURST
        self.chips.load(0, bytes(self.size))

    async def reset(self):
        """Resets the logic; the golden rank begins anew with what the chips hold."""
        await self.bench.reset()
        self.golden = EnmcRank(self.config.row_bits)
        self.golden.store(0, np.frombuffer(bytes(self.chips.dump(0, self.size)), np.uint8))

    def load(self, address, content):
        """Bytes into both memories, behind everybody's back."""
        content = np.asarray(content, np.uint8)
        self.chips.load(address, content.tobytes())
        self.golden.store(address, content)

    async def run(self, instructions):
        """A program on both; compares the answers and the whole memory of what the golden rank used."""
        instructions = list(instructions)
        expected = self.golden.run(instructions)
        got = await self.host.run(instructions)
        assert len(got) == len(expected)
        for number, (mine, theirs) in enumerate(zip(got, expected)):
            assert theirs is None or mine == theirs, f"QUERY {number}: {mine:#x}, expected {theirs:#x}"
        self.compare()
        return expected

    def compare(self):
        for burst, content, known in self.golden.memory.contents():
            got = np.frombuffer(bytes(self.chips.dump(burst * BURST, BURST)), np.uint8)
            assert np.array_equal(got, content ^ self.corrupt), f"burst {burst:#x}: {got}, expected {content}"

    async def finish(self):
        for name in ("ERROR", "INSTRUCTIONS", "SUM", "MAX0", "MAX3", "CANDIDATES01", "CANDIDATES23", "BURSTS"):
            got, expected = await self.host.query(name), self.golden.query(name)
            assert got == expected, f"{name} = {got:#x}, expected {expected:#x}"
        if self.chips.clock > self.config.trefi:
            coverage.hit("refresh")
        await self.bench.finish()


#: Random programs read from bytes below LOW, store to STORES, and have the results of candidates in RESULTS.
LOW, STORES, RESULTS, HIGH = 0x8000, 0x8000, 0xC000, 0x10000
_WORD_BUFFERS = ("FEATURE_INT4", "WEIGHT_INT4", "FEATURE_FP32", "WEIGHT_FP32", "PSUM_INT4", "PSUM_FP32", "OUTPUT")


def random_settings(rng):
    """INIT of every register that a program uses, to values that keep its accesses apart."""
    items = int(rng.integers(1, 5))
    values = {"CLASSES": rng.integers(1, 65), "ITEMS": items, "CHUNKS": rng.integers(1, 32 // items + 1),
              "SCALE": rng.integers(0, 1 << 63), "SHIFT": rng.integers(0, 48),
              "THRESHOLD": rng.integers(-9999999, 9999),
              "ROW_BASE": 64 * rng.integers(0, 128), "ROW_BURSTS": rng.integers(1, 6),
              "FEATURE_BASE": 64 * rng.integers(0, 128), "RESULT_BASE": RESULTS, "RESULT_STRIDE": 256,
              "LOG_BASE": rng.choice([0, RESULTS + 0x2000]), "LOG_STRIDE": 1024,
              "SUM": rng.integers(1 << 32), "MAX2": rng.integers(1 << 32)}
    return [make("INIT", name, int(value)) for name, value in values.items()]


def random_instruction(rng):
    """A legal instruction but for RANGE and SETTING, or one with an error."""
    kind = rng.choice(["screen", "filter", "range", "load", "store", "move", "compute", "special", "control",
                       "illegal"])
    place = 64 * int(rng.integers(0, LOW // 64 - 80))
    if kind == "screen":
        return make("MUL_ADD_INT4", "FEATURE_INT4", "WEIGHT_INT4", address=place, groups=int(rng.integers(1, 9)))
    if kind == "filter":
        return make("FILTER", "PSUM_INT4", class_=int(rng.integers(0, 80)))
    if kind == "range":
        return make("MUL_ADD_FP32", "FEATURE_FP32", "WEIGHT_FP32", class_=int(rng.integers(0, 64)),
                    count=int(rng.integers(1, 9)), item=int(rng.integers(0, 4)))
    buffer = str(rng.choice(_WORD_BUFFERS))
    if kind == "load":
        return make("LDR", buffer, address=place, count=int(rng.integers(1, 5)))
    if kind == "store":
        place = STORES + 64 * int(rng.integers(-4, (RESULTS - STORES) // 64 - 64))
        return make("STR", buffer, address=place, count=int(rng.integers(1, 5)), width=int(rng.integers(1, 5)),
                    stride=int(rng.integers(0, 20)))
    if kind == "move":
        return make("MOVE", buffer, str(rng.choice(_WORD_BUFFERS)))
    if kind == "compute":
        name = str(rng.choice(["ADD_FP32", "MUL_FP32", "ADD_INT4", "MUL_INT4", "MUL_ADD_INT4", "MUL_ADD_FP32"]))
        if name.endswith("INT4"):
            return make(name, "FEATURE_INT4", "WEIGHT_INT4")
        if name == "MUL_ADD_FP32":
            return make(name, "FEATURE_FP32", "WEIGHT_FP32")
        return make(name, *(str(rng.choice(["FEATURE_FP32", "WEIGHT_FP32", "PSUM_FP32"])) for _ in range(2)))
    if kind == "special":
        if rng.integers(2):
            return make("SIGMOID", "PSUM_FP32")
        return make("SOFTMAX", "PSUM_FP32", phase=int(rng.integers(2)), item=int(rng.integers(4)),
                    count=int(rng.integers(65)))
    if kind == "control":
        name = rng.choice(["BARRIER", "NOP", "RETURN", "OUTPUT", "ERROR", "INSTRUCTIONS", "MAX1", "CANDIDATES01"])
        return make("QUERY", str(name)) if name in ("OUTPUT", "ERROR", "INSTRUCTIONS", "MAX1", "CANDIDATES01") else \
            make(str(name))
    while True:
        instruction = Instruction(int(rng.integers(1, 1 << 13)), int(rng.integers(1 << 63)) >> int(rng.integers(64)))
        if decode(instruction).errors and instruction.command != 1 << 10:
            coverage.hit("illegal instruction")
            return instruction
