"""The lane against its golden model: the memory after every program bit for bit, and the counters."""

import copy
import dataclasses
import itertools
import json

import cocotb
import numpy as np
import pytest

from golden.arith.precision import Precision
from golden.dota.detector import Mode
from golden.dota.head import MODES, plan_head
from golden.dota.lane import Lane, Statistics
from golden.dota.program import Command, LaneOp, LaneSize, Phase, regions
from golden.workloads.head_job import synthetic_head_job
from resilin.lane_bench import LaneDriver
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile, StreamDriver, StreamMonitor

LOW = (Precision.INT8, Precision.INT4, Precision.INT2)

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


# ---- random legal commands --------------------------------------------------------------------------------------


def upto(rng, most, corner=0.2):
    """A random number from 1 to ``most``; the ends are more probable."""
    if rng.random() < corner:
        return 1 if rng.random() < 0.5 else most
    return int(rng.integers(1, most + 1))


def random_command(rng, size, op=None):
    """A legal command with every region somewhere in the memory."""
    op = LaneOp(rng.integers(4)) if op is None else op
    make = {LaneOp.GEMM: _random_gemm, LaneOp.SOFTMAX: _random_softmax, LaneOp.CONVERT: _random_convert,
            LaneOp.ATTEND: _random_attend}[op]
    while True:
        fields = dict(op=op, phase=Phase(rng.integers(8)), **make(rng, size))
        for _ in range(30):
            command = Command(**fields, **_random_places(rng, size, fields))
            try:
                command.check(size)
            except ValueError:
                continue
            return command


def _random_gemm(rng, size):
    precision, out = (Precision(rng.integers(4)) for _ in range(2))
    chunks = upto(rng, 5)
    width = size.chunk(precision) * chunks
    # Around the size of the sums of random operands, so that results are neither all zero nor all saturated.
    middle = 2 * (precision.bits - 1) + width.bit_length() // 2 - out.bits
    return dict(precision=precision, out=out, transposed=precision is Precision.FX16 and rng.random() < 0.4,
                m=upto(rng, min(40, size.psum_depth + 9)), n_tiles=upto(rng, 3), k_chunks=chunks,
                shift=0 if rng.random() < 0.1 else max(0, middle + int(rng.integers(-2, 3))),
                copies=upto(rng, min(4, size.banks - 3)) if rng.random() < 0.3 else 1)


def _random_softmax(rng, size):
    return dict(m=upto(rng, 9), keys=upto(rng, size.max_keys), scale=int(rng.integers(65536)),
                scale_shift=int(rng.integers(32)))


def _random_convert(rng, size):
    low = LOW[rng.integers(3)]
    both = dict(precision=Precision.FX16, out=low) if rng.random() < 0.5 else dict(precision=low, out=Precision.FX16)
    return dict(both, m=upto(rng, 9), k_chunks=upto(rng, 20), shift=int(rng.integers(20)))


