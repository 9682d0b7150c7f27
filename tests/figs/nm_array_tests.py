"""The cocotb tests of the three arrays: each of their test modules takes them all."""

import cocotb
import numpy as np

from sim.context import context
from sim.stream import StallProfile

from .bench_nm_array import Harness

__all__ = ["extremes", "full_rate", "latency", "random_passes", "reset_in_work", "sums_not_taken"]

PROFILES = {
    "none": (0.0, lambda rng: None),
    "half": (0.5, lambda rng: StallProfile.random(0.5, rng)),
    "rare": (0.9, lambda rng: None),
    "adversarial": (0.1, StallProfile.adversarial),
}


def lengths(h, count):
    """Random lengths of passes, from one cycle to more than the way out takes."""
    out = h.config.rows + h.config.columns
    return [int(h.rng.choice([1, 2, h.rng.integers(1, out), out, h.rng.integers(out, 2 * out + 3)]))
            for _ in range(count)]


@cocotb.test()
@cocotb.parametrize(profile=list(PROFILES))
async def random_passes(dut, profile):
    """Passes of any length, legal and with wrong selects, while ``go`` and ``results`` stall."""
    stall, take = PROFILES[profile]
    h = Harness(dut, stall, take(context().random))
    await h.start()
    for wrong in (0.0, 0.02, 0.6):
        for cycles in lengths(h, 8):
            h.put(h.program(cycles, wrong))
        await h.settle()
    await h.end()


@cocotb.test()
async def full_rate(dut):
    """A schedule cycle a cycle, passes of rows + columns cycles back to back without waiting.

    Option ``early``: so many cycles less, which has to fail.
    """
    h = Harness(dut, wait=False)
    await h.start()
    cycles, passes, rows = h.config.rows + h.config.columns - h.ctx.options.get("early", 0), 5, h.config.rows
    for _ in range(passes):
        h.put(h.program(cycles), pause=0)
    await h.settle()
    apart = np.diff(h.monitor.times[::rows])
    assert (apart == cycles).all(), f"passes are {apart} cycles apart, not {cycles}"
    assert (np.diff(np.reshape(h.monitor.times, (passes, rows))) == 1).all(), "sums do not leave a row a cycle"
    await h.end()


@cocotb.test()
async def latency(dut):
    """Sums of a pass are there 3 cycles after the last column's last cycle."""
    h = Harness(dut)
    await h.start()
    for cycles in (1, h.config.rows + h.config.columns + 2):
        h.put(h.program(cycles), pause=0)
        await h.settle()
        got = h.monitor.times[-h.config.rows] - h.times[-1]
        assert got == 3, f"latency = {got}, expected 3"
    await h.end()


@cocotb.test()
async def extremes(dut):
    """The greatest and the least sums, and one that wraps on its way to one in range."""
    h = Harness(dut, 0.1)
    await h.start()
    sizes = h.sizes
    least = -(1 << sizes.weight_bits - 1)

    def steady(cycles, value, weights):
        program = h.program(cycles)
        program.advance[:] = True
        program.weights[:] = np.reshape(weights, (-1, 1, 1, 1))
        if program.use is not None:
            program.use[:] = True
        return h.put(program, np.full((cycles, sizes.beat_values), value))

    assert (steady(10, -128, least) == 10 * 128 * -least).all()
    h.hit("greatest products")
    assert (steady(10, 127, least) == 10 * 127 * least).all()
    h.hit("least products")
    # As many as bring the sum beyond sum_bits, if that is soon, and as many back.
    count = (1 << sizes.sum_bits - 1) // (128 * -least) + 1
    if count < 50:
        assert (steady(2 * count, -128, [least] * count + [-least - 1] * count) == count * 128).all()
        h.hit("a sum that wraps")
    await h.end()


@cocotb.test()
async def sums_not_taken(dut):
    """Nothing is lost while sums wait."""
    h = Harness(dut, 0.0, StallProfile.bursts(context().random, run=4, pause=60))
    await h.start()
    for cycles in lengths(h, 8):
        h.put(h.program(cycles))
    await h.end()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind: no sums of the pass under way come, the pass after it is right."""
    h = Harness(dut, 0.2, StallProfile.random(0.3, context().random))
    await h.start()
    for _ in range(15):
        for cycles in lengths(h, 2):
            h.put(h.program(cycles, 0.05))
        await h.bench.cycles(int(h.rng.integers(1, 3 * (h.config.rows + h.config.columns))))
        h.hit("reset in mid-work", any(cycle.active for cycle in h.under_way))
        h.hit("reset while sums leave", h.left < h.config.rows)
        await h.bench.reset(1)
        h.board.reset()
        h.put(h.program(lengths(h, 1)[0]))
        await h.settle()
    await h.end()
