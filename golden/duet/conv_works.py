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
    imaps = {}
    queues = {Engine.EXEC: (work for job in program.jobs for work in _exec_works(
                  program, job, inputs[job.layer.number], masks[job.layer.number], imaps)),
              Engine.SPEC: (work for job in program.jobs for work in _spec_works(job))}
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


def _spec_works(job):
    """(inside, n, layer) of each of SPEC's tiles of a job."""
    speculation = job.layer.speculation
    if speculation is None:
        return []
    entries, groups = len(speculation.load_table), job.mapping.in_map.groups
    return [(_inside(job.mapping, tile)[:entries] * groups, job.n, speculation.layer) for tile in job.mapping.tiles()]


def _inside(mapping, tile):
    return tuple(line is not None for line, _ in mapping.loads(tile, 0))


def _exec_works(program, job, image, mask, imaps):
    """An :class:`ExecWork` for each of EXEC's tiles of a job; ``imaps``: of strips that were computed before."""
    mapping, speculation, mode = job.mapping, job.layer.speculation, program.mode
    rows, ordered = program.sizes.executor.rows, speculation is not None and mode.reorders
    tiles, strip = list(mapping.tiles()), (job.layer.number, job.strip_number)
    if mode.skips_inputs and strip not in imaps:
        imaps.update({strip: _input_maps(mapping, job.strip.crop_input(np.asarray(image)), tiles)})
    i, _, o = mapping.program.T
    uses = np.zeros((mapping.sizes.segment, SLOTS * mapping.sizes.segment), np.float32)
    np.add.at(uses, (o, i), 1)
    if speculation is not None:
        mask = job.strip.crop_outputs(mask)[job.first:job.first + job.n]
    found = []
    for number, tile in enumerate(tiles):
        omaps = np.broadcast_to(tile.valid, (job.n, len(tile.valid)))
        if speculation is not None:
            omaps = omaps & _tile_of(mapping, mask, tile)
        if ordered:
            omaps = omaps[order(omaps, speculation.layer.thresholds)]
        wanted = omaps.astype(np.float32) @ uses
        imap = imaps[strip][number] if mode.skips_inputs else np.ones(
            (wanted.shape[1], mapping.chunks * mapping.sizes.cols), np.float32)
        counts = (wanted @ imap).astype(np.int64).reshape(job.n, mapping.chunks, -1).swapaxes(0, 1)
        steps = [_step(omaps[at:at + rows], counts[:, at:at + rows], rows) for at in range(0, job.n, rows)]
        found.append(ExecWork(steps, _inside(mapping, tile), mapping.weight_lines, speculation is not None, ordered,
                              False))
    return found


def _input_maps(mapping, image, tiles):
    """Which words of the input buffers are not zero, float (words, chunks C), for each tile."""
    nonzero = mapping.in_map.pack(image) != 0
    return [np.concatenate([mapping.chunk_inputs(nonzero, tile, chunk) for chunk in range(mapping.chunks)]).T.astype(
        np.float32) for tile in tiles]


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
