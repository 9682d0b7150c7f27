"""What the lane's tests share: the harness with the golden twin, chains of random commands, cover points."""

import copy
import itertools

import numpy as np

from golden.arith.precision import Precision
from golden.dota.detector import Mode
from golden.dota.lane import Lane, Statistics
from golden.dota.program import LaneOp, LaneSize, regions
from resilin.lane_bench import LaneDriver
from sim.coverage import Coverage

from .lane_commands import LOW, gemm_steps, random_command

#: Reached over the runs of :func:`test_random_programs`.
POINTS = (
    *(f"GEMM {one.name} to {two.name}" for one, two in itertools.product(Precision, Precision)),
    *(f"CONVERT FX16 to {low.name}" for low in LOW), *(f"CONVERT {low.name} to FX16" for low in LOW),
    "GEMM transposed", "GEMM copies", "GEMM one row", "GEMM one chunk", "GEMM odd chunks", "GEMM several tiles",
    "GEMM more rows than partial sums", "GEMM saturated", "GEMM shift 0", "SOFTMAX one key", "SOFTMAX greatest row",
    "SOFTMAX ragged", "ATTEND threshold", "ATTEND balanced", "ATTEND ragged keys", "ATTEND short group",
    "ATTEND one row", "ATTEND row without connections", "ATTEND group without connections", "ATTEND full row",
    "ATTEND count above keys", "ATTEND shortest vectors", "ATTEND longest vectors", "after GEMM", "after SOFTMAX",
    "after CONVERT", "after ATTEND", "commands stall", "commands at once")
coverage = Coverage("lane", POINTS)


