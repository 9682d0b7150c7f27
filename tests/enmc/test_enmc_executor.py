"""The EnmcExecutor against its golden model: candidates under stalls, instructions, cycles against the cycle model."""

import cocotb
import numpy as np
import pytest

from golden.enmc.enmc_executor import Buffer
from golden.enmc.enmc_executor_timing import executor_times
from golden.enmc.instruction_generator import (GROUP, TILE_WORDS, CandidateOp, CandidateSettings, Group,
                                               group_steps)
from hw.enmc import candidate_step
from hw.config import ConfigError
from hw.enmc.enmc_executor import EnmcExecutorConfig
from hw.enmc.enmc_types import ExecutorOp
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile

from .bench_enmc_executor import POINTS, Harness, coverage

PROFILES = {
    "none": lambda rng: {},
    "slow steps": lambda rng: {"steps": StallProfile.random(0.6, rng)},
    "slow results": lambda rng: {"take": StallProfile.bursts(rng, 4, 120)},
    "slow memory": lambda rng: {"latency": 17, "pauses": StallProfile.random(0.5, rng),
                                "ask": StallProfile.random(0.3, rng)},
    "adversarial": lambda rng: {"latency": 1, **{side: StallProfile.adversarial(rng)
                                                 for side in ("steps", "take", "ask", "pauses")}},
}


@cocotb.test()
@cocotb.parametrize(profile=list(PROFILES))
async def random_candidates(dut, profile):
    """Back-to-back groups of 1 to 4 candidates, rows of one burst to three tiles, special numbers, addresses beyond the
    last one; each cycle as in the cycle model."""
    h = Harness(dut)
    await h.start(**PROFILES[profile](h.ctx.random))
    h.random_groups(6)
    h.random_group(beyond=True)
    h.random_groups(6)
    if profile == "slow results":
        coverage.hit("results held up")
    await h.finish()


@cocotb.test()
async def instructions(dut):
    """Every instruction with every buffer, candidates in between; all buffers are compared."""
    h = Harness(dut)
    await h.start(lockstep=False)
    await h.check_buffers()
    for round_number in range(2):
        await h.fill()
        for op in ("ADD", "MUL"):
            for first in Buffer:
                for second in Buffer:
                    h.put_job(op, first, second)
                    await h.settle()
                    await h.check_buffers()
                    await h.fill(buffers=[Buffer.PSUM])
        for _ in range(3):
            h.put_job("MUL_ADD")
        await h.settle()
        await h.check_buffers()
        h.random_groups(2)
        await h.settle()
        coverage.hit("candidates between instructions")
        await h.check_buffers()
        coverage.hit("buffers read as zero after candidates")
        h.put_job("ADD", Buffer.FEATURE, Buffer.WEIGHT)
        await h.settle()
        await h.check_buffers()
        await h.write(Buffer.WEIGHT, 2, h.numbers(16))
        await h.write(Buffer.FEATURE, 2, h.numbers(16))
        h.put_job("MUL_ADD")
        h.put_job("ADD", Buffer.PSUM, Buffer.PSUM)
        await h.settle()
        await h.check_buffers()
        if round_number == 0:
            await h.clear()
            await h.check_buffers()
    await h.finish()


@cocotb.test()
async def functions(dut):
    """SIGMOID, and SOFTMAX of all counts that differ in what they do."""
    h = Harness(dut)
    await h.start(lockstep=False)
    await h.fill(buffers=[Buffer.PSUM])
    h.put_job("SIGMOID")
    await h.settle()
    await h.check_buffers()
    for count in (0, 1, 7, 16, 17, 48, 64):
        special = 0.03 if count == 17 else 0
        await h.fill(special, buffers=[Buffer.PSUM])
        h.set_maximum(h.numbers(4))
        item = int(h.rng.integers(4))
        h.put_job("SOFTMAX", phase=0, item=item, count=count)
        await h.settle()
        await h.check_buffers()
        h.put_job("SOFTMAX", phase=1, item=item, count=count)
        await h.settle()
        await h.check_buffers()
    await h.set_sum(0x4120_0000)
    h.put_job("SOFTMAX", phase=0, item=1, count=20)
    h.put_job("SOFTMAX", phase=0, item=2, count=33)
    await h.settle()
    await h.check_buffers()
    h.random_groups(1)
    await h.settle()
    h.put_job("SIGMOID")  # of zeros
    await h.settle()
    await h.check_buffers()
    await h.finish()


def steady(latency):
    """Arrivals of a memory that takes ``latency`` cycles a burst, one a cycle."""
    last = -1

    def response(burst, cycle):
        nonlocal last
        last = max(cycle + latency, last + 1)
        return last

    return response


