"""EXEC in the cycle model: items, chunks and steps of the Executor (docs/duet/executor.md#timing)."""

import numpy as np

from golden.duet.command import Engine, WorkOp
from golden.duet.cycle_ports import Fetch
from golden.duet.cycle_rules import FIFO, NEVER, SETUP, Order
from golden.duet.event_kernel import Event, Table

__all__ = ["ExecutionCycles"]


class ExecutionCycles:
    """The engine EXEC and the Executor: :meth:`run` and :meth:`take` are processes of the ``kernel``.

    Parameters: ``machine`` a ``MachineTiming``; ``queues`` a ``CommandQueues``; ``ports`` a ``Ports``; ``works``;
    ``timeline``.
    """

    def __init__(self, machine, kernel, queues, ports, works, timeline):
        self._machine, self._kernel, self._queues, self._ports = machine, kernel, queues, ports
        self._works, self._timeline = works, timeline
        self._complete, self._a, self._m, self._d, self._f, self._e = (Table() for _ in range(6))
        self._results_waiting, self._results_drained = 0, NEVER
        self._ended = Event(NEVER)  # of the last command that was taken

    def run(self):
        """Carry out the engine's commands."""
        free, self._drained_event = 0, Event()
        for place, (number, command) in enumerate(self._queues.of[Engine.EXEC]):
            begin = yield from self._queues.begin(Engine.EXEC, place, free)
            before, self._ended = self._ended, Event()
            if command.op == WorkOp.CONFIG:
                at = begin + 1
                while True:
                    if self._results_waiting:
                        self._drained_event = Event()
                        yield self._drained_event
                        continue
                    at = max(at, self._results_drained)
                    yield at, Order.LATE
                    # The Executor is idle when no item is in the bus' register.
                    if self._ports.register_empty(at):
                        break
                    at += 1
                free = at + 2
                self._kernel.start(self._empty(command, at + 1, before, self._ended))
            elif command.op == WorkOp.TILE:
                free = yield from self._tile(command, self._works[number], begin + 1 + SETUP)
            elif self._works[number].steps:
                free = yield from self._gate(command, self._works[number], begin + 1)
            else:
                at = (yield from self._neurons(command, begin + 1)) + 1
                self._kernel.start(self._empty(command, at, before, self._ended))
                free = at + 1

    def _empty(self, command, at, before, ended):
        """A command without results ends, whose context is sent in cycle ``at``."""
        at = max(at + FIFO, (yield before) + 1)
        self._kernel.set(ended, at)
        self._queues.end(Engine.EXEC, command, at)

    def _tile(self, command, work, at):
        for index, step in enumerate(work.steps):
            if work.ordered:
                at = (yield from self._ports.fetch(1, Fetch(at, "own", data=True))) + 2
            else:
                at += 1
            for _ in range(step.rows):
                at = (yield from self._ports.fetch(1, Fetch(at, "OMAP", map_=work.mapped))) + 1
            at += 2
            at = yield from self._chunks(command, work, step, at, index == len(work.steps) - 1, False)
        return at

    def _gate(self, command, work, at):
        at = yield from self._neurons(command, at)
        for index, step in enumerate(work.steps):
            for _ in range(step.rows):
                at = (yield from self._ports.fetch(1, Fetch(at, "OMAP"))) + 1
            at = yield from self._chunks(command, work, step, at, index == len(work.steps) - 1, True)
        return at

    def _neurons(self, command, at):
        """The cycle in which the first neuron of a gate is known."""
        return (yield from self._ports.fetch(1, Fetch(at, "own", map_=not command.flags & 1))) + 3

    def _chunks(self, command, work, step, at, final, gate):
        chunks = len(step.counts)
        for chunk, counts in enumerate(step.counts):
            if step.active:
                for inside in work.inside:
                    at = (yield from self._ports.fetch(1, Fetch(at, "INPUT", inside, inside and not gate))) + 1
                for _ in range(step.active * work.weight_lines):
                    at = (yield from self._ports.fetch(1, Fetch(at, "WEIGHT", data=True))) + 1
            last = chunk == chunks - 1
            if last:
                self._results_waiting += 1
            fetch = Fetch(at, "GO", last=last, extra=(
                counts, (step, work.curved, gate, final, command, self._ended)))
            at = (yield from self._ports.fetch(1, fetch)) + 1
        return at

    def take(self):
        """Items leave the bus' register, chunks are closed."""
        place, step, chunk, first, closed = 0, 0, 0, True, None
        while True:
            if place == len(self._ports.loads):
                yield self._ports.load_waits
                continue
            passed, fetch = self._ports.loads[place]
            place += 1
            at = passed + 1
            if fetch.kind == "speculator":
                self._kernel.set(fetch.taken, at + fetch.beats - 1)
                continue
            if fetch.kind == "OMAP":
                at = max(at, (yield self._known(self._m, step - 1)) + 1)
            else:
                at = max(at, (yield self._known(self._complete, chunk - 1)) + 1,
                         (yield self._known(self._e, chunk - 2)) + 3)
                if fetch.kind != "INPUT" and closed is None:
                    if first:
                        at = max(at, (yield self._known(self._m, step - 1)) + 1)
                    closed = at
            self._kernel.set(fetch.taken, at)
            if fetch.kind == "GO":
                self._kernel.start(self._chunk(step, chunk, first, closed, at, fetch.last, *fetch.extra))
                chunk, first, closed = chunk + 1, fetch.last, None
                step += fetch.last

    def _known(self, table, key):
        """The event of a key; what comes before the first has always been."""
        return table[key] if key >= 0 else Event(NEVER)

    def _chunk(self, step, chunk, first, closed, go, last, counts, context):
        machine = self._machine
        forming = closed + 1
        released = yield self._known(self._a, chunk - 1)
        if first:
            forming = max(forming, released + 1)
        complete = max(forming + machine.tag_words + 1, go + 1)
        self._kernel.set(self._complete[chunk], complete)
        released = max(complete + 1, released + 1)
        done = yield self._known(self._d, step - 1)
        tree = -(-(machine.cols - 1).bit_length() // 2)
        if first:
            released = max(released, done + 1)
            self._kernel.set(self._m[step], max(released + 1, done + tree + 6))
        self._kernel.set(self._a[chunk], released)
        # Elements are done with the chunk before: its event is set with their cycles.
        yield self._known(self._e, chunk - 1)
        before = self._last if chunk else NEVER
        starts = np.maximum(released + 3, before + 1)
        self._timeline.issue(starts, counts)
        self._last = starts + np.maximum(counts, 1) - 1
        end = int(np.max(self._last))
        self._kernel.set(self._e[chunk], end)
        if not last:
            return
        work, curved, gate, final, command, ended = context
        moved, free = (yield self._m[step]), (yield self._known(self._f, step - 1))
        done = max(end + 3, moved + 1, free) + 1 + max(1, work.outputs)
        self._kernel.set(self._d[step], done)
        self._timeline.drain(released + 1, done)
        offered = done + tree + 7 + (machine.rows + 4 if curved else 0)
        for row in range(work.rows):
            if row == work.rows - 1:
                self._kernel.set(self._f[step], offered)
            yield offered, Order.RESULT
            while offered in self._ports.data_writes or not gate and offered in self._ports.map_writes:
                offered += 1
                yield offered, Order.RESULT
            self._ports.data_writes[offered] = "results"
            if not gate:
                self._ports.map_writes[offered] = "results"
            written, offered = offered, offered + 1
        self._results_waiting -= 1
        self._results_drained = written + 1
        if final:
            self._kernel.set(ended, written)
            self._queues.end(Engine.EXEC, command, written)
        self._kernel.set(self._drained_event, written)