class Harness(LaneDriver):
    """A lane with its golden twin: the same host writes and commands go to both."""

    def __init__(self, dut):
        super().__init__(dut)
        self.size = LaneSize.from_config(self.ctx.config)
        self.rng = self.ctx.rng
        self.corrupt = self.ctx.options.get("corrupt", False)
        self.model = Lane(self.size)
        self._forget()

    def _forget(self):
        """Nothing has run since the reset."""
        self.total, self.phases, self.groups, self.load_waits = Statistics(), set(), 0, 0

    async def start(self, stall=0.0, timeout=30_000):
        """As the driver's; no command of the tests takes that many cycles."""
        await super().start(stall, timeout)

    async def reset(self):
        """Reset the lane; the twin forgets everything but the memory."""
        await self.bench.reset()
        self._forget()
        await self.bench.cycles(2)
        assert not self.busy(), "busy after reset"

    async def write(self, address, words):
        """Host write of consecutive words, uint8 (n, 4C), into both."""
        self.model.write(address, words)
        await super().write(address, words)

    async def fill(self):
        """Random numbers in the whole memory, with rows of corner values among them."""
        shape = self.model.memory.shape
        words = self.rng.integers(0, 256, shape, dtype=np.uint8)
        small = self.rng.random(shape[0]) < 0.3
        # Small FX16 numbers, so that products and softmax rows are not all saturated.
        narrow = self.rng.integers(-300, 300, (shape[0], shape[1] // 2)).astype("<i2").view(np.uint8)
        words[small] = narrow[small]
        for pattern in (0x00, 0xff, 0x80, 0x7f):
            words[self.rng.random(shape[0]) < 0.01] = pattern
        await self.write(0, words)

    async def share_copies(self, command):
        """Make the copies of keys and values of an ATTEND equal, through the host."""
        for region in regions(command, self.size)[0]:
            stream = int(region.name.partition("+")[2] or 0)
            if stream:
                first = region.moved(-stream * command.copy_stride)
                for source, target in zip(first.addresses(), region.addresses()):
                    await self.write(int(target[0]), self.model.memory[source])

    async def send(self, commands):
        """Run commands back-to-back on both and wait for the end."""
        for command in commands:
            self.total += self.model.execute(command)
            self.phases.add(command.phase)
            if command.op is LaneOp.GEMM:
                loads, steps, _ = gemm_steps(command, self.size)
                self.load_waits += loads + sum(max(0, loads + 1 - step) for step in steps[:-1])
            elif command.op is LaneOp.ATTEND:
                self.groups += -(-command.m // self.size.tokens)
        await super().send([command.fields() for command in commands])

    async def compare(self, addresses=None):
        """Read memory back; every bit that the twin knows must be the same."""
        addresses = np.arange(self.size.words) if addresses is None else np.unique(addresses)
        expected = self.model.memory[addresses]
        if self.corrupt:
            expected = expected.copy()
            expected[-1, -1] ^= 1
        found = await self.read(addresses)
        wrong = ((found ^ expected) & self.model.known[addresses]).any(axis=1)
        if wrong.any():
            where = int(np.argmax(wrong))
            raise AssertionError(
                f"{wrong.sum()} of {len(addresses)} words differ, first word {addresses[where]}: found "
                f"{found[where].tobytes()[::-1].hex()}, expected {expected[where].tobytes()[::-1].hex()}")

    async def check_counters(self):
        """Counters since the reset against the twin's account."""
        for name in ("key_reads", "value_reads", "rounds", "connections", "rmmu_beats"):
            found, expected = await self.counter(name.upper()), getattr(self.total, name)
            assert found == expected, f"counter {name} is {found}, expected {expected}"
        phases = [await self.counter(f"CYCLES_PHASE{phase}") for phase in range(8)]
        assert sum(phases) == await self.counter("CYCLES"), f"phases {phases} do not add up to the cycles"
        assert {phase for phase in range(8) if phases[phase]} == self.phases, f"phases {phases}, used {self.phases}"
        stalls = {name: await self.counter(f"STALL_{name}") for name in ("LOAD", "SCHEDULE", "SOFTMAX", "DRAIN")}
        assert stalls["LOAD"] == self.load_waits, f"STALL_LOAD is {stalls['LOAD']}, expected {self.load_waits}"
        # One wait a pass at least, of the two passes of a group.
        assert stalls["SCHEDULE"] >= 2 * self.groups, f"STALL_SCHEDULE is {stalls['SCHEDULE']}, {self.groups} groups"
        # The MFU waits for its output only, which SOFTMAX and CONVERT always take.
        assert self.groups or sum(stalls.values()) == stalls["LOAD"], f"stalls {stalls} without ATTEND"
        assert sum(stalls.values()) <= sum(phases), f"stalls {stalls} of {sum(phases)} cycles"
        assert int(self.dut.error.value) == 0, "error is set after legal commands"

    def hit(self, point, condition=True):
        if condition:
            coverage.hit(point)

    def cover(self, command, result, statistics):
        """Cover points of one command; ``result`` is the memory it wrote, int64 (rows, columns)."""
        size, op = self.size, command.op
        if op is LaneOp.GEMM:
            self.hit(f"GEMM {command.precision.name} to {command.out.name}")
            self.hit("GEMM transposed", command.transposed)
            self.hit("GEMM copies", command.copies > 1)
            self.hit("GEMM one row", command.m == 1)
            self.hit("GEMM one chunk", command.k_chunks == 1)
            self.hit("GEMM odd chunks", command.k_chunks % 2 and command.precision is Precision.FX16)
            self.hit("GEMM several tiles", command.n_tiles > 1)
            self.hit("GEMM more rows than partial sums", command.m > size.psum_depth)
            limit = (1 << command.out.bits - 1) - 1
            self.hit("GEMM saturated", (result == limit).any() and (np.abs(result) < limit).any())
            self.hit("GEMM shift 0", command.shift == 0)
        elif op is LaneOp.SOFTMAX:
            self.hit("SOFTMAX one key", command.keys == 1)
            self.hit("SOFTMAX greatest row", command.keys == size.max_keys)
            self.hit("SOFTMAX ragged", command.keys % size.cols)
        elif op is LaneOp.CONVERT:
            self.hit(f"CONVERT {command.precision.name} to {command.out.name}")
        else:
            per_row = statistics.mask.sum(axis=1)
            groups = [per_row[i:i + size.tokens] for i in range(0, command.m, size.tokens)]
            self.hit(f"ATTEND {command.mode.name.lower()}")
            self.hit("ATTEND ragged keys", command.keys % size.per_word(Precision.INT8))
            self.hit("ATTEND short group", command.m % size.tokens)
            self.hit("ATTEND one row", command.m == 1)
            self.hit("ATTEND row without connections", any(not row.all() and row.any() for row in groups))
            self.hit("ATTEND group without connections", any(not row.any() for row in groups))
            self.hit("ATTEND full row", (per_row == command.keys).any())
            self.hit("ATTEND count above keys", command.mode is Mode.BALANCED and command.count > command.keys)
            self.hit("ATTEND shortest vectors", command.words == 1)
            self.hit("ATTEND longest vectors", command.words == size.max_words)


async def run_chain(h, length, ops=None):
    """A chain of random commands back-to-back; only its first may be an ATTEND of several streams."""
    chain = []
    trial = None
    for position in range(length):
        op = ops[position] if ops else None
        command = random_command(h.rng, h.size, op)
        if command.op is LaneOp.ATTEND and h.size.vectors_per_cycle > 1:
            if position:
                command = random_command(h.rng, h.size, LaneOp(h.rng.integers(3)))
            else:
                await h.share_copies(command)
        if trial is None:
            trial = copy.deepcopy(h.model)
        statistics = trial.execute(command)
        region = regions(command, h.size)[1][0]
        columns = region.words * h.size.per_word(command.out)
        h.cover(command, trial.read(region, command.out, columns), statistics)
        if chain:
            h.hit(f"after {chain[-1].op.name}")
        chain.append(command)
    await h.send(chain)
    return chain
