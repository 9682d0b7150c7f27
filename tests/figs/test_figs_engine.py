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
    h.hit("activations late", late(h.activations.times))
    await h.finish()


def late(times):
    """Whether a stream paused between items for longer than a pass needs."""
    return len(times) > 1 and np.diff(times).max() > 3


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
    if sizes.words & sizes.words - 1:
        # An address beyond the memory writes nothing.
        await h.program.send_many({"address": address, "word": (1 << sizes.word_bits) - 1}
                                  for address in range(sizes.words, 1 << sizes.words.bit_length()))
    await h.run(*used(h, memory, [legal[0], last], beats), load=False)
    await h.finish()


@cocotb.test()
@cocotb.parametrize(profile=["none", "rare", "adversarial"])
async def short_passes(dut, profile):
    """Passes shorter than the way out wait for it and lose nothing, alone and between long ones."""
    h = Harness(dut)
    await h.start(lambda: PROFILES[profile](h.ctx.random))
    edge, most = h.config.columns + 4, 2 * h.config.rows + h.config.columns + 8
    most = min(most, h.sizes.words * h.sizes.slots)
    memory, _, _ = h.random_program(1, words=-(-most // h.sizes.slots))
    for lengths in ([1] * 6, [2] * 4, [edge - 1] * 4, [edge] * 4, [edge, 1, edge - 1, 2, most, 1, 1, most, edge],
                    h.rng.integers(1, most + 1, 12)):
        commands = [Command(0, int(min(count, most)), 0) for count in lengths]
        beats = h.rng.integers(-128, 128, (sum(command.cycles for command in commands), h.sizes.beat_values))
        await h.run(*used(h, memory, commands, beats))
    await h.finish()


@cocotb.test()
async def program_written_while_passes_run(dut):
    """Words of the next job are written into the other half of the memory while this one's passes run."""
    h = Harness(dut)
    await h.start(lambda: StallProfile.random(0.3, h.ctx.random))
    half = h.sizes.words // 2
    for number in range(8):
        memory, commands, beats = h.random_program(3, words=int(h.rng.integers(1, half + 1)))
        await h.run(*used(h, memory, commands, beats), base=number % 2 * half, wait=number % 2 == 1)
    h.hit("program written while passes run")
    await h.finish()


@cocotb.test()
async def error_while_errors_are_cleared(dut):
    """An error in the cycle in which the bits are cleared stays; with no error they go."""
    h = Harness(dut)
    await h.start()
    wrong = Command(0, 0, 0)
    for _ in range(3):
        h.commands.put({"base": 0, "cycles": wrong.cycles, "group": 0})
    dut.clear_errors.value = 1
    seen = []
    for _ in range(8):
        await h.bench.cycles(1)
        seen.append(int(dut.errors.value))
    assert 4 in seen and seen[-1] == 0, f"errors = {seen}"
    coverage.hit("error while cleared")
    dut.clear_errors.value = 0
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
    h.hit("sums not taken", np.diff(h.monitor.times).max() > 30)
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind but the program's words, which still run."""
    h = Harness(dut)
    await h.start(lambda: StallProfile.random(0.3, h.ctx.random))
    for _ in range(12):
        memory, commands, beats = h.random_program(3)
        await h.run(*used(h, memory, commands, beats), wait=False)
        await h.bench.cycles(int(h.rng.integers(1, 3 * h.config.rows + 20)))
        await h.reset()
        await h.run(*used(h, memory, commands, beats), load=False)
        await h.run_layer(h.layer(ratios_of(h)[0]))
    await h.finish()


# ---- under pytest -----------------------------------------------------------------------------------------------


def test_bit_exact_and_covered():
    merge("figs_engine", POINTS, [simulate("figs_engine", preset="small", overrides={"depth": 3}, seed=1),
                                  simulate("figs_engine", preset="small", seed=2)]).check()


@pytest.mark.parametrize("array", RIVALS)
def test_rivals(array):
    simulate("figs_engine", preset="small", overrides=RIVALS[array], seed=3)


@pytest.mark.parametrize("changes", [
    # No exchange; words that are no power of two; another width of sums.
    dict(alpha=3, depth=2, words=48, sum_bits=24),
    dict(alpha=0, depth=4, groups=2, columns=1, beta=1, weight_bits=16),
    dict(rows=8, alpha=1, depth=1, groups=8, columns=1, multiplier="operator"),
    dict(alpha=1, groups=1, columns=3, beta=3),
    dict(RIVALS["mux"], window=32, rows=2, columns=3, weight_bits=16),
    dict(RIVALS["dense"], columns=1, beta=1, rows=8, multiplier="operator", words=48),
], ids=lambda changes: ", ".join(f"{name} {value}" for name, value in changes.items()))
def test_bit_exact(changes):
    simulate("figs_engine", preset="small", overrides=changes, seed=4)


@pytest.mark.slow
@pytest.mark.parametrize("preset, changes", [
    ("paper", {}), ("fpga", {}), ("paper", dict(weight_bits=16)), ("paper", dict(columns=16, beta=1)),
    ("paper", dict(alpha=7, groups=8, depth=3)), ("paper", RIVALS["dense"]), ("paper", dict(RIVALS["mux"], window=16)),
])
def test_bit_exact_at_size(preset, changes):
    simulate("figs_engine", preset=preset, overrides=changes, seed=5)


@pytest.mark.parametrize("corrupt, message", [("sum", "results: job"), ("error", "errors = .* expected .*START")])
def test_wrong_expectation_fails(corrupt, message):
    with pytest.raises(AssertionError, match=message):
        simulate("figs_engine", preset="small", options={"corrupt": corrupt}, testcase="full_rate")


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
