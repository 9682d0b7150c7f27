"""Golden model of the Executor's processing element: a program of MACs, run with tags (thesis 5.1.2, Fig. 5.3).

A *program* is an integer array (n, 3) of micro-instructions: input index i (0 to 4 S - 1), weight index w, output index
o (0 to S - 1). Leading dimensions of every other argument are elements that run the same program; they broadcast.
"""

import numpy as np

from golden.arith.fixed import as_flags, as_integers, check_range

__all__ = ["SLOTS", "check_program", "issue_order", "macs", "tag_counts", "tags"]

SLOTS = 4
"""Segments in an element's input buffer, a bank."""


def check_program(program, *, segment, weight_lines, lut_entries=None):
    """``program`` as int64 (n, 3), refused with a ``ValueError`` where an index is outside of its buffer."""
    program = as_integers("program", program)
    if program.ndim != 2 or program.shape[1] != 3:
        raise ValueError(f"program has shape {program.shape}: it must be (instructions, 3)")
    if lut_entries is not None and len(program) > lut_entries:
        raise ValueError(f"program has {len(program)} instructions: the LUT holds lut_entries = {lut_entries}")
    for name, column, size in zip("iwo", program.T, (SLOTS * segment, weight_lines * segment, segment)):
        if column.size and not 0 <= column.min() <= column.max() < size:
            raise ValueError(f"{name} from {column.min()} to {column.max()} is not allowed: {name} must be from 0 to "
                             f"{size - 1}")
    return program


def tags(program, omap, imap):
    """Which instructions are executed: those whose output is to be computed and whose input is not zero.

    ``omap`` (..., S) and ``imap`` (..., 4 S) bool; returns bool (..., n). Where a map is not used, give ones.
    """
    omap, imap, i, o = _maps_of(program, omap, imap)
    return omap[..., o] & imap[..., i]


def _maps_of(program, omap, imap):
    """Both maps as bool, and the input and the output of each instruction."""
    omap, imap = as_flags("omap", omap), as_flags("imap", imap)
    segment = omap.shape[-1]
    if imap.shape[-1] != SLOTS * segment:
        raise ValueError(f"imap has {imap.shape[-1]} words: it must have {SLOTS} times the {segment} of omap")
    i, _, o = check_program(program, segment=segment, weight_lines=1 << 32).T
    return omap, imap, i, o


def issue_order(tag):
    """Indices of the tagged instructions in the order of issue: lowest first, one a cycle, none for the others.

    ``tag``: bool (n,).
    """
    tag = as_flags("tag", tag)
    if tag.ndim != 1:
        raise ValueError(f"tag has shape {tag.shape}: it must be (instructions,)")
    return np.flatnonzero(tag)


def tag_counts(program, omap, imap):
    """Tagged instructions of a chunk without forming their tags: ``omap`` (..., S), ``imap`` (..., 4 S) -> int64 (...).

    Equal to ``tags(program, omap, imap).sum(axis=-1)``, as a product with the number of instructions of each (o, i).
    """
    omap, imap, i, o = _maps_of(program, omap, imap)
    incidence = np.zeros((omap.shape[-1], imap.shape[-1]))
    np.add.at(incidence, (o, i), 1)  # float64: whole numbers below 2^53, and a fast product
    return ((omap.astype(np.float64) @ incidence) * imap).sum(axis=-1).astype(np.int64)


def macs(inputs, weights, program, tag, psums=None, *, acc_bits=44):
    """``psums[o] += inputs[i] * weights[w]`` for each tagged instruction.

    Parameters: ``inputs`` INT16 (..., 4 S); ``weights`` INT16 (..., L S); ``tag`` bool (..., n); ``psums`` signed,
    ``acc_bits`` (..., S), zero where not given. Returns new partial sums, int64 (..., S).
    Raises ``ValueError`` for a value or index out of range and for a sum that does not fit in ``acc_bits`` bits at the
    end (one that comes back does no harm: the hardware's sums are modulo 2^acc_bits).
    """
    inputs, weights = check_range("inputs", inputs, 16), check_range("weights", weights, 16)
    segment, tag = inputs.shape[-1] // SLOTS, as_flags("tag", tag)
    if inputs.shape[-1] % SLOTS or weights.shape[-1] % segment:
        raise ValueError(f"inputs has {inputs.shape[-1]} words, weights {weights.shape[-1]}: they must be {SLOTS} "
                         "segments and a number of segments")
    program = check_program(program, segment=segment, weight_lines=weights.shape[-1] // segment)
    if tag.shape[-1] != len(program):
        raise ValueError(f"tag has {tag.shape[-1]} bits: the program has {len(program)} instructions")
    i, w, o = program.T
    products = np.where(tag, inputs[..., i] * weights[..., w], 0)
    psums = np.zeros(segment, dtype=np.int64) if psums is None else check_range("psums", psums, acc_bits)
    sums = np.broadcast_to(psums, (*np.broadcast_shapes(products.shape[:-1], psums.shape[:-1]), segment)).copy()
    for output in np.unique(o):
        sums[..., output] += products[..., o == output].sum(axis=-1)
    return check_range("a partial sum", sums, acc_bits)
