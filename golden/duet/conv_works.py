"""The work of a convolutional program from the maps of its layers, without computing a single multiplication.

Equal to what :class:`golden.duet.works.Recorder` finds when the golden accelerator carries the program out, but as fast
as matrix products are: whole layers at the thesis' sizes.
"""

import numpy as np

from golden.duet.command import Engine, WorkOp
from golden.duet.engine_registers import FIRST_REGISTER
from golden.duet.executor_pe import SLOTS
from golden.duet.reorder_unit import order
from golden.duet.works import ExecWork, SpecWork, StepWork

__all__ = ["conv_works"]


def conv_works(program, inputs, masks):
    """Works by number of the command, for a ``CnnProgram``.

    ``inputs``: INT16 (channels, height, width) of each layer of the program, as they lie in the GlobalBuffer;
    ``masks``: of each layer the switching map (outputs, height, width) before pooling, which is not looked at where the
    Speculator does not work on the layer.
    """
    jobs = [[_exec_works(program, layer, inputs[layer], masks[layer]), _spec_works(program, layer)]
            for layer in range(len(program.mappings))]
    queues = {engine: iter([work for layer in jobs for work in layer[place]])
              for place, engine in enumerate((Engine.EXEC, Engine.SPEC))}
    works, fresh = {}, True
    for number, command in enumerate(program.commands):
        if command.engine == Engine.SPEC and command.op == WorkOp.CONFIG:
            fresh |= command.b < FIRST_REGISTER
        elif command.engine in queues and command.op == WorkOp.TILE:
            work = next(queues[command.engine])
            if command.engine == Engine.SPEC:
                work, fresh = SpecWork(*work, fresh), False
            works[number] = work
    return works


def _spec_works(program, layer):
    """(lines, n, layer) of each of SPEC's tiles of a layer."""
    speculation, mapping = program.speculations[layer], program.mappings[layer]
    if speculation is None:
        return []
    lines = len(speculation.load_table) * mapping.in_map.groups
    return [(lines, n, speculation.layer) for _, n in program.parts[layer] for _ in range(np.prod(mapping.tile_grid))]


def _exec_works(program, layer, image, mask):
    """An :class:`ExecWork` for each of EXEC's tiles of a layer, part by part."""
    mapping, speculation, mode = program.mappings[layer], program.speculations[layer], program.mode
    rows, ordered = program.sizes.executor.rows, speculation is not None and mode.reorders
    nonzero = mapping.in_map.pack(np.asarray(image)) != 0
    tiles, imaps = list(mapping.tiles()), []
    for tile in tiles if mode.skips_inputs else ():
        chunks = [mapping.chunk_inputs(nonzero, tile, chunk) for chunk in range(mapping.chunks)]
        imaps.append(np.concatenate(chunks).T.astype(np.float32))  # (words, chunks C)
    i, _, o = mapping.program.T
    uses = np.zeros((mapping.sizes.segment, SLOTS * mapping.sizes.segment), np.float32)
    np.add.at(uses, (o, i), 1)
    found = []
    for first, n in program.parts[layer]:
        for number, tile in enumerate(tiles):
            omaps = np.broadcast_to(tile.valid, (n, len(tile.valid)))
            if speculation is not None:
                omaps = omaps & _tile_of(mapping, mask[first:first + n], tile)
            if ordered:
                omaps = omaps[order(omaps, speculation.layer.thresholds)]
            wanted = omaps.astype(np.float32) @ uses
            imap = imaps[number] if mode.skips_inputs else np.ones(
                (wanted.shape[1], mapping.chunks * mapping.sizes.cols), np.float32)
            counts = (wanted @ imap).astype(np.int64).reshape(n, mapping.chunks, -1).swapaxes(0, 1)
            steps = [_step(omaps[at:at + rows], counts[:, at:at + rows], rows) for at in range(0, n, rows)]
            found.append(ExecWork(steps, len(mapping.load_table), mapping.weight_lines, ordered, False))
    return found


def _tile_of(mapping, mask, tile):
    """Bits (channels, S) of the outputs of a tile; outputs outside of the map are 0."""
    high, wide = mapping.tile
    part = mask[:, tile.y * high:(tile.y + 1) * high, tile.x * wide:(tile.x + 1) * wide]
    part = np.pad(part, ((0, 0), (0, high - part.shape[1]), (0, wide - part.shape[2]))).reshape(len(mask), -1)
    return np.pad(part, ((0, 0), (0, mapping.sizes.segment - part.shape[1])))


def _step(omaps, counts, rows):
    """The :class:`StepWork` of rows with ``omaps`` and tagged instructions ``counts`` (chunks, rows, C)."""
    active = int(omaps.any(axis=1).sum())
    counts = np.pad(counts if active else counts[:1], ((0, 0), (0, rows - len(omaps)), (0, 0)))
    return StepWork(len(omaps), active, counts, int(omaps.any(axis=0).sum()))
