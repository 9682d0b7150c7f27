"""Golden model of the GlobalBuffer: lines of activations and weights, lines of map bits, who is served in a cycle.

Thesis 5.1: 1 MB, 512 bytes a cycle. Lines and map lines are two address spaces. Ports have fixed priorities.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import as_flags, check_range

__all__ = ["GlobalBuffer", "LineWrite", "ReadRequest", "SegmentWrite", "grants"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadRequest:
    """Addresses of a line and of a map line to read; ``None``: not that memory."""

    data_address: int | None = None
    map_address: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentWrite(ReadRequest):
    """Words ``data`` (S) and bits ``map`` (S) for segment ``column`` of a line and map line, where ``mask`` is set."""

    column: int
    mask: np.ndarray
    data: np.ndarray
    map: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class LineWrite(ReadRequest):
    """Words ``data`` (C S) of a whole line and bits ``map`` (C S) of a whole map line."""

    data: np.ndarray
    map: np.ndarray


def grants(requests):
    """Which of ``requests`` (a list; ``None`` where there is none) are served in a cycle, list of bool.

    The first comes first: a request is served when no request before it that is served uses the same memory.
    """
    taken, served = set(), []
    for request in requests:
        wanted = {name for name in ("data_address", "map_address") if getattr(request, name, None) is not None}
        served.append(request is not None and not wanted & taken)
        if served[-1]:
            taken |= wanted
    return served


class GlobalBuffer:
    """The two memories: ``data`` int64 (lines, C S) of INT16, ``map`` bool (map_lines, C S), zero at first.

    An address out of range is an ``IndexError``, a value that is not INT16 or of a wrong shape a ``ValueError``.
    """

    def __init__(self, *, cols, segment, lines, map_lines):
        self.cols, self.segment = cols, segment
        self.data = np.zeros((lines, cols * segment), dtype=np.int64)
        self.map = np.zeros((map_lines, cols * segment), dtype=bool)

    def read(self, request):
        """The line (or ``None``) and the map line (or ``None``) that a :class:`ReadRequest` asks for."""
        return tuple(None if address is None else memory[self._checked(address, memory)].copy()
                     for address, memory in ((request.data_address, self.data), (request.map_address, self.map)))

    def write(self, request):
        """Carry out a :class:`SegmentWrite` or :class:`LineWrite`."""
        width = len(self.data[0])
        place, mask = slice(width), np.ones(width, dtype=bool)
        if isinstance(request, SegmentWrite):
            if not 0 <= request.column < self.cols:
                raise IndexError(f"column = {request.column} is not allowed: column must be from 0 to {self.cols - 1}")
            place = slice(request.column * self.segment, (request.column + 1) * self.segment)
            mask = self._bits("mask", request.mask, self.segment)
        if request.data_address is not None:
            values = check_range("data", request.data, 16)
            if values.shape != mask.shape:
                raise ValueError(f"data has shape {values.shape}: it must be {mask.shape}")
            self.data[self._checked(request.data_address, self.data), place][mask] = values[mask]
        if request.map_address is not None:
            values = self._bits("map", request.map, len(mask))
            self.map[self._checked(request.map_address, self.map), place][mask] = values[mask]

    def step(self, reads, writes):
        """A cycle: requests of all readers and of all writers (``None`` where there is none), in order of priority.

        Returns what each reader gets in the next cycle (``None`` when it is not served), and which writers are
        served. Reads see the memories as they were before the writes.
        """
        answers = [self.read(request) if served else None for request, served in zip(reads, grants(reads))]
        served = grants(writes)
        for request, go in zip(writes, served):
            if go:
                self.write(request)
        return answers, served

    @staticmethod
    def _checked(address, memory):
        if not 0 <= address < len(memory):
            raise IndexError(f"address = {address} is not allowed: address must be from 0 to {len(memory) - 1}")
        return address

    @staticmethod
    def _bits(name, bits, width):
        bits = as_flags(name, bits)
        if bits.shape != (width,):
            raise ValueError(f"{name} has shape {bits.shape}: it must be {width} bits")
        return bits
