"""Which commands of the DUET accelerator are ordered by queues and tokens, and which race.

For each command this keeps how many commands of each engine have surely *ended* when it begins, and when it ends. An
engine's commands begin in order, each when the one before has sent its last read, and end in order; ``CONFIG``, and
every command of DMA and CELL, begins when all before it have ended; the k-th token taken of a pair of engines is the
k-th given. So the order of SPEC's and EXEC's own commands is enough but where one reads what one before it writes, or
writes what one before it holds.
"""

import collections

import numpy as np

from golden.duet.command import Engine

__all__ = ["CommandOrder"]

_KINDS = ("read", "hold", "write")


class CommandOrder:
    """:meth:`begin` and :meth:`end` of each command, in an order that the tokens allow; :meth:`end` finds the races."""

    def __init__(self):
        count = len(Engine)
        self._begun, self._ended = np.zeros((count, count), int), np.zeros((count, count), int)
        self._commands = [[] for _ in Engine]
        self._given = collections.defaultdict(collections.deque)
        self._last = {}  # name of a memory: (kinds, engines, lines), who touched a line last, counted from 1

    def begin(self, number, command):
        """Command ``number`` (of the stream) takes its tokens and begins."""
        engine, begun = command.engine, self._begun[command.engine]
        self._commands[engine].append((number, command))
        if command.waits_for_own():
            np.maximum(begun, self._ended[engine], out=begun)
        for giver in command.waits_for():
            np.maximum(begun, self._given[giver, engine].popleft(), out=begun)

    def end(self, command, accesses):
        """The command that :meth:`begin` was called for has made ``accesses`` (of ``Memory``) and gives its tokens.

        Raises ``ValueError`` for an access that is not ordered with a conflicting one of another command.
        """
        engine, ended = command.engine, self._ended[command.engine]
        index = len(self._commands[engine])
        lines_of = collections.defaultdict(list)
        for kind, name, lines in accesses:
            lines_of[kind, name].append(np.ravel(lines))
        lines_of = {key: np.unique(np.concatenate(parts)) for key, parts in lines_of.items()}
        for (kind, name), lines in lines_of.items():
            self._check(engine, kind, name, lines)
        for (kind, name), lines in lines_of.items():
            self._table(name, lines)[_KINDS.index(kind), engine, lines] = index
        np.maximum(ended, self._begun[engine], out=ended)
        ended[engine] = index
        for taker in command.signals_to():
            self._given[engine, taker].append(ended.copy())

    def _check(self, engine, kind, name, lines):
        last = self._table(name, lines)
        for other in Engine:
            if kind == "write":
                kinds = [_KINDS.index("hold")] if other == engine else range(len(_KINDS))
            else:
                kinds = [_KINDS.index("write")]
            earlier = last[kinds, other][:, lines].max(axis=0, initial=0)
            unordered = np.flatnonzero(earlier > self._begun[engine][other])
            if unordered.size:
                at = unordered[0]
                number, command = self._commands[other][earlier[at] - 1]
                own_number, own_command = self._commands[engine][-1]
                raise ValueError(f"race at line {lines[at]} of {name}: command {own_number} ({own_command}) "
                                 f"{'writes' if kind == 'write' else 'reads'} it and command {number} ({command}) uses "
                                 "it too, and nothing orders them")

    def _table(self, name, lines):
        size = int(np.max(lines, initial=0)) + 1
        table = self._last.get(name, np.zeros((len(_KINDS), len(Engine), 0), int))
        if table.shape[2] < size:
            table = np.pad(table, [(0, 0), (0, 0), (0, 2 * size - table.shape[2])])
            self._last[name] = table
        return table
