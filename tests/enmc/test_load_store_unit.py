"""The LoadStoreUnit against a model of LDR, STR and MOVE, and in every cycle against its cycle model."""

import cocotb
import numpy as np
import pytest

from hw.enmc.enmc_types import MemoryOp
from hw.enmc.load_store_unit import LoadStoreUnit
from resilin.simulate import simulate_component
from sim.coverage import Coverage, NotCovered, merge
from sim.scoreboard import Mismatch
from sim.stream import StallProfile

from .bench_load_store_unit import MOST, OUTPUT, POINTS, WORDS, Harness, coverage, initial

BUFFERS = range(7)


def random_job(h, base):
    """A job at ``base`` or near it; ranges of the DRAM overlap from job to job."""
    rng = h.rng
    op = rng.choice(list(MemoryOp))
    if op == MemoryOp.MOVE:
        h.put(op, rng.choice(BUFFERS), buf2=rng.choice(BUFFERS))
    elif op == MemoryOp.LOAD:
        count = rng.randint(1, WORDS)
        h.put(op, rng.choice(BUFFERS), count=count, address=min(base + rng.randrange(12), MOST + 1 - count))
    else:
        stride = rng.choice([0, rng.randrange(6), rng.randrange(6), rng.getrandbits(22), (1 << 22) - 1])
        h.put(op, rng.choice(BUFFERS), count=rng.randint(1, WORDS), width=rng.randint(1, WORDS), stride=stride,
              address=min(base + rng.randrange(12), MOST))


@cocotb.test()
@cocotb.parametrize(profile=["none", "random", "adversarial"])
async def random_jobs(dut, profile):
    """Back-to-back jobs under random ranges that may be written; memory and streams that stall."""
    h = Harness(dut)
    stall = {"none": StallProfile.none, "random": lambda: StallProfile.random(0.5, h.rng),
             "adversarial": lambda: StallProfile.adversarial(h.rng)}[profile]
    await h.start(stall, (lambda: 0) if profile == "none" else lambda: h.rng.choice((0, 0, 1, 5, 25)))
    for _ in range(h.ctx.options.get("rounds", 25)):
        base = h.rng.choice([0, h.rng.randrange(MOST), MOST - 8])
        low = min(max(0, base + h.rng.randrange(-2, 10)), MOST)
        h.limit(low, min(low + h.rng.choice([0, 1, 3, 12, 1 << 24]), MOST))
        if h.rng.random() < 0.1:
            h.limit(low, h.rng.randrange(low + 1))  # nothing may be written
        elif h.rng.random() < 0.3:
            h.limit(0, 1 << 24)  # where addresses that lost their upper bits would be
        for _ in range(h.rng.randint(1, 14)):
            random_job(h, base)
        await h.check()
    await h.finish()


@cocotb.test()
async def parts_of_words(dut):
    """Words of OUTPUT of which nothing, all, or each single number is stored."""
    h = Harness(dut)
    await h.start()
    for stored in [0, 0xFFFF, *(1 << number for number in range(16))]:
        for word in h.units["output"].words[OUTPUT], h.model.buffers[OUTPUT]:
            word[0] = word[0] >> 16 << 16 | stored
        h.put(MemoryOp.STORE, OUTPUT, count=1, width=1, address=stored)
        await h.check()
    await h.finish()


@cocotb.test()
async def latency_and_rate(dut):
    """A read a cycle after a LOAD was taken, then one a cycle; a write two cycles after a STORE, then one in two; a
    MOVE takes eight cycles and a dropped word two; the next job is taken in the cycle after the last one's end."""
    h = Harness(dut)
    await h.start()
    h.limit(0, MOST)
    for op, monitor, first, period in ((MemoryOp.LOAD, h.reads, 1, 1), (MemoryOp.STORE, h.writes, 2, 2)):
        h.put(op, 0, count=4, width=2, stride=9, address=100)
        await h.check()
        assert monitor.times[-4] - h.driver.times[-1] == first
        assert (np.diff(monitor.times[-4:]) == period).all(), np.diff(monitor.times[-4:])
    for _ in range(3):
        h.put(MemoryOp.MOVE, 2, buf2=4)
    await h.check()
    assert (np.diff(h.driver.times[-3:]) == 2 * WORDS + 1).all(), np.diff(h.driver.times[-3:])
    h.limit(0, 0)
    for _ in range(3):
        h.put(MemoryOp.STORE, 1, count=3, width=1, stride=1, address=100)
    await h.check()
    assert (np.diff(h.driver.times[-3:]) == 2 * 3 + 1).all(), np.diff(h.driver.times[-3:])
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing of a job behind: what comes after it is right."""
    h = Harness(dut)
    await h.start(lambda: StallProfile.random(0.4, h.rng), lambda: h.rng.choice((0, 3, 9)))
    h.limit(0, MOST)
    for _ in range(h.ctx.options.get("resets", 40)):
        for _ in range(6):
            random_job(h, 50)
        await h.bench.cycles(h.rng.randrange(1, 60))
        if int(dut.busy.value):
            coverage.hit(f"reset in {h.lockstep.op.name}")
        await h.reset()
        random_job(h, 50)
        await h.check()
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def run(**options):
    return simulate_component(LoadStoreUnit(assertions=True), __name__, name="load_store_unit", **options)


def test_bit_exact_and_covered():
    merge("load_store_unit", POINTS, [run(seed=1)]).check()


def test_wrong_word_fails():
    with pytest.raises(AssertionError, match=f"{Mismatch.__name__}: writes: .* field data"):
        run(options={"corrupt": 1}, testcase="latency_and_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="whole store dropped"):
        Coverage("load_store_unit", POINTS).check()


def test_memory_of_the_bench():
    assert initial(5) == initial(5) != initial(6)
