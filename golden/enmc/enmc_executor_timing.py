"""Cycle model of the EnmcExecutor for groups of candidates: equals the RTL (tests/enmc/test_enmc_executor.py)."""

import dataclasses

from golden.enmc.instruction_generator import CandidateOp

__all__ = ["ExecutorTimes", "executor_times"]

_FIFO_LATENCY = 2
_GROUPS = 3  # of which REDUCE was taken and whose results are not all out
_RESULTS = 5  # on their way or waiting to be taken


@dataclasses.dataclass(frozen=True)
class ExecutorTimes:
    """Cycles of transfers.

    ``taken``: when each micro-instruction is taken (its last cycle). ``requests``: when each burst's request is taken.
    ``responses``: when each burst arrives. ``used``: when each burst of weights is multiplied. ``results``: when each
    result is valid and taken. ``issued``: operations that the lanes get.
    """

    taken: list
    requests: list
    responses: list
    used: list
    results: list
    issued: int


def executor_times(steps, response, *, response_words, feature_words, fma_stages=4):
    """:class:`ExecutorTimes` of ``steps`` (:func:`golden.enmc.instruction_generator.group_steps`), offered from
    cycle 0 on, one behind the other, to an idle Executor that has been reset.

    ``response(burst, cycle)``: the cycle in which burst number ``burst`` arrives whose request is taken in ``cycle``;
    arrivals are in order, one a cycle at most, after their requests. Requests and results are taken at once.
    ``response_words``, ``feature_words``, ``fma_stages``: the Executor's configuration.
    """
    lanes = _Lanes(fma_stages)
    taken, requests, responses, used, results, groups = [], [], [], [], [], []
    tiles = []  # words of each tile, cycle of its first multiply-add
    clock = 0
    for step in steps:
        load = step.op == CandidateOp.LOAD_FEATURE
        if load:
            tiles.append([step.count, None])
        for index in range(step.count if load else 1):
            cycle = clock
            if step.op == CandidateOp.REDUCE:
                # The record of the group: a place is free in the cycle after it is taken out.
                if len(groups) >= _GROUPS:
                    cycle = max(cycle, groups[-_GROUPS] + 1)
                starts = lanes.reduce(cycle + _FIFO_LATENCY, step.count, results)
                values = [issue + fma_stages + 1 for issue in starts]
                results += [value + _FIFO_LATENCY for value in values]
                groups.append(values[-1])
            else:
                if load:
                    cycle = max(cycle, _feature_room(tiles, index, feature_words))
                elif len(used) >= response_words:
                    cycle = max(cycle, used[-response_words] + 1)
                requests.append(cycle + 1)
                responses.append(response(len(responses), cycle + 1))
                if responses[-1] <= requests[-1] or len(responses) > 1 and responses[-1] <= responses[-2]:
                    raise ValueError(f"burst {len(responses) - 1} in cycle {responses[-1]} is not allowed: it must "
                                     "come after its request and after the burst before it")
                if not load:
                    used.append(lanes.multiply(max(cycle + _FIFO_LATENCY, responses[-1] + 1), step.slot))
                    tiles[-1][1] = tiles[-1][1] or used[-1]
            clock = cycle + 1
        taken.append(cycle)
    return ExecutorTimes(taken, requests, responses, used, results, lanes.issued)


def _feature_room(tiles, index, feature_words):
    """First cycle in which word ``index`` of the last tile has a place: enough tiles before it were left.

    A tile is left with the first multiply-add of the next one.
    """
    held = index
    for place in range(len(tiles) - 2, -1, -1):
        held += tiles[place][0]
        if held >= feature_words:
            return tiles[place + 1][1] + 1
    return 0


class _Lanes:
    """When steps leave the queue, in order, and operations are issued."""

    def __init__(self, distance):
        self.distance = distance
        self.next = 0  # first cycle in which the next step can leave
        self.free = 0  # first cycle after a REDUCE
        self.last = {}  # slot -> cycle of its last operation
        self.issued = 0

    def _operate(self, cycle, slot):
        """The first cycle from ``cycle`` on in which the sum of ``slot`` is there."""
        cycle = max(cycle, self.last.get(slot, -self.distance) + self.distance)
        self.last[slot] = cycle
        self.issued += 1
        return cycle

    def multiply(self, cycle, slot):
        cycle = self._operate(max(cycle, self.next, self.free), slot)
        self.next = cycle + 1
        return cycle

    def reduce(self, cycle, count, results):
        """Cycles of the last operation of each result."""
        cycle = max(cycle, self.next, self.free)
        if len(results) + count > _RESULTS:
            # Room is counted from the cycle after a result was taken.
            cycle = max(cycle, results[len(results) + count - _RESULTS - 1] + 1)
        self.next = cycle + 1
        for _ in range(4):
            ends = []
            for slot in range(count):
                cycle = self._operate(cycle + 1, slot)
                ends.append(cycle)
        self.free = cycle + 1
        return ends
