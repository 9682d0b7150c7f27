"""Drivers and monitors that remember when each item moved, for tests of latency and rate."""

from .stream import StreamDriver, StreamMonitor

__all__ = ["TimedDriver", "TimedMonitor"]


class _Timed:
    """Mixed into a driver or monitor: ``times`` holds the cycle of each transfer."""

    def __init__(self, *args, **kwargs):
        self.times = []
        super().__init__(*args, **kwargs)

    def tick(self, cycle):
        moved = super().tick(cycle)
        if moved:
            self.times.append(cycle)
        return moved


class TimedDriver(_Timed, StreamDriver):
    """A :class:`sim.stream.StreamDriver` with ``times``."""


class TimedMonitor(_Timed, StreamMonitor):
    """A :class:`sim.stream.StreamMonitor` with ``times``."""
