"""The DramController's golden models on their own: order of data; the cycle model under the rules of the chips."""

import dataclasses
import random

import numpy as np
import pytest

from golden.enmc.dram_controller import BURST, DramController
from golden.enmc.dram_timing import DramTiming
from golden.enmc.timing import JEDEC, PRESETS, DdrTiming
from sim.dram_rules import Command, DdrViolation, RuleChecker

RNG = np.random.default_rng(7)


def burst():
    return RNG.integers(256, size=BURST, dtype=np.uint8)


def test_requests_are_served_in_order():
    memory = DramController(row_bits=1)
    first, second, mask = burst(), burst(), RNG.random(BURST) < 0.5
    every = np.ones(BURST, dtype=bool)
    requests = [(True, 5, 0), (False, 5, 1), (True, 5, 2), (False, 5, 3), (True, 4095, 0), (False, 4095, 4)]
    answers = memory.serve(requests, [(first, every), (second, mask), (first, every)])
    assert [tag for tag, _ in answers] == [1, 3, 4]
    np.testing.assert_array_equal(answers[0][1], first)
    np.testing.assert_array_equal(answers[1][1], np.where(mask, second, first))
    np.testing.assert_array_equal(answers[2][1], first)
    assert [address for address, _, _ in memory.contents()] == [5, 4095]


def test_unknown_bytes():
    memory = DramController(row_bits=1)
    memory.write(3, burst(), np.arange(BURST) < 63)
    with pytest.raises(ValueError, match="address = 3 .* never written"):
        memory.read(3)
    assert (DramController(row_bits=1, fill=9).read(8) == 9).all()


def test_what_is_loaded_is_there_when_it_is_used():
    memory, data, later = DramController(row_bits=1), RNG.integers(256, size=(3, BURST), dtype=np.uint8), burst()
    memory.load(10, data)
    memory.load(11, later[None])
    assert not list(memory.contents())
    memory.write(12, later, np.arange(BURST) < 5)
    np.testing.assert_array_equal(memory.read(10), data[0])
    np.testing.assert_array_equal(memory.read(11), later)
    np.testing.assert_array_equal(memory.read(12), np.concatenate([later[:5], data[2, 5:]]))
    assert data[2, 0] != later[0] and [address for address, _, _ in memory.contents()] == [12, 10, 11]
    with pytest.raises(ValueError, match="never written"):
        memory.read(13)
    with pytest.raises(ValueError, match="bursts 9 to 10 .* used"):
        memory.load(9, data[:2])


@pytest.mark.parametrize("call, message", [
    (lambda memory: memory.read(4096), "address = 4096"), (lambda memory: memory.read(-1), "address = -1"),
    (lambda memory: memory.read(1.0), "address = 1.0"), (lambda memory: memory.read(True), "address = True"),
    (lambda memory: memory.write(0, np.zeros(63, np.uint8)), "data of dtype"),
    (lambda memory: memory.write(0, np.zeros(64, int)), "data of dtype"),
    (lambda memory: memory.write(0, burst(), np.ones(64, int)), "mask of dtype"),
    (lambda memory: memory.serve([(True, 0, 0)], []), "bursts are not enough"),
    (lambda memory: memory.load(0, burst()), "data of dtype"),
    (lambda memory: memory.load(4095, np.zeros((2, 64), np.uint8)), "address = 4095"),
])
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call(DramController(row_bits=1))


@pytest.mark.parametrize("values, message", [
    ({"cl": 14}, "cl = 14 .* multiple of 4"), ({"trc": 38}, "trc = 38 .* at least tras = 39"),
    ({"tfaw": 0}, "tfaw = 0"), ({"tfaw": 1.0}, "tfaw = 1.0"), ({"twtr_s": 10}, "twtr_l = 9 .* at least twtr_s = 10"),
    ({"trefi": 100}, "trefi = 100 .* at least trfc = 420"),
])
def test_timing_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        DdrTiming(**values)


def test_thesis_has_its_own_values():
    """6.4.2: CL-tRCD-tRP 16-16-16, tRC 55, tCCD 4, tRRD 4, tFAW 6."""
    thesis = PRESETS["thesis"]
    assert (thesis.cl, thesis.trcd, thesis.trp, thesis.trc) == (16, 16, 16, 55)
    assert {thesis.tccd_s, thesis.tccd_l, thesis.trrd_s, thesis.trrd_l} == {4} and thesis.tfaw == 6


# ---- the cycle model ------------------------------------------------------------------------------------------------


