"""What the EnmcController's tests share: random programs, the harness around host and units, cover points."""

import collections

from golden.enmc.enmc_controller import EnmcController
from golden.enmc.isa import Instruction, make
from golden.enmc.isa_table import BUFFERS, INSTRUCTIONS, REGISTERS, Error
from hw.enmc.enmc_controller import EnmcControllerConfig
from hw.enmc.enmc_types import ExecutorOp, MemoryOp, ScreenerOp
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage
from sim.scoreboard import Scoreboard
from sim.stream import StallProfile
from sim.timed import TimedMonitor

from .controller_units import ExpectedJob, Units, used_buffers
from .ddr_host import DdrHost

NAMES = {number: name for name, number in BUFFERS.items()}
FORMS = [f"{row.name}{f' {form.job or form.kind}' if len(row.forms) > 1 else ''}" for row in INSTRUCTIONS.values()
         for form in row.forms if row.name != "QUERY"]
POINTS = [
    *(f"{name} done" for name in FORMS), *(f"{name} refused" for name in INSTRUCTIONS if name != "QUERY"),
    *(f"error {error.name}" for error in Error), "error of a store", "error of a result", "error after a weak one",
    "later errors saturate", *(f"QUERY {name}" for name in REGISTERS), "QUERY refused", "WRITE_LOW locked",
    *(f"phase {phase}" for phase in range(4)), "jobs side by side", "flushed group",
    "back to back", "host's commands pass", "host's commands held back", "owner changes", "reset in mid-work",
    "whole FIFO", "answer across cycles",
]
coverage = Coverage("enmc_controller", POINTS)
STREAMS = {"screener_jobs": "screener", "executor_jobs": "executor", "ranges": "ranges", "memory_jobs": "memory"}
MOST = 5  # candidates of a range in a random program


def expected_item(job):
    """(stream, item) that a golden job must give."""
    fields = collections.defaultdict(int, job.fields)
    if job.kind == "SCREENER":
        return "screener_jobs", {"op": ScreenerOp[job.op].value, "address": fields["address"] >> 6,
                                 "groups": fields["groups"], "first_class": fields["class"]}
    if job.kind == "EXECUTOR":
        return "executor_jobs", {"op": ExecutorOp[job.op].value, "buf1": job.buf1, "buf2": job.buf2,
                                 "phase": fields["phase"], "item": fields["item"], "count": fields["count"]}
    if job.kind == "CANDIDATES":
        return "ranges", {"first_class": fields["class"], "count": fields["count"], "item": fields["item"]}
    return "memory_jobs", {"op": MemoryOp[job.op].value, "buf1": job.buf1, "buf2": job.buf2,
                           "address": fields["address"] >> 6, "count": fields["count"], "width": fields["width"],
                           "stride": fields["stride"]}


#: Fields of an item that matter to a job.
MEANT = {"SCREEN": ("op", "address", "groups"), "FILTER": ("op", "first_class"), "SOFTMAX": None, "LOAD": (
    "op", "buf1", "address", "count"), "MOVE": ("op", "buf1", "buf2"), "STORE": (
    "op", "buf1", "address", "count", "width", "stride"), None: None}


