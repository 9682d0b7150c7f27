"""The Executor's cycle model: worked examples, bounds, the gain of each mode."""

import numpy as np
import pytest

from golden.duet import reorder_unit
from golden.duet.executor_cycles import StepWork, Timing, executor_cycles, step_work
from golden.duet.layer import ConvLayer
from golden.duet.mapping import map_conv
from golden.duet.sizes import Sizes

SMALL = Sizes.preset("small")
NO_LATENCY = Timing(begin=0, release=0, settle=0, drain=0)


def work(counts, items=1, rows=4, outputs=0):
    """Steps of the small machine: ``counts`` (chunks, rows), the same in both columns."""
    counts = np.repeat(np.array(counts)[..., None], 2, axis=2)
    return StepWork(rows=rows, items=np.full(len(counts), items), counts=counts, outputs=outputs)


def test_a_step():
    """4 maps, 10 items, 36 instructions, 4 outputs, 4 rows."""
    step = work([[36, 20, 0, 36]], items=10, outputs=4)
    assert executor_cycles([step], SMALL, NO_LATENCY).total == 4 + 10 + 36 + 4 + 4
    cycles = executor_cycles([step], SMALL, Timing(begin=1, release=2, settle=3, drain=5))
    assert cycles.total == 4 + 10 + 1 + 36 + 3 + 4 + 5 + 4
    assert cycles.macs == 2 * 92 and cycles.utilisation == 184 / (8 * cycles.total)


def test_elements_go_on_by_themselves():
    """Two rows that are slow in turn: neither waits for the other between chunks, 30 + 6 cycles and not 60."""
    assert executor_cycles([work([[30, 6, 0, 0], [6, 30, 0, 0]])], SMALL, NO_LATENCY).total == 4 + 1 + 36 + 4


def test_a_bank_waits_for_all():
    """The third chunk is loaded into the first one's bank: after the slowest row's 30 cycles there."""
    step = work([[30, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 20]], items=5)
    assert executor_cycles([step], SMALL, NO_LATENCY).total == 4 + 5 + 30 + 5 + 20 + 4


def test_loads_bound():
    """Elements with next to nothing to do wait for the bus: an item a cycle."""
    assert executor_cycles([work([[1, 0, 1, 0]] * 10, items=13)], SMALL, NO_LATENCY).total == 4 + 130 + 1 + 4


def test_an_empty_chunk_takes_a_cycle():
    assert executor_cycles([work([[0, 0, 0, 0]] * 2)], SMALL, NO_LATENCY).total == 4 + 2 + 1 + 4
    assert executor_cycles([], SMALL).total == 0


def test_example_of_the_thesis():
    """Fig. 5.4: work of 4, 1, 2, 4 on two rows: 8 units in natural order, 6 with channels 0 and 3 together."""
    sums = np.array([4, 1, 2, 4])
    maps = np.arange(4) < sums[:, None]

    def total(order):
        steps = [work([9 * sums[order[at:at + 2]]], rows=2) for at in (0, 2)]
        return executor_cycles(steps, Sizes(rows=2, cols=2, segment=4), NO_LATENCY).total
    assert total(np.arange(4)) - total(reorder_unit.order(maps, [2])) == 9 * 2


@pytest.mark.parametrize("density", [0.2, 0.5])
def test_every_mode_gains(density):
    """BASE, OS, BOS, IOS, DUET on a layer whose channels differ: never slower in this order of nesting."""
    rng = np.random.default_rng(15)
    sizes = Sizes.preset("paper")
    layer = ConvLayer(in_channels=64, out_channels=64, height=8, width=8, padding=1)
    mapping = map_conv(layer, sizes)
    lines = mapping.in_map.pack(rng.integers(1, 99, (64, 8, 8)) * (rng.random((64, 8, 8)) < density))
    maps = rng.random((4, 64, 16)) < np.clip(density * 2 * rng.random((4, 64, 1)), 0, 1)

    def total(output_switching, input_switching, reorder):
        steps = []
        for tile, omap in zip(mapping.tiles(), maps):
            omap = (omap if output_switching else np.ones_like(omap)) & tile.valid
            order = reorder_unit.order(omap, np.arange(14, -1, -1)) if reorder else np.arange(64)
            imaps = [mapping.chunk_inputs(lines != 0, tile, chunk) for chunk in range(mapping.chunks)]
            steps += [step_work(mapping, omap[order[at:at + 16]], imaps, use_imap=input_switching)
                      for at in range(0, 64, 16)]
        return executor_cycles(steps, sizes)
    base, os, bos, ios, duet = (total(*mode) for mode in ((0, 0, 0), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)))
    assert base.total > os.total > bos.total >= duet.total and os.total >= ios.total >= duet.total
    assert base.macs > os.macs == bos.macs > ios.macs == duet.macs
    assert bos.utilisation > os.utilisation
    # all of BASE's instructions, less than a tenth of overhead
    assert base.macs == 4 * 64 * 64 * 144 and 0.9 < base.utilisation < 1
