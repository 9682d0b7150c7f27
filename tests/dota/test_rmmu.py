"""The RMMU against its golden model: bit-exact results at the exact latency."""

import itertools

import cocotb
import pytest

from golden.arith.precision import Precision
from golden.dota.rmmu import LoadKind, PeOp, chunk_elements
from hw.dota.rmmu import RmmuConfig
from resilin.simulate import simulate
from sim.context import context
from sim.coverage import Coverage, NotCovered, merge

from .bench_rmmu import Harness, Traffic, points, row_control, word


@cocotb.test()
async def random_traffic(dut):
    """Everything at once: at full rate, then with gaps of several densities, then with long pauses."""
    ctx = context()
    coverage = Coverage("rmmu", points(ctx.config))
    h = Harness(dut, coverage)
    await h.start()
    await h.fill(ctx.random)
    cycles = ctx.options.get("cycles", 400)
    traffic = Traffic(h, ctx.random)
    for gap, load, narrow in ((0, 0.8, False), (0, 0.8, True), (0.5, 0.9, True), (0.9, 0.5, True), (0, 1, True)):
        await traffic.run(cycles, gap, load, narrow)
        await h.flush()
        traffic.used = []
        await h.drain([row for row in range(h.rows) if h.model.started(row)])
    assert h.results > cycles // 4


@cocotb.test()
async def reset_in_mid_work(dut):
    """A reset at any moment leaves nothing behind: no result of before, and correct work after."""
    ctx = context()
    h = Harness(dut)
    await h.start()
    for cycles in (3, h.latency, 40):
        await h.fill(ctx.random)
        await Traffic(h, ctx.random).run(cycles)
        await h.reset()
        await h.flush()
    await h.fill(ctx.random)
    await Traffic(h, ctx.random).run(100)
    await h.flush()


@cocotb.test()
async def tiles_double_buffered(dut):
    """A stationary tile is loaded while the one before is in use; a swap costs no cycle, in every mode."""
    ctx = context()
    h, random = Harness(dut), ctx.random
    await h.start()
    for mode in Precision:
        lanes = mode.tile[1]
        loads = [dict(kind=LoadKind.HALF if mode is Precision.FX16 else LoadKind.WORD, row=row, lane=lane, half=row % 2)
                 for row in range(h.rows) for lane in range(lanes)]
        await h.flush()
        for load in loads:
            await h.step(load=dict(data=word(random, h.cols), **load))
        for tile in range(3):
            # Whole rounds over the partial sums, so that none recurs too early at the next tile.
            for beat in range(-(-len(loads) // h.depth) * h.depth):
                control = row_control(h, mode=mode, swap=beat == 0, half=beat % 2, select=beat % h.streams)
                load = dict(data=word(random, h.cols), **loads[beat]) if beat < len(loads) else None
                await h.step(load, dict(cols=[word(random, h.cols) for _ in range(h.streams)],
                                            control=control, rows=[0] * h.rows, index=beat % h.depth,
                                            first=tile == 0 or beat >= h.depth, last=True))
    await h.flush()


@cocotb.test()
async def long_sums(dut):
    """K = 4096 of the operands with the greatest products: no partial sum and no accumulator overflows."""
    ctx = context()
    h = Harness(dut)
    await h.start()
    low = {mode: int.from_bytes({16: b"\x00\x80", 8: b"\x80", 4: b"\x88", 2: b"\xaa"}[mode.bits] *
                                (4 * h.cols * 8 // max(mode.bits, 8)), "little") for mode in Precision}
    high = {mode: int.from_bytes({16: b"\xff\x7f", 8: b"\x7f", 4: b"\x77", 2: b"\x55"}[mode.bits] *
                                 (4 * h.cols * 8 // max(mode.bits, 8)), "little") for mode in Precision}
    for mode, streamed in itertools.product(Precision, (low, high)):
        for row, lane in itertools.product(range(h.rows), range(mode.tile[1])):
            await h.step(load=dict(data=low[mode], kind=LoadKind.WORD, row=row, lane=lane))
        chunks = 4096 // chunk_elements(mode, h.cols)
        # Four sums take turns, because the same one must not recur within four cycles.
        for chunk, index in itertools.product(range(chunks), range(4)):
            await h.step(beat=dict(cols=[streamed[mode]] * h.streams,
                                       control=row_control(h, mode=mode, swap=chunk == 0 and index == 0),
                                       rows=[0] * h.rows, index=index, first=chunk == 0, last=chunk == chunks - 1))
    for streamed, operand in ((low, -32768), (high, -32768)):
        for beat in range(4096):
            control = row_control(h, op=PeOp.MAC, first=beat == 0)
            await h.step(beat=dict(cols=[streamed[Precision.FX16]] * h.streams, control=control,
                                       rows=[operand] * h.rows, index=0, first=True, last=False))
        await h.flush()
        await h.drain(range(h.rows))


# ---- under pytest -----------------------------------------------------------------------------------------------


def covered(preset, overrides=None, **arguments):
    """Run the tests; every cover point of this size was reached."""
    config = RmmuConfig.preset(preset, overrides).to_dict()
    merge("rmmu", points(config), [simulate("rmmu", preset=preset, overrides=overrides, **arguments)]).check()


def test_bit_exact_and_covered():
    covered("small", seed=1)


@pytest.mark.parametrize("seed, overrides", [
    (2, dict(rows=2, cols=2, streams=1, psum_depth=8)),
    (3, dict(rows=6, cols=8, streams=4, psum_depth=16)),
])
def test_bit_exact(seed, overrides):
    covered("small", overrides, seed=seed)


def test_fpga_size():
    covered("fpga", seed=6)


def test_paper_size():
    covered("paper", seed=4, testcase="random_traffic", options={"cycles": 120})


def test_wrong_expectation_fails():
    """One flipped bit in one expected result fails the run."""
    with pytest.raises(AssertionError, match="expected"):
        simulate("rmmu", preset="small", seed=5, testcase="random_traffic", options={"corrupt": 37})


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="DOT beside MAC"):
        Coverage("rmmu", points(RmmuConfig.preset("small").to_dict())).check()
