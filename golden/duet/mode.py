"""Modes of the DUET accelerator, which the thesis compares (5.2.1): all of them run on the same hardware."""

import enum

__all__ = ["Mode"]


class Mode(enum.Enum):
    """``BASE``: everything is computed. ``OS``: outputs are switched by the map. ``BOS``: balanced too, channels in the
    Reorder Unit's order. ``IOS``: OS, and inputs that are zero are skipped. ``DUET``: all three."""

    BASE = "base"
    OS = "os"
    BOS = "bos"
    IOS = "ios"
    DUET = "duet"

    @property
    def speculates(self):
        """Whether outputs are switched."""
        return self is not Mode.BASE

    @property
    def reorders(self):
        """Whether channels are reordered."""
        return self in (Mode.BOS, Mode.DUET)

    @property
    def skips_inputs(self):
        """Whether inputs that are zero are skipped."""
        return self in (Mode.IOS, Mode.DUET)
