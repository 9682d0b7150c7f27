"""The EnmcExecutor's golden model and its cycle model: worked examples and refusals."""

import numpy as np
import pytest

from golden.enmc.enmc_executor import Buffer, EnmcExecutor, accurate, reduce_lanes
from golden.enmc.enmc_executor_timing import ExecutorTiming, executor_times
from golden.enmc.fifo_timing import FifoTiming
from golden.enmc.instruction_generator import (TILE_WORDS, CandidateOp, CandidateSettings, CandidateStep, Group,
                                               group_steps)


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


def steps_of(count, row_bursts, tile_words):
    settings = CandidateSettings(row_base=0, row_bursts=row_bursts, feature_base=0)
    return group_steps(Group(0, (0,) * count), settings, tile_words)


def test_cycles_of_one_candidate():
    times = executor_times(steps_of(1, 2, 8), lambda burst, cycle: cycle + 3, tile_words=8)
    assert times.requests == [1, 2, 3, 4] and times.taken == [1, 3] and times.responses == [4, 5, 6, 7]
    # The second word needs the sum of the first; the four additions of REDUCE that of the one before.
    assert times.operations == [7, 11, 15, 19, 23, 27]
    assert times.results == [27 + 5 + 2]


def test_cycles_of_words_that_come_slowly():
    times = executor_times(steps_of(2, 3, 4), lambda burst, cycle: 10 * burst + 10, tile_words=4)
    # Features 10, 20, 30, rows 40, 50, 60 and 70, 80, 90: word 0 of slot 0, slot 1, word 1 of slot 0, and so on.
    assert times.operations[:6] == [41, 71, 72, 81, 82, 91]


def test_a_word_waits_for_its_place():
    # Of a second and third tile of 4 words, the places of the third are those of the first.
    times = executor_times(steps_of(1, 12, 4), lambda burst, cycle: cycle + 30, tile_words=4)
    assert times.requests[:16] == list(range(1, 17))
    first = times.operations[0]  # word 0
    assert times.requests[16:20] == [first + 4 * word + 2 for word in range(4)]


def test_arrivals_are_checked():
    with pytest.raises(ValueError, match="burst 1 in cycle 9"):
        executor_times(steps_of(1, 2, 8), lambda burst, cycle: 9, tile_words=8)


@pytest.mark.parametrize("call, message", [
    (lambda: ExecutorTiming(tile_words=6), "tile_words = 6"),
    (lambda: ExecutorTiming(fma_stages=1), "fma_stages = 1"),
    (lambda: ExecutorTiming().step(None, True), "nobody asked for a burst"),
    (lambda: ExecutorTiming().step(CandidateStep(CandidateOp.LOAD_FEATURE, count=9)), "count = 9"),
    (lambda: FifoTiming(1), "depth = 1"),
])
def test_cycle_models_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_full_queue_refuses():
    queue = FifoTiming(3)
    for item in range(2):
        queue.clock(item)
    assert queue.head == 0 and queue.ready and queue.level == 2
    queue.clock(2)
    assert not queue.ready
    with pytest.raises(ValueError, match="the queue is full"):
        queue.clock(3)


def steady(latency):
    """Arrivals of a memory that takes ``latency`` cycles a burst, one a cycle."""
    last = -1

    def response(burst, cycle):
        nonlocal last
        last = max(cycle + latency, last + 1)
        return last

    return response


def group_period(count, row_bursts, latency, tile_words):
    """Mean cycles from group to group, groups of ``count`` back to back."""
    groups = 10
    times = executor_times(steps_of(count, row_bursts, tile_words) * groups, steady(latency), tile_words=tile_words)
    starts = times.responses[::(count + 1) * row_bursts]
    return (starts[-1] - starts[4]) / (groups - 5)


def test_period_of_groups():
    for row_bursts in (17, 24, 37):
        assert group_period(4, row_bursts, 12, 8) == 5 * row_bursts
    for row_bursts in (1, 5, 17, 37):
        assert group_period(1, row_bursts, 12, 8) == 4 * row_bursts + 16


def test_rate_by_tile_and_latency():
    """Prints the table of docs/enmc/enmc_executor.md; tiles of 8 words are enough."""
    rates = {(tile, row, latency): 5 * row / group_period(4, row, latency, tile)
             for tile in TILE_WORDS for row in (9, 17, 37) for latency in (8, 12, 16)}
    for tile in TILE_WORDS:
        print(tile, *(f"{rates[tile, row, latency]:.3f}" for row in (9, 17, 37) for latency in (8, 12, 16)))
    assert all(rates[tile, row, 12] == 1 for tile in (8, 16) for row in (17, 37))
    assert all(rates[4, row, 12] < 0.95 for row in (9, 17, 37))
