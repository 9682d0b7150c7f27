"""Cycle model of the OutputBuffer: how long a word of results takes."""

__all__ = ["OutputBufferTiming"]

_WORD_ENTRIES, _ENTRIES = 16, 64


class OutputBufferTiming:
    """The OutputBuffer from its reset on. Parameter: ``maximum_lanes`` as the hardware's.

    Attributes, of the coming cycle: ``last``: the last part of a word is compared, so that it is taken unless there is
    an accurate result; ``waits``: a maximum waits to be compared with MAX.
    """

    __slots__ = ("lanes", "parts", "part", "last", "waits")

    def __init__(self, maximum_lanes):
        self.lanes, self.parts = maximum_lanes, _WORD_ENTRIES // maximum_lanes
        self.part, self.last, self.waits = 0, self.parts == 1, False

    def step(self, word, accurate, classes, items):
        """One cycle: the number of the ``word`` that is offered, or ``None``; whether an ``accurate`` result comes.

        ``classes`` of the FILTER's tile that exist; ``items``: the register ITEMS.
        """
        if accurate:
            return
        if word is None:
            self.waits = False
            return
        span = _ENTRIES >> (items - 1).bit_length()
        item, offset = divmod(word * _WORD_ENTRIES + self.part * self.lanes, span)
        self.waits = item < items and offset < classes
        self.part = 0 if self.last else self.part + 1
        self.last = self.part == self.parts - 1
