"""The compile step of the FiGS array's rivals: every input in turn, or windows held while their weights last."""

import numpy as np

from golden.figs.mapping import Tile, tile_weights
from golden.figs.mapping_report import Report
from golden.figs.program import Program

__all__ = ["compile_dense", "compile_mux"]


def compile_dense(sizes, weights, first_output=0):
    """The :class:`Tile` of ``weights`` (outputs, inputs), at most C beta outputs: a cycle for each input."""
    placed = tile_weights(sizes, weights, 1, 1)[0, ..., 0]  # (columns, beta, inputs)
    cycles = placed.shape[-1]
    nonzeros = int(np.count_nonzero(placed))
    report = Report(cycles, cycles, 0, 0, int(placed.any(1).sum()), nonzeros, cycles * sizes.tile_outputs(1))
    program = Program(1, np.ones(cycles, bool), placed.transpose(2, 0, 1)[:, None])
    return Tile(first_output, len(weights), program, report)


def compile_mux(sizes, weights, first_output=0):
    """The :class:`Tile` of ``weights`` (outputs, inputs), at most C beta outputs: windows of inputs, in every lane a
    weight of its own a cycle, in the order of the inputs; a window is held as long as the lane with the most needs it.
    """
    placed = tile_weights(sizes, weights, 1, sizes.window)[0]  # (columns, beta, positions, window)
    present = placed != 0
    held = np.maximum(present.sum(-1).max((0, 1)), 1)
    start, cycles = np.cumsum(held) - held, int(held.sum())
    advance = np.zeros(cycles, bool)
    advance[start] = True
    column, lane, position, value = np.nonzero(present)
    cycle = start[position] + (np.cumsum(present, -1) - 1)[present]
    index = np.zeros((cycles, 1, sizes.columns, sizes.beta), np.int64)
    values = np.zeros(index.shape, np.int64)
    index[cycle, 0, column, lane] = value
    values[cycle, 0, column, lane] = placed[present]
    busy = int(values.any(-1).sum())
    report = Report(cycles, len(held), cycles - len(held), 0, busy, len(value), cycles * sizes.tile_outputs(1))
    return Tile(first_output, len(weights), Program(1, advance, values, index=index), report)
