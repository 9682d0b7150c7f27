"""The Executor's element against its golden model: sums, cycles, banks, the example of the thesis."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge
from cocotb.utils import get_sim_time

from golden.duet import executor_pe as golden
from hw.config import ConfigError
from hw.duet.executor_pe import SLOTS, ExecutorPe, ExecutorPeConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge

from .bench_executor_pe import POINTS, Harness, coverage


@cocotb.test()
async def random_chunks(dut):
    """Chunks on alternating banks, one loaded while the other is worked on, with random pauses."""
    h = Harness(dut)
    await h.start()
    for _ in range(3):
        await h.load_program(h.random_program())
        sums, banks, h.done = None, [], []
        for chunk in range(24):
            bank = chunk % 2
            # The bank can be written from the second cycle after the chunk before the last one has ended.
            await h.until_done(chunk - 1)
            await h.load_bank(bank, gaps=h.rng.choice([0, 0.5]))
            if int(dut.issuing.value):
                coverage.hit("bank loaded in work")
            await h.until_ready()
            clear = chunk == 0 or h.rng.random() < 0.2
            if clear:
                await h.until_idle()
            sums = await h.begin(bank, h.random_tags(), clear, sums)
            banks.append(bank)
            if h.rng.random() < 0.3:
                await h.check(sums)
            if (sums == 0).any():
                coverage.hit("untouched sum")
        await h.check(sums)
        assert h.done == banks, f"chunks ended on banks {h.done}, not {banks}"


@cocotb.test()
async def full_rate(dut):
    """Chunk after chunk on banks that are loaded: one instruction a cycle, one cycle for a chunk without tags."""
    h = Harness(dut)
    await h.start()
    await h.load_program(h.random_program())
    for bank in range(2):
        await h.load_bank(bank)
    chunks = [(int(h.rng.integers(2)), h.random_tags()) for _ in range(60)]
    sums, began, h.issued = None, get_sim_time("ns"), 0
    for index, (bank, tags) in enumerate(chunks):
        if int(dut.issuing.value):
            coverage.hit("chunk without a bubble")
        sums = await h.begin(bank, tags, index == 0, sums)
        await h.until_ready()
    await h.until_done(len(chunks))
    cycles = round(get_sim_time("ns") - began) // h.bench.period
    count = [int(tags.sum()) for _, tags in chunks]
    assert h.issued == sum(count), f"{h.issued} instructions issued, not {sum(count)}"
    assert h.done == [bank for bank, _ in chunks]
    expected = ExecutorPe.start_latency + sum(max(1, n) for n in count)
    assert cycles == expected, f"{cycles} cycles, not {expected}"
    await h.check(sums)


@cocotb.test()
async def latency(dut):
    """Instructions are issued ``start_latency`` cycles after start, sums are there ``latency`` cycles later."""
    h = Harness(dut)
    await h.start()
    await h.load_program(h.random_program())
    await h.load_bank(0)
    tags = np.zeros(h.config.lut_entries, bool)
    tags[-1] = True
    sums = await h.begin(0, tags, True, None)
    for _ in range(ExecutorPe.start_latency - 1):
        assert not int(dut.issuing.value) and not int(dut.idle.value)
        await h.cycle()
    assert int(dut.issuing.value), "the instruction is not issued"
    for _ in range(ExecutorPe.latency):
        assert not int(dut.idle.value), "idle before the sum is there"
        await h.cycle()
    assert int(dut.idle.value), "idle too late"
    await h.check(sums)


@cocotb.test()
async def example_of_the_thesis(dut):
    """Figure 5.3: 3 x 5 inputs, 3 x 3 filter, 1 x 3 sums: 27 instructions; the first output alone: 9; IMap: 3."""
    h = Harness(dut)
    await h.start()
    segment = h.config.segment
    example = np.array([(5 * dy + x + dx, 3 * dy + dx, x) for x in range(3) for dy in range(3) for dx in range(3)])
    if h.config.weight_lines * segment < 9:
        return  # the filter does not fit
    n = len(example)
    program = np.zeros((h.config.lut_entries, 3), dtype=np.int64)
    program[:n] = example
    await h.load_program(program)
    await h.load_bank(0)
    maps = [(np.ones(3, bool), np.ones(15, bool)), (np.arange(3) == 0, np.ones(15, bool)),
            (np.arange(3) == 0, np.isin(np.arange(15), [1, 7, 10]))]
    for (omap, imap), cycles in zip(maps, (27, 9, 3)):
        tags = golden.tags(program, np.resize(omap, segment), np.resize(imap, SLOTS * segment))
        tags[n:] = False
        h.issued = 0
        await h.until_idle()
        sums = await h.begin(0, tags, True, None)
        await h.cycle()
        for cycle in range(cycles):
            assert int(dut.issuing.value), f"nothing issued in cycle {cycle} of {cycles}"
            await h.cycle()
        assert not int(dut.issuing.value), f"more than {cycles} cycles"
        await h.check(sums)


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment stops the chunk, and leaves sums of zero."""
    h = Harness(dut)
    await h.start()
    await h.load_program(h.random_program())
    for _ in range(15):
        await h.load_bank(0)
        await h.begin(0, np.ones(h.config.lut_entries, bool), True, None)
        for _ in range(int(h.rng.integers(h.config.lut_entries))):
            await h.cycle()
        await h.bench.reset(1)
        await FallingEdge(dut.clk)
        assert int(dut.idle.value) and int(dut.ready.value)
        coverage.hit("reset in mid-work")
        await h.check(await h.begin(0, h.random_tags(), False, None))


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("executor_pe", POINTS, [simulate("executor_pe", preset="small", seed=1)]).check()


@pytest.mark.parametrize("segment, weight_lines, lut_entries, acc_bits", [(16, 2, 144, 44), (8, 1, 29, 37)])
def test_bit_exact(segment, weight_lines, lut_entries, acc_bits):
    simulate("executor_pe", preset="small", seed=segment,
             overrides=dict(segment=segment, weight_lines=weight_lines, lut_entries=lut_entries, acc_bits=acc_bits))


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="sums: expected"):
        simulate("executor_pe", preset="small", options={"corrupt": True}, testcase="full_rate")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="reset in mid-work"):
        Coverage("executor_pe", POINTS).check()


def test_slots_agree():
    assert SLOTS == golden.SLOTS


@pytest.mark.parametrize("field, value", [("segment", 12), ("segment", 64), ("weight_lines", 0), ("lut_entries", 1),
                                          ("acc_bits", 31)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        ExecutorPeConfig(**{field: value})
