"""Where the cycles of a convolution go: what keeps the Executor's elements from issuing, layer by layer."""

import dataclasses

import numpy as np

from golden.duet.command import Engine, WorkOp

__all__ = ["LayerCycles", "layer_cycles", "layer_tiles"]


@dataclasses.dataclass(frozen=True)
class LayerCycles:
    """Cycles of a layer in a program, from the end of the layer before to its end; the first seven are their parts.

    ``issue``: MACs / elements, what perfectly balanced elements would take. ``unequal``: besides, what the element
    with most work in each step takes. ``chunks``: other cycles in which some element issues, others wait for their next
    chunk. In the rest nobody issues: ``drain``: sums are added up at the end of a step; ``speculator``, ``weights``:
    EXEC waits for a token of SPEC, of DMA; ``load``: chunks and configuration are loaded. ``speculation``: cycles in
    which SPEC works on the layer's tiles, in the time of the layer before; ``items``: of the layer on the Executor's
    bus.
    """

    issue: float
    unequal: float
    chunks: float
    drain: int
    speculator: int
    weights: int
    load: int
    speculation: int
    items: int


def layer_tiles(program, engine):
    """For each layer of a convolutional program, the places of its ``TILE`` commands among those of the engine."""
    places = iter([place for place, command in enumerate(c for c in program.commands if c.engine == engine)
                   if command.op == WorkOp.TILE])
    found = []
    for mapping, parts, speculation in zip(program.mappings, program.parts, program.speculations):
        count = len(parts) * mapping.tile_grid[0] * mapping.tile_grid[1]
        found.append([next(places) for _ in range(count)] if engine == Engine.EXEC or speculation else [])
    return found


def layer_cycles(run):
    """A :class:`LayerCycles` for each layer of a convolutional program's ``ProgramRun``, from the cycle model."""
    program, timeline, ends = run.program, run.timeline, run.model_ends
    elements = program.sizes.executor.rows * program.sizes.cols
    total = ends[Engine.EXEC][-1] + 1
    busy, drain = timeline.issuing(total), timeline.draining(total)
    rest = ~(busy | drain)
    waits = {giver: rest & timeline.waiting(Engine.EXEC, giver, total) for giver in (Engine.SPEC, Engine.DMA)}
    waits[Engine.DMA] &= ~waits[Engine.SPEC]
    numbers = [number for number, command in enumerate(program.commands) if command.engine == Engine.EXEC]
    found, before = [], 0
    for tiles, speculated in zip(layer_tiles(program, Engine.EXEC), layer_tiles(program, Engine.SPEC)):
        end = ends[Engine.EXEC][tiles[-1]]
        span = slice(before + 1, end + 1)
        works = [run.works[numbers[place]] for place in tiles]
        steps = [step.counts for work in works for step in work.steps]
        issue, most = sum(int(counts.sum()) for counts in steps), sum(int(counts.sum(0).max()) for counts in steps)
        found.append(LayerCycles(
            issue=issue / elements, unequal=most - issue / elements, chunks=int(busy[span].sum()) - most,
            drain=int(drain[span].sum()), speculator=int(waits[Engine.SPEC][span].sum()),
            weights=int(waits[Engine.DMA][span].sum()),
            load=int((rest & ~waits[Engine.SPEC] & ~waits[Engine.DMA])[span].sum()),
            speculation=_union([(timeline.begins[Engine.SPEC][place], ends[Engine.SPEC][place] + 1)
                                for place in speculated]),
            items=sum(_items(work) for work in works)))
        before = end
    return found


def _items(work):
    """Items of a tile on the bus, and fetches of its orders."""
    return sum(step.rows + work.ordered + len(step.counts) * (
        1 + (work.inputs + step.active * work.weight_lines if step.active else 0)) for step in work.steps)


def _union(spans):
    """Cycles that are in one of the spans (first, end), which begin and end in their order."""
    spans = np.array(spans, np.int64).reshape(-1, 2)
    begins = np.maximum(spans[1:, 0], spans[:-1, 1])
    return int((spans[:1, 1] - spans[:1, 0]).sum() + np.maximum(0, spans[1:, 1] - begins).sum())
