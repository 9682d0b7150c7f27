"""A host at the DDR4 pins of a simulated EnmcRank: instructions, queries, ordinary reads, writes and refreshes."""

import collections

import numpy as np

from golden.enmc.isa import decode, make
from sim.stream import _reader as reader, pack

__all__ = ["BURST", "BUSY", "DES", "OWNER", "RankHost", "precharge"]

PHASES, BEAT_BITS, CLOCK_BITS = 4, 64, 128
BURST = 64
#: Bits of STATUS.
BUSY, OWNER = 1, 2
#: Pins of a deselected slot.
DES = {"cs_n": 1, "act_n": 1, "bg": 0, "ba": 0, "a": 0}
_PRECHARGE = 0b010 << 14


def precharge(low=0, bank=0):
    """Pins of PRECHARGE with ``low`` on A12 to A0."""
    return {"cs_n": 0, "act_n": 1, "bg": bank & 3, "ba": bank >> 2, "a": _PRECHARGE | low}


class RankHost:
    """Drives the host's pins of a rank: instructions and queries in order, and ordinary commands.

    Parameters: ``dut``, ``bench`` (:class:`sim.bench.Bench`), ``ctx`` (:class:`sim.context.Context`), ``config`` of the
    rank; ``gaps``: DRAM clocks from a command to an instruction after it, at least 4, one is drawn for each.

    :meth:`run` keeps to the room that STATUS tells. Attributes ``full``: how often it found none; ``refreshes``: how
    many :meth:`refresh` made.
    """

    name = "host"

    def __init__(self, dut, bench, ctx, config, gaps=(4,)):
        self.dut, self.bench, self.rng, self.config, self.gaps = dut, bench, ctx.random, config, gaps
        self.layout = ctx.layout("host__command__0")
        self.read_latency = config.cl + 2 * PHASES
        self._dq_in, self._reply = reader(dut.host__dq_in), reader(dut.reply)
        self.full = self.refreshes = 0
        self.reset()
        bench.add(self)

    def reset(self):
        """Forget what waits, and what was asked for."""
        self.queue, self.bus, self.reads = collections.deque(), {}, {}
        self.now = self.free_at = 0
        for phase in range(PHASES):
            getattr(self.dut, f"host__command__{phase}").value = pack(self.layout, DES)
        self.dut.host__dq_out_enable.value = 0
        self.before = [DES] * PHASES

    async def drain(self):
        """Wait until everything is out and answered."""
        while self.queue or self.reads:
            await self.bench.cycles(1)

    def finish(self):
        """End of test: fails where answers are missing."""
        assert not self.queue and not self.reads, "answers are missing"

    def status(self):
        """For the watchdog's message."""
        return f"host, {len(self.queue)} commands left, {len(self.reads)} clocks of data missing"

    def tick(self, cycle):
        """Drive and take a cycle's pins."""
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
        """Queue a command, ``gap`` DRAM clocks or more after the one before; ``write``: a burst that goes with it;
        ``answer(place, part, reply)`` is called with each quarter of the burst that comes back."""
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
        """Queue an instruction with its operand."""
        junk = self.rng.getrandbits(7 * BEAT_BITS) << BEAT_BITS
        self.put(precharge(instruction.command, self.rng.randrange(16)), self.rng.choice(self.gaps),
                 write=junk | instruction.operand)

    def ask(self, register):
        """Queue a QUERY; gives the list that the 512 bits of its answer end up in. ``register``: its name, or the
        instruction."""
        instruction = make("QUERY", register) if isinstance(register, str) else register
        answer, done = self._reader(1)
        self.put(precharge(instruction.command), 4, answer=answer)
        return done

    async def query(self, register):
        """The answer to a QUERY."""
        done = self.ask(register)
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
                self.full += room < 1
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
        self.refreshes += 1

    async def read(self, address):
        """Ordinary traffic: the 64 bytes of a burst, uint8."""
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
