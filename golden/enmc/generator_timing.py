"""Cycle model of the InstructionGenerator: candidates into groups, groups into micro-instructions."""

import collections

from golden.enmc.instruction_generator import GROUP, CandidateSettings, Group, group_steps

__all__ = ["GeneratorTiming"]

_ITEMS = 4
#: Cycles from the read of a group's last class to the last cycle of its forming.
_PLACE = 3


class GeneratorTiming:
    """The InstructionGenerator from its reset on. Parameters: ``queue_depth``, ``tile_words`` as the hardware's.

    Attributes, of the coming cycle: ``offered``: the micro-instruction that is
    (:class:`golden.enmc.instruction_generator.CandidateStep`), or ``None``; ``empty``, ``working`` as the hardware's;
    ``span``: the range at hand, [item, next class, classes left], or ``None``: one is taken. ``settings``: the
    registers.
    """

    def __init__(self, queue_depth, tile_words):
        self.depth, self.tile_words = queue_depth, tile_words
        self.settings = CandidateSettings(row_base=0, row_bursts=1, feature_base=0)
        self.offered, self.span = None, None
        self.empty, self.working = True, False
        self._queues = [collections.deque() for _ in range(_ITEMS)]
        # The group that is formed: its item, size, classes so far, cycles (0: none); the group that is ready;
        # micro-instructions of the one before it.
        self._item = self._size = self._age = 0
        self._classes, self._group, self._steps = [], None, collections.deque()

    def takes(self, item):
        """Whether a candidate of ``item`` is taken in this cycle."""
        return len(self._queues[item]) != self.depth

    def step(self, candidate, span, flush, taken):
        """One cycle: the ``candidate`` (item, class) that is offered, or ``None``; the range (item, first class, count)
        that is taken, or ``None``; ``flush``; whether the micro-instruction is ``taken``."""
        if self.empty and candidate is None and span is None:
            return
        running = self.span
        source = candidate or running and (running[0], running[1])
        puts = source is not None and self.takes(source[0])
        if taken:
            self._steps.popleft()
        if self._group is not None and not self._steps:
            self._steps.extend(group_steps(self._group, self.settings, self.tile_words))
            self._group = None
        if self._age:
            self._form()
        elif self._group is None:
            self._begin(flush and source is None and span is None)
        if puts:
            self._queues[source[0]].append(source[1])
            if candidate is None:
                running[1] += 1
                running[2] -= 1
                if not running[2]:
                    self.span = None
        if span is not None:
            self.span = list(span)
        self.offered = self._steps[0] if self._steps else None
        grouped = self._age or self._group is not None or self.offered is not None or self.span is not None
        self.working = bool(grouped) or any(len(queue) >= GROUP for queue in self._queues)
        self.empty = not grouped and not any(self._queues)

    def _begin(self, flush):
        """The next queue in turn that has a group, or with ``flush`` anything, begins to give it."""
        for distance in range(1, _ITEMS + 1):
            item = (self._item + distance) % _ITEMS
            level = len(self._queues[item])
            if level >= GROUP or flush and level:
                self._item, self._size, self._age, self._classes = item, min(level, GROUP), 1, []
                return

    def _form(self):
        if self._age <= self._size:
            self._classes.append(self._queues[self._item].popleft())
        if self._age == self._size + _PLACE:
            self._group, self._age = Group(self._item, tuple(self._classes)), 0
        else:
            self._age += 1
