"""FigsEngine with each of the three arrays against the golden model: sums, errors, rates."""

import cocotb
import numpy as np
import pytest

from golden.figs import figs_engine
from golden.figs.figs_engine import Command
from hw.config import ConfigError
from hw.figs.figs_engine import FigsEngineConfig
from resilin.simulate import simulate
from sim.coverage import Coverage, NotCovered, merge
from sim.stream import StallProfile

from .bench_figs_engine import POINTS, RATIOS, Harness, coverage

PROFILES = {
    "none": lambda rng: None,
    "half": lambda rng: StallProfile.random(0.5, rng),
    "rare": lambda rng: StallProfile.random(0.9, rng),
    "bursts": StallProfile.bursts,
    "adversarial": StallProfile.adversarial,
}
RIVALS = {
    "dense": dict(array="dense", alpha=0, depth=1, groups=1),
    "mux": dict(array="mux", alpha=0, depth=1, groups=1, window=8),
}


def ratios_of(h):
    """The ratios that the engine's array takes."""
    return [ratio for ratio in RATIOS if h.config.array != "mux" or ratio.m <= h.config.window]


@cocotb.test()
@cocotb.parametrize(profile=list(PROFILES))
async def random_layers(dut, profile):
    """Layers of every ratio, rows that share their patterns and rows that do not."""
    h = Harness(dut)
    await h.start(lambda: PROFILES[profile](h.ctx.random))
    for ratio in ratios_of(h):
        await h.run_layer(h.layer(ratio))
    h.hit("activations late", profile == "rare")
    await h.finish()


@cocotb.test()
@cocotb.parametrize(profile=["none", "adversarial"])
async def random_words(dut, profile):
    """Programs of random bits do what the golden model says, and every error is told."""
    h = Harness(dut)
    await h.start(lambda: PROFILES[profile](h.ctx.random))
    for _ in range(12):
        memory, commands, beats = h.random_program(4)
        await h.run(*used(h, memory, commands, beats))
        if h.rng.random() < 0.5:
            await h.clear()
    await h.finish()


def used(h, memory, commands, beats):
    """The same job with only the beats that its commands take."""
    taken = figs_engine.run(h.sizes, memory, commands, beats).consumed
    return memory, commands, beats[:taken[-1].stop]


@cocotb.test()
async def commands_refused(dut):
    """Commands that are not legal are dropped and told; those around them are done."""
    h = Harness(dut)
    await h.start(lambda: StallProfile.random(0.3, h.ctx.random))
    sizes = h.sizes
    top = sizes.slots.bit_length() - 1
    memory, commands, beats = h.random_program(2, words=sizes.words, cycles=3)
    wrong = [Command(0, 0, 0), Command(sizes.words - 1, sizes.slots + 1, 0),
             Command(1, sizes.words * sizes.slots, 0), Command(sizes.words - 1, 2, top)]
    if top + 1 < 1 << max(1, top.bit_length()):
        wrong.append(Command(0, 1, top + 1))
    last = Command(sizes.words - 1, sizes.slots, 0)
    legal = [command._replace(base=0) for command in commands]
    mixed = [legal[0], *wrong, last, wrong[0], legal[1]]
    beats = h.rng.integers(-128, 128, (64, sizes.beat_values))
    await h.run(*used(h, memory, mixed, beats))
    await h.clear()
    await h.run(*used(h, memory, [last], beats))
    await h.finish()


@cocotb.test()
async def short_passes(dut):
    """Passes shorter than the way out wait for it and lose nothing."""
    h = Harness(dut)
    await h.start()
    memory, _, _ = h.random_program(1, words=h.sizes.words // 2)
    for cycles in (1, 2, 3, h.config.rows + h.config.columns):
        commands = [Command(0, cycles, 0)] * 6
        beats = h.rng.integers(-128, 128, (6 * cycles, h.sizes.beat_values))
        await h.run(*used(h, memory, commands, beats))
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """A schedule cycle a cycle, passes back to back; latency."""
    h = Harness(dut)
    await h.start()
    config, rows = h.config, h.config.rows
    cycles = rows + config.columns + 4
    memory, _, _ = h.random_program(1, words=-(-cycles // h.sizes.slots))
    passes = 6
    beats = h.rng.integers(-128, 128, (passes * cycles, h.sizes.beat_values))
    seen, sent = len(h.monitor.times), len(h.commands.times)
    await h.run(*used(h, memory, [Command(0, cycles, 0)] * passes, beats))
    first = np.array(h.monitor.times[seen::rows])
    assert (np.diff(first) == cycles).all(), f"passes are {np.diff(first)} cycles apart, not {cycles}"
    got = first[0] - h.commands.times[sent] - cycles
    assert got == config.latency, f"latency = {got}, expected {config.latency}"
    coverage.hit("no pause between passes")
    await h.finish()


@cocotb.test()
async def extremes(dut):
    """The greatest and the least sums."""
    h = Harness(dut)
    await h.start()
    low = -(1 << h.sizes.weight_bits - 1)
    for ratio in ratios_of(h):
        layer = h.layer(ratio, shared=True)
        for weight, value, point in ((low, -128, "greatest sum"), (low, 127, "least sum")):
            layer.weights, layer.x = np.where(layer.weights != 0, weight, 0), np.full_like(layer.x, value)
            await h.run_layer(layer)
            coverage.hit(point)
    await h.finish()


@cocotb.test()
async def sums_not_taken(dut):
    """Nothing is lost while sums wait."""
    h = Harness(dut)
    await h.start(lambda: StallProfile.bursts(h.ctx.random, run=6, pause=60))
    for _ in range(3):
        await h.run_layer(h.layer(ratios_of(h)[h.rng.integers(3)]))
    coverage.hit("sums not taken")
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind but the program's words."""
    h = Harness(dut)
    await h.start(lambda: StallProfile.random(0.3, h.ctx.random))
    for _ in range(12):
        memory, commands, beats = h.random_program(3)
        await h.run(*used(h, memory, commands, beats), wait=False)
        await h.bench.cycles(int(h.rng.integers(1, 3 * h.config.rows + 20)))
        await h.reset()
        await h.run_layer(h.layer(ratios_of(h)[0]))
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("figs_engine", POINTS, [simulate("figs_engine", preset="small", overrides={"depth": 3}, seed=1),
                                  simulate("figs_engine", preset="small", seed=2)]).check()


@pytest.mark.parametrize("array", RIVALS)
def test_rivals(array):
    simulate("figs_engine", preset="small", overrides=RIVALS[array], seed=3)


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="results: job"):
        simulate("figs_engine", preset="small", options={"corrupt": 1}, testcase="short_passes")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="rows exchanged"):
        Coverage("figs_engine", POINTS).check()


@pytest.mark.parametrize("field, values", [
    ("window", dict(window=4)), ("window", dict(array="mux", alpha=0, depth=1, groups=1)),
    ("window", dict(array="mux", alpha=0, depth=1, groups=1, window=2)),
    ("alpha", dict(array="dense", depth=1, groups=1)), ("groups", dict(groups=32)), ("alpha", dict(alpha=2)),
    ("depth", dict(alpha=0, depth=1)), ("rows", dict(rows=12)), ("sum_bits", dict(weight_bits=16, sum_bits=20)),
    ("array", dict(array="sparse")), ("words", dict(words=1)),
])
def test_config_refuses(field, values):
    with pytest.raises(ConfigError, match=f"^{field} ="):
        FigsEngineConfig(**values)
