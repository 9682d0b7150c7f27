"""Cycle model of the Screener: when its jobs are taken, its bursts asked for, its scores written.

Equals the RTL (`tests/enmc/test_screener.py`) as long as results and candidates are taken at once. A time is the number
of a cycle; in it a transfer happens, or a signal is 1.
"""

import dataclasses

from golden.enmc.layout import GROUP_CLASSES

__all__ = ["FilterTimes", "ScreenTimes", "ScreenerTiming"]

_WORDS, _WORD_ENTRIES, _ENTRIES = 4, 16, 64
#: Rows of sums that wait for the finish stage; SCREENs inside.
_ROWS, _SCREENS = 4, 2
#: From the arrival of a burst to the head of the weight buffer; of the finish stage.
_HEAD, _FINISH = 2, 7


@dataclasses.dataclass(frozen=True)
class ScreenTimes:
    """Of a SCREEN: ``accepted``; ``requests``, ``arrivals``, ``pops`` of its bursts; ``done``: last score written."""

    accepted: int
    requests: list
    arrivals: list
    pops: list
    done: int


@dataclasses.dataclass(frozen=True)
class FilterTimes:
    """Of a FILTER: ``accepted``, ``start``; ``results``: its four words; ``end``: the first cycle after it."""

    accepted: int
    start: int
    results: list
    end: int


class ScreenerTiming:
    """Jobs one after the other, each as early as the Screener can.

    Parameters: as in the RTL's configuration; ``mac_latency``: registers of the dot products (1 with 8 levels and Booth
    digits).
    """

    def __init__(self, *, weight_bursts, finish_lanes=1, filter_lanes=4, convert_stages=1, mac_latency=1):
        if weight_bursts < 4:
            raise ValueError(f"weight_bursts = {weight_bursts} is not allowed: it must be at least 4")
        for name, value in (("finish_lanes", finish_lanes), ("filter_lanes", filter_lanes)):
            if value not in (1, 2, 4, 8):
                raise ValueError(f"{name} = {value} is not allowed: it must be 1, 2, 4 or 8")
        self.weight_bursts, self.row_cycles = weight_bursts, GROUP_CLASSES // finish_lanes
        self.filter_lanes, self.convert_stages, self.mac_latency = filter_lanes, convert_stages, mac_latency
        never = -1
        self._accepted, self._alone_end = never, never
        self._requested, self._popped, self._released = never, never, never
        self._pops = [never] * weight_bursts  # of the latest bursts
        self._leaves = [never] * _ROWS  # of the latest rows
        self._done = [never] * _SCREENS  # of the latest SCREENs
        self._filter_start, self._filter_end = never, never
        self._bank_free = [never] * _SCREENS  # ends of the FILTERs of the SCREEN before the last, and of the last

    def screen(self, offered, *, items, chunks, groups, memory):
        """SCREEN, offered from cycle ``offered`` on.

        ``memory(cycle)``: a burst is asked for from ``cycle`` on; returns when the request is taken, and when the burst
        arrives, later than that and than the one before. Returns :class:`ScreenTimes`.
        """
        accepted = max(offered, self._accepted + 1, self._alone_end, self._done[-_SCREENS] + 1, self._requested)
        self._accepted = accepted
        bank_free = self._bank_free.pop(0)
        self._bank_free.append(-1)
        requests, arrivals, pops = [], [], []

        def burst(earliest, cycles):
            """Fetch a burst; the first of its ``cycles`` steps is at ``earliest`` or later. Returns that step."""
            taken, arrival = memory(max(accepted, self._requested, self._pops[-self.weight_bursts]) + 1)
            self._requested = taken
            step = max(arrival + _HEAD, self._popped + 1, earliest)
            requests.append(taken)
            arrivals.append(arrival)
            return step

        def popped(cycle):
            self._popped = cycle
            self._pops = [*self._pops[1:], cycle]
            pops.append(cycle)

        for group in range(groups):
            for _ in range(chunks - 1):
                popped(burst(-1, items) + items - 1)
            steps, step = [], burst(-1, items) - 1
            room = list(self._leaves)
            for item in range(items):
                step = max(step + 1, room[item])
                steps.append(step)
            popped(step)
            parameters = burst(self._released, 1)
            popped(parameters)
            for item, step in enumerate(steps):
                begin = max(step + self.mac_latency + 1, self._leaves[-1] + 1, parameters + 1)
                if group == item == 0:
                    begin = max(begin, bank_free)
                self._leaves = [*self._leaves[1:], begin + self.row_cycles - 1]
            self._released = self._leaves[-1]
        done = self._released + _FINISH
        self._done = [*self._done[1:], done]
        return ScreenTimes(accepted, requests, arrivals, pops, done)

    def filter(self, offered, candidates):
        """FILTER, offered from cycle ``offered`` on. ``candidates``: their entries. Returns :class:`FilterTimes`."""
        accepted = max(offered, self._accepted + 1, self._alone_end, self._filter_start + 1)
        start = max(accepted + 1, self._filter_end, self._done[-1] + 1)
        counts = [0] * (_ENTRIES // self.filter_lanes)
        for entry in candidates:
            counts[entry // self.filter_lanes] += 1
        words, groups = [], _WORD_ENTRIES // self.filter_lanes
        step = start + 1
        for word in range(_WORDS):
            for count in counts[word * groups:][:groups]:
                last, step = step, step + max(count, 1)
            words.append(last + self.convert_stages)
            step = max(step, words[-1] + 1)
        self._accepted, self._filter_start, self._filter_end = accepted, start, step + 1
        self._bank_free[-1] = step + 1
        return FilterTimes(accepted, start, words, step + 1)

    def alone(self, offered, *, cycles):
        """MUL_ADD, ADD or MUL, which take ``cycles``; returns when it is taken and the first cycle after it."""
        accepted = max(offered, self._accepted + 1, self._alone_end, self._done[-1] + 1, self._filter_end)
        self._accepted, self._alone_end = accepted, accepted + cycles
        return accepted, accepted + cycles

    @property
    def mul_add_cycles(self):
        """Cycles of a MUL_ADD from its transfer to the next job's."""
        return 3 + 4 + self.mac_latency + self.row_cycles + _FINISH

    nibble_cycles = 4 + _ENTRIES
    """The same of an ADD or a MUL."""
