"""The EnmcExecutor's golden model and its cycle model: worked examples and refusals."""

import numpy as np
import pytest

from golden.enmc.enmc_executor import Buffer, EnmcExecutor, accurate, reduce_lanes
from golden.enmc.enmc_executor_timing import executor_times
from golden.enmc.instruction_generator import CandidateSettings, Group, group_steps


def patterns(values):
    return np.asarray(values, np.float32).view(np.uint32)


def numbers(words):
    return np.asarray(words, np.uint32).view(np.float32)


def test_results_are_dot_products():
    rng = np.random.default_rng(1)
    rows, features = rng.integers(-50, 50, (7, 48)), rng.integers(-50, 50, 48)  # every sum is exact
    assert (numbers(accurate(patterns(rows), patterns(features))) == rows @ features).all()


def test_lanes_are_added_in_the_order_that_is_written():
    words = np.random.default_rng(2).standard_normal((5, 16)).astype(np.float32)
    sums = words
    for half in (8, 4, 2, 1):
        sums = (sums[:, :half] + sums[:, half:]).astype(np.float32)  # one rounding each, as the machine
    assert (reduce_lanes(words.view(np.uint32)) == sums[:, 0].view(np.uint32)).all()


def test_sums_are_fused():
    # 1 + 2^-12 squared, less 1 + 2^-11: 2^-24 is lost unless the product is exact.
    row = np.zeros((1, 32), np.float32)
    features = np.zeros(32, np.float32)
    row[0, 0], row[0, 16], features[0], features[16] = 1, 1 + 2**-12, -(1 + 2**-11), 1 + 2**-12
    assert numbers(accurate(patterns(row), patterns(features)))[0] == 2**-24


def test_instructions():
    machine = EnmcExecutor()
    for index in range(4):
        machine.write(Buffer.FEATURE, index, patterns(np.arange(16) + index))
        machine.write(Buffer.WEIGHT, index, patterns(np.full(16, 2)))
    expected = np.concatenate([np.arange(16) + index for index in range(4)])
    machine.multiply(Buffer.FEATURE, Buffer.WEIGHT)
    machine.multiply_add()
    machine.add(Buffer.PSUM, Buffer.FEATURE)
    assert (numbers(machine.buffers[Buffer.PSUM]) == 5 * expected).all()
    assert (numbers(machine.read(Buffer.PSUM, 2)) == 5 * (np.arange(16) + 2)).all()
    machine.candidates(np.zeros((1, 16), np.uint32), np.zeros(16, np.uint32))
    assert not any(buffer.any() for buffer in machine.buffers.values())


@pytest.mark.parametrize("count", [1, 16, 21, 64])
def test_softmax(count):
    machine, values = EnmcExecutor(), np.random.default_rng(count).normal(0, 3, 64).astype(np.float32)
    for index in range(4):
        machine.write(Buffer.PSUM, index, patterns(values[16 * index:16 * index + 16]))
    maximum = int(patterns([values[:count].max()])[0])
    machine.softmax_sum(maximum, count)
    assert (machine.buffers[Buffer.PSUM] == patterns(values)).all()
    machine.softmax_scale(maximum, count)
    exact = np.exp(values[:count].astype(float) - values[:count].max())
    np.testing.assert_allclose(numbers(machine.buffers[Buffer.PSUM][:count]), exact / exact.sum(), rtol=1e-6)
    assert (machine.buffers[Buffer.PSUM][count:] == patterns(values[count:])).all()


def test_sigmoid():
    machine = EnmcExecutor()
    machine.sigmoid()
    assert (numbers(machine.buffers[Buffer.PSUM]) == 0.5).all()


@pytest.mark.parametrize("call, message", [
    (lambda machine: machine.write(Buffer.PSUM, 4, np.zeros(16, int)), "index = 4"),
    (lambda machine: machine.write(Buffer.PSUM, 0, np.zeros(15, int)), "word has shape"),
    (lambda machine: machine.write(4, 0, np.zeros(16, int)), "4 is not a valid Buffer"),
    (lambda machine: machine.softmax_sum(0, 65), "count = 65"),
    (lambda machine: machine.softmax_scale(1 << 32, 1), "maximum"),
    (lambda machine: accurate(np.zeros((2, 20), int), np.zeros(20, int)), "bursts of 16"),
    (lambda machine: accurate(np.zeros((2, 16), int), np.zeros(32, int)), "features has shape"),
    (lambda machine: reduce_lanes(np.zeros(8, np.uint32)), "16 lanes"),
])
def test_golden_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call(EnmcExecutor())


def test_cycles_of_one_candidate():
    steps = group_steps(Group(0, (0,)), CandidateSettings(row_base=0, row_bursts=2, feature_base=0))
    times = executor_times(steps, lambda burst, cycle: cycle + 3, response_words=32, feature_words=16)
    assert times.requests == [1, 2, 3, 4] and times.taken == [1, 2, 3, 4]
    assert times.used == [7, 11]  # the second one needs the sum of the first
    # REDUCE leaves the queue at 12, its four levels are issued at 15, 19, 23, 27.
    assert times.results == [27 + 5 + 2] and times.issued == 6


def test_arrivals_are_checked():
    steps = group_steps(Group(0, (0,)), CandidateSettings(row_base=0, row_bursts=2, feature_base=0))
    with pytest.raises(ValueError, match="burst 1 in cycle 9"):
        executor_times(steps, lambda burst, cycle: 9, response_words=32, feature_words=16)


def steady(latency):
    """Arrivals of a memory that takes ``latency`` cycles a burst, one a cycle."""
    last = -1

    def response(burst, cycle):
        nonlocal last
        last = max(cycle + latency, last + 1)
        return last

    return response


def group_period(count, row_bursts, latency, response_words, feature_words):
    """Mean cycles from group to group, groups of ``count`` back to back."""
    groups = 12
    settings = CandidateSettings(row_base=0, row_bursts=row_bursts, feature_base=0)
    steps = group_steps(Group(0, (0,) * count), settings) * groups
    times = executor_times(steps, steady(latency), response_words=response_words, feature_words=feature_words)
    starts = times.responses[::(count + 1) * row_bursts]
    return (starts[-1] - starts[5]) / (groups - 6)


def test_period_of_groups():
    for row_bursts in (5, 17, 37):
        assert group_period(4, row_bursts, 10, 32, 16) == max(5 * row_bursts + 1, 4 * row_bursts + 17)
        for count in (1, 2, 3):
            assert group_period(count, row_bursts, 10, 32, 16) == 4 * row_bursts + 16


def test_rate_by_places_and_latency():
    """Prints the table of docs/enmc/enmc_executor.md; 256 B of weights are too few, 32 and 16 places are enough."""
    places = [(4, 8), (8, 8), (16, 8), (16, 16), (32, 16), (64, 16)]
    rates = {(place, row, latency): 5 * row / group_period(4, row, latency, *place)
             for place in places for row in (17, 37) for latency in (8, 10, 12)}
    for place in places:
        print(place, *(f"{rates[place, row, latency]:.3f}" for row in (17, 37) for latency in (8, 10, 12)))
    assert max(rate for (place, *_), rate in rates.items() if place == (4, 8)) < 0.45
    assert all(rate == 5 * row / (5 * row + 1) for (place, row, _), rate in rates.items() if place[0] >= 32)
