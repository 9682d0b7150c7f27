"""Cycle model of the DramController: what it sends and takes in each cycle, equal to the hardware's.

One :meth:`DramTiming.step` a cycle, with the inputs of that cycle. Times are absolute DRAM clocks (four a cycle): when
a bank, a bank group or the rank next allows something. Rules: docs/enmc/dram_controller.md.
"""

import collections
import enum
import typing

from golden.enmc.timing import JEDEC

__all__ = ["Cycle", "DramTiming", "Pin"]

_GROUPS, _BANKS, _PHASES = 4, 16, 4
_WRITE_DEPTH = 8
_MOST_OWED = 8


class Pin(typing.NamedTuple):
    """A command on the pins: ``kind`` ACT, RD, WR, PRE, PREA, REF; ``bank``: 4 bank + group; ``place``: row, column."""

    phase: int
    kind: str
    bank: int = 0
    place: int = 0


class Cycle(typing.NamedTuple):
    """What a cycle shows: ``ready`` and ``data_ready`` for a request and for write data, the ``response``'s tag or
    ``None``, ``idle``, and the commands on the ``pins`` (:class:`Pin`, by phase)."""

    ready: bool
    data_ready: bool
    response: int | None
    idle: bool
    pins: tuple


class _State(enum.Enum):
    IDLE, SETTLE, CLOSE, CLOSED, RUN = range(5)


class _Bank:
    """Rows (now, next), requests that need each; ``ready``: clock of the next ACTIVATE or PRECHARGE; ``column``: cycle
    of the next READ or WRITE."""

    __slots__ = ("open", "row", "count", "next_row", "next_count", "ready", "column")

    def __init__(self):
        self.open = False
        self.row = self.next_row = None
        self.count = self.next_count = self.ready = self.column = 0


