"""DMA: lines from DRAM to the GlobalBuffer and back (docs/duet/duet_accelerator.md)."""

import numpy as np

from golden.duet.command import CopyOp

__all__ = ["CopyEngine"]


class CopyEngine:
    """Carries out ``LOAD``, ``STORE``, ``FETCH``; ``moved``: lines moved by each operation so far."""

    def __init__(self, sizes, memory):
        self._memory, self._words = memory, sizes.line_words
        self.moved = dict.fromkeys(CopyOp, 0)

    def run(self, command):
        """Carry out a command."""
        op = CopyOp(command.op)
        if op == CopyOp.FETCH:
            self._fetch(command)
        elif command.c < 1:
            raise ValueError("c = 0 is not allowed: c must be at least 1 line")
        elif op == CopyOp.LOAD:
            self._load(command)
        else:
            self._store(command)

    def _load(self, command):
        lines = self._memory.read("dram", command.a + np.arange(command.c))
        for k, line in enumerate(lines):
            self._memory.write("data", command.b + k, line)
            if command.flags & 1:
                self._memory.write("maps", command.d + k, line != 0)
        self.moved[CopyOp.LOAD] += len(lines)

    def _store(self, command):
        lines = self._memory.read("maps" if command.flags & 1 else "data", command.b + np.arange(command.c))
        if command.flags & 1:
            fields = np.pad(lines, [(0, 0), (0, 15 * self._words)]).reshape(len(lines), -1, 16)
            words = fields @ (1 << np.arange(16))
            lines = words - (words >> 15 << 16)
        for k, line in enumerate(lines):
            self._memory.write("dram", command.a + k, line)
        self.moved[CopyOp.STORE] += len(lines)

    def _fetch(self, command):
        row = command.flags >> 1
        if row < 1:
            raise ValueError("flags[7:1] = 0 is not allowed: a neuron's row must have at least 1 line")
        if not 1 <= command.d <= self._words:
            raise ValueError(f"d = {command.d} is not allowed: d must be from 1 to {self._words} neurons")
        neurons = np.arange(command.d)
        if not command.flags & 1:
            neurons = np.flatnonzero(self._memory.read("maps", command.c)[:command.d])
        lines = (command.a + neurons[:, None] * row + np.arange(row)).ravel()
        for k, line in enumerate(self._memory.read("dram", lines)):
            self._memory.write("data", command.b + k, line)
        self.moved[CopyOp.FETCH] += len(lines)
