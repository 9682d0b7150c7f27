"""Cycle model of the Screener: what it asks for, takes and gives in each cycle, equal to the hardware's.

One :meth:`ScreenerTiming.step` a cycle (`tests/enmc/test_screener.py`). Only what matters for time: no numbers, but how
many candidates each step of a FILTER finds. The mechanism: docs/enmc/screener.md.
"""

import collections

from golden.enmc.layout import GROUP_CLASSES

__all__ = ["FilterJob", "LoneJob", "ScreenJob", "ScreenerTiming"]

_WORDS, _WORD_ENTRIES = 4, 16
#: Rows of sums that wait for the finish stage; SCREENs inside.
_ROWS, _SCREENS = 4, 2
#: Cycles of the finish stage.
_FINISH = 7

#: SCREEN of ``groups`` groups at burst ``address``.
ScreenJob = collections.namedtuple("ScreenJob", "address groups")
#: FILTER: ``candidates`` a list for each step of ``filter_lanes`` sums, of what it finds (anything, in order);
#: ``classes`` of its tile that exist, which does not matter here.
FilterJob = collections.namedtuple("FilterJob", "candidates classes", defaults=(None,))
#: MUL_ADD, ADD or MUL, ``cycles`` from its transfer to the next job's.
LoneJob = collections.namedtuple("LoneJob", "cycles")


