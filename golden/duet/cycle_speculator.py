"""SPEC in the cycle model: jobs of the Speculator and what they write (docs/duet/speculator.md#timing)."""

from golden.duet.command import Engine, WorkOp
from golden.duet.cycle_ports import Fetch
from golden.duet.cycle_rules import FIFO, NEVER, SETUP, Order
from golden.duet.event_kernel import Event
from golden.duet.speculator_timing import SpeculatorTiming

__all__ = ["SpeculationCycles"]


class SpeculationCycles:
    """The engine SPEC and the Speculator: :meth:`run` is a process of the ``kernel``.

    Parameters: ``machine`` a ``MachineTiming``; ``queues`` a ``CommandQueues``; ``ports`` a ``Ports``; ``works``.
    """

    def __init__(self, machine, kernel, queues, ports, works):
        self._machine, self._kernel, self._queues, self._ports, self._works = machine, kernel, queues, ports, works
        self._ended = self._free = self._order_free = NEVER
        self._held, self._released = 0, Event()

    def run(self):
        """Carry out the engine's commands."""
        free, timing = 0, None
        for place, (number, command) in enumerate(self._queues.of[Engine.SPEC]):
            begin = yield from self._queues.begin(Engine.SPEC, place, free)
            if command.op == WorkOp.CONFIG:
                at = max(begin + 1, self._free)
                free = at + 2
                self._end(command, at + 1 + FIFO, False)
            elif command.op == WorkOp.FILL:
                at, beats = begin + 1, self._machine.fill_beats[(command.flags & 3) - 1]
                for _ in range(command.c):
                    fetch = Fetch(at, "speculator", data=True, beats=beats)
                    at = (yield from self._ports.fetch(0, fetch)) + 1
                taken = yield fetch.taken
                at = max(at, taken + 1) + 1
                free = at + 1
                self._end(command, at + FIFO, False)
            else:
                work = self._works[number]
                if work.fresh:
                    timing = SpeculatorTiming(self._machine.speculator, work.layer)
                free = yield from self._job(command, work, timing, begin + 1)

    def _job(self, command, work, timing, at):
        tile, loaded = command.op == WorkOp.TILE, None
        at += SETUP if tile else 0
        if work.inside:
            rows = work.layer.passes if work.layer.gate else 4 * work.layer.groups
            room = 1 if rows > self._machine.speculator.activation_rows // 2 else 2
            yield at, Order.LATE
            while self._held >= room:
                self._released = Event()
                at = max(at, (yield self._released))
            self._held += 1
            at += 1
            for inside in work.inside:
                fetch = Fetch(at, "speculator", data=inside)
                at = (yield from self._ports.fetch(0, fetch)) + 1
            loaded = yield fetch.taken
        else:
            at += 1
        times = timing.job(work.n, at + 1, loaded)
        if times.released is not None:
            self._kernel.start(self._release(times.released + 1))
        if tile:
            self._orders(command, times.results)
        else:
            self._segments(command, times.results)
        return times.taken + 1

    def _release(self, at):
        yield at, Order.TOKEN
        self._held -= 1
        self._kernel.set(self._released, at)

    def _orders(self, command, results):
        machine, count = self._machine, len(results)
        self._ports.map_writes.update(dict.fromkeys(results, "maps"))
        first = max(results[-1] + machine.reorder_latency, self._order_free)
        ends = first + count
        writes = [*range(first + machine.rows, ends, machine.rows), ends]
        self._ports.data_writes.update(dict.fromkeys(writes, "orders"))
        self._order_free = ends + 1
        self._end(command, ends)

    def _segments(self, command, results):
        segment = self._machine.segment
        writes = [results[min(first + segment, len(results)) - 1] + 2 for first in range(0, len(results), segment)]
        self._ports.map_writes.update(dict.fromkeys(writes, "gates"))
        self._ports.data_writes.update(dict.fromkeys(writes, "gates"))
        self._end(command, writes[-1] + 1)

    def _end(self, command, at, has_results=True):
        self._ended = ended = max(at, self._ended + 1)
        if has_results:
            self._free = ended + 1
        self._queues.end(Engine.SPEC, command, ended)
