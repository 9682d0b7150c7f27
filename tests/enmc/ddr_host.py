"""A DDR4 host at the pins of ENMC's logic: instructions, queries, ordinary traffic; checks what passes to the chips."""

import collections

from resilin.enmc.rank_host import DES, precharge
from sim.stream import pack

__all__ = ["NOP", "DdrHost", "command_pins"]

PHASES, BEAT_BITS, BURST_BITS = 4, 64, 512
CLOCK_BITS = 2 * BEAT_BITS
NOP = {"cs_n": 0, "act_n": 1, "bg": 0, "ba": 0, "a": 0b111 << 14}


def command_pins(rng):
    """Pins of an ordinary command, any but an instruction: of a ``random.Random``."""
    kind = rng.choice(("activate", "read", "write", "precharge", "all", "refresh", "mode"))
    bank = {"cs_n": 0, "act_n": 1, "bg": rng.randrange(4), "ba": rng.randrange(4)}
    if kind == "activate":
        return {**bank, "act_n": 0, "a": rng.randrange(1 << 18)}
    if kind in ("precharge", "all"):
        return precharge(1 << 10 if kind == "all" else 0, rng.randrange(16))
    pins = {"read": 0b101, "write": 0b100, "refresh": 0b001, "mode": 0}[kind]
    return {**bank, "a": pins << 14 | rng.randrange(1 << 14)}


def is_instruction(pins):
    """Whether the logic keeps this command from the chips."""
    low = pins["a"] & 0x1FFF
    return not pins["cs_n"] and pins["act_n"] and pins["a"] >> 14 & 7 == 0b010 and low not in (0, 1 << 10)


def is_write(pins):
    """Whether this is WRITE."""
    return not pins["cs_n"] and pins["act_n"] and pins["a"] >> 14 & 7 == 0b100


class DdrHost:
    """Drives ``host`` and the chips' data of ``dut`` each cycle, compares ``chips`` and the data read.

    ``send``, ``query`` and ``pins`` queue commands; each goes out ``gap`` or more DRAM clocks after the one before.
    ``held``: whether the logic owns the chips, a function: nothing may pass then. ``count``: commands that went out.
    Every WRITE has data, and at times data come without one: only those of a WRITE that passed may pass.
    """

    def __init__(self, dut, bench, ctx, cl, cwl, held=lambda: False):
        self.dut, self.bench, self.rng, self.held = dut, bench, ctx.random, held
        self.read_latency, self.cwl = cl + 2 * PHASES, cwl
        self.layout = ctx.layout("host__command__0")
        self.reset()
        bench.add(self)

    def reset(self):
        self.queue = collections.deque()
        self.now = self.next = 0  # DRAM clocks
        self.bus = {}  # clock -> data that the host drives
        self.answers = {}  # clock -> (place in the answer, function that takes the answer)
        self.parts = []
        self.written = set()  # clocks of data that the chips get
        self.expected = self.pending = None
        self.before = (DES,) * PHASES
        self.count = 0
        for phase in range(PHASES):
            getattr(self.dut, f"host__command__{phase}").value = pack(self.layout, DES)

    def send(self, instruction, gap=4, then=None):
        """An instruction with its operand; ``then(clock)`` is called when it goes out."""
        pins = precharge(instruction.command, self.rng.randrange(16))
        self.queue.append((gap, pins, instruction.operand, then, None))

    def query(self, instruction, answer, gap=4):
        """A QUERY; ``answer(word)`` is called with the 512 bits that come."""
        self.queue.append((gap, precharge(instruction.command), None, None, answer))

    def pins(self, pins, gap=1):
        """Any command, by its pins."""
        self.queue.append((gap, pins, None, None, None))

    def idle(self):
        """Whether everything is out and answered."""
        return not (self.queue or self.answers or self.bus)

    async def drain(self):
        while not self.idle():
            await self.bench.cycles(1)

    def finish(self):
        assert self.idle(), f"{len(self.answers)} clocks of answers have not come"

    def status(self):
        return f"host, {len(self.queue)} commands left, {len(self.answers)} clocks of answers missing"

    def tick(self, cycle):
        self._check()
        moved = self._drive()
        return moved

    def _drive(self):
        commands, moved = [DES] * PHASES, False
        for phase in range(PHASES):
            if self.queue and self.now + phase >= self.next + self.queue[0][0] - 1:
                _, pins, operand, then, answer = self.queue.popleft()
                clock = self.now + phase
                self.next, moved = clock + 1, True
                self.count += 1
                commands[phase] = pins
                if operand is not None or is_write(pins):
                    junk = self.rng.getrandbits(BURST_BITS - BEAT_BITS) << BEAT_BITS | (operand or 0)
                    for place in range(4):
                        self.bus[clock + self.cwl + place] = junk >> place * CLOCK_BITS & (1 << CLOCK_BITS) - 1
                if then is not None:
                    then(clock)
                if answer is not None:
                    for place in range(4):
                        self.answers[clock + self.read_latency + place] = place, answer
        dq = enable = 0
        for phase in range(PHASES):
            part = self.bus.pop(self.now + phase, None)
            enable |= (part is not None or self.rng.random() < 0.1) << phase
            dq |= (self.rng.getrandbits(CLOCK_BITS) if part is None else part) << phase * CLOCK_BITS
        chip_data, dm = self.rng.getrandbits(BURST_BITS), self.rng.getrandbits(64)
        for phase, (pins, last) in enumerate(zip(commands, self.before)):
            if pins is not last:
                getattr(self.dut, f"host__command__{phase}").value = pack(self.layout, pins)
        self.before = commands
        self.dut.host__dq_out.value, self.dut.host__dq_out_enable.value = dq, enable
        self.dut.host__dm.value, self.dut.chips__dq_in.value = dm, chip_data
        # `now` is the clock at which these pins begin; they are seen at the chips a cycle later.
        self.expected, self.pending = self.pending, (commands, dq, enable, dm, chip_data, self.now)
        self.now += PHASES
        return moved

    def _check(self):
        """What the logic gives now belongs to what was driven two calls before: pins of the cycle before this one."""
        if self.expected is None:
            return
        commands, dq, enable, dm, chip_data, clock = self.expected
        for phase, pins in enumerate(commands):
            got = int(getattr(self.dut, f"chips__command__{phase}").value)
            hidden = is_instruction(pins) or self.held()
            assert got == pack(self.layout, {**pins, "cs_n": 1} if hidden else pins), f"command at phase {phase}"
            if is_write(pins) and not hidden:
                self.written.update(range(clock + phase + self.cwl, clock + phase + self.cwl + 4))
        passes = sum((clock + phase in self.written) << phase for phase in range(PHASES)) & enable
        assert int(self.dut.chips__dq_out.value) == dq and int(self.dut.chips__dq_out_enable.value) == passes, "data"
        assert int(self.dut.chips__dm.value) == dm
        got, reply = int(self.dut.host__dq_in.value), int(self.dut.reply.value)
        for phase in range(PHASES):
            part = got >> phase * CLOCK_BITS & (1 << CLOCK_BITS) - 1
            place, answer = self.answers.pop(clock + PHASES + phase, (None, None))
            assert (reply >> phase & 1) == (answer is not None), f"answer at clock {clock + PHASES + phase}"
            if answer is None:
                assert part == chip_data >> phase * CLOCK_BITS & (1 << CLOCK_BITS) - 1, "the chips' data"
                continue
            self.parts.append(part)
            if place == 3:
                answer(sum(part << index * CLOCK_BITS for index, part in enumerate(self.parts)))
                self.parts = []
