"""Cycles of the DUET accelerator: when each command of a program ends, equal to the hardware's.

A simulation of events, not of cycles: an event is an item of the bus, a line of the DRAM, a row of results. What the
values decide (which rows and instructions are tagged) comes from :mod:`golden.duet.works`. The DRAM answers a request
after ``latency`` cycles with a beat a cycle, in order; nobody else holds a stream up. Rules:
docs/duet/duet_accelerator.md#timing, docs/duet/executor.md#timing, docs/duet/speculator.md#timing.
"""

import collections
import dataclasses
import math

import numpy as np

from golden.duet.command import CellOp, CopyOp, Engine, WorkOp
from golden.duet.event_kernel import Event, Kernel, Table
from golden.duet.speculator_timing import SpeculatorTiming, TimingSize
from golden.duet.timeline import Timeline

__all__ = ["CycleModel", "MachineTiming"]

_FIFO = 2  # cycles from an item into a queue to its offer
_SETUP = 3  # cycles in which a tile's place is found
_NEVER = -(1 << 40)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineTiming:
    """What the cycles depend on besides the program.

    ``speculator``: a :class:`TimingSize`; ``tag_words``: cycles in which a chunk's tags are formed; ``beats`` of a line
    on the DRAM port; ``latency`` of the DRAM from a request to its first beat; ``cell_items``: items of a segment in
    the CellUnit, ``cell_latency`` of it; ``reorder_latency`` of the Reorder Unit; ``fill_beats``: cycles in which each
    of the Speculator's buffers (projection, weights, channel table) takes a line.
    """

    rows: int
    cols: int
    segment: int
    speculator: TimingSize
    tag_words: int
    beats: int
    latency: int
    queue_depth: int
    cell_items: int
    cell_latency: int
    reorder_latency: int
    fill_beats: tuple


class _Fetch:
    """A fetch: who asks, from which cycle on, what it reads, and what becomes of it on the bus."""

    __slots__ = ("granted", "valid", "kind", "data", "map", "beats", "last", "taken", "extra")

    def __init__(self, valid, kind, data=False, map_=False, beats=1, last=False, extra=None):
        self.granted, self.taken = Event(), Event()
        self.valid, self.kind, self.data, self.map, self.beats, self.last, self.extra = (
            valid, kind, data, map_, beats, last, extra)


# Order in which things of the same cycle are decided.
_TOKEN, _BEGIN, _RESULT, _CELL, _BUS, _CELL_READ, _DMA_READ, _FILL, _LATE = range(9)


