"""The Screener's golden model and cycle model: worked examples, the layer's algorithm, refusals, rates."""

import collections

import numpy as np
import pytest

from golden.enmc.layout import pack_items, pack_screening
from golden.enmc.screener import Buffer, Screener, ScreenerSettings, item_entries
from golden.enmc.screener_timing import FilterJob, ScreenerTiming, ScreenJob
from golden.enmc.screening import approximate_scores


def test_nibbles():
    screener = Screener()
    word = np.arange(64, dtype=np.uint8)
    word[1] = 0x8F
    screener.load(Buffer.FEATURE, 0, word)
    screener.load(Buffer.WEIGHT, 0, np.full(64, 0xE3, np.uint8))
    assert screener.feature[0, :4].tolist() == [0, 0, -1, -8]
    screener.add()
    assert screener.psum[:4].tolist() == [3, -2, 2, -10]
    screener.mul()
    assert screener.psum[:4].tolist() == [0, 0, -3, 16]
    np.testing.assert_array_equal(screener.word(Buffer.FEATURE, 0), word)
    assert not screener.word(Buffer.FEATURE, 1).any()


def test_mul_add():
    screener = Screener()
    for index in range(4):
        screener.load(Buffer.WEIGHT, index, np.full(64, 0x22, np.uint8))
    screener.load(Buffer.FEATURE, 0, np.full(64, 0x11, np.uint8))
    sums = np.array([(1 << 31) - 1, *range(15)], "<i4")
    screener.load(Buffer.PSUM, 0, sums.view(np.uint8))
    screener.mul_add()
    # 4 bursts x 16 lanes x 1 x 2; the first sum wraps, sums from the ninth on stay.
    assert screener.psum[:10].tolist() == [-(1 << 31) + 127, *(n + 128 for n in range(7)), 7, 8]


