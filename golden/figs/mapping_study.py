"""How busy the FiGS array's multipliers are on random N:M patterns: what the mapping gives, without training."""

import dataclasses

import numpy as np

from golden.figs.compiler import compile_matrix
from golden.figs.compressed import CompressedMatrix
from golden.figs.patterns import magnitude_mask
from golden.figs.program import program_words

__all__ = ["KINDS", "study"]

#: Patterns that the ``beta`` outputs of an element share; each output's own; own ones, rows put together by likeness.
KINDS = ("shared", "own", "clustered")


def study(sizes, patterns, depths, widths, outputs, seed=0, progress=lambda line: None):
    """Rows, one for each width of the matrix, pattern, kind and depth, of one matrix each: dicts.

    ``sizes`` of a FiGS array; its depth is replaced by each of ``depths``. ``outputs`` rows of ``widths`` inputs with N
    non-zeros at random places of every M. ``utilisation``: non-zeros per multiplier and schedule cycle; ``positions``,
    ``held``, ``tail``, ``cycles`` of one pass of every tile. ``program_bits``: of the words of the programs,
    ``compressed_bits``: of the matrix in compressed form, both for a non-zero.
    """
    rows, deep = [], [dataclasses.replace(sizes, depth=depth) for depth in depths]
    for width in widths:
        for pattern in patterns:
            rng = np.random.default_rng([seed, width, pattern.n, pattern.m])
            own = magnitude_mask(rng.random((outputs, width)), pattern).astype(np.int64)
            shared = np.repeat(own[::sizes.beta], sizes.beta, 0)[:outputs]
            for kind in KINDS if sizes.beta > 1 and pattern.n < pattern.m else KINDS[1:2]:
                progress(f"{pattern}, {width} inputs, {kind}")
                weights = shared if kind == "shared" else own
                for own_sizes in deep:
                    rows.append({"inputs": width, "pattern": str(pattern), "kind": kind, "depth": own_sizes.depth,
                                 **_row(own_sizes, weights, pattern, kind == "clustered")})
    return rows


def _row(sizes, weights, pattern, cluster):
    compiled = compile_matrix(sizes, weights, pattern, cluster=cluster)
    report = compiled.report
    words = sum(program_words(sizes, tile.program.cycles, compiled.group) for tile in compiled.tiles)
    names = ("positions", "held", "tail", "cycles", "nonzeros", "utilisation")
    return {**{name: getattr(report, name) for name in names},
            "program_bits": words * sizes.word_bits / report.nonzeros,
            "compressed_bits": CompressedMatrix.of(weights, pattern).bits(sizes.weight_bits) / report.nonzeros}