class CycleModel:
    """Runs a program's commands with their works; ``ends``: for each engine the cycles in which its commands ended.

    Parameters: ``machine`` a :class:`MachineTiming`, ``commands``, ``works`` (as from
    :class:`golden.duet.works.Recorder`). Cycle 0 is the transfer of the first command. ``timeline``: what happened
    when, a :class:`golden.duet.timeline.Timeline`.
    """

    def __init__(self, machine, commands, works):
        self.machine, self.commands, self.works = machine, commands, works
        self._kernel = kernel = Kernel()
        self.ends, self.timeline = [[] for _ in Engine], Timeline(len(Engine))
        self._queues = [[(number, command) for number, command in enumerate(commands) if command.engine == engine]
                        for engine in Engine]
        self._pushed, self._moved, self._left = Table(), Table(), Table()  # p, m, q of (engine, place)
        self._tokens, self._token_events = {}, {}
        self._requests, self._bus_free = [None, None], _NEVER
        self._before = Event(_NEVER)  # the taking of the item before
        self._data_writes, self._map_writes = {}, {}  # cycle -> who
        self._data_read = self._map_read = _NEVER  # last cycle in which the bus reads
        self._item = _NEVER, Event(_NEVER)  # grant and pass of the item that was fetched last
        self._register = collections.deque(maxlen=3)  # pass and taking of the last items in the bus' register
        self._loads, self._load_waits = [], Event()
        self._complete, self._a, self._m, self._d, self._f, self._e = (Table() for _ in range(6))
        self._results_waiting, self._results_drained = 0, _NEVER
        self._spec_ended = _NEVER
        self._exec_ended = Event(_NEVER)  # of the last command that was taken
        self._spec_free, self._held, self._released = _NEVER, 0, Event()
        self._dram_free = _NEVER
        kernel.start(self._dispatch())
        for engine in Engine:
            kernel.start(self._queue(engine))
        for engine in (self._dma(), self._spec(), self._exec(), self._cell(), self._take()):
            kernel.start(engine)
        kernel.run()
        lost = [Engine(e).name for e, queue in enumerate(self._queues) if len(self.ends[e]) != len(queue)]
        if lost:
            raise ValueError(f"the commands of {', '.join(lost)} never end")

    # ---- commands

    def _dispatch(self):
        places, at, rows = [0] * len(Engine), -1, self.machine.queue_depth - 1
        for command in self.commands:
            engine, at = command.engine, at + 1
            if places[engine] >= rows:
                at = max(at, (yield self._moved[engine, places[engine] - rows]) + 1)
            yield at, _LATE
            self._kernel.set(self._pushed[engine, places[engine]], at)
            places[engine] += 1

    def _queue(self, engine):
        left = _NEVER
        for place in range(len(self._queues[engine])):
            at = max((yield self._pushed[engine, place]) + 1, left)
            self._kernel.set(self._moved[engine, place], at)
            left = yield self._left[engine, place]

    def _begin(self, engine, place, free):
        """The cycle in which a command leaves its queue for its engine, that is free from cycle ``free`` on."""
        _, command = self._queues[engine][place]
        at = (yield self._moved[engine, place]) + 1
        if at > free > 0:
            self.timeline.starved[engine].append((free, at))
        at = max(at, free)
        givers = command.waits_for()
        yield at, _BEGIN
        while not all(self._tokens.get((giver, engine), 0) for giver in givers):
            missing = next(giver for giver in givers if not self._tokens.get((giver, engine), 0))
            event, since = self._token_events.setdefault((missing, engine), Event()), self._kernel.now
            yield event
            yield max(self._kernel.now, at), _BEGIN
            self.timeline.waits[engine].append((missing, since, self._kernel.now))
        for giver in givers:
            self._tokens[giver, engine] -= 1
        at = self._kernel.now
        self.timeline.begins[engine].append(at)
        self._kernel.set(self._left[engine, place], at)
        return at

    def _end(self, engine, command, at):
        """A command ends in cycle ``at``: its tokens can be used from the next one on."""
        self.ends[engine].append(at)
        if command.signal:
            self._kernel.start(self._give(engine, command, at))

    def _give(self, engine, command, at):
        yield at + 1, _TOKEN
        for taker in command.signals_to():
            self._tokens[engine, taker] = self._tokens.get((engine, taker), 0) + 1
            event = self._token_events.pop((engine, taker), None)
            if event is not None:
                self._kernel.set(event, at + 1)

    # ---- the bus

    def _fetch(self, source, fetch):
        """Ask for a fetch; goes on in the cycle of its grant, which it returns."""
        self._requests[source] = fetch
        self._kernel.start(self._grant(fetch.valid))
        return (yield fetch.granted)

    def _grant(self, at):
        """Grant what is asked for in cycle ``at``, if the bus is free then: the Speculator's first."""
        yield max(at, self._kernel.now), _BUS
        at = self._kernel.now
        source = next((k for k, fetch in enumerate(self._requests) if fetch is not None and fetch.valid <= at), None)
        if source is None or at < self._bus_free:
            return
        fetch, self._requests[source] = self._requests[source], None
        if fetch.data:
            self._data_read = at
        if fetch.map:
            self._map_read = at
        passes = Event()
        self._item, self._bus_free = (at, passes), math.inf
        self._kernel.set(fetch.granted, at)
        if fetch.kind == "own":
            passed = at + 1
        else:
            before, self._before = self._before, fetch.taken
            passed = max(at + 1, (yield before))
            self._register.append((passed, fetch.taken))
            self._loads.append((passed, fetch))
            self._kernel.set(self._load_waits, passed)
            self._load_waits = Event()
        self._kernel.set(passes, passed)
        self._bus_free = passed
        self._kernel.start(self._grant(passed))

    def _take(self):
        """Items leave the bus' register, chunks are closed."""
        step, chunk, first, closed, opened = 0, 0, True, None, True
        place = 0
        while True:
            if place == len(self._loads):
                yield self._load_waits
                continue
            passed, fetch = self._loads[place]
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
        return table[key] if key >= 0 else Event(_NEVER)

    # ---- the Executor

    def _chunk(self, step, chunk, first, closed, go, last, counts, context):
        machine = self.machine
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
        before = self._last if chunk else _NEVER
        starts = np.maximum(released + 3, before + 1)
        self.timeline.issue(starts, counts)
        self._last = starts + np.maximum(counts, 1) - 1
        end = int(np.max(self._last))
        self._kernel.set(self._e[chunk], end)
        if not last:
            return
        work, curved, gate, final, command, ended = context
        moved, free = (yield self._m[step]), (yield self._known(self._f, step - 1))
        done = max(end + 3, moved + 1, free) + 1 + max(1, work.outputs)
        self._kernel.set(self._d[step], done)
        self.timeline.drain(released + 1, done)
        offered = done + tree + 7 + (machine.rows + 4 if curved else 0)
        for row in range(work.rows):
            if row == work.rows - 1:
                self._kernel.set(self._f[step], offered)
            yield offered, _RESULT
            while offered in self._data_writes or not gate and offered in self._map_writes:
                offered += 1
                yield offered, _RESULT
            self._data_writes[offered] = "results"
            if not gate:
                self._map_writes[offered] = "results"
            written, offered = offered, offered + 1
        self._results_waiting -= 1
        self._results_drained = written + 1
        if final:
            self._kernel.set(ended, written)
            self._end(Engine.EXEC, command, written)
        self._kernel.set(self._drained_event, written)

    def _exec(self):
        free, self._drained_event = 0, Event()
        for place, (number, command) in enumerate(self._queues[Engine.EXEC]):
            begin = yield from self._begin(Engine.EXEC, place, free)
            before, self._exec_ended = self._exec_ended, Event()
            if command.op == WorkOp.CONFIG:
                at = begin + 1
                while True:
                    if self._results_waiting:
                        self._drained_event = Event()
                        yield self._drained_event
                        continue
                    at = max(at, self._results_drained)
                    yield at, _LATE
                    # The Executor is idle when no item is in the bus' register.
                    if not any(passed < at and (taken.at is None or at <= taken.at)
                               for passed, taken in self._register):
                        break
                    at += 1
                free = at + 2
                self._kernel.start(self._exec_empty(command, at + 1, before, self._exec_ended))
            elif command.op == WorkOp.TILE:
                free = yield from self._tile(command, self.works[number], begin + 1 + _SETUP)
            elif self.works[number].steps:
                free = yield from self._gate(command, self.works[number], begin + 1)
            else:
                at = (yield from self._neurons(command, begin + 1)) + 1
                self._kernel.start(self._exec_empty(command, at, before, self._exec_ended))
                free = at + 1

    def _exec_empty(self, command, at, before, ended):
        """A command without results ends, whose context is sent in cycle ``at``."""
        at = max(at + _FIFO, (yield before) + 1)
        self._kernel.set(ended, at)
        self._end(Engine.EXEC, command, at)

    def _tile(self, command, work, at):
        for index, step in enumerate(work.steps):
            if work.ordered:
                at = (yield from self._fetch(1, _Fetch(at, "own", data=True))) + 2
            else:
                at += 1
            for _ in range(step.rows):
                at = (yield from self._fetch(1, _Fetch(at, "OMAP", map_=True))) + 1
            at += 2
            at = yield from self._chunks(command, work, step, at, index == len(work.steps) - 1, False)
        return at

    def _gate(self, command, work, at):
        at = yield from self._neurons(command, at)
        for index, step in enumerate(work.steps):
            for _ in range(step.rows):
                at = (yield from self._fetch(1, _Fetch(at, "OMAP"))) + 1
            at = yield from self._chunks(command, work, step, at, index == len(work.steps) - 1, True)
        return at

    def _neurons(self, command, at):
        """The cycle in which the first neuron of a gate is known."""
        return (yield from self._fetch(1, _Fetch(at, "own", map_=not command.flags & 1))) + 3

    def _chunks(self, command, work, step, at, final, gate):
        chunks = len(step.counts)
        for chunk, counts in enumerate(step.counts):
            if step.active:
                for _ in range(work.inputs):
                    at = (yield from self._fetch(1, _Fetch(at, "INPUT", data=True, map_=not gate))) + 1
                for _ in range(step.active * work.weight_lines):
                    at = (yield from self._fetch(1, _Fetch(at, "WEIGHT", data=True))) + 1
            last = chunk == chunks - 1
            if last:
                self._results_waiting += 1
            fetch = _Fetch(at, "GO", last=last, extra=(
                counts, (step, work.curved, gate, final, command, self._exec_ended)))
            at = (yield from self._fetch(1, fetch)) + 1
        return at

    # ---- the Speculator

    def _spec(self):
        free, timing = 0, None
        for place, (number, command) in enumerate(self._queues[Engine.SPEC]):
            begin = yield from self._begin(Engine.SPEC, place, free)
            if command.op == WorkOp.CONFIG:
                at = max(begin + 1, self._spec_free)
                free = at + 2
                self._spec_end(command, at + 1 + _FIFO, False)
            elif command.op == WorkOp.FILL:
                at, beats = begin + 1, self.machine.fill_beats[(command.flags & 3) - 1]
                for _ in range(command.c):
                    fetch = _Fetch(at, "speculator", data=True, beats=beats)
                    at = (yield from self._fetch(0, fetch)) + 1
                taken = yield fetch.taken
                at = max(at, taken + 1) + 1
                free = at + 1
                self._spec_end(command, at + _FIFO, False)
            else:
                work = self.works[number]
                if work.fresh:
                    timing = SpeculatorTiming(self.machine.speculator, work.layer)
                free = yield from self._job(command, work, timing, begin + 1)

    def _job(self, command, work, timing, at):
        tile, loaded = command.op == WorkOp.TILE, None
        at += _SETUP if tile else 0
        if work.lines:
            rows = work.layer.passes if work.layer.gate else 4 * work.layer.groups
            room = 1 if rows > self.machine.speculator.activation_rows // 2 else 2
            yield at, _LATE
            while self._held >= room:
                self._released = Event()
                at = max(at, (yield self._released))
            self._held += 1
            at += 1
            for _ in range(work.lines):
                fetch = _Fetch(at, "speculator", data=True)
                at = (yield from self._fetch(0, fetch)) + 1
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
        yield at, _TOKEN
        self._held -= 1
        self._kernel.set(self._released, at)

    def _orders(self, command, results):
        machine, count = self.machine, len(results)
        self._map_writes.update(dict.fromkeys(results, "maps"))
        first = max(results[-1] + machine.reorder_latency, self._order_free)
        ends = first + count
        writes = [*range(first + machine.rows, ends, machine.rows), ends]
        self._data_writes.update(dict.fromkeys(writes, "orders"))
        self._order_free = ends + 1
        self._spec_end(command, ends)

    _order_free = _NEVER

    def _segments(self, command, results):
        segment = self.machine.segment
        writes = [results[min(first + segment, len(results)) - 1] + 2 for first in range(0, len(results), segment)]
        self._map_writes.update(dict.fromkeys(writes, "gates"))
        self._data_writes.update(dict.fromkeys(writes, "gates"))
        self._spec_end(command, writes[-1] + 1)

    def _spec_end(self, command, at, has_results=True):
        self._spec_ended = ended = max(at, self._spec_ended + 1)
        if has_results:
            self._spec_free = ended + 1
        self._end(Engine.SPEC, command, ended)

    # ---- DMA and CELL

    def _read(self, at, data, own):
        """The first cycle from ``at`` on in which a reader behind the bus is served; ``own``: its priority."""
        while True:
            yield at, own
            granted, passes = self._item
            held = granted < at and (passes.at is None or at < passes.at)
            if not held and (self._data_read if data else self._map_read) != at and (
                    own == _CELL_READ or self._cell_read != at or not data):
                return at
            at += 1

    _cell_read = _NEVER

    def _line(self, at, mapped):
        """A line of the DRAM is written in the first cycle from ``at`` on in which the memory is free."""
        yield at, _FILL
        while at in self._data_writes or mapped and at in self._map_writes:
            at += 1
            yield at, _FILL
        return at

    def _receive(self, requests, mapped):
        """Lines that arrive after their requests; the cycle in which the last one is written."""
        machine, beat, written = self.machine, _NEVER, _NEVER
        for request in requests:
            # The first beat of a line comes once the line before has left the register.
            beat = max(beat + 1, request + machine.latency, written)
            beat += machine.beats - 1
            written = yield from self._line(beat + 1, mapped)
        return written

    def _dma(self):
        machine, free = self.machine, 0
        for place, (number, command) in enumerate(self._queues[Engine.DMA]):
            begin = yield from self._begin(Engine.DMA, place, free)
            if command.op == CopyOp.LOAD:
                at = (yield from self._receive([begin + 1] * command.c, command.flags & 1)) + 1
            elif command.op == CopyOp.STORE:
                at = begin + 2
                for _ in range(command.c):
                    at = (yield from self._read(at, not command.flags & 1, _DMA_READ)) + 2 + machine.beats
            else:
                first = (yield from self._read(begin + 1, False, _DMA_READ)) + 3
                rows, lines = self.works[number].rows, command.flags >> 1
                if rows:
                    requests = [first + row for row in range(rows) for _ in range(lines)]
                    at = (yield from self._receive(requests, False)) + 1
                else:
                    at = first + 2
            self._end(Engine.DMA, command, at)
            free = at + 1

    def _cell(self):
        machine, free = self.machine, 0
        for place, (number, command) in enumerate(self._queues[Engine.CELL]):
            begin = yield from self._begin(Engine.CELL, place, free)
            if command.op == CellOp.CONFIG:
                at = begin + 2
            else:
                at, written = begin + 1, _NEVER
                for _ in range(self.works[number].segments):
                    for _ in range(5):
                        self._cell_read = at = yield from self._read(at, True, _CELL_READ)
                        at += 1
                    at += 1 + machine.cell_items
                    result = max(at - 1 + machine.cell_latency, written + 1)
                    written = yield from self._results(result + 1, self.works[number].results)
                at = max(at, written + 1) + 1
            self._end(Engine.CELL, command, at)
            free = at + 1

    def _results(self, at, count):
        for _ in range(count):
            yield at, _CELL
            while at in self._data_writes:
                at += 1
                yield at, _CELL
            self._data_writes[at] = "cell"
            at += 1
        return at - 1
