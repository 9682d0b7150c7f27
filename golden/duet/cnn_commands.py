"""The commands of a planned stack of convolutions.

The Executor computes job after job. The Speculator works one job ahead: on the next strip, or on the next layer, each
tile as soon as what its window touches is there. Meanwhile the DMA stores the result of the job before and loads what
the next one needs.
"""

import dataclasses

import numpy as np

from golden.duet.cnn_copies import Copies
from golden.duet.command import Command, Engine, WorkOp
from golden.duet.dependencies import Dependencies
from golden.duet.layer_commands import (ConfigWriter, ConvPlace, exec_conv_words, fills, order_lines, register_words,
                                        spec_conv_words)
from golden.duet.program import configure

__all__ = ["CnnCommands"]

_TOKENS = 200  # from one engine to another at most: a counter holds 255


class CnnCommands:
    """``commands``, ``dram`` and ``results`` of a ``Program`` for a ``Plan``; the rest as of ``cnn_program``."""

    def __init__(self, plan, image, sizes, mode, store_maps):
        self._plan, self._sizes, self._mode = plan, sizes, mode
        self._all, self._writers = Dependencies(), {engine: ConfigWriter(engine) for engine in Engine}
        self._copies, self._copied = Copies(plan, image, sizes.line_words, store_maps), {}
        self._ends, self._fills = {}, {}  # of jobs: the Executor's last tile; of layers: the Speculator's last FILL
        self._tiles = {}  # of the last part of each layer that is whole: the Executor's tiles
        self._copy(-1)
        for job in plan.jobs:
            if job.layer.speculation:
                self._configure_speculator(job)
            self._copy(job.number)
            given = self._speculate(job) if job.layer.speculation else None
            self._execute(job, given)
        self._copy(len(plan.jobs))
        self.commands, self.results = self._all.queues().merge(), self._copies.results
        self.dram = self._copies.dram.image()

    # DMA.

    def _copy(self, time):
        """What is copied while job ``time`` is computed."""
        after = []
        if time > 0:
            after = [self._ends[time - 1]]
            if time in self._plan.begins and (layer := self._plan.begins.index(time)) in self._fills:
                after.append(self._fills[layer])  # their place is used again
        for copy in self._copies.at(time):
            name = self._all.add(copy.command, copy.cycles, after)
            self._copied[copy.brings], self._copied["last", time], after = name, name, ()

    def _copies_before(self, time):
        """All that is copied before job ``time`` begins, as what to come after."""
        times = [each for each in range(-1, time) if ("last", each) in self._copied]
        return [self._copied["last", times[-1]]] if times else []

    def _input(self, job, row):
        """What brings the input up to a row of blocks, as what to come after."""
        return [name for name in [self._copied.get(("in", job.number, row))] if name is not None]

    # SPEC.

    def _place(self, job):
        """Where the lines of a job are. Its first channel is added to these lines where they are of all channels."""
        plan, layer, omap = self._plan, job.layer, self._plan.map_line("omap", job)
        group = 0 if layer.whole else job.first // self._sizes.cols
        orders = sum(layer.tiles * order_lines(self._sizes, n) for _, n in layer.parts[:job.part]) if layer.whole else 0
        return ConvPlace(
            act_line=plan.line("in", job), imap_line=plan.map_line("in", job), out_line=plan.line("out", job) - group,
            out_map_line=plan.map_line("out", job) - group, omap_line=omap - group,
            order_line=plan.line("order", job) + orders)

    def _group(self, job):
        """Tiles that share a token of the Speculator, which can be two jobs ahead, or all of a whole layer."""
        return -(-job.layer.tiles * len(job.layer.parts) // _TOKENS) if job.layer.whole else -(
            -2 * job.strip.tiles // _TOKENS)

    def _configure_speculator(self, job):
        layer, writer = job.layer, self._writers[Engine.SPEC]
        speculation = layer.speculation
        loads = job.mapping.load_table[:len(speculation.load_table)]
        words = spec_conv_words(job.mapping, dataclasses.replace(speculation, load_table=loads), self._place(job),
                                first=job.first, n=job.n)
        if job.place:
            self._all.add(writer.commands(words))
            return
        # At least one word is written: the jobs before have ended, which read the buffers.
        self._all.add(writer.commands(words, wait=0))
        line, buffers = self._plan.buffer_line(layer), {}
        for kind, count in enumerate(layer.buffer_lines, 1):
            buffers[kind] = line, count
            line += count
        self._fills[layer.number] = self._all.add(fills(buffers), 64, [self._copied["buffers", layer.number]])
        self._all.add(configure(Engine.SPEC, register_words(Engine.SPEC, dict(n=job.n))))

    def _speculate(self, job):
        """The tiles of a job. Returns for each what a tile of the Executor comes after."""
        layer, size, group, names = job.layer, self._sizes.speculator, self._group(job), []
        settings, outputs = layer.speculation.layer, int(np.prod(job.mapping.tile))
        cycles = settings.k_rows * (outputs * settings.passes + -(-job.n // size.array_cols) * size.trees)
        ready = self._ready(job)
        for number, tile in enumerate(job.mapping.tiles()):
            names.append(self._all.add(Command(Engine.SPEC, WorkOp.TILE, b=tile.y, c=tile.x), cycles,
                                       ready.get(number, ())))
        return [names[min(first + group, len(names)) - 1] for first in range(0, len(names), group)
                for _ in range(first, min(first + group, len(names)))]

    def _ready(self, job):
        """What tiles of the Speculator come after: number of the tile -> names of commands."""
        layer = job.layer
        if self._plan.kept[layer.number]:
            return {} if job.place else {tile: [self._tiles[layer.number - 1][other]]
                                         for tile, other in self._ready_after(layer).items()}
        if self._copies.loads(job):
            far = max(entry.dy for entry in job.mapping.load_table)
            rows = [0] if layer.whole else range(job.mapping.in_map.blocks[0])
            return {number: self._input(job, min(tile.own_block[0] + far, rows[-1]))
                    for number, tile in enumerate(job.mapping.tiles())}
        if layer.whole:
            return {}
        return {0: [self._ends[job.number - 2], *self._copies_before(job.number - 1)]}

    def _ready_after(self, layer):
        """{tile of a whole layer that waits: tile of the layer before that it comes after}.

        A tile waits for all tiles that its window touches, where no tile before it did. In a layer of very many tiles
        the first of a group waits for the whole group.
        """
        before = self._plan.layers[layer.number - 1]
        merge = [_tiles_of_block(before.mapping, axis) for axis in range(2)]
        blocks_x, groups = layer.mapping.in_map.blocks[1], layer.mapping.in_map.groups
        needs = []
        for tile in layer.mapping.tiles():
            lines = [line for line, _ in layer.mapping.loads(tile, 0) if line is not None]
            last = 0
            for block in {line // groups for line in lines}:
                y, x = (min((at + 1) * count, tiles) - 1 for at, count, tiles
                        in zip(divmod(block, blocks_x), merge, before.mapping.tile_grid))
                last = max(last, y * before.mapping.tile_grid[1] + x)
            needs.append(last)
        size, waits, known = -(-len(needs) // _TOKENS), {}, -1
        for first in range(0, len(needs), size):
            need = max(needs[first:first + size])
            if need > known:
                waits[first] = known = need
        return waits

    # EXEC.

    def _execute(self, job, given):
        """``given``: for each tile what of the Speculator it comes after."""
        layer, speculated = job.layer, given is not None
        self._all.add(self._writers[Engine.EXEC].commands(exec_conv_words(
            job.mapping, layer.parameters, self._place(job), first=job.first, n=job.n,
            weight_line=self._plan.weight_line(job), use_map=speculated,
            use_order=speculated and self._mode.reorders, use_imap=self._mode.skips_inputs)))
        # A guess of the share of work that is left, rather too small: where EXEC is faster than that, its commands come
        # too late in the stream, behind those of SPEC.
        share = (4 if self._mode.skips_inputs else 2) if speculated else 1
        cycles, names = layer.tile_cycles(job.n) // share, []
        # What was copied has freed the places of the result, and brought weights and input.
        last_row = 0 if layer.whole else job.mapping.in_map.blocks[0] - 1
        first = self._copies_before(job.number) + self._input(job, last_row)
        first += [name for name in [self._copied.get(("weights", job.number))] if name is not None]
        for number, tile in enumerate(job.mapping.tiles()):
            after = [*(first if number == 0 else ()), *([given[number]] if speculated else ())]
            names.append(self._all.add(Command(Engine.EXEC, WorkOp.TILE, b=tile.y, c=tile.x), cycles, after))
        self._ends[job.number], self._tiles[layer.number] = names[-1], names


def _tiles_of_block(mapping, axis):
    """Tiles in a direction that share a block of the result."""
    return mapping.out_map.block[axis] * mapping.layer.pooling[axis] // mapping.tile[axis]
