"""Plans of stacks of convolutions: no two things have the same line at a time; no more is divided than must be."""

import dataclasses
import itertools

import numpy as np
import pytest

from golden.duet.cnn_lifetimes import between_items, layer_items
from golden.duet.cnn_plan import PlannedLayer, weights_lead
from golden.duet.cnn_planner import _Planner, make_plan
from golden.duet.mapping import map_conv
from golden.duet.speculator_mapping import map_speculation
from tests.duet.network_programs import SMALL, network

LAYERS = (dict(out_channels=5, padding=1, pooling=2), dict(out_channels=12, padding=1), dict(out_channels=3, kernel=1))


def undivided(sizes):
    layers, _ = network(2, sizes, (3, 9, 18), *LAYERS)
    found = []
    for number, given in enumerate(layers):
        mapping = map_conv(given.layer, sizes.executor)
        speculation = map_speculation(mapping, given.speculation, sizes, keep_order=False) if number else None
        found.append(PlannedLayer(number, mapping, given.parameters, speculation))
    return found


def planned(sizes, **options):
    return make_plan(undivided(sizes), sizes, **options)


def room(lines, map_lines):
    return dataclasses.replace(SMALL, lines=lines, map_lines=map_lines)


@pytest.mark.parametrize("lines, map_lines", [(2000, 2000), (300, 110), (240, 110), (200, 90), (150, 110), (130, 90)])
def test_places_do_not_overlap(lines, map_lines):
    plan = planned(room(lines, map_lines))
    begins = [*plan.begins, len(plan.jobs)]
    items = [list(memory) for memory in between_items(plan.layers, begins)]
    for layer, before in zip(plan.layers, [None, *plan.layers]):
        for memory, found in enumerate(layer_items(layer, SMALL, plan.turns, before)):
            items[memory] += [dataclasses.replace(item, first=item.first + begins[layer.number],
                                                  last=item.last + begins[layer.number]) for item in found]
    for memory, places, most in zip(items, (plan.data, plan.maps), (lines, map_lines)):
        assert {item.name for item in memory} == places.keys()
        assert all(0 <= places[item.name] <= most - item.count for item in memory)
        for one, other in itertools.combinations(memory, 2):
            if max(0, one.first) <= max(0, other.last) and max(0, other.first) <= max(0, one.last):
                begin = max(places[one.name], places[other.name])
                assert begin >= min(places[one.name] + one.count, places[other.name] + other.count)


def test_no_more_is_divided_than_must_be():
    plans = [planned(room(lines, map_lines)) for lines, map_lines in ((2000, 2000), (2000, 110), (300, 110), (200, 90))]
    assert all(layer.whole and len(layer.parts) == 1 for layer in plans[0].layers) and len(plans[0].jobs) == 3
    assert plans[0].kept == [False, True, True, False]
    costs = [sum(layer.cost() for layer in plan.layers) for plan in plans]
    assert costs == sorted(costs) and costs[0] < costs[-1]
    for plan in plans:
        for layer in plan.layers:
            jobs = [job for job in plan.jobs if job.layer is layer]
            assert [job.place for job in jobs] == list(range(layer.jobs)) and jobs[-1].last
            assert sum(job.n * job.strip.tiles for job in jobs) == layer.tiles * layer.mapping.outputs


def test_weights_are_early_while_there_are_jobs():
    """A piece a job of the part before, four at most; one job where the layer before is whole."""
    plan = planned(room(200, 90))
    first, second, _ = plan.layers
    assert weights_lead(first, 0, None) == 1
    assert weights_lead(second, 0, first) == min(4, first.grid.count) > 1
    whole = planned(room(2000, 2000)).layers
    assert weights_lead(whole[1], 0, whole[0]) == 1


def test_peaks_are_those_of_all_items():
    """What a layer needs depends on its neighbours alone, however all are divided."""
    rng, planner = np.random.default_rng(1), _Planner(undivided(SMALL), SMALL, True)
    planner.ways = [(*others, (False, True)) for *others, _ in planner.ways]
    seen = set()
    for _ in range(60):
        planner.divide([tuple(int(rng.integers(len(way))) for way in ways) for ways in planner.ways])
        begins, ends = planner.begins()[:-1], [*planner.begins()[1:-1], planner.begins()[-1] + 1]
        for memory, items in enumerate(planner.items()):
            uses = np.zeros(ends[-1], np.int64)
            for item in items:
                uses[item.first:item.last + 1] += item.count
            for layer, begin, end in zip(planner.layers, begins, ends):
                assert planner.peaks(layer.number)[memory] == uses[begin:end].max()
                seen.add((layer.whole, layer.late))
    assert len(seen) == 4


def test_weights_are_late_where_two_parts_do_not_fit():
    """And nowhere else; then the next part is loaded when the one before is done."""
    assert not any(layer.late for layer in planned(room(170, 110)).layers)
    first, second, third = planned(room(150, 110)).layers
    assert [first.late, second.late, third.late] == [False, True, False] and len(second.parts) == 2
    assert weights_lead(second, 0, first) == weights_lead(second, 1, first) == 0 < weights_lead(third, 0, second)
    assert second.cost() == dataclasses.replace(second, late=False).cost() + 8 * 12 * second.row_lines


def test_refused():
    with pytest.raises(ValueError, match="the GlobalBuffer has 60 lines, too few"):
        planned(room(60, 2000))
    with pytest.raises(ValueError, match="map memory has 20 lines, too few"):
        planned(room(2000, 20))
