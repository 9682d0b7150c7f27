"""Whole layers on the engine's RTL: sums equal the product, cycles equal the cycle model's."""

import types

import numpy as np
import pytest

from golden.figs import figs_engine
from golden.figs.figs_engine import Command
from golden.figs.matmul import Job
from golden.figs.patterns import Pattern, magnitude_mask, pattern_of
from golden.figs.sizes import Sizes
from golden.figs.timing import EngineTiming
from hw.figs.figs_engine import FigsEngineConfig
from resilin.figs import engine_run
from resilin.figs.engine_run import Mismatch, run_layer

from .test_figs_engine import RIVALS

CONFIGS = {"figs": FigsEngineConfig.preset("small", {"depth": 3}),
           **{array: FigsEngineConfig.preset("small", changes) for array, changes in RIVALS.items()}}


def layer(pattern, outputs=37, inputs=50, batch=9, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.integers(-128, 128, (outputs, inputs))
    return weights * magnitude_mask(rng.random(weights.shape), pattern), rng.integers(-128, 128, (inputs, batch))


@pytest.mark.parametrize("array", CONFIGS)
def test_layers_on_the_rtl(array):
    for ratio in ("1:4", "2:8", "1:1"):
        pattern = pattern_of("1:1") if array == "dense" else pattern_of(ratio)
        weights, x = layer(pattern_of(ratio))
        run = run_layer(CONFIGS[array], weights, x, pattern, rtl=True)
        assert run.cycles > run.schedule_cycles > 0 and run.loaded_bits > 0


def test_engine_that_computes_something_else_is_seen(monkeypatch):
    weights, x = layer(Pattern(1, 4))
    wrong = np.eye(37, 9, dtype=np.int64)
    monkeypatch.setattr(engine_run, "gather", lambda *args, gather=engine_run.gather: gather(*args) + wrong)
    with pytest.raises(Mismatch, match="output 0, column 0"):
        run_layer(CONFIGS["figs"], weights, x, Pattern(1, 4))


def test_sums_that_may_not_fit_are_refused():
    config = FigsEngineConfig.preset("small", {"depth": 3, "sum_bits": 16})
    weights, x = layer(Pattern(1, 4))
    with pytest.raises(ValueError, match="sum_bits = 16"):
        run_layer(config, weights, x, Pattern(1, 4))


def test_wrong_sum_is_seen():
    weights, x = layer(Pattern(1, 4))
    with pytest.raises(Mismatch, match="job 0: word 0 of the sums"):
        run_layer(CONFIGS["figs"], weights, x, Pattern(1, 4), rtl=True, corrupt=1)


def test_wrong_cycle_is_seen(monkeypatch):
    monkeypatch.setattr(EngineTiming, "way_out", property(lambda self: self.sizes.columns + 4))
    weights, x = layer(Pattern(1, 4))
    with pytest.raises(Mismatch, match="of the sums comes in cycle"):
        run_layer(CONFIGS["figs"], weights, x, Pattern(1, 4), rtl=True)


@pytest.mark.parametrize("array", CONFIGS)
def test_cycles_of_passes_of_any_length(array):
    """Short passes wait for the way out, long ones follow at once; mixed at random."""
    config = CONFIGS[array]
    sizes, rng = Sizes.of(config), np.random.default_rng(5)
    jobs = []
    for lengths in ([1, 1, 1], [2, 30, 1, 9, 9, 9], rng.integers(1, 2 * sizes.rows + sizes.columns + 8, 40)):
        # Every cycle advances, weights are zero, nothing is used: cycles are all that matters.
        memory = [sum(1 << slot * sizes.slot_bits for slot in range(sizes.slots))] * sizes.words
        commands = [Command(0, int(count), 0) for count in lengths]
        beats = rng.integers(-128, 128, (sum(command.cycles for command in commands), sizes.beat_values))
        jobs.append(Job(memory, commands, beats, []))
    results = [figs_engine.run(sizes, job.memory, job.commands, job.beats) for job in jobs]
    engine_run._compare(sizes, EngineTiming(sizes), jobs, results, engine_run._simulate(
        config, jobs, 1, "verilator", 600, lambda line: None), 0)


def test_cycle_model_refuses_empty_passes():
    timing = EngineTiming(Sizes.preset("small"))
    assert timing.total([]) == 0
    with pytest.raises(ValueError, match="cycles = 0"):
        timing.ends([3, 0])


def test_cycle_model_by_hand():
    """Four rows, two columns: a pass of 20 cycles begins in cycle 3, its sums come 5 cycles after its last."""
    timing = EngineTiming(types.SimpleNamespace(rows=4, columns=2, array="figs"))
    assert timing.words([20, 20]).tolist() == [[27, 28, 29, 30], [47, 48, 49, 50]]
    # The last cycle of the second may not come before the first has left, in cycle 30.
    assert timing.ends([20, 6]).tolist() == [22, 31]
    # A short pass begins when the one before has left.
    assert timing.ends([20, 5]).tolist() == [22, 35]