def random_instruction(rng, rank_bytes):
    """A legal instruction but for what registers say, most kinds as often."""
    address = rng.randrange(rank_bytes // 64) * 64
    first = rng.randrange(40)
    kind = rng.randrange(16)
    if kind < 3:
        items = rng.choice((1, 2, 3))
        return make("MUL_ADD_INT4", "FEATURE_INT4", "WEIGHT_INT4", address=address, groups=rng.randrange(1, 9) // items
                    or 1)
    if kind < 6:
        return make("FILTER", "PSUM_INT4", class_=rng.getrandbits(32))
    if kind < 9:
        name = NAMES[rng.randrange(7)]
        if rng.random() < 0.5:
            return make("LDR", name, address=address, count=rng.randrange(1, 5))
        return make("STR", name, address=address, count=rng.randrange(1, 5), width=rng.randrange(1, 5),
                    stride=rng.getrandbits(22))
    if kind == 9:
        return make("MOVE", NAMES[rng.randrange(7)], NAMES[rng.randrange(7)])
    if kind == 10:
        return make(rng.choice(("ADD_INT4", "MUL_INT4", "MUL_ADD_INT4")), "FEATURE_INT4", "WEIGHT_INT4")
    if kind == 11:
        return rng.choice((
            make(rng.choice(("ADD_FP32", "MUL_FP32")), *(NAMES[rng.choice((2, 3, 5))] for _ in range(2))),
            make("MUL_ADD_FP32", "FEATURE_FP32", "WEIGHT_FP32"), make("SIGMOID", "PSUM_FP32"),
            make("SOFTMAX", "PSUM_FP32", phase=rng.randrange(2), item=rng.randrange(4), count=rng.randrange(65))))
    if kind == 12:
        return make("MUL_ADD_FP32", "FEATURE_FP32", "WEIGHT_FP32", class_=first, count=rng.randrange(1, MOST + 1),
                    item=rng.randrange(3))
    if kind == 13:
        return make(rng.choice(("NOP", "NOP", "BARRIER", "RETURN", "CLR") if rng.random() < 0.3 else ("NOP",)))
    return random_init(rng, rank_bytes)


def random_init(rng, rank_bytes):
    name = rng.choice([row.name for row in REGISTERS.values() if row.access == "write" and row.name != "ERROR"] +
                      ["CLASSES", "ITEMS", "CHUNKS"] * 4)
    register = REGISTERS[name]
    if name == "CLASSES":
        value = rng.choice((rng.randrange(60), 1 << 31, (1 << 32) - 1))
    elif register.kind == "count":
        most = (1 << register.bits) - 1 if register.max is None else register.max
        drawn = rng.randrange(register.min, most + 1) >> rng.randrange(register.bits)  # of any magnitude
        value = rng.choice((register.min, most, drawn)) // register.multiple * register.multiple
        value = max(value, register.min)
    else:
        value = (rng.randrange(rank_bytes // 64 + (register.kind == "limit")) >> rng.choice((0, 0, 3, 9))) * 64
    return make("INIT", name, value)


def mutated(rng, instruction):
    """An instruction with some bits changed, or any bits; never a QUERY or a plain PRECHARGE."""
    while True:
        command, operand = instruction.command, instruction.operand
        for _ in range(rng.choice((1, 1, 2, 5))):
            if rng.random() < 0.4:
                command ^= 1 << rng.randrange(13)
            else:
                operand ^= 1 << rng.randrange(64)
        if rng.random() < 0.1:
            command = rng.getrandbits(13)
        if command not in (0, 1 << 10) and not (command >> 8 == 9 and not command >> 7 & 1):
            return Instruction(command, operand)


class Harness:
    """The controller between a host and units; every job, answer and passing command is compared."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.rng = self.ctx.random
        self.config = EnmcControllerConfig.from_dict(self.ctx.config)
        self.golden = EnmcController(self.config.rank_bytes)
        self.fences = 0
        self.sent = 0

    async def start(self, stall=None):
        self.bench = await start(self.dut, timeout=2000)
        self.boards, self.monitors, self.due = {}, {}, {name: collections.deque() for name in STREAMS}
        for name in STREAMS:
            self.boards[name] = Scoreboard(name, bench=self.bench)
            profile = stall(self.rng) if stall else None
            self.monitors[name] = TimedMonitor(self.dut, name, stall=profile, layout=self.ctx.layout(name),
                                               callback=lambda item, name=name: self._arrived(name, item))
        self.units = Units(self.dut, self.bench, self.ctx, self.hit)
        self.host = DdrHost(self.dut, self.bench, self.ctx, self.config.cl, self.config.cwl, held=self.owned)

    def owned(self):
        """Whether the logic has the chips in the cycle just sampled."""
        return self.units.owned or bool(int(self.dut.memory_wanted.value))

    async def reset(self, cycles=1):
        await self.bench.reset(cycles)
        self.golden = EnmcController(self.config.rank_bytes)
        self.fences = 0
        for board in self.boards.values():
            board.reset()
        for due in self.due.values():
            due.clear()

    def _arrived(self, name, item):
        if not self.due[name]:
            self.boards[name].check(item)  # fails: nothing is expected
        job, meant = self.due[name].popleft()
        self.boards[name].check({field: item[field] for field in meant})
        self.units.arrive(STREAMS[name], job)

    def put(self, instruction, gap=4):
        """Queue an instruction for the host, and expect what the golden model says of it."""
        golden = self.golden
        number, command = golden.executed, instruction.command
        error, later = golden.error, golden.later
        job = golden.take(instruction)
        self.host.send(instruction, gap, lambda clock: self.hit(f"phase {clock % 4}"))
        self.sent += 1
        name = {row.opcode: name for name, row in INSTRUCTIONS.items() if name != "QUERY"}.get(command >> 8)
        if job is None:
            if name:
                self.hit(f"{name} refused")
            if error is None:
                self.hit(f"error {Error(golden.error[0]).name}")
            elif golden.later == later == 255:
                self.hit("later errors saturate")
            return
        several = len(INSTRUCTIONS[name].forms) > 1
        self.hit(f"{name} {job.op or job.kind} done" if several else f"{name} done")
        if job.kind in ("INIT", "BARRIER", "RETURN", "CLR"):
            self.fences += 1
        elif job.kind != "NOP":
            self._expect(job, command, number)

    def _expect(self, job, command, number):
        stream, item = expected_item(job)
        unit = STREAMS[stream]
        drops = self.rng.choice((0, 0, 0, 1, 3)) if job.op == "STORE" else 0
        for _ in range(drops):
            self.golden.report(Error.RANGE, command, number)
            self.hit("error of a store")
        meant = MEANT.get(job.op, ("op", "buf1", "buf2") if job.kind == "EXECUTOR" else ("op",)) or tuple(item)
        wrong = self.ctx.options.get("corrupt") == stream
        self.boards[stream].expect({field: item[field] ^ wrong for field in meant})
        expected = ExpectedJob(
            unit, self.fences, used_buffers(job), job.op in ("SCREEN", "FILTER", "LOAD", "STORE"), job.op == "FILTER",
            job.fields.get("item", 0), min(job.fields.get("count", 0), MOST) if unit == "ranges" else 0, drops)
        self.units.expect(expected)
        self.due[stream].append((expected, meant))

    async def query(self, name, gap=16):
        """The 512 bits that QUERY of a register gives."""
        answers = []
        self.host.query(make("QUERY", name), answers.append, gap)
        self.hit(f"QUERY {name}")
        while not answers:
            await self.bench.cycles(1)
        return answers[0]

    async def wait(self, waiting=0):
        """Poll STATUS until not more than ``waiting`` instructions wait; with 0 until nothing goes on."""
        while True:
            status = await self.query("STATUS")
            if (status >> 8 & 0xFF) <= waiting and (waiting or not status & 3):
                return status
            self.bench.kick()

    async def compare(self):
        """Compare all registers that the golden model knows."""
        for name in ("STATUS", "ERROR", "INSTRUCTIONS", *self.golden.registers):
            if name.startswith("MAX") or name == "SUM":
                continue  # units change them: a test of its own
            got, expected = await self.query(name), self.golden.query(name)
            assert got == expected, f"{name} is {got:#x}, not {expected:#x}"
        for pair, name in enumerate(("CANDIDATES01", "CANDIDATES23")):
            low, high = self.units.computed[2 * pair:2 * pair + 2]
            assert await self.query(name) == low | high << 32, name

    async def run(self, program, gaps=(4, 4, 5, 7, 30)):
        """Send a program as fast as the FIFO lets, then wait until all is done, and compare the registers."""
        room = 0
        for instruction in program:
            if not room:
                await self.wait(1)
                room = self.config.depth - 1
            self.put(instruction, self.rng.choice(gaps))
            room -= 1
        await self.wait()
        await self.compare()

    async def finish(self):
        await self.wait()
        self.put(make("BARRIER"))
        await self.wait()
        await self.bench.finish()

    @staticmethod
    def hit(point, reached=True):
        if reached:
            coverage.hit(point)


def stall_profile(name):
    """A function that makes the stall profile of this name."""
    return {"none": None, "random": lambda rng: StallProfile.random(0.5, rng), "bursts": StallProfile.bursts,
            "adversarial": StallProfile.adversarial}[name]
