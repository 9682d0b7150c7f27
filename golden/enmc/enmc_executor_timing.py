"""Cycle model of the EnmcExecutor for candidates: every cycle equal to the RTL (tests/enmc/test_enmc_executor.py)."""

import dataclasses
import typing

from golden.enmc.fifo_timing import FifoTiming
from golden.enmc.instruction_generator import GROUP, LAST_ADDRESS, TILE_WORDS, CandidateOp

__all__ = ["ExecutorCycle", "ExecutorTimes", "ExecutorTiming", "executor_times"]

_TILES = 4  # that were begun and are not multiplied
_RESULTS = GROUP + 1  # on their way or waiting to be taken
_GROUPS = 3  # whose last tile was asked for and whose results are not all out
_LEVELS = 4  # additions of REDUCE


class ExecutorCycle(typing.NamedTuple):
    """What a cycle shows.

    ``ready``: the micro-instruction that is offered is taken; ``request``: burst address that is offered, or ``None``;
    ``result``: (item, class) of the result that is offered, or ``None``; ``busy``; ``operation``: what the lanes
    get: "multiply", "reduce" or ``None``.
    """

    ready: bool
    request: int | None
    result: tuple | None
    busy: bool
    operation: str | None


class ExecutorTiming:
    """The EnmcExecutor, from its reset on, without instructions. One :meth:`step` a cycle.

    Parameters: ``tile_words`` (4, 8, 16), ``fma_stages`` as the hardware's; ``ValueError`` for others.

    Attributes, what the cycle that comes shows whatever its inputs: ``request``, ``result``, ``busy`` as in
    :class:`ExecutorCycle`; ``cycle``: cycles over.
    """

    def __init__(self, *, tile_words=8, fma_stages=4):
        if tile_words not in TILE_WORDS:
            raise ValueError(f"tile_words = {tile_words!r} is not allowed: tile_words must be one of {TILE_WORDS}")
        if fma_stages not in range(2, 7):
            raise ValueError(f"fma_stages = {fma_stages!r} is not allowed: fma_stages must be from 2 to 6")
        self.tile_words, self.fma_stages = tile_words, fma_stages
        self.cycle, self.request = 0, None
        self._word = 0  # of the micro-instruction at hand: words asked for
        # Words of all tiles that were begun, and of those that were multiplied; the rest are in the buffers.
        self._begun = self._done = 0
        self._arriving, self._tiles = FifoTiming(_TILES), FifoTiming(_TILES)
        self._groups, self._results = FifoTiming(_GROUPS), FifoTiming(_RESULTS)
        # Bursts of the tile that arrives: of its features and rows so far; whole tiles that are not multiplied.
        self._arrived = self._whole = 0
        # The next multiply-add, or addition.
        self._multiplied, self._slot, self._level, self._reducing, self._last_slot = 0, 0, 0, False, 0
        self._pending = self._given = 0  # results that are asked for; of the first group: out
        self._used = {}  # slot -> cycle of its last operation
        self._last_operation = -fma_stages - 2
        self._coming = []  # cycles in which results enter their queue

    @property
    def result(self):
        return self._results.head

    @property
    def busy(self):
        return bool(self._begun != self._done or self._reducing or self._pending
                    or self.cycle <= self._last_operation + self.fma_stages + 1)

    def step(self, step=None, response=False, *, request=True, result=True):
        """One cycle: the micro-instruction offered (:class:`golden.enmc.instruction_generator.CandidateStep`) or
        ``None``, whether a burst arrives, whether a request, a result is taken. Gives its :class:`ExecutorCycle`.

        Raises ``ValueError`` for a burst that nobody asked for.
        """
        begins, asks, ready = self._ask(step, request)
        operation, ends = self._operate()
        shown = ExecutorCycle(ready, self.request, self.result, self.busy, operation)

        tile = step if asks and begins else None
        arrives = response and self._arrive()
        self._arriving.clock(tile, arrives)
        self._tiles.clock(tile, ends)
        self._whole += bool(arrives) - ends
        self._begun += tile.count if tile is not None else 0
        self._finish(step if tile is not None and tile.last else None, result)

        if asks:
            self.request = min(step.address + self._word, LAST_ADDRESS)
            self._word = 0 if ready else self._word + 1
        elif request:
            self.request = None
        self.cycle += 1
        return shown

    def _ask(self, step, request):
        """Whether the micro-instruction begins a tile, a word is asked for, the micro-instruction is over."""
        if step is None:
            return False, False, False
        if not 1 <= step.count <= self.tile_words:
            raise ValueError(f"count = {step.count} is not allowed: count must be from 1 to {self.tile_words}")
        begins = step.op == CandidateOp.LOAD_FEATURE and not self._word
        position = self._begun if begins else self._begun - step.count + self._word
        asks = position < self._done + 2 * self.tile_words and (self.request is None or request) and not (
            begins and not (self._arriving.ready and self._tiles.ready and (self._groups.ready or not step.last)))
        return begins, asks, asks and self._word + 1 == step.count

    def _arrive(self):
        """A burst; gives whether it is the last one of its tile."""
        tile = self._arriving.head
        if tile is None:
            raise ValueError(f"response = True is not allowed in cycle {self.cycle}: nobody asked for a burst")
        self._arrived += 1
        if self._arrived < tile.count * (tile.slot + 2):
            return False
        self._arrived = 0
        return True

    def _operate(self):
        """The operation of this cycle, and whether it is the last multiply-add of a tile."""
        tile, slot = self._tiles.head, self._slot
        if self.cycle < self._used.get(slot, -self.fma_stages) + self.fma_stages:
            return None, False
        if self._reducing:
            if self._level == _LEVELS - 1:
                if self._pending == _RESULTS:
                    return None, False
                self._pending += 1
                self._coming.append(self.cycle + self.fma_stages + 1)
            self._issue(slot == self._last_slot)
            if not self._slot:
                self._level = (self._level + 1) % _LEVELS
                self._reducing = self._level != 0
            return "reduce", False
        if tile is None or not self._whole and self._arrived <= tile.count * (slot + 1) + self._multiplied:
            return None, False
        self._issue(slot == tile.slot)
        if self._slot:
            return "multiply", False
        self._done += 1
        self._multiplied = (self._multiplied + 1) % tile.count
        if self._multiplied:
            return "multiply", False
        self._reducing, self._last_slot = tile.last, tile.slot
        return "multiply", True

    def _issue(self, last):
        self._used[self._slot] = self._last_operation = self.cycle
        self._slot = 0 if last else self._slot + 1

    def _finish(self, group, result):
        """Results into their queue and out; ``group``: its last tile was begun."""
        took = result and self.result is not None
        value = done = None
        if self._coming and self._coming[0] == self.cycle:
            self._coming.pop(0)
            first = self._groups.head
            value = first.item, first.classes[self._given]
            done = self._given == first.slot
            self._given = 0 if done else self._given + 1
        self._groups.clock(group, bool(done))
        self._results.clock(value, took)
        self._pending -= took