class ScreenerTiming:
    """The Screener from its reset on.

    Parameters: as in the RTL's configuration; ``mac_latency``: registers of the dot products (1 with 8 levels and Booth
    digits). ``ValueError`` for one out of range.

    Attributes, of the coming cycle: ``busy``, ``mac_busy``, ``filter_busy``; ``request``: the burst address that is
    asked for, or ``None``; ``result``: number of the word of results that is offered, or ``None``; ``index``: the
    candidate that is, or ``None``; ``filter``: the FILTER that runs, or the last one. ``items``, ``chunks``: the
    registers, set while not ``busy``.
    """

    def __init__(self, *, weight_bursts, finish_lanes=1, filter_lanes=4, convert_stages=1, mac_latency=1):
        if weight_bursts < 4:
            raise ValueError(f"weight_bursts = {weight_bursts} is not allowed: it must be at least 4")
        for name, value in (("finish_lanes", finish_lanes), ("filter_lanes", filter_lanes)):
            if value not in (1, 2, 4, 8):
                raise ValueError(f"{name} = {value} is not allowed: it must be 1, 2, 4 or 8")
        self.weight_bursts, self.row_cycles = weight_bursts, GROUP_CLASSES // finish_lanes
        self.filter_lanes, self.convert_stages, self.mac_latency = filter_lanes, convert_stages, mac_latency
        self.items = self.chunks = 1
        self.busy = self.mac_busy = self.filter_busy = False
        self.request = self.result = self.index = None
        self._cycle = 0
        # Numbers of SCREENs: taken, all sums begun to be scaled, done; of FILTERs: the SCREEN whose sums they read.
        self._taken = self._scaled = self._done = 0
        self._lone = 0  # cycles that a job has the unit for itself
        self._waiting = self._running = None
        self._waiting_job = self.filter = None
        # Bursts: to be asked for, with a place in the buffer, in it and not at its head.
        self._left = self._address = self._used = self._stored = 0
        self._head = False
        # MAC array: stages of the features (2: there), next step's item and chunk, group, parameters' turn, groups of
        # the jobs.
        self._code = self._item = self._chunk = self._group = 0
        self._turn = False
        self._groups = collections.deque()
        # Finish stage: rows on their way (cycle, tag), waiting; tags (first, last of the job; last of the group).
        self._coming, self._rows, self._reserved, self._row_step = collections.deque(), collections.deque(), 0, 0
        self._loaded = False
        self._ends = collections.deque()  # cycles in which the last score of a SCREEN is written
        # Filter: words and steps of a word that are over, candidates of the last step, cycle of the word's result.
        self._word = self._step = 0
        self._found = collections.deque()
        self._result_at = None

    @property
    def mul_add_cycles(self):
        """Cycles of a MUL_ADD from its transfer to the next job's."""
        return 3 + 4 + self.mac_latency + self.row_cycles + _FINISH

    nibble_cycles = 4 + 4 * _WORD_ENTRIES
    """The same of an ADD or a MUL."""

    def takes(self, job, request_ready):
        """Whether ``job`` is taken in this cycle when it is offered. ``request_ready``: so is the request."""
        if isinstance(job, ScreenJob):
            return not self._lone and self._taken - self._done < _SCREENS and (
                self._left == 0 or self._left == 1 and request_ready and self.request is not None)
        if isinstance(job, FilterJob):
            return not self._lone and self._waiting is None
        return not self.busy

    def step(self, job=None, *, requested=False, response=False, result_taken=False, index_taken=False):
        """One cycle: the ``job`` that is taken, or ``None``; whether the request is (``requested``), a ``response``
        comes, the result and the candidate are taken."""
        if not self.busy and job is None:
            self._cycle += 1
            return
        now, popped = self._cycle, False
        running = self._running
        # What this cycle's choices see.
        waiting, scaled, done = self._waiting, self._scaled, self._done
        if self._ends and self._ends[0] == now:
            self._ends.popleft()
            self._done += 1
        if self._taken != done:
            popped = self._compute(now, waiting, running)
        elif self._lone:
            self._lone -= 1
        self._fetch(requested, response, popped)
        if running is not None:
            self._filtering(now, result_taken, index_taken)
        elif waiting is not None and done - waiting in (0, 1):
            self._running, self.filter, self._waiting = waiting, self._waiting_job, None
            self._word = self._step = 0
        if job is not None:
            self._take(job)
        self.mac_busy = self._taken != self._done or self._lone > 0
        self.filter_busy = self._waiting is not None or self._running is not None
        self.busy = self.mac_busy or self.filter_busy
        if not self.mac_busy:
            self._code = 0
        self.request = self._address if self._left and self._used != self.weight_bursts else None
        self._cycle = now + 1

    def _take(self, job):
        if isinstance(job, ScreenJob):
            self._taken += 1
            self._groups.append(job.groups)
            self._left, self._address = job.groups * (self.chunks + 1), job.address
        elif isinstance(job, FilterJob):
            self._waiting, self._waiting_job = self._taken, job
        else:
            self._lone = job.cycles - 1

    def _fetch(self, requested, response, popped):
        """Requests, and the weight buffer."""
        if requested:
            self._left -= 1
            self._address += 1
        self._used += requested - popped
        moves = self._stored > 0 and (popped or not self._head)
        self._stored += response - moves
        self._head = moves or self._head and not popped

    def _compute(self, now, waiting, running):
        """MAC array and finish stage; gives whether a burst leaves the weight buffer."""
        rows = self._rows
        goes = leaves = released = False
        if rows and self._loaded:
            first, last, group_end = rows[0]
            before = self._scaled - 1
            goes = not first or waiting != before and running != before
            if goes:
                leaves = self._row_step == self.row_cycles - 1
                released = leaves and group_end
        popped = reserved = parameters = False
        if self._code < 2:
            self._code += 1
            code = False
        else:
            code = True
        if self._head:
            if self._turn:
                popped = parameters = not self._loaded or released
            elif code:
                popped, reserved = self._multiply(now, leaves)
        if parameters:
            self._turn = False
            self._group += 1
            if self._group == self._groups[0]:
                self._group = 0
                self._groups.popleft()
        self._loaded = parameters or self._loaded and not released
        if goes:
            self._row_step = 0 if leaves else self._row_step + 1
        if leaves:
            rows.popleft()
            if last:
                self._scaled += 1
                self._ends.append(now + _FINISH)
        if self._coming and self._coming[0][0] == now:
            rows.append(self._coming.popleft()[1])
        self._reserved += reserved - leaves
        return popped

    def _multiply(self, now, leaves):
        """A step of the MAC array, if there is room for a sum: whether the burst leaves, whether a sum is complete."""
        last_chunk, last_item = self._chunk == self.chunks - 1, self._item == self.items - 1
        if last_chunk:
            if self._reserved == _ROWS and not leaves:
                return False, False
            end = self._group == self._groups[0] - 1 and last_item
            first = self._group == 0 and self._item == 0
            self._coming.append((now + self.mac_latency, (first, end, last_item)))
            self._turn = last_item
        if last_item:
            self._item, self._chunk = 0, 0 if last_chunk else self._chunk + 1
        else:
            self._item += 1
        return last_item, last_chunk

    def _filtering(self, now, result_taken, index_taken):
        """A cycle of the FILTER that runs."""
        found = self._found
        if found and index_taken:
            found.popleft()
        steps = _WORD_ENTRIES // self.filter_lanes
        if self._word == _WORDS:
            # All words are taken, candidates may be left.
            if not found:
                self._running = None
        elif result_taken:
            self.result = None
            self._word, self._step = self._word + 1, 0
        elif self._step < steps and not found:
            found.extend(self.filter.candidates[self._word * steps + self._step])
            self._step += 1
            if self._step == steps:
                self._result_at = now + self.convert_stages
        if self._result_at == now + 1:
            self.result, self._result_at = self._word, None
        self.index = found[0] if found else None
