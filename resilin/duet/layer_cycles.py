"""Where the cycles of a convolution go: what keeps the Executor's elements from issuing, layer by layer."""

import dataclasses

import numpy as np

from golden.duet.command import Engine, WorkOp

__all__ = ["LayerCycles", "layer_cycles"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerCycles:
    """A layer in a program: ``macs``, and its cycles from the end of the layer before to its end, by cause.

    ``issue``: MACs / elements, what perfectly balanced elements would take. ``unequal``: besides, what the element
    with most work in each step takes. ``chunks``: other cycles in which some element issues, others wait for their next
    chunk. In the rest nobody issues: ``drain``: sums are added up at the end of a step; ``speculator``, ``dram``:
    EXEC waits for a token of SPEC, of DMA (weights, the input of a strip); ``commands``: for a command that is held up
    in the stream; ``load``: chunks and configuration are loaded. Not among them: ``speculation``, cycles in which SPEC
    works on the layer's tiles, most of them in the time of the layer before; ``items`` of the layer on the Executor's
    bus.
    """

    macs: int
    issue: float
    unequal: float
    chunks: int
    drain: int
    speculator: int
    dram: int
    commands: int
    load: int
    speculation: int
    items: int

    @property
    def cycles(self):
        """All of them."""
        return round(self.issue + self.unequal) + (
            self.chunks + self.drain + self.speculator + self.dram + self.commands + self.load)

    @property
    def work_cycles(self):
        """Cycles without those in which the Executor waits for the DRAM."""
        return self.cycles - self.dram


def layer_cycles(run):
    """A :class:`LayerCycles` for each layer of a convolutional program's ``ProgramRun``, from the cycle model."""
    program, timeline, ends = run.program, run.timeline, run.model_ends
    elements = program.sizes.executor.rows * program.sizes.cols
    total = ends[Engine.EXEC][-1] + 1
    busy, drain = timeline.issuing(total), timeline.draining(total)
    rest, causes = ~(busy | drain), {}
    for name, cause in (("speculator", timeline.waiting(Engine.EXEC, Engine.SPEC, total)),
                        ("dram", timeline.waiting(Engine.EXEC, Engine.DMA, total)),
                        ("commands", timeline.idle(Engine.EXEC, total)), ("load", True)):
        causes[name] = rest & cause
        rest = rest & ~causes[name]
    numbers = [number for number, command in enumerate(program.commands) if command.engine == Engine.EXEC]
    found, before = [], 0
    for tiles, speculated in zip(_tiles(program, Engine.EXEC), _tiles(program, Engine.SPEC)):
        end = ends[Engine.EXEC][tiles[-1]]
        span = slice(before + 1, end + 1)
        works = [run.works[numbers[place]] for place in tiles]
        steps = [step.counts for work in works for step in work.steps]
        macs, most = sum(int(counts.sum()) for counts in steps), sum(int(counts.sum(0).max()) for counts in steps)
        found.append(LayerCycles(
            macs=macs, issue=macs / elements, unequal=most - macs / elements, chunks=int(busy[span].sum()) - most,
            drain=int(drain[span].sum()), **{name: int(cycles[span].sum()) for name, cycles in causes.items()},
            speculation=_union([(timeline.begins[Engine.SPEC][place], ends[Engine.SPEC][place] + 1)
                                for place in speculated]),
            items=sum(_items(work) for work in works)))
        before = end
    return found


def _tiles(program, engine):
    """For each layer of a convolutional program, the places of its ``TILE`` commands among those of the engine."""
    places = iter([place for place, command in enumerate(c for c in program.commands if c.engine == engine)
                   if command.op == WorkOp.TILE])
    found = [[] for _ in program.mappings]
    for job in program.jobs:
        if engine == Engine.EXEC or job.layer.speculation:
            found[job.layer.number] += [next(places) for _ in range(job.strip.tiles)]
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