@dataclasses.dataclass(frozen=True)
class ExecutorTimes:
    """Cycles of transfers.

    ``taken``: when each micro-instruction is taken (its last cycle). ``requests``: when each burst's request is taken.
    ``responses``: when each burst arrives. ``operations``: when the lanes get one. ``results``: when each result is
    valid and taken.
    """

    taken: list
    requests: list
    responses: list
    operations: list
    results: list


def executor_times(steps, response, *, tile_words, fma_stages=4):
    """:class:`ExecutorTimes` of ``steps`` (:func:`golden.enmc.instruction_generator.group_steps`), offered from
    cycle 0 on, one behind the other, to an idle Executor.

    ``response(burst, cycle)``: the cycle in which burst number ``burst`` arrives whose request is taken in ``cycle``;
    arrivals are in order, one a cycle at most, after their requests, else ``ValueError``. Requests and results are
    taken at once.
    """
    executor = ExecutorTiming(tile_words=tile_words, fma_stages=fma_stages)
    times = ExecutorTimes([], [], [], [], [])
    waiting, arrived = list(steps), 0
    while waiting or executor.busy:
        now = executor.cycle
        if executor.request is not None:
            times.requests.append(now)
            times.responses.append(response(len(times.responses), now))
            if times.responses[-1] <= now or len(times.responses) > 1 and times.responses[-1] <= times.responses[-2]:
                raise ValueError(f"burst {len(times.responses) - 1} in cycle {times.responses[-1]} is not allowed: it "
                                 "must come after its request and after the burst before it")
        comes = arrived < len(times.responses) and times.responses[arrived] == now
        arrived += comes
        shown = executor.step(waiting[0] if waiting else None, comes)
        if shown.ready:
            times.taken.append(now)
            waiting.pop(0)
        if shown.operation:
            times.operations.append(now)
        if shown.result is not None:
            times.results.append(now)
    return times
