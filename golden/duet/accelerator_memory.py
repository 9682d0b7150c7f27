"""Memories that the engines of the DUET accelerator share, with a record of who touches which line."""

import numpy as np

from golden.arith.fixed import check_range

__all__ = ["Memory"]


class Memory:
    """``data`` int64 (lines, C S) of INT16, ``maps`` bool (map_lines, C S), ``dram`` int64 (lines, C S) of INT16.

    Each method takes line numbers, refuses (``ValueError``) those outside of the memory, and appends to ``accesses``
    what it touches: (kind, name of the memory, lines), kind "read", "write" or "hold".
    """

    def __init__(self, sizes, dram):
        words = sizes.line_words
        dram = check_range("dram", dram, 16)
        if dram.ndim != 2 or dram.shape[1] != words:
            raise ValueError(f"dram has shape {dram.shape}: it must be (lines, {words})")
        self.data = np.zeros((sizes.lines, words), dtype=np.int64)
        self.maps = np.zeros((sizes.map_lines, words), dtype=bool)
        self.dram = dram.copy()
        self.accesses = []

    def read(self, name, lines):
        """A copy of ``lines`` (an integer, or an array of them) of the memory ``name``."""
        return getattr(self, name)[self._checked("read", name, lines)].copy()

    def write(self, name, line, values, where=slice(None)):
        """Write ``values`` to the words ``where`` (an index) of a line."""
        getattr(self, name)[self._checked("write", name, line), where] = values

    def hold(self, name, lines):
        """Lines of a buffer inside of an engine that a command reads until it has ended."""
        self.accesses.append(("hold", name, np.asarray(lines)))

    def fill(self, name, line):
        """A line of a buffer inside of an engine is written."""
        self.accesses.append(("write", name, np.asarray(line)))

    def _checked(self, kind, name, lines):
        lines, count = np.asarray(lines), len(getattr(self, name))
        if lines.size and (lines.min() < 0 or lines.max() >= count):
            worst = lines.min() if lines.min() < 0 else lines.max()
            raise ValueError(f"line {worst} of {name} is not allowed: it must be from 0 to {count - 1}")
        self.accesses.append((kind, name, lines))
        return lines
