"""Cycle model of a host that sends a program to a rank: an instruction a cycle, while STATUS says there is room."""

import collections

__all__ = ["HostTiming"]

_PHASES = 4
#: Cycles from the sample of STATUS to the host's next command: its answer on the pins, seen, and the command.
_ANSWER = 4


class HostTiming:
    """Equals :meth:`resilin.enmc.rank_host.RankHost.run` with a distance of four DRAM clocks between commands.

    It asks for STATUS, sends instructions until ``depth`` - 1 wait at most, asks again. Parameters: ``depth`` of the
    instruction FIFO, ``cl``. :meth:`step` once a cycle while not ``idle``.
    """

    def __init__(self, depth, cl):
        self._depth, self._sample = depth, cl // _PHASES
        self._program, self._room, self._sampled_at, self._waiting = collections.deque(), 0, None, 0

    @property
    def idle(self):
        """Whether all is sent."""
        return not self._program

    def send(self, program):
        """Begin a program: the question for STATUS is on the pins in the next cycle that :meth:`step` is called for."""
        self._program.extend(program)
        self._room, self._sampled_at = 0, None

    def step(self, now, waiting):
        """The instruction that is on the pins in cycle ``now``, or ``None``; ``waiting``: STATUS' number of them."""
        if self._sampled_at is None:
            if self._room:
                self._room -= 1
                return self._program.popleft()
            self._sampled_at = now + self._sample
        elif now == self._sampled_at:
            self._waiting = waiting
        elif now == self._sampled_at + _ANSWER - 1:
            self._room, self._sampled_at = max(self._depth - 1 - self._waiting, 0), None
        return None