def _cycles(clocks):
    return -(-clocks // _PHASES)


class DramTiming:
    """The DramController, cycle by cycle, from its reset on.

    Parameters: ``timing`` a :class:`golden.enmc.timing.DdrTiming`; ``row_bits``, ``queue``, ``lookahead`` as the
    hardware's. Raises ``ValueError`` for a size below 2 or an address out of range.

    Attributes: ``cycle``: cycles over; ``counters``: commands sent (reads, writes, activates, precharges, refreshes).
    """

    def __init__(self, timing=JEDEC, *, row_bits=16, queue=64, lookahead=16):
        for name, value in (("queue", queue), ("lookahead", lookahead)):
            if not isinstance(value, int) or value < 2:
                raise ValueError(f"{name} = {value!r} is not allowed: {name} must be an integer, at least 2")
        self.timing, self.row_bits, self.queue, self.lookahead = timing, row_bits, queue, lookahead
        self._tras = max(timing.tras, timing.trc - timing.trp)
        self._write_end = timing.cwl + 4
        self._takeover = _cycles(max(timing.tras, timing.trc, self._write_end + timing.twr, timing.trtp, timing.cl + 4,
                                     timing.tfaw)) + 1
        self._refresh_period = timing.trefi // _PHASES
        self.cycle = 0
        self.counters = dict.fromkeys(("reads", "writes", "activates", "precharges", "refreshes"), 0)
        self._state, self._owed, self._active = _State.IDLE, 0, False
        # Cycles: from which the state may go on; when the host's REFRESH and the settling are over.
        self._over = self._settled = 0
        self._requests, self._window = collections.deque(), collections.deque()
        self._banks = [_Bank() for _ in range(_BANKS)]
        self._closed, self._changing = set(), set()  # banks that want ACTIVATE, PRECHARGE
        self._responses, self._data_times = collections.deque(), collections.deque()
        self._stored, self._offered, self._unclaimed = 0, False, 0  # write data: memory, output, without a WRITE
        self._rank_act, self._group_act = 0, [0] * _GROUPS
        self._acts = collections.deque([-timing.tfaw] * 4, maxlen=4)
        # Cycles of the next column command: any, by group; READ after WRITE, by group; WRITE after READ.
        self._column, self._group_column = 0, [0] * _GROUPS
        self._read_at, self._group_read, self._write_at = 0, [0] * _GROUPS, 0
        self._pins = ()

    def step(self, request=None, data=False, *, enable=True, host_refresh=False):
        """One cycle: ``request`` (write, address, tag) or ``None`` is offered, write ``data`` is or not; inputs
        ``enable``, ``host_refresh``. Gives its :class:`Cycle`."""
        now, pins = self.cycle, self._pins
        ready = self._active and len(self._requests) < self.queue
        data_ready = self._stored < _WRITE_DEPTH - 1
        response = None
        if self._responses and self._responses[0][0] == now:
            response = self._responses.popleft()[1]
        idle = self._state is _State.IDLE

        self._pins, issued, refreshed = (), False, False
        drained = (not self._active and not self._requests and not self._window and not self._responses
                   and response is None and not self._data_times)
        if self._state is _State.RUN and not self._owed and not drained:
            issued = self._work(now)
        else:
            refreshed = self._own(now, drained, host_refresh)
        self._write_queue(now, data and data_ready, issued)
        if request is not None and ready:
            if not 0 <= request[1] < 1 << self.row_bits + 11:
                raise ValueError(f"address = {request[1]} is not allowed: there are {self.row_bits + 11} bits")
            self._requests.append(request)
        self._debt(now, refreshed)
        self._active = enable
        self.cycle = now + 1
        return Cycle(ready, data_ready, response, idle, pins)

    def _debt(self, now, refreshed):
        due = (now + 1) % self._refresh_period == 0
        self._owed = min(max(self._owed + due - refreshed, 0), _MOST_OWED) if due != refreshed else self._owed

    def _write_queue(self, now, put, claimed):
        """Write data: into a memory, from there to the output, from there to the chips."""
        takes = bool(self._data_times) and self._data_times[0] == now
        if takes:
            self._data_times.popleft()
        moves = self._stored > 0 and (takes or not self._offered)
        self._offered = moves or self._offered and not takes
        self._stored += put - moves
        self._unclaimed += put - claimed

    def _own(self, now, drained, host_refresh):
        """Cycles in which no request is worked on. Gives whether a REFRESH happens."""
        timing, state = self.timing, self._state
        if state is _State.IDLE:
            if host_refresh:
                self._over = now + 1 + _cycles(timing.trfc)
            if self._active:
                self._state, self._settled = _State.SETTLE, now + 1 + self._takeover
            return host_refresh
        if state is _State.SETTLE:
            if now >= self._settled and now >= self._over:
                self._state = _State.CLOSE
        elif state is _State.RUN:
            self._state = _State.CLOSE
        elif state is _State.CLOSE:
            clock = _PHASES * now + _PHASES - 1
            if all(not bank.open or bank.ready <= clock for bank in self._banks):
                self._close_all(now)
        elif now >= self._over:
            if self._owed:
                self._pins = (Pin(_PHASES - 1, "REF"),)
                self.counters["refreshes"] += 1
                self._over = now + _cycles(timing.trfc)
                return True
            self._state = _State.IDLE if drained else _State.RUN
        return False

    def _close_all(self, now):
        self._pins = (Pin(_PHASES - 1, "PREA"),)
        self.counters["precharges"] += 1
        self._state, self._over = _State.CLOSED, now + _cycles(self.timing.trp)
        self._changing.clear()
        for number, bank in enumerate(self._banks):
            bank.open, bank.ready = False, 0
            if not bank.count and bank.next_count:
                self._advance(bank)
            if bank.count:
                self._closed.add(number)

    @staticmethod
    def _advance(bank):
        bank.row, bank.count, bank.next_count = bank.next_row, bank.next_count, 0

    def _work(self, now):
        """A cycle of work; gives whether a WRITE was issued. All choices are made before any takes effect."""
        clock, pins = _PHASES * now, []
        column = self._choose_column(now)
        plan = self._plan() if column is None or self._window else None
        activate = self._choose_activate(clock)
        precharge = self._choose_precharge(clock, activate)

        wrote = False
        if column is not None:
            write, tag, place, number = column
            wrote = write
            pins.append(Pin(0, "WR" if write else "RD", number, place))
            self._issue(now, write, tag, number)
        if activate is not None:
            phase, number = activate
            bank = self._banks[number]
            pins.append(Pin(phase, "ACT", number, bank.row))
            self._activate(clock + phase, number, bank)
        if precharge is not None:
            phase, number = precharge
            pins.append(Pin(phase, "PRE", number))
            self._precharge(clock + phase, number)
        if plan is not None:
            self._join(*plan)
        if len(pins) > 1:
            pins.sort()
        self._pins = tuple(pins)
        return wrote

    def _plan(self):
        """The first request, when its bank takes it: (request, bank, row, whether it waits for the next row)."""
        if not self._requests or len(self._window) == self.lookahead:
            return None
        request = self._requests[0]
        address = request[1]
        number, row = self._entry(request)[3], address >> 11
        bank = self._banks[number]
        if bank.next_count:
            return (request, number, row, True) if row == bank.next_row else None
        return request, number, row, not (row == bank.row or not bank.count and not bank.open)

    def _join(self, request, number, row, later):
        self._requests.popleft()
        bank = self._banks[number]
        # A PRECHARGE in this cycle has made the next row the row.
        if later and not (bank.row == row and not bank.open):
            bank.next_row, bank.next_count = row, bank.next_count + 1
            if bank.open and not bank.count:
                self._changing.add(number)
        else:
            bank.row, bank.count = row, bank.count + 1
            if not bank.open:
                self._closed.add(number)
        self._window.append(self._entry(request))

    @staticmethod
    def _entry(request):
        """What is kept of a planned request: (write, tag, column / 8, bank)."""
        write, address, tag = request
        return write, tag, address >> 2 & 127, address & 3 | address >> 7 & 12

    def _choose_column(self, now):
        if self._window:
            head = self._window[0]
            needed = self._banks[head[3]].count
        elif self._requests:
            # Nothing is planned: the first request goes at once when its row is open.
            head = self._entry(self._requests[0])
            needed = self._banks[head[3]].row == self._requests[0][1] >> 11
        else:
            return None
        write, number = head[0], head[3]
        bank, group = self._banks[number], number & 3
        if not bank.open or not needed or now < bank.column or now < self._column \
                or now < self._group_column[group]:
            return None
        if write:
            return head if self._unclaimed and now >= self._write_at else None
        return head if now >= self._read_at and now >= self._group_read[group] else None

    def _issue(self, now, write, tag, number):
        timing, bank, group = self.timing, self._banks[number], number & 3
        if self._window:
            self._window.popleft()
            bank.count -= 1
            if not bank.count and bank.next_count:
                self._changing.add(number)
        else:
            self._requests.popleft()
        self._column = now + _cycles(timing.tccd_s)
        self._group_column[group] = now + _cycles(timing.tccd_l)
        if write:
            self.counters["writes"] += 1
            bank.ready = max(bank.ready, _PHASES * now + self._write_end + timing.twr)
            self._read_at = now + _cycles(self._write_end + timing.twtr_s)
            self._group_read[group] = now + _cycles(self._write_end + timing.twtr_l)
            self._data_times.append(now + 1 + timing.cwl // _PHASES)
        else:
            self.counters["reads"] += 1
            bank.ready = max(bank.ready, _PHASES * now + timing.trtp)
            self._write_at = now + _cycles(timing.cl + 6 - timing.cwl)
            self._responses.append((now + 1 + timing.cl // _PHASES, tag))

    def _choose_activate(self, clock):
        """(phase, bank): the oldest request's bank, else the lowest, of those that can within the cycle."""
        rank = max(self._rank_act, self._acts[0] + self.timing.tfaw)
        last = clock + _PHASES - 1
        if not self._closed or rank > last:
            return None
        best = None
        for number in sorted(self._closed):
            at = max(self._banks[number].ready, rank, self._group_act[number & 3])
            if at <= last:
                if number == self._window[0][3]:
                    best = at, number
                    break
                best = best or (at, number)
        return best and (max(best[0] - clock, 1), best[1])

    def _activate(self, at, number, bank):
        timing = self.timing
        self.counters["activates"] += 1
        self._closed.discard(number)
        bank.open, bank.ready, bank.column = True, at + self._tras, _cycles(at + timing.trcd)
        self._rank_act, self._group_act[number & 3] = at + timing.trrd_s, at + timing.trrd_l
        self._acts.append(at)

    def _choose_precharge(self, clock, activate):
        """(phase, bank): the lowest bank that can within the cycle, at a phase without ACTIVATE."""
        taken = activate[0] if activate else None
        for number in sorted(self._changing):
            first = max(self._banks[number].ready - clock, 1)
            if first < _PHASES:
                first += first == taken
                return (first, number) if first < _PHASES else None
        return None

    def _precharge(self, at, number):
        bank = self._banks[number]
        self.counters["precharges"] += 1
        self._changing.discard(number)
        bank.open, bank.ready = False, at + self.timing.trp
        self._advance(bank)
        self._closed.add(number)
