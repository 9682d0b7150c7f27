"""What the parts of the cycle model have in common: latencies of a machine, the order of things in a cycle."""

import dataclasses
import enum

from golden.duet.speculator_timing import TimingSize

__all__ = ["FIFO", "NEVER", "SETUP", "MachineTiming", "Order"]

FIFO = 2
"""Cycles from an item into a queue to its offer."""
SETUP = 3
"""Cycles in which a tile's place is found."""
NEVER = -(1 << 40)
"""A cycle before all others."""


class Order(enum.IntEnum):
    """Priorities of the event kernel: the order in which things of the same cycle are decided."""

    TOKEN = 0
    BEGIN = 1
    RESULT = 2
    CELL = 3
    BUS = 4
    CELL_READ = 5
    DMA_READ = 6
    FILL = 7
    LATE = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineTiming:
    """What the cycles depend on besides the program.

    ``speculator``: a :class:`TimingSize`; ``tag_words``: cycles in which a chunk's tags are formed; ``beats`` of a line
    on the DRAM port; ``latency`` of the DRAM from a request to its first beat; ``cell_items``: items of a segment in
    the CellUnit, ``cell_latency`` of it; ``reorder_latency`` of the Reorder Unit; ``fill_beats``: cycles in which each
    of the Speculator's buffers (projection, weights, channel table) takes a line.
    """

    rows: int
    cols: int
    segment: int
    speculator: TimingSize
    tag_words: int
    beats: int
    latency: int
    queue_depth: int
    cell_items: int
    cell_latency: int
    reorder_latency: int
    fill_beats: tuple
