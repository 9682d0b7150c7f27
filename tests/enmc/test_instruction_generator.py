"""The InstructionGenerator against its golden model: groups, order, addresses, rates."""

import cocotb
import numpy as np
import pytest

from golden.enmc import instruction_generator as golden
from golden.enmc.instruction_generator import CandidateSettings, Group, group_steps
from hw.config import ConfigError
from hw.enmc import candidate_step
from hw.enmc.instruction_generator import InstructionGeneratorConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile

from .bench_instruction_generator import POINTS, Harness, coverage

PROFILES = {
    "none": lambda rng: {},
    "slow input": lambda rng: {"drive": StallProfile.random(0.8, rng)},
    "slow output": lambda rng: {"take": StallProfile.random(0.7, rng)},
    "adversarial": lambda rng: {side: StallProfile.adversarial(rng) for side in ("drive", "ranges", "take")},
}


@cocotb.test()
@cocotb.parametrize(profile=list(PROFILES))
async def random_candidates(dut, profile):
    """Candidates of mixed items, registers and flushes; addresses beyond the last one."""
    h = Harness(dut)
    await h.start(**PROFILES[profile](h.ctx.random))
    for index in range(8):
        h.set_settings(**({"feature_base": (1 << 30) - 3} if index == 5 else {}))
        items = int(h.rng.integers(1, 5))
        for _ in range(int(h.rng.choice([0, 3, 9, 40]))):
            h.put(int(h.rng.integers(items)), h.random_class())
        await h.flush()
    await h.finish()


@cocotb.test()
async def ranges(dut):
    """Ranges, one behind the other, of no class up to more than a queue holds; beside candidates of other items."""
    h = Harness(dut)
    await h.start()
    for _ in range(6):
        h.set_settings(row_base=int(h.rng.integers(1 << 20)))
        for item in (0, 1, 0):
            h.put_range(item, int(h.rng.integers(1 << 16)), int(h.rng.choice([0, 1, 5, 4 * h.config.queue_depth])))
        if h.rng.integers(2):
            for _ in range(7):
                h.put(int(h.rng.integers(2, 4)), h.random_class())
            coverage.hit("range beside candidates")
        await h.flush()
    h.set_settings()
    for item in range(4):
        h.put(item, h.random_class())
    await h.flush()
    await h.flush()
    await h.finish()


@cocotb.test()
async def long_rows(dut):
    """Rows of many tiles, up to the longest: each bit of their length counts in the addresses."""
    h = Harness(dut)
    await h.start()
    for row_bursts, count in ((64, 4), (0xAAA, 1), (0x555, 2), (4095, 1)):
        h.set_settings(row_bursts=row_bursts, row_base=int(h.rng.integers(1 << 20)))
        for _ in range(count):
            h.put(int(h.rng.integers(4)), h.random_class())
        await h.flush()
        h.hit("longest row", row_bursts == 4095)
    await h.finish()


