"""What the size of a tile, the readers' turns and the DRAM cost a whole layer, by the cycle model of the rank."""

import numpy as np
import pytest

from golden.enmc.compiler import accurate_program, screening_program
from golden.enmc.isa import make
from golden.enmc.layout import Layout
from golden.enmc.rank_timing import rank_times
from hw.enmc.enmc_rank import EnmcRankConfig

CLASSES, HIDDEN, K, FOUND = 1024, 576, 144, 32


def cycles(**changes):
    """Cycles of screening and of full classification on the rank of the thesis with ``changes``, and bursts read."""
    layout = Layout(classes=CLASSES, hidden=HIDDEN, k=K, items=1)
    candidates = [np.random.default_rng(1).choice(CLASSES, FOUND, replace=False)]
    setup = [make("INIT", "WRITE_LOW", layout.result_base), make("INIT", "WRITE_HIGH", layout.end)]
    config = EnmcRankConfig.preset("paper", changes)
    times = [rank_times(setup + program, candidates, config)
             for program in (screening_program(layout, (1,), 0, 0), accurate_program(layout))]
    return [time.cycles for time in times], [time.bursts_read for time in times]


@pytest.mark.slow
def test_tiles_and_turns():
    """The table of docs/enmc/enmc_rank.md (with -s): longer tiles and turns up to those of ``paper`` are faster."""
    taken = {}
    for tile_words in (4, 8, 16):
        for turn in (1, 8, 32):
            taken[tile_words, turn], _ = cycles(tile_words=tile_words, turn=turn)
            print(f"| {tile_words} | {turn} | {taken[tile_words, turn][0]:,} | {taken[tile_words, turn][1]:,} |")
    for number in range(2):
        assert taken[8, 32][number] < .9 * taken[4, 32][number]
        assert taken[16, 32][number] > .9 * taken[8, 32][number]
    assert taken[8, 32][0] < .9 * taken[8, 1][0]
    assert taken[8, 32][1] == taken[8, 1][1]  # the Executor alone reads


@pytest.mark.slow
def test_what_the_dram_costs():
    """Prints how many cycles less there would be without this and that of the DRAM; nothing of it is all."""
    (screened, full), bursts = cycles()
    print(f"| as it is | {screened:,} | {full:,} |\n| bursts | {bursts[0]:,} | {bursts[1]:,} |")
    for name, changes in (("REFRESH seven times as rare", {"trefi": 65_532}),
                          ("rows opened in a quarter of the time", {"trp": 4, "trcd": 4, "tras": 12, "trc": 16}),
                          ("no bank groups", {"tccd_l": 4, "trrd_l": 4})):
        (less_screened, less_full), _ = cycles(**changes)
        print(f"| {name} | {less_screened - screened:,} | {less_full - full:,} |")
        assert less_full < full and less_screened > bursts[0] and less_full > bursts[1]
