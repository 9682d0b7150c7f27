"""The cycle model of the Speculator: the periods that the page tells. That it equals the RTL: test_speculator.py."""

import pytest

from golden.duet.speculator import Layer
from golden.duet.speculator_timing import SpeculatorTiming, TimingSize

PAPER = TimingSize(segment=16, trees=16, array_rows=16, array_cols=32, activation_rows=64, input_rows=32,
                   array_depth=52, projection_latency=10, array_latency=20, result_latency=4)


def period(layer, n, size=PAPER):
    """Cycles from job to job once the pipeline is full, and W and T."""
    timing = SpeculatorTiming(size, layer)
    jobs = [timing.job(n, 0, 0) for _ in range(20)]
    return (jobs[-1].steps[1] - jobs[9].steps[1]) / 10, timing.windows, timing.steps(n)


@pytest.mark.parametrize("layer, n", [
    (Layer(groups=4, group_rows=2, passes=1), 128), (Layer(groups=2, group_rows=2, passes=4), 64),
    (Layer(groups=2, group_rows=2, passes=4, unused=12), 64), (Layer(gate=True, group_rows=8, passes=4), 512),
    (Layer(group_rows=8, unused=12), 1), (Layer(group_rows=4), 33)])
def test_a_job_every_max_of_windows_and_steps(layer, n):
    cycles, windows, steps = period(layer, n)
    assert windows == layer.groups * layer.group_rows * layer.passes * (1 if layer.gate else 16 - layer.unused)
    assert steps == -(-n // 32) * layer.k_rows * 16
    assert cycles == max(windows, steps)


def test_one_piece_of_inputs_puts_projection_and_array_in_turn():
    layer = Layer(gate=True, group_rows=17, passes=1)
    cycles, windows, steps = period(layer, 64)
    assert cycles == windows + steps + 5 + PAPER.projection_latency


def test_two_halves_hide_what_lies_between_projection_and_array_up_to_a_limit():
    cycles, windows, steps = period(Layer(group_rows=4), 32)
    assert windows == steps == 64 and cycles == (windows + steps + 5 + PAPER.projection_latency) / 2


def test_positions_in_parts():
    size = TimingSize(**{**PAPER.__dict__, "array_rows": 8})
    cycles, _, steps = period(Layer(groups=4, group_rows=1), 64, size)
    assert cycles == steps == 2 * 2 * 64
    assert period(Layer(gate=True, group_rows=4), 64, size)[2] == 2 * 64, "a gate goes through once"
    job = SpeculatorTiming(size, Layer(groups=4, group_rows=1)).job(40, 0, 0)
    assert len(job.results) == 40 and job.results == sorted(job.results)


def test_short_sums_cost_the_columns():
    cycles, _, steps = period(Layer(gate=True, group_rows=1), 512)
    assert steps == 256 and 512 <= cycles <= 520