def random_timing(rng):
    """A timing within the hardware's limits."""
    values = dict(cl=4 * rng.randint(4, 8), cwl=4 * rng.randint(2, 4), trcd=rng.randint(4, 30), trp=rng.randint(4, 30),
                  tras=rng.randint(4, 60), tccd_s=rng.randint(4, 8), trrd_s=rng.randint(2, 8), tfaw=rng.randint(4, 60),
                  twr=rng.randint(1, 40), twtr_s=rng.randint(1, 10), trtp=rng.randint(1, 20), trfc=rng.randint(16, 400),
                  trefi=rng.randint(1000, 4000))
    for name, other, more in (("trc", "tras", 40), ("tccd_l", "tccd_s", 6), ("trrd_l", "trrd_s", 8),
                              ("twtr_l", "twtr_s", 10)):
        values[name] = values[other] + rng.randint(0, more)
    return DdrTiming(**values)


def play(model, checker, requests, rng, *, busy=1.0, cycles=100_000):
    """Requests (write, address, tag) to the end, each offered with probability ``busy`` a cycle; commands are checked.

    Gives the tags of the responses, and the cycles that it took.
    """
    waiting, data = list(reversed(requests)), 0
    writes = sum(request[0] for request in requests)
    offered, tags, sent = None, [], 0
    for _ in range(cycles):
        if offered is None and waiting and rng.random() < busy:
            offered = waiting.pop()
        cycle = model.step(offered, data < writes)
        data += cycle.data_ready
        if offered is not None and cycle.ready:
            offered = None
        checker.advance(4 * (model.cycle - 1))
        for pin in cycle.pins:
            place = 8 * pin.place if pin.kind in ("RD", "WR") else pin.place
            checker.command(4 * (model.cycle - 1) + pin.phase, Command(pin.kind, pin.bank & 3, pin.bank >> 2, place))
            sent += pin.kind in ("RD", "WR")
        if cycle.response is not None:
            tags.append(cycle.response)
        if sent == len(requests) and len(tags) == len(requests) - writes:
            return tags, model.cycle
    raise AssertionError(f"{sent} of {len(requests)} requests after {cycles} cycles")


def some_requests(rng, count, kind, row_bits=5):
    last = (1 << row_bits + 11) - 1
    start = rng.randrange(last - count)
    for number in range(count):
        address = {"stream": start + number, "random": rng.randrange(last + 1),
                   "few banks": rng.randrange(1 << row_bits) << 11 | rng.randrange(128) << 2 | rng.randrange(2)}[kind]
        yield rng.random() < rng.choice((0, 0.5, 0.5)), address, number % 16


@pytest.mark.parametrize("kind", ["stream", "random", "few banks"])
def test_commands_keep_the_rules(kind):
    """Random legal timings: no rule is broken, every request is served in order."""
    rng = random.Random(3)
    for turn in range(12):
        timing = random_timing(rng)
        model = DramTiming(timing, row_bits=5, queue=rng.randint(2, 20), lookahead=2 << rng.randrange(5))
        requests = list(some_requests(rng, 250, kind))
        tags, _ = play(model, RuleChecker(timing, 5), requests, rng, busy=rng.choice((1.0, 0.3, 0.03)))
        assert tags == [tag for write, _, tag in requests if not write]
        assert model.counters["refreshes"] >= model.cycle * 4 // timing.trefi - 1


def test_a_shorter_distance_is_caught():
    """The chips need one clock more than the controller keeps."""
    rng = random.Random(4)
    requests = list(some_requests(rng, 300, "random"))
    for name in ("trcd", "trp", "trtp", "tras", "trrd_s", "tfaw", "twr"):
        slower = dataclasses.replace(JEDEC, **{name: getattr(JEDEC, name) + 4}, **(
            {"trc": JEDEC.trc + 4} if name == "tras" else {"trrd_l": 9} if name == "trrd_s" else {}))
        with pytest.raises(DdrViolation, match="(?i)" + ("trrd" if name == "trrd_s" else name)):
            play(DramTiming(JEDEC, row_bits=5), RuleChecker(slower, 5), requests, rng)


def test_stream_is_at_its_target():
    """Streams of reads reach 90 % of the peak, with every REFRESH; a burst a cycle between."""
    for timing in PRESETS.values():
        count = 10_000
        requests = [(False, number, 0) for number in range(count)]
        _, cycles = play(DramTiming(timing, row_bits=5), RuleChecker(timing, 5), requests, random.Random(1))
        assert count / cycles > 0.94


@pytest.mark.parametrize("options, message", [({"queue": 1}, "queue = 1"), ({"lookahead": 1}, "lookahead = 1")])
def test_cycle_model_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        DramTiming(**options)


def test_cycle_model_refuses_addresses():
    model = DramTiming(row_bits=1)
    model.step()
    with pytest.raises(ValueError, match="address = 4096"):
        model.step((False, 4096, 0))
