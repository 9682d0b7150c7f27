"""CELL: a step in time of an LSTM or GRU cell, on lines of the GlobalBuffer (docs/duet/duet_accelerator.md)."""

import numpy as np

from golden.duet.cell_unit import Cell, gru, lstm
from golden.duet.command import CellOp

__all__ = ["REGISTERS", "CellEngine"]

SOURCES = 5
REGISTERS = {"cell": 0, "segments": 1, **{f"source[{k}]": 2 + k for k in range(SOURCES)}, "h_line": 7, "c_line": 8,
             "h_segment": 9}
"""Address of each register."""


class CellEngine:
    """Carries out ``CONFIG`` and ``UPDATE``."""

    def __init__(self, sizes, memory):
        self._sizes, self._memory, self._registers = sizes, memory, {}

    def run(self, command):
        """Carry out a command."""
        if command.op == CellOp.UPDATE:
            self._update()
        elif command.b in REGISTERS.values() and command.a < 1 << 16:
            self._registers[command.b] = command.a
        else:
            raise ValueError(f"{command.a:#x} at address {command.b} is not allowed: there are addresses 0 to "
                             f"{len(REGISTERS) - 1}, of 16 bits")

    def _update(self):
        cell, segments = Cell(self._register("cell")), self._register("segments")
        if segments < 1:
            raise ValueError("segments = 0 is not allowed: segments must be at least 1")
        h_segment = self._register("h_segment")
        if h_segment >= self._sizes.cols:
            raise ValueError(f"h_segment = {h_segment} is not allowed: h_segment must be from 0 to "
                             f"{self._sizes.cols - 1}")
        words = np.arange(segments * self._sizes.segment)
        h_words = words + h_segment * self._sizes.segment
        lines = [self._register(f"source[{k}]") for k in range(SOURCES)]
        self._check_places(cell, segments, h_segment, lines)
        if cell == Cell.LSTM:
            h, c = lstm(*(self._read(line, words) for line in lines), c_fraction=self._sizes.c_fraction)
            self._write(self._register("c_line"), words, c)
        else:
            old, r, nx, z, nh = (self._read(line, words if k else h_words) for k, line in enumerate(lines))
            h = gru(r, z, nx, nh, old)
        self._write(self._register("h_line"), h_words, h)

    def _check_places(self, cell, segments, h_segment, lines):
        """The hardware reads and writes one segment after another: refuse results that take what is still to be read,
        or each other's place."""
        cols = self._sizes.cols
        sources = {f"source[{k}]": line * cols for k, line in enumerate(lines)}
        results = {"h_line": self._register("h_line") * cols + h_segment}
        if cell == Cell.LSTM:
            results["c_line"] = self._register("c_line") * cols
            if abs(results["h_line"] - results["c_line"]) < segments:
                raise ValueError(f"h_line = {self._register('h_line')} is not allowed: h and c overlap")
        else:
            sources["source[0]"] += h_segment
        for result, first in results.items():
            for source, other in sources.items():
                if 0 < first - other < segments:
                    raise ValueError(f"{result} = {self._register(result)} is not allowed: it overlaps segments of "
                                     f"{source} that are read later")

    def _read(self, line, words):
        width = self._sizes.line_words
        return self._memory.read("data", line + np.arange(words[-1] // width + 1)).ravel()[words]

    def _write(self, line, words, values):
        width = self._sizes.line_words
        for k in np.unique(words // width).tolist():
            here = words // width == k
            self._memory.write("data", line + k, values[here], words[here] % width)

    def _register(self, name):
        if REGISTERS[name] not in self._registers:
            raise ValueError(f"register {name} was not configured")
        return self._registers[REGISTERS[name]]