def _random_attend(rng, size):
    keys = upto(rng, size.max_keys)
    mode = Mode(rng.integers(2))
    count = upto(rng, size.max_keys) if rng.random() < 0.2 else upto(rng, max(1, keys // 3))
    threshold = rng.choice([-128, 127, *rng.integers(-128, 128, 3), *rng.integers(80, 128, 3)])
    return dict(m=upto(rng, 3 * size.tokens + 1), keys=keys, words=upto(rng, size.max_words, 0.6), mode=mode,
                count=count, threshold=int(threshold),
                shift=int(rng.integers(12, 18)), out_shift=int(rng.integers(13, 18)), scale=int(rng.integers(65536)),
                scale_shift=int(rng.integers(12, 30)))


def _random_places(rng, size, fields):
    """Random strides and bases. Copies are a whole number of banks apart."""
    places = {}
    trial = Command(**fields)
    reads, writes = regions(trial, size)
    for region in {region.name[0]: region for region in reads + writes[:1]}.values():
        stride = region.words + (int(rng.integers(4)) if rng.random() < 0.3 else 0)
        extent = (region.rows - 1) * stride + region.words
        if extent > size.words:
            stride, extent = region.words, region.rows * region.words
        base = int(rng.integers(max(1, size.words - extent)))
        if rng.random() < 0.7:
            base -= base % size.bank_words
        places |= {f"{region.name[0]}_base": base, f"{region.name[0]}_stride": stride}
    if fields["op"] is LaneOp.ATTEND or fields.get("copies", 1) > 1:
        places["copy_stride"] = size.bank_words * upto(rng, 3)
    return places


# ---- in the simulation ------------------------------------------------------------------------------------------


class Bench(LaneDriver):
    """A lane with its golden twin: the same host writes and commands go to both."""

    def __init__(self, dut, coverage=None):
        super().__init__(dut)
        self.coverage = coverage
        self.size = LaneSize.from_config(self.ctx.config)
        self.rng = self.ctx.rng
        self.corrupt = self.ctx.options.get("corrupt", False)
        self.model = Lane(self.size)
        self.total = Statistics()
        self.phases = set()

    async def reset(self):
        """Reset the lane; the twin forgets everything but the memory."""
        await self.bench.reset()
        self.total, self.phases = Statistics(), set()
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
        await super().send([command.fields() for command in commands])

    async def compare(self, addresses=None):
        """Read memory back; every byte that the twin knows must be the same."""
        addresses = np.arange(self.size.words) if addresses is None else np.unique(addresses)
        expected = self.model.memory[addresses]
        if self.corrupt:
            expected = expected.copy()
            expected[-1, -1] ^= 1
        found = await self.read(addresses)
        wrong = ((found != expected) & self.model.known[addresses]).any(axis=1)
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
        assert int(self.dut.error.value) == 0, "error is set after legal commands"

    def hit(self, point, condition=True):
        if self.coverage is not None and condition:
            self.coverage.hit(point)

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


async def run_chain(bench, length, ops=None):
    """A chain of random commands back-to-back; only its first may be an ATTEND of several streams."""
    chain = []
    trial = None
    for position in range(length):
        op = ops[position] if ops else None
        command = random_command(bench.rng, bench.size, op)
        if command.op is LaneOp.ATTEND and bench.size.vectors_per_cycle > 1:
            if position:
                command = random_command(bench.rng, bench.size, LaneOp(bench.rng.integers(3)))
            else:
                await bench.share_copies(command)
        if trial is None:
            trial = copy.deepcopy(bench.model)
        statistics = trial.execute(command)
        region = regions(command, bench.size)[1][0]
        columns = region.words * bench.size.per_word(command.out)
        bench.cover(command, trial.read(region, command.out, columns), statistics)
        if chain:
            bench.hit(f"after {chain[-1].op.name}")
        chain.append(command)
    await bench.send(chain)
    return chain


@cocotb.test()
async def random_programs(dut):
    """Each kind of command alone, then chains; the whole memory is compared after each."""
    options = context().options
    coverage = Coverage("lane", POINTS)
    stall = options.get("stall", 0.0)
    bench = Bench(dut, coverage)
    await bench.start(stall)
    bench.hit("commands stall" if stall else "commands at once")
    await bench.fill()
    await bench.compare()
    # ATTEND has the most cases and, with several streams, cannot stand inside a chain.
    singles = [[op] for op in (*LaneOp, LaneOp.ATTEND, LaneOp.ATTEND)]
    programs = singles * options.get("singles", 12) + [None] * options.get("chains", 20)
    for ops in programs:
        length = len(ops) if ops else int(bench.rng.integers(2, 7))
        chain = await run_chain(bench, length, ops)
        try:
            await bench.compare()
            await bench.check_counters()
        except AssertionError:
            dut._log.error("failed after %s", chain)
            raise
    await bench.bench.finish()
    print(coverage.report())


@cocotb.test()
async def whole_heads(dut):
    """Attention heads from inputs to Z, dense and with detection, each as one uninterrupted program."""
    bench = Bench(dut)
    await bench.start()
    for seed, (precision, mode) in enumerate(itertools.product(LOW, MODES)):
        for arguments in (dict(), dict(tokens=11, inputs=18, width=6)):
            job = synthetic_head_job(precision=precision, seed=seed, **arguments)
            program = plan_head(job, bench.size, mode)
            for address, words in program.writes:
                await bench.write(address, words)
            await bench.send(program.commands)
            await bench.compare(np.flatnonzero(bench.model.known.any(axis=1)))
            await bench.check_counters()


@cocotb.test()
async def reset_in_mid_command(dut):
    """A reset at a random moment of any command; then a clean job gives exactly what it should."""
    bench = Bench(dut)
    await bench.start()
    for op in LaneOp:
        await bench.fill()
        command = random_command(bench.rng, bench.size, op)
        await bench.share_copies(command)
        await bench.commands.send(command.fields())
        await bench.bench.cycles(int(bench.rng.integers(1, 60)))
        await bench.reset()
        await bench.fill()
        await run_chain(bench, 3)
        await bench.compare()
        await bench.check_counters()


@cocotb.test()
async def error_on_bank_conflict(dut):
    """A program that breaks the bank rule raises ``error``; it stays until reset."""
    bench = Bench(dut)
    await bench.start()
    await bench.fill()
    illegal = Command(op=LaneOp.GEMM, m=8, n_tiles=2, k_chunks=2, a_base=0, a_stride=1, b_base=8, b_stride=1,
                      c_base=2 * bench.size.bank_words, c_stride=2)
    try:
        illegal.check(bench.size)
    except ValueError as error:
        assert "bank" in str(error)
    else:
        raise AssertionError("the bank conflict was not refused by the model")
    await bench.commands.send(illegal.fields())
    await bench.idle()
    assert int(dut.error.value) == 1, "error is not set after two readers met in a bank"
    await bench.fill()
    await run_chain(bench, 2)
    assert int(dut.error.value) == 1, "error did not stay"
    await bench.reset()
    assert int(dut.error.value) == 0, "error is still set after reset"
    await bench.fill()
    await run_chain(bench, 2)
    await bench.compare()
    await bench.check_counters()


@cocotb.test()
async def command_beside_read(dut):
    """A command offered in the cycle of a read request leaves the answer alone, however late the host takes it."""
    ctx = context()
    bench = await start(dut, timeout=None)
    size = LaneSize.from_config(ctx.config)
    writes = StreamDriver(dut, "write", layout=ctx.layout("write"))
    reads, commands = StreamDriver(dut, "read"), StreamDriver(dut, "commands", layout=ctx.layout("commands"))
    answers = StreamMonitor(dut, "read_data", stall=StallProfile.after_offer(20))
    await writes.send_many([dict(address=k, data=0x1000 + k) for k in range(size.words)])
    command = Command(op=LaneOp.GEMM, m=4, n_tiles=1, k_chunks=1, a_base=0, a_stride=1, b_base=size.bank_words,
                      b_stride=1, c_base=2 * size.bank_words, c_stride=1)
    for address in (5, 6, 7):
        reads.put(address)
        commands.put(command.fields())
        assert await answers.recv() == 0x1000 + address
    await bench.cycles(200)
    assert not int(dut.busy.value)


@cocotb.test()
async def large_commands(dut):
    """A GEMM in each precision, one transposed, a softmax, and a sparse attention of the longest legal rows."""
    bench = Bench(dut)
    size, rng = bench.size, bench.rng
    await bench.start()
    bank = size.bank_words
    rows = min(24, bank // 8)
    commands = [Command(op=LaneOp.GEMM, phase=Phase.LINEAR, precision=precision, m=rows, n_tiles=1, k_chunks=3,
                        shift=precision.bits + 2, a_base=0, a_stride=3, b_base=bank, b_stride=3, c_base=3 * bank,
                        c_stride=4) for precision in Precision]
    commands.append(dataclasses.replace(commands[0], transposed=True))
    keys = size.max_keys
    words = size.words_for(Precision.FX16, keys)
    commands.append(Command(op=LaneOp.SOFTMAX, phase=Phase.SOFTMAX, m=min(8, bank // words), keys=keys, a_base=0,
                            a_stride=words, c_base=3 * bank, c_stride=words, scale=40000, scale_shift=16))
    score_words = size.words_for(Precision.INT8, keys)
    stride = -(-keys // bank) * bank
    attend = Command(op=LaneOp.ATTEND, phase=Phase.SPARSE, m=2 * size.tokens + 1, keys=keys, words=1, s_base=0,
                     s_stride=score_words, a_base=bank, a_stride=1, b_base=2 * bank, b_stride=1, v_base=2 * bank,
                     v_stride=1, copy_stride=stride, c_base=2 * bank + size.vectors_per_cycle * stride, c_stride=1,
                     mode=Mode.BALANCED, count=max(1, keys // 10), shift=14, out_shift=15, scale=40000, scale_shift=18)
    for command in [*commands, attend]:
        reads, writes = regions(command, size)
        for region in reads:
            if region.name.endswith(tuple(f"+{stream}" for stream in range(1, size.vectors_per_cycle))):
                continue
            for start in region.addresses()[:, 0]:
                await bench.write(int(start), rng.integers(0, 256, (region.words, size.word_bytes), dtype=np.uint8))
        await bench.share_copies(command)
        await bench.send([command])
        await bench.compare(np.concatenate([region.addresses().ravel() for region in writes]))
        await bench.check_counters()


@cocotb.test()
async def measure_programs(dut):
    """Run the programs in the options on random memory and print the cycles of each, for ``resilin run gemm``."""
    bench = Bench(dut)
    await bench.start()
    cycles = []
    for program in bench.ctx.options.get("programs", []):
        commands = [Command.from_fields(fields) for fields in program]
        for region in [region for command in commands for region in regions(command, bench.size)[0]]:
            for start in region.addresses()[:, 0]:
                words = bench.rng.integers(0, 256, (region.words, bench.size.word_bytes), dtype=np.uint8)
                await bench.write(int(start), words)
        before = await bench.counter("CYCLES")
        await bench.send(commands)
        cycles.append(await bench.counter("CYCLES") - before)
        written = [region.addresses().ravel() for command in commands for region in regions(command, bench.size)[1]]
        await bench.compare(np.concatenate(written))
        await bench.check_counters()
    print(f"cycles of programs: {json.dumps(cycles)}")


# ---- under pytest -----------------------------------------------------------------------------------------------


def run(**arguments):
    from resilin.simulate import simulate

    return simulate("lane", **arguments)


def test_random_programs():
    """Random programs at the small preset, with and without stalls on the host's side; every cover point reached."""
    results = [run(preset="small", seed=1, testcase="random_programs"),
               run(preset="small", seed=2, testcase="random_programs", options={"stall": 0.5})]
    merge("lane over all runs", POINTS, [dataclasses.replace(result, coverage={
        "lane over all runs": result.coverage["lane"]}) for result in results]).check()


def test_directed():
    run(preset="small", seed=3, testcase=["whole_heads", "reset_in_mid_command", "error_on_bank_conflict",
                                          "command_beside_read", "large_commands"])


@pytest.mark.parametrize("seed, overrides", [
    (4, dict(tokens=4, vectors_per_cycle=1)),
    (5, dict(tokens=3, vectors_per_cycle=4, rows=16, cols=8, banks=16, bank_words=64, max_keys=64, psum_depth=8)),
])
def test_other_sizes(seed, overrides):
    run(preset="small", overrides=overrides, seed=seed, testcase=["random_programs", "whole_heads"],
        options={"singles": 3, "chains": 6, "stall": 0.2})


def test_paper_size():
    run(preset="paper", seed=6, testcase="large_commands")


def test_checker_sees_a_wrong_memory():
    """One flipped bit in the expected memory fails the run."""
    with pytest.raises(AssertionError, match="words differ"):
        run(preset="small", seed=7, testcase="random_programs", options={"corrupt": True, "singles": 1, "chains": 0})


def test_coverage_can_fail():
    """A run without programs leaves points unreached, and the check says so."""
    with pytest.raises(NotCovered, match="GEMM FX16 to FX16"):
        Coverage("empty", POINTS).check()
