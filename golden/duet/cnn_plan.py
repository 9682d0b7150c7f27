"""What of a stack of convolutions is in the GlobalBuffer when: jobs, and places that are used again.

A **job** is what the Executor computes of a layer at a time: a part of its output channels (whose weights are then in
the GlobalBuffer), of all its tiles or of a strip of them. Strip follows strip, then part follows part, so that weights
are loaded once. Times of places are numbers of jobs: time t is when job t is computed.
"""

import dataclasses

from golden.duet.layer_parameters import QuantizedLayer
from golden.duet.mapping import ConvMapping
from golden.duet.speculator_mapping import SpeculatorMapping
from golden.duet.strips import Grid, Strip

__all__ = ["MOST_LEAD", "Job", "Plan", "PlannedLayer", "weights_lead", "weights_name"]

MOST_LEAD = 4
"""Jobs in which a part's weights are loaded, at most."""
_LOAD_CYCLES = 2  # that a line of input costs, which is loaded while others are computed
_WAIT_CYCLES = 8  # that a line of weights costs, which the Executor waits for
_JOB_CYCLES = 500  # that a job costs: its configuration, beginning and end
_PART_COST = 0.05  # of a layer's cycles that a part more costs: channels are sorted in it, tiles projected again


@dataclasses.dataclass(eq=False)
class PlannedLayer:
    """A layer, and how it is divided: in ``parts`` (first, n) of its output channels, and strips by ``grid``.

    ``late``: the weights of a part are loaded when the part before is done, so that two are never there together.
    """

    number: int
    mapping: ConvMapping
    parameters: QuantizedLayer
    speculation: SpeculatorMapping | None
    parts: list[tuple[int, int]] = ()
    grid: Grid = None
    late: bool = False

    @property
    def whole(self):
        """Whether all tiles are computed before a part ends, from maps that are in the GlobalBuffer whole."""
        return self.grid.whole

    @property
    def ragged(self):
        """Whether its last group has less than C channels."""
        return self.mapping.outputs % self.mapping.sizes.cols != 0

    @property
    def jobs(self):
        """Their number."""
        return len(self.parts) * self.grid.count

    @property
    def tiles(self):
        """Number of all tiles."""
        return self.mapping.tile_grid[0] * self.mapping.tile_grid[1]

    @property
    def row_lines(self):
        """Lines of an output channel's weights."""
        return self.mapping.chunks * self.mapping.weight_lines

    @property
    def buffer_lines(self):
        """Lines for each of the Speculator's buffers."""
        return [len(lines) for lines in (self.speculation.projection, self.speculation.weights, self.speculation.table)]

    def tile_cycles(self, n):
        """Cycles of a tile of ``n`` channels, all of it computed, about."""
        return -(-n // self.mapping.sizes.rows) * self.mapping.chunks * len(self.mapping.program)

    def cost(self):
        """Cycles that dividing it costs, about."""
        loaded = 0 if self.whole else len(self.parts) * self.grid.loaded
        waited = self.mapping.outputs * self.row_lines if self.late else 0
        return self.jobs * _JOB_CYCLES + loaded * _LOAD_CYCLES + waited * _WAIT_CYCLES + (
            (len(self.parts) - 1) * _PART_COST * self.tiles * self.tile_cycles(self.mapping.outputs))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """``n`` output channels from ``first`` on (part ``part``) of ``strip`` number ``strip_number`` of a ``layer``.

    ``number``: among all jobs; ``place``: among those of the layer; ``mapping``: how it is computed, of these channels
    alone in a layer that is in strips, of all in one that is whole.
    """

    number: int
    layer: PlannedLayer
    place: int
    part: int
    first: int
    n: int
    strip_number: int
    strip: Strip
    mapping: ConvMapping

    @property
    def last(self):
        """Whether it is the layer's last."""
        return self.place == self.layer.jobs - 1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """``layers`` as they are divided; ``jobs``, in order; ``begins``: of each layer the number of its first job.

    ``kept``: of each map (0: the input; L: the result of layer L - 1) whether it stays in the GlobalBuffer from the
    layer that makes it to the one that takes it; the others go through the DRAM.
    """

    layers: list[PlannedLayer]
    jobs: list[Job]
    begins: list[int]
    kept: list[bool]
    turns: dict[str, int]
    data: dict[str, int]
    maps: dict[str, int]

    def line(self, kind, job):
        """First line of a job's ``kind``: "in", "out", "order" (0 where it has none)."""
        return self.data.get(self._name(kind, job, "act"), 0)

    def map_line(self, kind, job):
        """First map line of a job's ``kind``: "in", "out", "omap" (0 where it has none)."""
        return self.maps.get(self._name(kind, job, "map"), 0)

    def lead(self, job):
        """Jobs before this one, the first of its part, in which its weights are loaded; 0: when this one begins."""
        number = job.layer.number
        return weights_lead(job.layer, job.part, self.layers[number - 1] if number else None)

    def weight_line(self, job):
        """First line of a job's weights."""
        return self.data[weights_name(job.layer, job.part)]

    def buffer_line(self, layer):
        """First line of what the Speculator's buffers are filled with."""
        return self.data[f"speculator[{layer.number}]"]

    def _name(self, kind, job, whole):
        number = job.layer.number
        if not job.layer.whole:
            return f"{kind}[{number}].{job.place % self.turns[kind]}"
        return f"{whole}[{number + (kind == 'out')}]" if kind in ("in", "out") else f"{kind}[{number}]"


def weights_name(layer, part):
    """The name of the place of a part's weights."""
    return f"weights[{layer.number}.{part}]"


def weights_lead(layer, part, before):
    """Jobs before a part's first one in which its weights are loaded, a piece in each, while the part before, of the
    layer or of the one ``before`` it, is computed; 0 where they come late."""
    previous = layer if part else before
    if previous is None:
        return 1
    return 0 if layer.late else min(MOST_LEAD, previous.grid.count)
