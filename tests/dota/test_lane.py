"""The lane against its golden model: the memory after every program bit for bit, and the counters."""

import dataclasses
import itertools
import json

import cocotb
import numpy as np
import pytest

from golden.arith.precision import Precision
from golden.dota.detector import Mode
from golden.dota.head import MODES, plan_head
from golden.dota.program import Command, LaneOp, LaneSize, Phase, regions
from golden.workloads.head_job import synthetic_head_job
from resilin.simulate import simulate
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile, StreamDriver, StreamMonitor

from .bench_lane import POINTS, Harness, coverage, run_chain
from .lane_commands import LOW, random_command


@cocotb.test()
async def random_programs(dut):
    """Each kind of command alone, then chains; the whole memory is compared after each."""
    options = context().options
    stall = options.get("stall", 0.0)
    h = Harness(dut)
    await h.start(stall)
    h.hit("commands stall" if stall else "commands at once")
    await h.fill()
    await h.compare()
    # ATTEND has the most cases and, with several streams, cannot stand inside a chain.
    singles = [[op] for op in (*LaneOp, LaneOp.ATTEND, LaneOp.ATTEND)]
    programs = singles * options.get("singles", 12) + [None] * options.get("chains", 20)
    for ops in programs:
        length = len(ops) if ops else int(h.rng.integers(2, 7))
        chain = await run_chain(h, length, ops)
        try:
            await h.compare()
            await h.check_counters()
        except AssertionError:
            dut._log.error("failed after %s", chain)
            raise
    await h.bench.finish()
    print(coverage.report())


@cocotb.test()
async def whole_heads(dut):
    """Attention heads from inputs to Z, dense and with detection, each as one uninterrupted program."""
    h = Harness(dut)
    await h.start()
    widest = h.size.max_words * h.size.per_word(Precision.FX16)
    for seed, (precision, mode) in enumerate(itertools.product(LOW, MODES)):
        for arguments in (dict(width=min(8, widest)), dict(tokens=11, inputs=18, width=min(6, widest - 1))):
            job = synthetic_head_job(precision=precision, seed=seed, **arguments)
            program = plan_head(job, h.size, mode)
            for address, words in program.writes:
                await h.write(address, words)
            await h.send(program.commands)
            await h.compare(np.flatnonzero(h.model.known.any(axis=1)))
            await h.check_counters()


@cocotb.test()
async def reset_in_mid_command(dut):
    """A reset at a random moment of any command; then a clean job gives exactly what it should."""
    h = Harness(dut)
    await h.start()
    for op in LaneOp:
        await h.fill()
        command = random_command(h.rng, h.size, op)
        await h.share_copies(command)
        await h.commands.send(command.fields())
        await h.bench.cycles(int(h.rng.integers(1, 60)))
        await h.reset()
        await h.fill()
        await run_chain(h, 3)
        await h.compare()
        await h.check_counters()


@cocotb.test()
async def error_on_bank_conflict(dut):
    """A program that breaks the bank rule raises ``error``; it stays until reset."""
    h = Harness(dut)
    await h.start()
    await h.fill()
    illegal = Command(op=LaneOp.GEMM, m=8, n_tiles=2, k_chunks=2, a_base=0, a_stride=1, b_base=8, b_stride=1,
                      c_base=2 * h.size.bank_words, c_stride=2)
    try:
        illegal.check(h.size)
    except ValueError as error:
        assert "bank" in str(error)
    else:
        raise AssertionError("the bank conflict was not refused by the model")
    await h.commands.send(illegal.fields())
    await h.idle()
    assert int(dut.error.value) == 1, "error is not set after two readers met in a bank"
    await h.fill()
    await run_chain(h, 2)
    assert int(dut.error.value) == 1, "error did not stay"
    await h.reset()
    assert int(dut.error.value) == 0, "error is still set after reset"
    await h.fill()
    await run_chain(h, 2)
    await h.compare()
    await h.check_counters()


@cocotb.test()
async def command_beside_read(dut):
    """A command offered in the cycle of a read request leaves the answer alone, however late the host takes it."""
    ctx = context()
    bench = await start(dut, timeout=30_000)
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
    h = Harness(dut)
    size, rng = h.size, h.rng
    await h.start()
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
                await h.write(int(start), rng.integers(0, 256, (region.words, size.word_bytes), dtype=np.uint8))
        await h.share_copies(command)
        await h.send([command])
        await h.compare(np.concatenate([region.addresses().ravel() for region in writes]))
        await h.check_counters()


@cocotb.test()
async def measure_programs(dut):
    """Run the programs in the options on random memory and print the cycles of each, for ``resilin run gemm``."""
    h = Harness(dut)
    await h.start()
    cycles = []
    for program in h.ctx.options.get("programs", []):
        commands = [Command.from_fields(fields) for fields in program]
        for region in [region for command in commands for region in regions(command, h.size)[0]]:
            for start in region.addresses()[:, 0]:
                words = h.rng.integers(0, 256, (region.words, h.size.word_bytes), dtype=np.uint8)
                await h.write(int(start), words)
        before = await h.counter("CYCLES")
        await h.send(commands)
        cycles.append(await h.counter("CYCLES") - before)
        written = [region.addresses().ravel() for command in commands for region in regions(command, h.size)[1]]
        await h.compare(np.concatenate(written))
        await h.check_counters()
    print(f"cycles of programs: {json.dumps(cycles)}")


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    """Random programs, with and without stalls on the host's side; every cover point reached."""
    merge("lane", POINTS, [
        simulate("lane", preset="small", seed=1, testcase="random_programs"),
        simulate("lane", preset="small", seed=2, testcase="random_programs", options={"stall": 0.5})]).check()


def test_directed():
    simulate("lane", preset="small", seed=3, testcase=[
        "whole_heads", "reset_in_mid_command", "error_on_bank_conflict", "command_beside_read", "large_commands"])


@pytest.mark.parametrize("seed, overrides", [
    (4, dict(tokens=4, vectors_per_cycle=1)),
    (8, dict(rows=4, cols=2, vectors_per_cycle=2, banks=9, max_keys=16, psum_depth=4)),
    (5, dict(tokens=3, vectors_per_cycle=4, rows=16, cols=8, banks=16, bank_words=64, max_keys=64, psum_depth=8)),
])
def test_bit_exact(seed, overrides):
    simulate("lane", preset="small", overrides=overrides, seed=seed, testcase=["random_programs", "whole_heads"],
             options={"singles": 3, "chains": 6, "stall": 0.2})


def test_fpga_size():
    simulate("lane", preset="fpga", seed=9)


def test_paper_size():
    simulate("lane", preset="paper", seed=6, testcase="large_commands")


def test_wrong_expectation_fails():
    """One flipped bit in the expected memory fails the run."""
    with pytest.raises(AssertionError, match="words differ"):
        simulate("lane", preset="small", seed=7, testcase="random_programs",
                 options={"corrupt": True, "singles": 1, "chains": 0})


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="GEMM FX16 to FX16"):
        Coverage("lane", POINTS).check()
