"""Programs of the DUET accelerator: commands in the order of the stream, the DRAM that they need, where results are."""

import collections
import dataclasses

import numpy as np

from golden.arith.fixed import check_range
from golden.duet.command import Command, Engine

__all__ = ["DramImage", "Program", "Queues", "configure"]

_MOST_TOKENS = 255


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """``commands`` for a machine of ``sizes`` (``AcceleratorSizes``) with ``dram`` INT16 (lines, C S).

    ``results``: name -> (first line, lines) of the DRAM, where they are when the program has ended.
    """

    sizes: object
    commands: tuple[Command, ...]
    dram: np.ndarray
    results: dict[str, tuple[int, int]]

    def result(self, dram, name):
        """The lines of a result in the ``dram`` that the program has left."""
        line, count = self.results[name]
        return dram[line:line + count]


class DramImage:
    """The DRAM of a program, from line 0 on."""

    def __init__(self, line_words):
        self._parts, self.lines, self._words = [], 0, line_words

    def place(self, lines):
        """Put INT16 ``lines`` (n, C S) behind what is there. Returns the first line's number."""
        lines = check_range("lines", lines, 16)
        if lines.ndim != 2 or lines.shape[1] != self._words:
            raise ValueError(f"lines has shape {lines.shape}: it must be (n, {self._words})")
        self._parts.append(lines)
        self.lines += len(lines)
        return self.lines - len(lines)

    def reserve(self, count):
        """``count`` lines of zeros, for results."""
        return self.place(np.zeros((count, self._words), dtype=np.int64))

    def image(self):
        """All lines."""
        return np.concatenate([np.zeros((0, self._words), dtype=np.int64), *self._parts])


def configure(engine, words, **fields):
    """``CONFIG`` commands for (address, data) ``words``; ``fields``: of the first one (its ``wait``)."""
    return [Command(engine, 0, a=data, b=address, **(fields if k == 0 else {}))
            for k, (address, data) in enumerate(words)]


class Queues:
    """Commands of each engine in their order, merged into the one stream that the machine takes.

    In the stream a command comes after those whose tokens it takes, so no depth of the machine's queues can lead to a
    deadlock. Its place follows from when it would begin if commands took the ``cycles`` that :meth:`add` is given: it
    comes as late as that; with ``depth``, of the machine's queues, as soon as there is room in its queue, so that it
    does not wait behind another engine's long row of configuration words.
    """

    def __init__(self, depth=None):
        self._queues, self._depth = {engine: collections.deque() for engine in Engine}, depth

    def add(self, commands, cycles=1):
        """Append a command, or several, of about ``cycles`` each."""
        for command in [commands] if isinstance(commands, Command) else commands:
            self._queues[command.engine].append((command, cycles))

    def merge(self):
        """The stream: a tuple of all commands. Raises ``ValueError`` where tokens do not allow any order."""
        free, tokens, stream, now = dict.fromkeys(Engine, 0), collections.defaultdict(collections.deque), [], 0
        waiting = {engine: collections.deque() for engine in Engine}  # when the commands in a queue begin
        while any(self._queues.values()):
            begins = {engine: self._begin(queue[0][0], free, tokens)
                      for engine, queue in self._queues.items() if queue}
            begins = {engine: begin for engine, begin in begins.items() if begin is not None}
            if not begins:
                heads = "; ".join(str(queue[0][0]) for queue in self._queues.values() if queue)
                raise ValueError(f"the tokens of these commands never come: {heads}")
            if self._depth is None:
                engine = min(begins, key=lambda engine: (begins[engine], engine))
            else:
                now = max(now + 1, min(self._room(waiting[engine]) for engine in begins))
                for queue in waiting.values():
                    while queue and queue[0] < now:
                        queue.popleft()
                engine = min(begins, key=lambda engine: (len(waiting[engine]), begins[engine], engine))
                waiting[engine].append(begins[engine])
            command, cycles = self._queues[engine].popleft()
            for giver in command.waits_for():
                tokens[giver, engine].popleft()
            free[engine] = begins[engine] + cycles
            for taker in command.signals_to():
                tokens[engine, taker].append(free[engine])
                if len(tokens[engine, taker]) > _MOST_TOKENS:
                    raise ValueError(f"more than {_MOST_TOKENS} tokens from {engine.name} to {taker.name} are not "
                                     "allowed")
            stream.append(command)
        return tuple(stream)

    def _room(self, queue):
        """The first cycle in which a queue can take a command."""
        return queue[0] + 1 if len(queue) >= self._depth - 1 else 0

    @staticmethod
    def _begin(command, free, tokens):
        """When a command begins; None while a token that it takes is not there."""
        given = [tokens[giver, command.engine] for giver in command.waits_for()]
        return max([free[command.engine], *(times[0] for times in given)]) if all(given) else None