@cocotb.test()
async def cycles(dut):
    """Every transfer in the cycle that ``executor_times`` says, for several latencies of the memory."""
    h = Harness(dut)
    await h.start()
    tile = h.config.tile_words
    shapes = [[(4, tile + 1), (4, tile + 1), (3, 2 * tile + 1)],
              [(1, 1), (1, 1), (1, 1), (2, 1), (4, 1), (1, 2)], [(2, 2 * tile), (1, 6), (4, 3 * tile + 1)]]
    for latency in (1, 2, 9, 40):
        for shape in shapes:
            await h.settle()
            h.memory.latency = latency
            seen = (h.steps.times, h.requests.times, h.memory.arrivals, h.results.times)
            marks = [len(times) for times in seen]
            for count, row_bursts in shape:
                h.put_group(count, row_bursts)
            await h.settle()
            steps = [step for count, row_bursts in shape for step in group_steps(
                Group(0, (0,) * count), CandidateSettings(row_base=0, row_bursts=row_bursts, feature_base=0), tile)]
            times = executor_times(steps, steady(latency), tile_words=tile, fma_stages=h.config.fma_stages)
            begin = h.requests.times[marks[1]] - times.requests[0]
            for name, got, mark, expected in zip(("steps", "requests", "responses", "results"), seen, marks,
                                                 (times.taken, times.requests, times.responses, times.results)):
                difference = np.flatnonzero(np.array(got[mark:]) - begin != np.array(expected))
                assert not difference.size, (
                    f"latency {latency}, {shape}: {name} {difference[0]} in cycle "
                    f"{got[mark + difference[0]] - begin} instead of {expected[difference[0]]}")
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """Groups of four of more than two tiles: 5 R bursts in 5 R cycles; the lanes of a group are added while the next
    one is read."""
    h = Harness(dut)
    await h.start(latency=12)
    row_bursts, groups = 17, 5
    for _ in range(groups):
        h.put_group(GROUP, row_bursts)
    await h.settle()
    starts = np.array(h.memory.arrivals)[::5 * row_bursts]
    if h.config.tile_words >= 8 and h.config.fma_stages <= 4:
        assert (np.diff(starts) == 5 * row_bursts).all(), f"{np.diff(starts)} cycles a group"
    await h.finish()


@cocotb.test()
async def instruction_cycles(dut):
    """Each instruction takes the cycles that the configuration says, whatever the numbers are."""
    h = Harness(dut)
    await h.start(lockstep=False)
    work = [("ADD", {}), ("MUL_ADD", {}), ("SIGMOID", {}), *(("SOFTMAX", {"phase": phase, "count": count})
                                                            for phase in (0, 1) for count in (0, 1, 16, 35, 64))]
    await h.fill(buffers=[Buffer.PSUM])
    for op, fields in work:
        h.put_job(op, **fields)
    h.put_job("ADD")
    await h.settle()
    await h.check_buffers()
    expected = [h.config.cycles(ExecutorOp[op], **fields) for op, fields in work]
    took = np.diff(h.jobs.times[-len(work) - 1:]).tolist()
    assert took == expected, [(what, got, wanted) for what, got, wanted in zip(work, took, expected) if got != wanted]
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(latency=5, lockstep=False)
    for index in range(10):
        h.random_groups(3)
        if index % 3 == 0:
            await h.bench.cycles(3)
            h.steps.reset()
            h.put_job("SIGMOID")
        await h.bench.cycles(int(h.rng.integers(1, 150)))
        await h.bench.reset(1)
        h.board.reset()
        h.model.clear()
        coverage.hit("reset in mid-work")
    h.random_groups(2)
    await h.settle()
    await h.check_buffers()
    await h.fill(buffers=[Buffer.PSUM])
    h.put_job("SIGMOID")
    await h.settle()
    await h.check_buffers()
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("enmc_executor", POINTS, [simulate("enmc_executor", preset="fpga", seed=2)]).check()


@pytest.mark.slow
@pytest.mark.parametrize("preset, changes", [
    ("small", {}), ("paper", {"tile_words": 16}), ("small", {"function_lanes": 4, "fma_stages": 2}),
    ("paper", {"function_lanes": 16, "fma_stages": 5}),
], ids=str)
def test_bit_exact(preset, changes):
    simulate("enmc_executor", preset=preset, seed=len(changes) + 5, overrides=changes)


@pytest.mark.parametrize("testcase, message", [("random_candidates", "field value"), ("instructions", "lane 3")])
def test_wrong_expectation_fails(testcase, message):
    with pytest.raises(AssertionError, match=message):
        simulate("enmc_executor", preset="fpga", options={"corrupt": True}, testcase=testcase)


def test_wrong_cycle_fails():
    with pytest.raises(AssertionError, match="since reset"):
        simulate("enmc_executor", preset="fpga", options={"late": True}, testcase="full_rate")


def test_micro_instructions_agree():
    assert {op.name: op.value for op in candidate_step.CandidateOp} == {op.name: op.value for op in CandidateOp}
    for words in TILE_WORDS:
        EnmcExecutorConfig(tile_words=words)


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="SIGMOID"):
        Coverage("enmc_executor", POINTS).check()


@pytest.mark.parametrize("field, value", [("tile_words", 2), ("tile_words", 12), ("tile_words", 32),
                                          ("function_lanes", 3), ("fma_stages", 1)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        EnmcExecutorConfig(**{field: value})
