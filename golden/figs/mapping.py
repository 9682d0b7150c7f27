"""The compile step of the FiGS array: a tile of sparse weights into controls of every cycle.

The x of a pass comes in positions of G inputs, one a row of the group. A position is fed as one entry, or as several
with different exchanges where G > alpha + 1. An element does one job a cycle, oldest first; a job is an input for which
any of its lanes has a weight. An entry is fed for as long as it takes until no element has more than depth - 1 jobs
left: what the registers remember. No other durations of the same entries take fewer cycles; where G <= alpha + 1, that
is the optimum, else the order of a position's entries is searched for, and can be a few cycles above it. See
docs/figs/mapping.md for why.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import check_range
from golden.figs.feed_schedule import feed_schedule
from golden.figs.mapping_report import Report
from golden.figs.program import Program

__all__ = ["Tile", "compile_tile", "tile_weights"]


@dataclasses.dataclass(frozen=True, eq=False)
class Tile:
    """One output tile: rows ``first_output`` to ``first_output + outputs - 1`` of W, its program, its cost."""

    first_output: int
    outputs: int
    program: Program
    report: Report


def tile_weights(sizes, weights, group, period):
    """A tile's weights by place: (group, columns, beta, positions, period), zeros where the tile is ragged.

    ``weights`` (outputs, inputs): output (g C + c) beta + j is lane j of element (g, c), input a period + v is value v
    of position a. Refuses, with a ``ValueError`` (``TypeError`` for no integers), weights beyond ``weight_bits``, of
    wrong shape or of more outputs than a tile has, and a bad ``group``.
    """
    weights = check_range("weights", weights, sizes.weight_bits)
    if weights.ndim != 2 or not weights.size:
        raise ValueError(f"weights of shape {weights.shape} are not allowed: they must be (outputs, inputs), not empty")
    sizes.check_group(group)
    if len(weights) > sizes.tile_outputs(group):
        raise ValueError(f"weights of {len(weights)} outputs are not allowed: a tile has {sizes.tile_outputs(group)}")
    outputs, width = weights.shape
    whole = np.zeros((sizes.tile_outputs(group), -(-width // period) * period), np.int64)
    whole[:outputs, :width] = weights
    return whole.reshape(group, sizes.columns, sizes.beta, -1, period)


def _values(group, reach):
    """Which values of a position row g sees with exchange h reach: (group, exchanges, seen), rising."""
    seen = min(group, reach)
    block = np.arange(group)[:, None] // seen ^ np.arange(group // seen)
    return block[..., None] * seen + np.arange(seen)


def compile_tile(sizes, weights, group, first_output=0):
    """The :class:`Tile` of ``weights``, integers (outputs, inputs), at most G C beta outputs, of any pattern, G =
    ``group``. Refuses what :func:`tile_weights` refuses."""
    if sizes.array != "figs":
        raise ValueError(f"array = {sizes.array!r} is not allowed: array must be 'figs'")
    placed = tile_weights(sizes, weights, group, group)
    needed = placed.any(2).transpose(2, 3, 0, 1)  # (positions, values, group, columns)
    row = np.arange(group)
    values = _values(group, sizes.reach)
    # (positions, exchanges, seen, group, columns): the jobs of each element in the order of the values
    jobs = np.stack([needed[:, values[g], g] for g in row], 3)
    positions, exchanges, seen = jobs.shape[:3]
    counts = jobs.sum(2).reshape(positions, exchanges, -1)
    schedule = feed_schedule(counts, sizes.depth, sizes.reach)
    program = _program(sizes, group, placed, jobs, values, schedule)
    held = schedule.cycles - positions - schedule.tail
    report = Report(schedule.cycles, positions, held, schedule.tail, int(jobs.sum()), int(np.count_nonzero(placed)),
                    schedule.cycles * sizes.tile_outputs(group))
    return Tile(first_output, len(weights), program, report)


def _program(sizes, group, placed, jobs, values, schedule):
    """The :class:`Program`: every job in the first cycle in which its value is there and its element free."""
    cycles, start = schedule.cycles, schedule.start
    advance, exchange = np.zeros(cycles, bool), np.zeros(cycles, np.int64)
    new = np.diff(schedule.position, prepend=-1) > 0
    advance[start[new]] = True
    exchange[:cycles - schedule.tail] = np.repeat(schedule.exchange, schedule.fed)
    which = schedule.exchange // sizes.reach
    # (elements, jobs in the order of the entries), flat over entries and values seen
    due = jobs[schedule.position, which].transpose(2, 3, 0, 1).reshape(group * sizes.columns, -1)
    seen = jobs.shape[2]
    rank = np.cumsum(due, -1) - 1
    begin = np.repeat(start, seen)
    # A job's cycle is the first one from its entry's start on that no older job of the element has taken.
    cycle = rank + np.maximum.accumulate(np.where(due, begin - rank, -1), -1)
    element, order = np.nonzero(due)
    cycle, entry = cycle[element, order], order // seen
    g, column = element // sizes.columns, element % sizes.columns
    value = values[g, which[entry], order % seen]
    age = np.maximum(cycle - (start + schedule.fed - 1)[entry], 0)
    use = np.zeros((cycles, group, sizes.columns), bool)
    select = np.zeros(use.shape, np.int64)
    weights = np.zeros((*use.shape, sizes.beta), np.int64)
    use[cycle, g, column] = True
    select[cycle, g, column] = age * sizes.reach + (value ^ schedule.exchange[entry] ^ g)
    weights[cycle, g, column] = placed[g, column, :, schedule.position[entry], value]
    return Program(group, advance, weights, exchange=exchange, use=use, select=select)
