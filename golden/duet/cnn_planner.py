"""How a stack of convolutions is divided so that it fits in the GlobalBuffer, and where everything is then."""

import dataclasses
import itertools
import math

import numpy as np

from golden.duet.allocation import allocate
from golden.duet.cnn_lifetimes import between_items, layer_items
from golden.duet.cnn_plan import Job, Plan
from golden.duet.parts import divisions
from golden.duet.strips import grids

__all__ = ["make_plan"]

_SHARES = 50  # of the room that are tried, less and less


def make_plan(layers, sizes, *, store_maps=False):
    """The :class:`Plan` of ``layers`` (of :class:`PlannedLayer`, which it divides) on a machine of ``sizes``.

    A layer is divided no further than the GlobalBuffer demands, in the way that costs least. ``store_maps``: switching
    maps stay until a job more is computed. Raises ``ValueError`` where the GlobalBuffer is too small even so.
    """
    return _Planner(layers, sizes, store_maps).plan()


@dataclasses.dataclass(frozen=True)
class _Facts:
    """Of a layer that is divided in some way: ``items`` of both memories, with times from its first job on, their
    ``spans`` (counts, first, last), its ``cost`` and number of ``jobs``."""

    items: tuple
    spans: list
    cost: float
    jobs: int


class _Planner:
    """``chosen``: for each layer the numbers of its grid and of its division in parts among ``ways``."""

    def __init__(self, layers, sizes, store_maps):
        self.layers, self.sizes = layers, sizes
        self.known = {}
        self.turns = {"in": 2, "out": 2, "order": 2, "omap": 2 + store_maps}
        self.ways = [(grids(layer.mapping), divisions(layer.mapping.outputs, self._unit(layer))) for layer in layers]

    def plan(self):
        names = "the GlobalBuffer", "the GlobalBuffer's map memory"
        memories = self.sizes.lines, self.sizes.map_lines
        for share in range(_SHARES, 0, -1):
            room = [lines * share // _SHARES for lines in memories]
            # What fits may not do so in one piece: less is tried then.
            self.divide([(0, 0)] * len(self.layers))
            if not self.fit(room):
                break
            try:
                return self.placed(*(allocate(*memory) for memory in zip(self.items(), memories, names)))
            except ValueError as error:
                refused = error
        if share == _SHARES:
            for memory in zip(self.items(), memories, names):
                allocate(*memory)
        raise refused

    def placed(self, data, maps):
        return Plan(layers=self.layers, jobs=self.jobs(), begins=self.begins()[:-1], kept=self.kept(),
                    turns=self.turns, data=data, maps=maps)

    # How the layers are divided.

    def _unit(self, layer):
        """Output channels of which a part has a multiple."""
        return math.lcm(self.sizes.cols, self.sizes.executor.rows,
                        self.sizes.speculator.array_cols if layer.speculation else 1)

    def divide(self, chosen):
        self.chosen = list(chosen)
        for layer, (grid_ways, part_ways), (grid, parts) in zip(self.layers, self.ways, chosen):
            layer.grid, layer.parts = grid_ways[grid], part_ways[parts]

    def fit(self, room):
        """Divide further until all fits in ``room`` (lines, map lines), step by step by what saves most for its cost;
        then less where there is room even so. Whether all fits."""
        while missing := self.missing(room):
            here, cost, ranks = self.chosen, self.cost(), []
            for other in self.others(here):
                self.divide(other)
                saved = missing - self.missing(room)
                if saved > 0 and self.cost() > cost:
                    ranks.append((saved / (self.cost() - cost), other))
            self.divide(max(ranks)[1] if ranks else here)
            if not ranks:
                return False
        while True:
            here, ranks = self.chosen, [(self.cost(), self.chosen)]
            for other in self.others(here, both=True):
                self.divide(other)
                if self.cost() < min(ranks)[0] and not self.missing(room):
                    ranks.append((self.cost(), other))
            self.divide(min(ranks)[1])
            if self.chosen == here:
                return True

    def others(self, chosen, both=False):
        """All ways that differ from ``chosen`` in one layer's grid or in its parts; ``both``: or in both."""
        for number, before in enumerate(chosen):
            for other in itertools.product(*(range(len(ways)) for ways in self.ways[number])):
                if other != before and (both or other[0] == before[0] or other[1] == before[1]):
                    yield [*chosen[:number], other, *chosen[number + 1:]]

    def cost(self):
        return sum(self.layer_facts(layer).cost for layer in self.layers)

    def missing(self, room):
        """How much is too much: for each layer the shares of both memories that are missing when it is computed."""
        begins, missing = self.begins(), 0
        for (counts, first, last), lines in zip(self.spans(), room):
            change = np.zeros(begins[-1] + 2, dtype=np.int64)
            np.add.at(change, np.maximum(0, first), counts)
            np.add.at(change, np.maximum(0, last) + 1, -counts)
            over = np.maximum(0, np.cumsum(change)[:-1] - lines) / lines
            missing += np.maximum.reduceat(over, begins[:-1]).sum()
        return missing

    # When things are in the GlobalBuffer.

    def begins(self):
        """The number of each layer's first job, and of all jobs."""
        return [0, *itertools.accumulate(self.layer_facts(layer).jobs for layer in self.layers)]

    def kept(self):
        whole = [False, *(layer.whole for layer in self.layers), False]
        return [before and after for before, after in zip(whole, whole[1:])]

    def items(self):
        """What is in the GlobalBuffer, and in its map memory: an ``Item`` each."""
        begins, parts = self.begins(), 0
        found = [list(items) for items in between_items(self.layers, begins)]
        for layer, begin in zip(self.layers, begins):
            for memory, items in enumerate(self.layer_facts(layer).items):
                # Two parts are there at a time: one low, one high.
                found[memory] += [dataclasses.replace(
                    item, first=item.first + begin, last=item.last + begin, high=item.high and parts % 2 == 0
                    or item.name.startswith("weights") and not item.high and parts % 2 == 1) for item in items]
            parts += len(layer.parts)
        return [[dataclasses.replace(item, first=max(0, item.first), last=max(0, item.last)) for item in items]
                for items in found]

    def spans(self):
        """For each memory (counts, first, last) of all items, arrays."""
        begins = self.begins()
        found = [_spans(between_items(self.layers, begins))]
        found += [[(counts, first + begin, last + begin) for counts, first, last in self.layer_facts(layer).spans]
                  for layer, begin in zip(self.layers, begins)]
        return [[np.concatenate(each) for each in zip(*memory)] for memory in zip(*found)]

    def layer_facts(self, layer):
        """The :class:`_Facts` of a layer as it is divided."""
        before = self.layers[layer.number - 1] if layer.number else None
        key = layer.number, self.chosen[layer.number], before and before.grid.count
        if key not in self.known:
            items = layer_items(layer, self.sizes, self.turns, before)
            self.known[key] = _Facts(items, _spans(items), layer.cost(), layer.jobs)
        return self.known[key]

    def jobs(self):
        """All jobs in their order."""
        found = []
        for layer in self.layers:
            for place in range(layer.jobs):
                part, number = divmod(place, layer.grid.count)
                (first, n), strip = layer.parts[part], layer.grid.strips[number]
                found.append(Job(number=len(found), layer=layer, place=place, part=part, first=first, n=n,
                                 strip_number=number, strip=strip,
                                 mapping=layer.mapping if layer.whole else strip.part(n)))
        return found


def _spans(memories):
    return [np.array([(item.count, item.first, item.last) for item in items], np.int64).reshape(-1, 3).T
            for items in memories]
