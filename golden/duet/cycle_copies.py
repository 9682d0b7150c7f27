"""DMA and CELL in the cycle model: readers behind the bus, lines of the DRAM, results of the CellUnit."""

from golden.duet.command import CellOp, CopyOp, Engine
from golden.duet.cycle_rules import NEVER, Order

__all__ = ["CellCycles", "CopyCycles"]


class CopyCycles:
    """The engine DMA: :meth:`run` is a process of the event kernel.

    Parameters: ``machine`` a ``MachineTiming``; ``queues`` a ``CommandQueues``; ``ports`` a ``Ports``; ``works``.
    """

    def __init__(self, machine, queues, ports, works):
        self._machine, self._queues, self._ports, self._works = machine, queues, ports, works

    def run(self):
        """Carry out the engine's commands."""
        machine, free = self._machine, 0
        for place, (number, command) in enumerate(self._queues.of[Engine.DMA]):
            begin = yield from self._queues.begin(Engine.DMA, place, free)
            if command.op == CopyOp.LOAD:
                at = (yield from self._receive([begin + 1] * command.c, command.flags & 1)) + 1
            elif command.op == CopyOp.STORE:
                at = begin + 2
                for _ in range(command.c):
                    at = (yield from self._ports.read(at, not command.flags & 1, Order.DMA_READ)) + 2 + machine.beats
            else:
                first = (yield from self._ports.read(begin + 1, False, Order.DMA_READ)) + 3
                rows, lines = self._works[number].rows, command.flags >> 1
                if rows:
                    requests = [first + row for row in range(rows) for _ in range(lines)]
                    at = (yield from self._receive(requests, False)) + 1
                else:
                    at = first + 2
            self._queues.end(Engine.DMA, command, at)
            free = at + 1

    def _receive(self, requests, mapped):
        """Lines that arrive after their requests; the cycle in which the last one is written."""
        machine, beat, written = self._machine, NEVER, NEVER
        for request in requests:
            # The first beat of a line comes once the line before has left the register.
            beat = max(beat + 1, request + machine.latency, written)
            beat += machine.beats - 1
            written = yield from self._ports.line(beat + 1, mapped)
        return written


class CellCycles:
    """The engine CELL; as :class:`CopyCycles`."""

    def __init__(self, machine, queues, ports, works):
        self._machine, self._queues, self._ports, self._works = machine, queues, ports, works

    def run(self):
        """Carry out the engine's commands."""
        machine, free = self._machine, 0
        for place, (number, command) in enumerate(self._queues.of[Engine.CELL]):
            begin = yield from self._queues.begin(Engine.CELL, place, free)
            if command.op == CellOp.CONFIG:
                at = begin + 2
            else:
                at, written = begin + 1, NEVER
                for _ in range(self._works[number].segments):
                    for _ in range(5):
                        at = yield from self._ports.read(at, True, Order.CELL_READ)
                        at += 1
                    at += 1 + machine.cell_items
                    result = max(at - 1 + machine.cell_latency, written + 1)
                    written = yield from self._results(result + 1, self._works[number].results)
                at = max(at, written + 1) + 1
            self._queues.end(Engine.CELL, command, at)
            free = at + 1

    def _results(self, at, count):
        for _ in range(count):
            yield at, Order.CELL
            while at in self._ports.data_writes:
                at += 1
                yield at, Order.CELL
            self._ports.data_writes[at] = "cell"
            at += 1
        return at - 1
