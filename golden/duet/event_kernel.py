"""Simulation of events: processes that go on at a cycle, or when something becomes known."""

import heapq

__all__ = ["Event", "Kernel", "Table"]


class Event:
    """Something that happens once, in cycle ``at`` (None: not yet known)."""

    __slots__ = ("at", "waiting")

    def __init__(self, at=None):
        self.at, self.waiting = at, []


class Table(dict):
    """Events by key, made when they are first asked for."""

    def __missing__(self, key):
        self[key] = event = Event()
        return event


class Kernel:
    """Processes are generators that yield (cycle, priority), to go on then, or an event, to go on once it is known."""

    def __init__(self):
        self._heap, self._count, self.now = [], 0, 0

    def start(self, process):
        self._go_on(process, None)

    def set(self, event, at):
        """An event is known; those who wait for it go on at once."""
        event.at = at
        waiting, event.waiting = event.waiting, []
        for process in waiting:
            self._push(self.now, -1, process, at)

    def _push(self, at, priority, process, value=None):
        self._count += 1
        heapq.heappush(self._heap, (at, priority, self._count, process, value))

    def _go_on(self, process, value):
        while True:
            try:
                wish = process.send(value)
            except StopIteration:
                return
            if isinstance(wish, Event):
                if wish.at is None:
                    wish.waiting.append(process)
                    return
                value = wish.at
            else:
                self._push(*wish, process)
                return

    def run(self):
        while self._heap:
            self.now, _, _, process, value = heapq.heappop(self._heap)
            self._go_on(process, value)