@cocotb.test()
async def full_queues(dut):
    """While nothing is taken, a queue takes its depth; then all items take turns."""
    h = Harness(dut)
    await h.start(take=StallProfile.bursts(h.ctx.random, 400, 400))
    h.set_settings(row_bursts=1)
    for index in range(4 * 40):
        h.put(index % 4, h.random_class())
    await h.settle()
    assert len(h.order) == 40
    times = np.diff(h.candidates.times)
    h.hit("queue full", times.max() > 1)
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """A micro-instruction a cycle without a bubble between groups; a group every 8 cycles at most; latency 10."""
    h = Harness(dut)
    await h.start()
    for row_bursts in (2, 2 * h.config.tile_words, 2 * h.config.tile_words + 1, 1):
        h.set_settings(row_bursts=row_bursts)
        await h.bench.cycles(5)
        begin, sent = len(h.monitor.times), len(h.candidates.times)
        for _ in range(16):
            h.put(2, h.random_class())
        await h.settle()
        times = h.monitor.times[begin:]
        length = len(group_steps(Group(2, (0,) * 4), h.settings, h.config.tile_words))
        assert times[0] - h.candidates.times[sent + 3] == 10, f"latency {times[0] - h.candidates.times[sent + 3]}"
        starts = np.diff(times[::length])
        assert (starts == max(length, 8)).all(), f"a group every {starts} cycles, not {max(length, 8)}"
        assert times[length - 1] - times[0] == length - 1, "a bubble in a group"
    await h.bench.cycles(2)
    assert int(dut.empty.value) and not int(dut.working.value)
    for _ in range(3):
        h.put(1, h.random_class())
    await h.bench.cycles(30)
    assert not int(dut.empty.value) and not int(dut.working.value), "three candidates wait"
    h.put(1, h.random_class())
    await h.bench.cycles(4)
    assert int(dut.working.value), "a group is formed"
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(take=StallProfile.random(0.3, h.ctx.random))
    for _ in range(10):
        h.set_settings()
        for _ in range(20):
            h.put(int(h.rng.integers(4)), h.random_class())
        h.put_range(1, 5, 9)
        await h.bench.cycles(int(h.rng.integers(1, 60)))
        await h.bench.reset(1)
        h.reset()
        coverage.hit("reset in mid-work")
    h.set_settings()
    h.put_range(3, 70, 6)
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("instruction_generator", POINTS, [simulate("instruction_generator", preset="small", seed=3)]).check()


@pytest.mark.parametrize("queue_depth, tile_words", [(4, 16), (64, 8)])
def test_bit_exact(queue_depth, tile_words):
    simulate("instruction_generator", preset="paper", seed=queue_depth,
             overrides={"queue_depth": queue_depth, "tile_words": tile_words})


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="instead of"):
        simulate("instruction_generator", preset="small", options={"corrupt": True}, testcase="ranges")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="items take turns"):
        Coverage("instruction_generator", POINTS).check()


def test_ops_agree():
    assert {op.name: op.value for op in candidate_step.CandidateOp} == {op.name: op.value for op in golden.CandidateOp}
    assert candidate_step.GROUP == golden.GROUP


@pytest.mark.parametrize("field, value", [("queue_depth", 2), ("queue_depth", 12), ("queue_depth", 2048),
                                          ("tile_words", 2), ("tile_words", 6), ("tile_words", 32)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        InstructionGeneratorConfig(**{field: value})


def test_golden_example():
    settings = CandidateSettings(row_base=1000, row_bursts=5, feature_base=100)
    steps = group_steps(Group(2, (7, 9)), settings, 4)
    assert [step.op.name for step in steps] == ["LOAD_FEATURE", "LOAD_ROW", "LOAD_ROW"] * 2
    assert [step.address for step in steps] == [110, 1035, 1045, 114, 1039, 1049]
    assert [step.count for step in steps] == [4, 4, 4, 1, 1, 1]
    assert [step.slot for step in steps] == [1, 0, 1] * 2
    assert [step.last for step in steps] == [False, False, False, True, False, False]
    assert (steps[3].item, steps[3].classes) == (2, (7, 9))


def test_golden_groups():
    generator = golden.InstructionGenerator()
    assert [generator.put(1, number) for number in range(3)] == [None] * 3
    assert generator.put_range(1, 10, 6) == [Group(1, (0, 1, 2, 10)), Group(1, (11, 12, 13, 14))]
    assert generator.flush() == [Group(1, (15,))] and generator.flush() == []


@pytest.mark.parametrize("make, message", [
    (lambda: CandidateSettings(row_base=0, row_bursts=0, feature_base=0), "row_bursts = 0"),
    (lambda: CandidateSettings(row_base=1 << 30, row_bursts=1, feature_base=0), "row_base"),
    (lambda: Group(4, (1,)), "item = 4"), (lambda: Group(0, (1, 2, 3, 4, 5)), "classes"),
    (lambda: Group(0, ()), "classes"),
    (lambda: golden.InstructionGenerator().put(0, 1 << 32), "classes"),
    (lambda: group_steps(Group(0, (1,)), CandidateSettings(row_base=0, row_bursts=1, feature_base=0), 5),
     "tile_words = 5"),
])
def test_golden_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()
