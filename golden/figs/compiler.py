"""A whole weight matrix into programs of any of the three arrays."""

import dataclasses

import numpy as np

from golden.arith.fixed import check_range
from golden.figs import baseline_mapping, mapping
from golden.figs.cluster import cluster_rows
from golden.figs.mapping_report import Report
from golden.figs.patterns import Pattern, check_pattern

__all__ = ["CompiledMatrix", "compile_matrix"]


@dataclasses.dataclass(frozen=True, eq=False)
class CompiledMatrix:
    """``tiles`` of a matrix (outputs, inputs) of a ``pattern``; output o of the tiles is row ``order[o]`` of it."""

    tiles: tuple
    pattern: Pattern
    group: int
    inputs: int
    order: np.ndarray

    @property
    def outputs(self):
        return len(self.order)

    @property
    def report(self):
        """One pass of every tile: cycles, utilisation (:class:`~golden.figs.mapping_report.Report`)."""
        return sum((tile.report for tile in self.tiles), Report(*[0] * 7))


def compile_matrix(sizes, weights, pattern, *, cluster=False):
    """The :class:`CompiledMatrix` of integers (outputs, inputs) that obey ``pattern``.

    Raises a ``ValueError`` for weights beyond ``weight_bits`` or, with row and group, for a group of more non-zeros
    than the pattern allows. ``cluster``: rows with like patterns are put together first (FiGS array).
    """
    weights = check_range("weights", weights, sizes.weight_bits)
    if weights.ndim != 2 or not weights.size:
        raise ValueError(f"weights of shape {weights.shape} are not allowed: they must be (outputs, inputs), not empty")
    check_pattern(weights, pattern)
    group = sizes.group(pattern)
    order = cluster_rows(weights, sizes.beta) if cluster else np.arange(len(weights))
    count = sizes.tile_outputs(group)
    tiles = []
    for first in range(0, len(weights), count):
        rows = weights[order[first:first + count]]
        if sizes.array == "figs":
            tiles.append(mapping.compile_tile(sizes, rows, group, first))
        else:
            rival = baseline_mapping.compile_mux if sizes.array == "mux" else baseline_mapping.compile_dense
            tiles.append(rival(sizes, rows, first))
    return CompiledMatrix(tuple(tiles), pattern, group, weights.shape[1], order)
