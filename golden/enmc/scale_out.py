"""An output layer divided over the ranks of many channels: how long screening takes there, a model (thesis 6.5.2).

What it takes for granted:

* Every rank has its own part of the classes, of about equal size, and screens it with the same threshold; ranks work at
  the same time and do not meet. Cycles of a rank come from outside: measured, or of a cycle model.
* Channels work alike. The ranks of a channel share its bus: what the host sends and fetches goes to one rank after the
  other, four DRAM clocks a burst, ``rank_switch`` clocks lost from rank to rank, and a row opened for each transfer.
* One after the other: features to all ranks; then the ranks work, while their instructions come over the channel (an
  instruction takes the time of a burst); when the slowest is done, the host fetches results. Nothing of one batch is
  overlapped with the next.
* The host's own work (projection, INT4 features, merging of lists, softmax over all results) is not counted.
"""

import dataclasses
import math

import numpy as np

from golden.enmc.layout import BURST_BYTES
from golden.enmc.timing import JEDEC

__all__ = ["DIVISIONS", "Memory", "Times", "candidates_of_ranks", "divide", "scale_out"]

DIVISIONS = ("blocks", "interleaved")
_BURST_CLOCKS = 4
_LOG_BYTES = 8  # of a candidate
_QUERIES = 4  # STATUS until it is done, and what a program's end asks for


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """``channels`` of ``ranks`` each, ``clock`` of the DRAM in MHz (two transfers of 8 bytes a clock), ``rank_switch``
    in DRAM clocks. As built by the thesis: 8 x 8 of DDR4-2400 (its 21.3 GB/s a channel are those of DDR4-2666).

    Raises ``ValueError`` for a number of channels, ranks or clocks that is not an integer, or too small.
    """

    channels: int = 8
    ranks: int = 8
    clock: float = 1200.0
    rank_switch: int = 2

    def __post_init__(self):
        for name, least in (("channels", 1), ("ranks", 1), ("rank_switch", 0)):
            _check_integer(name, getattr(self, name), least)
        if not 1 <= self.clock < math.inf:
            raise ValueError(f"clock = {self.clock} is not allowed: it must be a finite number, at least 1")

    @property
    def all_ranks(self):
        """Ranks of all channels."""
        return self.channels * self.ranks

    @property
    def bandwidth(self):
        """Bytes a second that all channels carry at their peak."""
        return self.channels * self.clock * 1e6 * 16

    def microseconds(self, clocks):
        """Time of DRAM clocks."""
        return clocks / self.clock

    def transfer(self, bursts):
        """DRAM clocks of a channel for ``bursts`` to or from each of its ranks: a row opened, the data, the switch."""
        return self.ranks * (JEDEC.trcd + JEDEC.cl + _BURST_CLOCKS * bursts + self.rank_switch)


def _check_integer(name, value, least, most=math.inf):
    """Refuse what is not an integer from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        allowed = f"at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name} = {value!r} is not allowed: it must be an integer, {allowed}")


def divide(classes, parts, how):
    """The part of each class: int64 (classes,); sizes of parts differ by one at most.

    "blocks": neighbours together; "interleaved": class c to c % parts.
    """
    if how not in DIVISIONS:
        raise ValueError(f"how = {how!r} is not allowed: it must be one of {', '.join(DIVISIONS)}")
    _check_integer("classes", classes, 1)
    _check_integer("parts", parts, 1, classes)
    numbers = np.arange(classes)
    return numbers % parts if how == "interleaved" else numbers * parts // classes


def candidates_of_ranks(candidates, parts, how):
    """How many of each item's ``candidates``, bool (items, classes), every part has: int64 (items, parts).

    Raises ``ValueError`` for another type or shape.
    """
    if candidates.dtype != bool or candidates.ndim != 2:
        raise ValueError(f"candidates is {candidates.dtype} of shape {candidates.shape}: it must be bool of shape "
                         "(items, classes)")
    place = divide(candidates.shape[1], parts, how)
    return np.stack([np.bincount(place[row], minlength=parts) for row in candidates])


@dataclasses.dataclass(frozen=True)
class Times:
    """Of batches, in DRAM clocks. ``features``, ``instructions``: of a channel, each batch alike; arrays of a number a
    batch: ``mean`` and ``slowest`` rank, ``results`` and ``log``: the host fetches all results, or the lists of
    candidates alone."""

    features: int
    instructions: int
    mean: np.ndarray
    slowest: np.ndarray
    results: np.ndarray
    log: np.ndarray

    def total(self, fetched):
        """Clocks of each batch; ``fetched``: "results" or "log"."""
        return self.features + np.maximum(self.slowest, self.instructions) + getattr(self, fetched)


def scale_out(layout, memory, counts, cycles, instructions):
    """:class:`Times` of batches.

    ``layout``: the :class:`golden.enmc.layout.Layout` of one rank's part; ``counts`` integers (batches, items, ranks):
    candidates; ``cycles``: a function that gives a rank's cycles (four DRAM clocks each) for an array of candidates of
    a batch; ``instructions`` of a rank's program.
    """
    counts = np.asarray(counts)
    if counts.ndim != 3 or counts.shape[1:] != (layout.items, memory.all_ranks):
        raise ValueError(f"counts has shape {counts.shape}: it must be (batches, {layout.items}, {memory.all_ranks})")
    clocks = 4 * np.asarray(cycles(counts.sum(1)), float)
    features = memory.transfer((layout.item_bytes + layout.items * layout.row_bytes) // BURST_BYTES)
    results = memory.transfer(layout.items * layout.result_stride // BURST_BYTES + _QUERIES)
    bursts = (-(-counts * _LOG_BYTES // BURST_BYTES)).sum(1).reshape(len(counts), memory.channels, memory.ranks)
    log = memory.transfer(_QUERIES) + _BURST_CLOCKS * bursts.sum(2).max(1)
    return Times(features, memory.ranks * _BURST_CLOCKS * instructions, clocks.mean(1), clocks.max(1),
                 np.full(len(counts), results), log)
