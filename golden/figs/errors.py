"""Error bits of the engine, sticky until they are cleared."""

import enum

__all__ = ["Error"]


class Error(enum.IntFlag):
    """What went wrong; each leaves the engine in a defined state.

    ``SELECT``: a select beyond the taps; ``STALE``: a tap older than the pass; both give the operand 0. ``COMMAND``: a
    command of no cycles, too large a group or words beyond the memory is dropped. ``EXCHANGE``: an exchange out of the
    group or no multiple of alpha + 1 is taken as 0. ``START``: the first cycle of a pass advances in any case.
    """

    SELECT = 1
    STALE = 2
    COMMAND = 4
    EXCHANGE = 8
    START = 16
