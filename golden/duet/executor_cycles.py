"""Cycles of the Executor, from what its steps load and compute, without computing it (docs/duet/executor.md).

A step's chunks are loaded over a bus of one item a cycle into one of two banks; a bank is loaded again once all
elements have left it; an element goes on to its next chunk by itself. All finish a step before the next begins.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import as_integers
from golden.duet.executor_pe import chunk_cycles, tag_counts

__all__ = ["Cycles", "StepWork", "Timing", "executor_cycles", "step_work"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """Latencies in cycles, of the hardware.

    ``begin``: a chunk's ``GO`` was taken -> its first instruction is issued, the elements idle; ``release``: the last
    element issued the last instruction of a chunk -> its bank takes an item; ``settle``: the last instruction of a step
    -> its first sum is read; ``drain``: the last sum is read -> the step's first result leaves.
    """

    begin: int = 4
    release: int = 2
    settle: int = 6
    drain: int = 4


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StepWork:
    """A step's work: ``rows`` with an ``OMAP`` item; ``items`` (chunks,), bus items of a chunk with its ``GO``;
    ``counts`` (chunks, R, C), tagged instructions of each element; ``outputs`` that any row has to compute."""

    rows: int
    items: np.ndarray
    counts: np.ndarray
    outputs: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cycles:
    """``total`` cycles until the last result left; ``macs`` done; ``utilisation``: macs over cycles and elements."""

    total: int
    macs: int
    utilisation: float


def step_work(mapping, omaps, imaps, *, use_imap):
    """The :class:`StepWork` of a step of a mapped layer, sent as ``step_items`` does.

    ``omaps`` (rows, S) bool, outputs to compute; ``imaps`` (chunks, C, 4 S) bool as from ``mapping.chunk_inputs``.
    """
    omaps, imaps = np.asarray(omaps, dtype=bool), np.asarray(imaps, dtype=bool)
    used = imaps if use_imap else np.ones_like(imaps)
    busy = omaps.any(axis=1)
    items = len(mapping.load_table) + busy.sum() * mapping.weight_lines + 1
    return StepWork(rows=len(omaps), items=np.full(mapping.chunks, items), outputs=int(omaps.any(axis=0).sum()),
                    counts=tag_counts(mapping.program, omaps[:, None], used[:, None]))


def executor_cycles(steps, sizes, timing=Timing()):
    """:class:`Cycles` of a sequence of :class:`StepWork`, items and results never waiting for anybody else."""
    bus = begun = drained = left = macs = 0
    finish = np.zeros((sizes.rows, sizes.cols), dtype=np.int64)
    free = [0, 0]  # of the chunk before the last one and of the last one
    for step in steps:
        counts = as_integers("counts", step.counts)
        idle = [(0, 0), (0, sizes.rows - counts.shape[1]), (0, 0)]  # rows without an item take an empty chunk's time
        bus = max(bus, begun) + step.rows
        for chunk, cycles in enumerate(chunk_cycles(np.pad(counts, idle))):
            bus = max(bus, free[0]) + int(step.items[chunk])
            loaded = bus
            if chunk == 0:
                begun = loaded = max(loaded, drained)
            finish = np.maximum(finish, loaded + timing.begin) + cycles
            free = [free[1], int(finish.max()) + timing.release]
        drained = max(int(finish.max()) + timing.settle, left) + step.outputs
        left = drained + timing.drain + step.rows
        macs += int(counts.sum())
    return Cycles(total=left, macs=macs, utilisation=macs / (left * sizes.rows * sizes.cols) if left else 0.0)