@pytest.mark.parametrize("items, k", [(1, 512), (1, 5), (2, 144), (3, 33), (4, 128)])
def test_tiles_make_the_layer(items, k):
    """Tile by tile the same as the algorithm on the whole layer, in another way."""
    rng = np.random.default_rng(items * 1000 + k)
    classes, span = 150, item_entries(items)
    weight, features = rng.integers(-8, 8, (classes, k)), rng.integers(-8, 8, (items, k))
    scale, bias = rng.integers(1 << 16, size=classes), rng.integers(-1 << 31, 1 << 31, classes)
    item_scale, shift, threshold = tuple(int(s) for s in rng.integers(1 << 16, size=4)), 15, 1 << 20
    scores = approximate_scores(weight, features, scale, np.array(item_scale[:items]), bias, shift)
    chunks = -(-k // 16)
    settings = ScreenerSettings(classes=classes, items=items, chunks=chunks, scale=item_scale, shift=shift,
                                threshold=threshold)
    screener, found = Screener(), []
    for index, word in enumerate(pack_items(features).reshape(-1, 64)):
        screener.load(Buffer.FEATURE, index, word)
    groups = pack_screening(weight, scale, bias).reshape(-1, chunks + 1, 64)
    for first in range(0, len(groups) * 8, span):
        screener.screen(settings, groups[first // 8:][:span // 8])
        filtered = screener.filter(settings, first)
        found += filtered.candidates
        real = filtered.values.view(np.float32).reshape(-1, span)[:items]
        here = scores[:, first:first + span]
        np.testing.assert_array_equal(real[:, :here.shape[1]], (here / 65536).astype(np.float32))
        valid = filtered.valid.reshape(-1, span)
        assert valid[:items, :here.shape[1]].all() and valid.sum() == here.size
    assert sorted(found) == [tuple(pair) for pair in np.argwhere(scores > threshold)]


def test_other_sums_become_zero():
    screener = Screener()
    for index in range(4):
        screener.load(Buffer.PSUM, index, np.full(64, 1, np.uint8))
        screener.load(Buffer.WEIGHT, index, np.full(64, 1, np.uint8))
    screener.screen(ScreenerSettings(classes=8, items=2), np.zeros((1, 2, 64), np.uint8))
    assert not screener.psum.any() and not screener.weight.any()


@pytest.mark.parametrize("changes, message", [
    (dict(items=5), "items = 5"), (dict(items=2, chunks=17), "at most 32"), (dict(shift=48), "shift = 48"),
    (dict(threshold=1 << 31), "threshold"), (dict(classes=-1), "classes"), (dict(scale=(1, 2, 3)), "four integers"),
    (dict(scale=(1 << 16, 0, 0, 0)), "65535"),
])
def test_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ScreenerSettings(**{"classes": 8, **changes})


def test_golden_refuses():
    screener, settings = Screener(), ScreenerSettings(classes=8, items=2, chunks=2)
    with pytest.raises(ValueError, match="1 to 4 groups"):
        screener.screen(settings, np.zeros((5, 3, 64), np.uint8))
    with pytest.raises(ValueError, match=r"shape \(1, 3, 64\)"):
        screener.screen(settings, np.zeros((1, 2, 64), np.uint8))
    with pytest.raises(ValueError, match="must be uint8"):
        screener.load(Buffer.PSUM, 0, np.zeros(64, int))
    with pytest.raises(ValueError, match="buffer = 2"):
        screener.load(2, 0, np.zeros(64, np.uint8))
    with pytest.raises(ValueError, match="index = 4"):
        screener.word(Buffer.PSUM, 4)
    with pytest.raises(ValueError, match="first_class"):
        screener.filter(settings, 1 << 32)
    with pytest.raises(ValueError, match="weight_bursts = 3"):
        ScreenerTiming(weight_bursts=3)
    with pytest.raises(ValueError, match="finish_lanes = 5"):
        ScreenerTiming(weight_bursts=4, finish_lanes=5)


def screening_rate(latency, *, items=1, chunks=9, tiles=30, candidates=(), **sizes):
    """Bursts a cycle over many tiles, each with its FILTER, from a memory that takes ``latency`` cycles a burst."""
    timing, groups = ScreenerTiming(**sizes), item_entries(items) // 8
    timing.items, timing.chunks = items, chunks
    steps = [[] for _ in range(64 // timing.filter_lanes)]
    for entry in candidates:
        steps[entry // timing.filter_lanes].append((0, entry))
    jobs = collections.deque([ScreenJob(0, groups), FilterJob(steps)] * tiles)
    coming, ends, now = collections.deque(), [], 0
    while len(ends) < tiles:
        taken = timing.takes(jobs[0], True) if jobs else False
        requested, response = timing.request is not None, bool(coming) and coming[0] == now
        if response:
            coming.popleft()
        if requested:
            coming.append(now + latency)
        if timing.result == 3:
            ends.append(now)
        timing.step(jobs.popleft() if taken else None, requested=requested, response=response,
                    result_taken=timing.result is not None, index_taken=timing.index is not None)
        now += 1
    # The first tiles find an empty pipeline.
    return groups * (chunks + 1) * (tiles - 11) / (ends[-1] - ends[10])


def test_rates_by_depth():
    """The table of docs/enmc/screener.md: depth of the weight buffer against latency of the DRAM (with -s)."""
    print("\n| weight buffer | " + " | ".join(f"{latency} cycles" for latency in (8, 10, 12, 13, 16)) + " |")
    for depth in (4, 8, 12, 16, 20):
        rates = [screening_rate(latency, weight_bursts=depth) for latency in (8, 10, 12, 13, 16)]
        print(f"| {depth * 64} B | " + " | ".join(f"{rate:.1%}" for rate in rates) + " |")
        for latency, rate in zip((8, 10, 12, 13, 16), rates):
            assert rate == pytest.approx(min(1, depth / (latency + 3)), rel=.01)


def test_rates_by_work():
    """The table of docs/enmc/screener.md: cycles a burst by items and chunks (with -s)."""
    print("\n| finish_lanes | items | " + " | ".join(f"{chunks} chunks" for chunks in (1, 2, 4, 7, 8)) + " |")
    for lanes in (1, 2, 4):
        for items in (1, 2, 4):
            cycles = [1 / screening_rate(8, items=items, chunks=chunks, weight_bursts=16, finish_lanes=lanes)
                      for chunks in (1, 2, 4, 7, 8)]
            print(f"| {lanes} | {items} | " + " | ".join(f"{count:.2f}" for count in cycles) + " |")
            for chunks, count in zip((1, 2, 4, 7, 8), cycles):
                # Four items' rows fill the finish stage's queue, which costs a cycle.
                group = max(items * chunks + 1, 8 * items / lanes + (items == 4))
                # With 4 lanes and few chunks a SCREEN takes hardly longer than the FILTER of the tile before.
                assert count == pytest.approx(group / (chunks + 1), rel=.03) or lanes == 4 and chunks < 4


def test_candidates_cost_nothing_while_they_are_few():
    assert screening_rate(8, weight_bursts=16, candidates=range(0, 64, 4)) == 1
    assert screening_rate(8, weight_bursts=16, candidates=range(64)) == 1
    assert screening_rate(8, weight_bursts=16, chunks=4, candidates=range(64)) < .7
