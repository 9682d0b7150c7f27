"""The rank's cycle model alone: refusals, what its counts have in common, whole layers."""

import dataclasses

import numpy as np
import pytest

from golden.enmc.compiler import accurate_program, screening_program
from golden.enmc.isa import Instruction, assemble, make
from golden.enmc.layout import Layout
from golden.enmc.rank_timing import RankTiming, rank_times
from hw.enmc.enmc_rank import EnmcRankConfig

from .test_enmc_rank import classifier


def setup(layout):
    """Where the rank may write."""
    return [make("INIT", "WRITE_LOW", layout.result_base), make("INIT", "WRITE_HIGH", layout.end)]


def layer(classes, hidden, k, items, found, seed=1):
    """A layer's layout, and ``found`` random candidates of each item."""
    rng = np.random.default_rng(seed)
    layout = Layout(classes=classes, hidden=hidden, k=k, items=items)
    return layout, [rng.choice(classes, found, replace=False) for _ in range(items)]


def screening(layout):
    return setup(layout) + screening_program(layout, (1,) * layout.items, 0, 0)


@pytest.mark.parametrize("bin_cycles", [100, 1])
def test_counts_fit_the_work(bin_cycles):
    """Bursts, results and the timeline of a screened layer, whose last tile is ragged."""
    layout, candidates = layer(300, 100, 40, 2, 11)
    times = rank_times(screening(layout), candidates, EnmcRankConfig.preset("paper"), bin_cycles=bin_cycles)
    groups = layout.padded_classes // 8
    # Items have groups of 4, 4, 3 candidates, each with the item's features.
    assert times.bursts_read == groups * layout.group_bursts + 1 + 2 * (11 + 3) * layout.row_bursts
    # A tile of 32 classes has two words an item; a candidate is written to its place and to the log.
    assert times.bursts_written == 2 * 2 * layout.padded_classes // 32 + 2 * 2 * 11
    assert times.candidates == (11, 11, 0, 0)
    assert times.timeline.sum(0).tolist() == [times.screener_cycles, times.executor_cycles, times.overlap_cycles,
                                              times.bursts_read, times.bursts_written]
    assert len(times.timeline) == -(-times.cycles // bin_cycles) and times.timeline[:, :3].max() <= bin_cycles
    assert 0 < times.overlap_cycles < min(times.screener_cycles, times.executor_cycles)
    assert max(times.screener_cycles, times.executor_cycles) < times.cycles


def test_candidates_are_told_in_any_order():
    layout, candidates = layer(128, 60, 20, 1, 9)
    config = EnmcRankConfig.preset("small")
    first, second = (rank_times(screening(layout), [order], config) for order in (candidates[0], candidates[0][::-1]))
    assert first.cycles == second.cycles
    more = rank_times(screening(layout), [np.arange(128)], config)
    assert more.cycles > first.cycles and more.candidates == (128, 0, 0, 0)


def test_a_rank_goes_on():
    """Programs one after the other on one rank; the counters are those since CLR, the commands those of the program."""
    layout, _ = layer(64, 60, 20, 1, 0)
    rank = RankTiming(EnmcRankConfig.preset("small"))
    rank.run(setup(layout))
    first = rank.run(accurate_program(layout))
    rank.advance(1000)
    second = rank.run(accurate_program(layout))
    assert first.bursts_read == second.bursts_read == 16 * 5 * layout.row_bursts
    assert first.candidates == second.candidates == (64, 0, 0, 0)
    assert abs(first.cycles - second.cycles) < 20 + 40 * abs(first.refreshes - second.refreshes)


@pytest.mark.parametrize("field, value", [
    ("trcd", 18), ("trefi", 2004), ("tccd_l", 9), ("turn", 1), ("write_depth", 20), ("maximum_lanes", 4), ("depth", 7),
    ("filter_lanes", 8), ("weight_bursts", 5), ("fma_stages", 5),
])
def test_parameters_matter(field, value):
    """A step more of any parameter changes the commands on the chips' pins."""
    layout, config = layer(70, 40, 33, 2, 0)[0], EnmcRankConfig.preset("small")
    traces = []
    for each in (config, dataclasses.replace(config, **{field: value})):
        rank = RankTiming(each)
        rank.trace = []
        rank.run(screening(layout), [range(5, 70, 7)] * 2)
        traces.append(rank.trace)
    assert traces[0] != traces[1]


@pytest.mark.parametrize("program, message", [
    ([], "no instruction"), (assemble("QUERY STATUS"), "no instruction"),
    (assemble("NOP\nQUERY STATUS\nNOP"), "instruction 1 is a QUERY"), ([Instruction(4 << 8)], "OPCODE"),
    (assemble("INIT ITEMS, 2\nINIT CHUNKS, 20\nMUL_ADD_INT4 FEATURE_INT4, WEIGHT_INT4, address=0, groups=1"),
     "SETTING"),
    (assemble("NOP\nINIT WRITE_LOW, 64"), "REGISTER"),
])
def test_programs_are_refused(program, message):
    with pytest.raises(ValueError, match=message):
        rank_times(program, (), EnmcRankConfig.preset("small"))


@pytest.mark.parametrize("options, message", [
    ({"bin_cycles": 0}, "bin_cycles = 0"), ({"candidates": [[]] * 5}, "at most 4"),
])
def test_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RankTiming(EnmcRankConfig.preset("small")).run(assemble("NOP"), **options)


@pytest.mark.slow
def test_whole_layers():
    """The table of docs/enmc/rank_timing.md (with -s): 49,152 classes of 576 features. Slices of them cost the same a
    class, so figures of a slice hold for the layer."""
    print("\n| | classes | candidates | cycles | bursts read, written | Screener, Executor, both at once, cycles |")
    print("|---|---|---|---|---|---|")
    a_class = {}
    for classes in (2048, 49_152):
        layout, candidates = layer(classes, 576, 144, 1, classes // 32)
        for name, program in (("screening", screening_program(layout, (1,), 0, 0)),
                              ("full classification", accurate_program(layout))):
            times = on_the_paper(layout, program, candidates)
            tell(name, classes, times)
            a_class.setdefault(name, []).append(times.cycles / classes)
    for slice_, whole in a_class.values():
        assert whole == pytest.approx(slice_, rel=.05)


@pytest.mark.slow
def test_the_layer_of_the_rates():
    """Prints (with -s) the model's row for the layer of docs/enmc/enmc_rank.md, `rates` of seed 1. Where candidates are
    matters: as many random ones take other times."""
    made, vectors = classifier(np.random.default_rng(1), 2048, 576, 144, 2048 // 32)
    (program,) = made.compile(vectors[:1])
    times = on_the_paper(program.layout, program.instructions, made(vectors[:1], probabilities=False).candidates)
    tell("screening", 2048, times)
    count = times.candidates[0]
    others = [on_the_paper(program.layout, program.instructions, layer(2048, 576, 144, 1, count, seed)[1]).cycles
              for seed in range(4)]
    print(f"{count} candidates elsewhere: {others}")
    assert len({times.cycles, *others}) > 1 and max(others) < 1.1 * min(others)


def on_the_paper(layout, program, candidates):
    """Of a program of a layer on the rank of the thesis' size, after its setup."""
    rank = RankTiming(EnmcRankConfig.preset("paper"))
    rank.run(setup(layout))
    return rank.run(program, candidates, bin_cycles=1 << 20)


def tell(name, classes, times):
    """A row of docs/enmc/rank_timing.md."""
    print(f"| {name} | {classes:,} | {times.candidates[0]:,} | {times.cycles:,} | {times.bursts_read:,}, "
          f"{times.bursts_written:,} | {times.screener_cycles:,}, {times.executor_cycles:,}, "
          f"{times.overlap_cycles:,} |")
