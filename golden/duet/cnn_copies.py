"""What the DMA copies for a stack of convolutions: the DRAM, and commands before, between and after the jobs."""

import dataclasses

import numpy as np

from golden.duet.cnn_plan import MOST_LEAD
from golden.duet.command import Command, CopyOp, Engine
from golden.duet.program import DramImage
from golden.duet.strips import line_runs

__all__ = ["Copies", "Copy"]

_LOAD_CYCLES, _STORE_CYCLES = 8, 10  # of a line of the DRAM, about


@dataclasses.dataclass(frozen=True)
class Copy:
    """A command and what it brings, for those who wait: ("in", job, row of blocks), ("buffers", layer), ("weights",
    job) where that job waits for them, or None."""

    command: Command
    brings: tuple | None = None

    @property
    def cycles(self):
        """About."""
        return self.command.c * (_LOAD_CYCLES if self.command.op == CopyOp.LOAD else _STORE_CYCLES)


class Copies:
    """``dram`` (a ``DramImage``) with the input, weights and room for results; ``results``: as in ``Program``.

    ``plan``: a ``Plan``; ``store_maps``: all maps are results too.
    """

    def __init__(self, plan, image, line_words, store_maps):
        self._plan, layers = plan, plan.layers
        self.dram = DramImage(line_words)
        self._regions = {0: self.dram.place(layers[0].mapping.in_map.pack(image))}  # of maps that go through the DRAM
        cleared = [job.mapping.out_map for job in plan.jobs if self._clears(job)]
        self._zeros = self.dram.reserve(max([1] + [out.lines for out in cleared if out.groups == 1]))
        self._weights, self._buffers = [], {}
        for layer in layers:
            self._weights.append(self.dram.place(layer.mapping.pack_weights(layer.parameters.weights)))
            if layer.speculation:
                buffers = layer.speculation.projection, layer.speculation.weights, layer.speculation.table
                self._buffers[layer.number] = self.dram.place(np.concatenate(buffers))
        for number, layer in enumerate(layers, 1):
            if not plan.kept[number]:
                self._regions[number] = self.dram.reserve(layer.mapping.out_map.lines)
        self.results = {"output": (self._regions[len(layers)], layers[-1].mapping.out_map.lines)}
        for layer in layers if store_maps else ():
            for name, count in ((f"map[{layer.number}]", layer.mapping.out_map.lines),
                                (f"omap[{layer.number}]", layer.tiles * layer.mapping.out_map.groups)):
                if name.startswith("map") or layer.speculation:
                    self.results[name] = self.dram.reserve(count), count

    def at(self, time):
        """The :class:`Copy` of each command while job ``time`` is computed, after job ``time`` - 1; -1: before all.

        They bring what job ``time`` + 1 needs, and what ``time`` needs of the result of the job right before it.
        """
        jobs = self._plan.jobs
        late = [copy for job in jobs[max(0, time):time + 1] for copy in self._load_weights(job, time)]
        inputs = [job for job in jobs[max(0, time):time + 2] if self._loaded_at(job) == time]
        stores = [copy for job in jobs[max(0, time - 1):max(0, time)] for copy in self._store(job)]
        # The Speculator waits for the input, nobody for the result unless it is a part of that.
        first = stores if any(self._needs(job) == time - 1 for job in inputs) else []
        copies = [*late, *first, *(copy for job in inputs for copy in self._load_input(job))]
        for job in jobs[time + 1:time + 2]:
            layer = job.layer
            if job.place == 0 and layer.speculation:
                copies.append(Copy(_load(self._buffers[layer.number], self._plan.buffer_line(layer),
                                         sum(layer.buffer_lines)), ("buffers", layer.number)))
        copies += [] if first else stores
        for job in jobs[time + 1:time + 2]:
            copies += self._clear(job)  # its place can be that of what is stored
        for job in jobs[time + 1:time + 1 + MOST_LEAD]:
            copies += self._load_weights(job, time)
        return copies

    def loads(self, job):
        """Whether the input of a job is loaded for it: it is made by the layer before, or there already, if not."""
        layer = job.layer
        if layer.whole:
            return job.place == 0 and not self._plan.kept[layer.number]
        before = self._plan.jobs[job.number - 2] if job.place >= 2 else None
        return before is None or before.strip_number != job.strip_number

    def _loaded_at(self, job):
        """The time when the input of a job is loaded; None where it is not."""
        return max(job.number - 1, self._needs(job) + 1) if self.loads(job) else None

    def _needs(self, job):
        """The last job whose result is in a job's input: the one after it stores that; -1 where there is none."""
        number = job.layer.number
        if number == 0:
            return -1
        maker, begin = self._plan.layers[number - 1], self._plan.begins[number]
        if maker.whole:
            return begin - 1
        corner, blocks = job.strip.in_block, job.strip.mapping.in_map.blocks
        touched = [place for place, strip in enumerate(maker.grid.strips) if all(
            mine < at + size and at < mine + count for mine, count, at, size
            in zip(corner, blocks, strip.out_block, strip.mapping.out_map.blocks))]
        return begin - maker.grid.count + touched[-1]

    def _load_input(self, job):
        region, line, maps = (self._regions[job.layer.number], self._plan.line("in", job),
                              self._plan.map_line("in", job))
        rows = [job.strip.input_lines().ravel()] if job.layer.whole else job.strip.input_lines()
        for row, lines in enumerate(rows):
            for source, place, count in line_runs(lines, row * len(lines) + np.arange(len(lines))):
                yield Copy(_load(region + source, line + place, count, maps=maps + place), ("in", job.number, row))

    def _load_weights(self, job, time):
        """The piece of a part's weights that is loaded at a time; at the beginning all that should be there."""
        lead = self._plan.lead(job)
        count, place = max(1, lead), time - (job.number - lead)
        if job.strip_number == 0 and 0 <= place < count:
            lines = job.n * job.layer.row_lines
            first, end = (lines * piece // count for piece in (0 if time == -1 else place, place + 1))
            if end > first:
                source = self._weights[job.layer.number] + job.first * job.layer.row_lines
                yield Copy(_load(source + first, self._plan.weight_line(job) + first, end - first),
                           None if lead else ("weights", job.number))

    def _store(self, job):
        """The result of a job, if it goes to the DRAM, and its maps, if they are wanted."""
        number, plan = job.layer.number, self._plan
        if job.layer.whole:
            if not job.last:
                return
            results, tiles = np.arange(job.mapping.out_map.lines), np.arange(
                job.layer.tiles * job.mapping.out_map.groups)
        else:
            results, tiles = (lines(job.first, job.n).ravel() for lines in (job.strip.output_lines,
                                                                            job.strip.omap_lines))
        moves = [(1, f"map[{number}]", plan.map_line("out", job), results),
                 (1, f"omap[{number}]", plan.map_line("omap", job), tiles)]
        for flags, name, line, lines in moves:
            if name in self.results:
                yield from _stores(self.results[name][0], line, lines, flags)
        if number + 1 in self._regions:
            yield from _stores(self._regions[number + 1], plan.line("out", job), results)

    def _clears(self, job):
        """Whether a job has lines that it does not write whole: of a last group of less than C channels."""
        layer = job.layer
        return layer.ragged and (job.place == 0 if layer.whole else job.part == len(layer.parts) - 1)

    def _clear(self, job):
        """Zeros where no result of a job is written."""
        if self._clears(job):
            out, line, maps = job.mapping.out_map, self._plan.line("out", job), self._plan.map_line("out", job)
            if out.groups == 1:
                yield Copy(_load(self._zeros, line, out.lines, maps=maps))
            else:
                for last in range(out.groups - 1, out.lines, out.groups):
                    yield Copy(_load(self._zeros, line + last, 1, maps=maps + last))


def _load(dram, line, count, maps=None):
    return Command(Engine.DMA, CopyOp.LOAD, flags=int(maps is not None), a=dram, b=line, c=count, d=maps or 0)


def _stores(dram, line, lines, flags=0):
    """``STORE`` of what is from ``line`` on to the numbers ``lines`` from ``dram`` on."""
    for target, place, count in line_runs(lines, np.arange(len(lines))):
        yield Copy(Command(Engine.DMA, CopyOp.STORE, flags=flags, a=dram + target, b=line + place, c=count))
