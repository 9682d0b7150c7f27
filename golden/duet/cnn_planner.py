"""How a stack of convolutions is divided so that it fits in the GlobalBuffer, and where everything is then."""

import dataclasses
import itertools
import math
import operator

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

    A layer is divided no further than the GlobalBuffer demands, in the way that costs least. Where that is not enough,
    some layers have one part's weights there at a time. ``store_maps``: switching maps stay until a job more is
    computed. Raises ``ValueError`` where the GlobalBuffer is too small even so.
    """
    return _Planner(layers, sizes, store_maps).plan()


@dataclasses.dataclass(frozen=True)
class _Facts:
    """Of a layer that is divided in some way: ``items`` of both memories, with times from its first job on, their
    ``spans`` (counts, first, last), and its number of ``jobs``."""

    items: tuple
    spans: list
    jobs: int


class _Planner:
    """``chosen``: for each layer the numbers of its grid, of its division in parts and of ``late`` among ``ways``."""

    def __init__(self, layers, sizes, store_maps):
        self.layers, self.sizes = layers, sizes
        self.known, self.known_costs, self.known_peaks = {}, {}, {}
        self.turns = {"in": 2, "out": 2, "order": 2, "omap": 2 + store_maps}
        self.ways = [(grids(layer.mapping), divisions(layer.mapping.outputs, self._unit(layer)), (False,))
                     for layer in layers]

    def plan(self):
        try:
            return self.divided()
        except ValueError:
            self.ways = [(*others, (False, True)) for *others, _ in self.ways]
            return self.divided()

    def divided(self):
        names = "the GlobalBuffer", "the GlobalBuffer's map memory"
        memories = self.sizes.lines, self.sizes.map_lines
        for share in range(_SHARES, 0, -1):
            room = [lines * share // _SHARES for lines in memories]
            # What fits may not do so in one piece: less is tried then.
            self.divide([(0, 0, 0)] * len(self.layers))
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
        for layer, ways, numbers in zip(self.layers, self.ways, chosen):
            layer.grid, layer.parts, layer.late = (way[number] for way, number in zip(ways, numbers))

    def fit(self, room):
        """Divide further until all fits in ``room`` (lines, map lines), step by step by what saves most for its cost;
        then less where there is room even so. Whether all fits."""
        while missing := sum(tight := self.missing(room)):
            here, cost, ranks = self.chosen, self.cost(self.chosen), []
            # Dividing a layer changes what is missing in it and its neighbours.
            numbers = [number for number in range(len(here)) if any(tight[max(0, number - 1):number + 2])]
            for other in self.others(here, numbers):
                self.divide(other)
                saved = missing - sum(self.missing(room))
                if saved > 0 and self.cost(other) > cost:
                    ranks.append((saved / (self.cost(other) - cost), other))
            self.divide(max(ranks)[1] if ranks else here)
            if not ranks:
                return False
        while True:
            here = self.chosen
            cheaper = [(cost, other) for other in self.others(here, range(len(here)), both=True)
                       if (cost := self.cost(other)) < self.cost(here)]
            for _, other in sorted(cheaper, key=operator.itemgetter(0)):
                self.divide(other)
                if not any(self.missing(room)):
                    break
            else:
                self.divide(here)
                return True

    def others(self, chosen, numbers, both=False):
        """All ways that differ from ``chosen`` in the grid, the parts or the lateness of one layer, of those with
        ``numbers``; ``both``: or in several of these."""
        for number in numbers:
            for other in itertools.product(*(range(len(ways)) for ways in self.ways[number])):
                changes = sum(map(operator.ne, other, chosen[number]))
                if changes and (both or changes == 1):
                    yield [*chosen[:number], other, *chosen[number + 1:]]

    def cost(self, chosen):
        """Cycles that dividing the layers in the ways ``chosen`` costs, about."""
        for number, numbers in enumerate(chosen):
            if (number, numbers) not in self.known_costs:
                layer, ways = self.layers[number], self.ways[number]
                grid, parts, late = (way[place] for way, place in zip(ways, numbers))
                self.known_costs[number, numbers] = dataclasses.replace(layer, grid=grid, parts=parts, late=late).cost()
        return sum(self.known_costs[each] for each in enumerate(chosen))

    def missing(self, room):
        """How much is too much: for each layer the shares of both memories that are missing when it is computed."""
        return [sum(max(0, peak - lines) / lines for peak, lines in zip(self.peaks(number), room))
                for number in range(len(self.layers))]

    def peaks(self, number):
        """The most lines and map lines in use while a layer is computed, as it and its neighbours are divided."""
        layers = self.layers[max(0, number - 1):number + 2]
        key = number, *(self.chosen[layer.number] for layer in layers)
        if key not in self.known_peaks:
            before = layers[0].jobs if number else 0
            begins = [0, *itertools.accumulate(layer.jobs for layer in layers)]
            end = before + self.layers[number].jobs + (number == len(self.layers) - 1)  # the last result is stored
            peaks = []
            for counts, first, last in self.spans(layers, begins):
                change = np.zeros(end + 1, dtype=np.int64)
                np.add.at(change, np.clip(first, 0, end), counts)
                np.add.at(change, np.clip(last + 1, number == 0, end), -counts)
                peaks.append(int(np.cumsum(change)[before:end].max()))
            self.known_peaks[key] = peaks
        return self.known_peaks[key]

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
            parts += 1 if layer.late else len(layer.parts)
        return [[dataclasses.replace(item, first=max(0, item.first), last=max(0, item.last)) for item in items]
                for items in found]

    def spans(self, layers, begins):
        """For each memory (counts, first, last) of all items of some ``layers``, arrays; times count as in ``begins``.

        Those that begin before the first layer are of another layer, or there from the beginning.
        """
        found = [_spans(between_items(layers, begins))]
        found += [[(counts, first + begin, last + begin) for counts, first, last in self.layer_facts(layer).spans]
                  for layer, begin in zip(layers, begins)]
        return [[np.concatenate(each) for each in zip(*memory)] for memory in zip(*found)]

    def layer_facts(self, layer):
        """The :class:`_Facts` of a layer as it is divided."""
        before = self.layers[layer.number - 1] if layer.number else None
        key = layer.number, self.chosen[layer.number], before and before.grid.count
        if key not in self.known:
            items = layer_items(layer, self.sizes, self.turns, before)
            self.known[key] = _Facts(items, _spans(items), layer.jobs)
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
