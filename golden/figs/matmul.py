"""Y = W X on the engine: x into beats, tiles into jobs that fit in the program memory, y out of words."""

import dataclasses

import numpy as np

from golden.arith.fixed import check_range, signed_range
from golden.figs import figs_engine
from golden.figs.compiler import compile_matrix
from golden.figs.figs_engine import Command
from golden.figs.program import pack

__all__ = ["Job", "check_sums", "gather", "matmul", "pack_x", "plan", "unpack_y"]


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """What fits in the program memory at once: ``memory`` words, ``commands``, ``beats``; ``places``: of each command
    the first output (in the order of the tiles) and the first column of X."""

    memory: list
    commands: list
    beats: np.ndarray
    places: list


def pack_x(x, sizes, pattern):
    """Beats of every batch tile, (tiles, positions, beat values), of ``x`` (inputs, batch) padded with zeros.

    FiGS and dense arrays: row q G + g of position a has x[a G + g, b0 + q]. Mux array: value v of row q has
    x[a window + v, b0 + q].
    """
    x = check_range("x", x, sizes.activation_bits)
    if x.ndim != 2 or not x.size:
        raise ValueError(f"x of shape {x.shape} is not allowed: it must be (inputs, batch), not empty")
    group = sizes.group(pattern)
    batch, period = sizes.tile_batch(group), sizes.window if sizes.array == "mux" else group
    padded = np.pad(x, [(0, -length % unit) for length, unit in zip(x.shape, (period, batch))])
    placed = padded.reshape(-1, period, padded.shape[1] // batch, batch)
    return placed.transpose(2, 0, 3, 1).reshape(placed.shape[2], -1, sizes.beat_values)


def unpack_y(words, sizes, group):
    """The tile of Y, (outputs, batch columns), that a pass sent: ``words`` (rows, columns * beta), last row first."""
    rows = np.asarray(words)[::-1].reshape(sizes.tile_batch(group), group, -1)
    return rows.transpose(1, 2, 0).reshape(sizes.tile_outputs(group), -1)


def check_sums(sizes, weights):
    """Refuse weights with which some x could make a sum leave ``sum_bits``."""
    least, most = signed_range(sizes.activation_bits)
    positive, negative = np.where(weights > 0, weights, 0).sum(1), np.where(weights < 0, weights, 0).sum(1)
    low, high = signed_range(sizes.sum_bits)
    wrong = (positive * most + negative * least > high) | (positive * least + negative * most < low)
    if wrong.any():
        raise ValueError(f"sum_bits = {sizes.sum_bits} is not allowed: the sum of output {int(np.argmax(wrong))} can "
                         "leave it")


def plan(compiled, x, sizes):
    """The list of :class:`Job` that multiplies ``x`` by a :class:`~golden.figs.compiler.CompiledMatrix`."""
    if np.ndim(x) == 2 and len(x) != compiled.inputs:
        raise ValueError(f"x of shape {np.shape(x)} is not allowed: weights have {compiled.inputs} inputs")
    beats = pack_x(x, sizes, compiled.pattern)
    batch = sizes.tile_batch(compiled.group)
    jobs = []
    memory, commands, places = [], [], []

    def close():
        if commands:
            jobs.append(Job(memory, commands, np.tile(beats, (len(commands) // len(beats), 1, 1))
                            .reshape(-1, sizes.beat_values), places))

    for tile in compiled.tiles:
        words = pack(sizes, tile.program)
        if len(words) > sizes.words:
            raise ValueError(f"words = {sizes.words} is not allowed: a program of {len(words)} words must fit")
        if len(memory) + len(words) > sizes.words:
            close()
            memory, commands, places = [], [], []
        command = Command(len(memory), tile.program.cycles, compiled.group.bit_length() - 1)
        memory = memory + words
        commands = commands + [command] * len(beats)
        places = places + [(tile.first_output, index * batch) for index in range(len(beats))]
    close()
    return jobs


def matmul(weights, x, sizes, pattern, *, cluster=False):
    """Y = W X, int64 (outputs, batch), by compiling ``weights`` (outputs, inputs) and running the engine's model.

    ``x`` (inputs, batch). Both integers; a ``ValueError`` (``TypeError`` for another type) where shapes, ranges or the
    pattern are wrong or a sum could leave ``sum_bits``.
    """
    compiled = compile_matrix(sizes, weights, pattern, cluster=cluster)
    check_sums(sizes, np.asarray(weights, np.int64))
    jobs, sums = plan(compiled, x, sizes), []
    for job in jobs:
        result = figs_engine.run(sizes, job.memory, job.commands, job.beats)
        if result.errors:
            raise RuntimeError(f"the engine reports {result.errors!r}")
        sums.append(result.y)
    return gather(compiled, jobs, sums, sizes, np.shape(x)[-1])


def gather(compiled, jobs, sums, sizes, batch):
    """Y, int64 (outputs, ``batch``), out of ``sums``, for each job the words that its passes sent (words, columns *
    beta)."""
    group = compiled.group
    outputs, columns = sizes.tile_outputs(group), sizes.tile_batch(group)
    y = np.zeros((len(compiled.tiles) * outputs, -(-batch // columns) * columns), np.int64)
    for job, words in zip(jobs, sums, strict=True):
        for part, (output, column) in zip(words.reshape(-1, sizes.rows, words.shape[1]), job.places, strict=True):
            y[output:output + outputs, column:column + columns] = unpack_y(part, sizes, group)
    back = np.empty_like(compiled.order)
    back[compiled.order] = np.arange(len(back))
    return y[back, :batch]
