"""The rules of docs/duet/executor.md, Timing, as arithmetic on cycles: when items are taken and results leave."""

import numpy as np

from golden.duet.executor import Kind
from golden.duet.executor_pe import SLOTS, tag_counts

NEVER = -1000


class Clock:
    """Cycles of items and results when neither side stalls and every item is for the Executor, with natural IDs.

    The first item passes on the bus in cycle ``start``. Attributes: ``passed``, the cycle of each item; ``results``,
    the cycle in which each result is offered; ``counts``, tagged instructions of each chunk's elements; ``busy``,
    cycles in which an element issues; ``ending``, cycles from a last chunk's release to the last sum's reading.
    """

    def __init__(self, config, layer, curved, start):
        self.config, self.layer, self.curved = config, layer, curved
        rows, cols = config.rows, config.cols
        self.tree = -(-(cols - 1).bit_length() // 2)
        self.taken = start
        self.passed, self.results, self.counts, self.busy, self.ending = [], [], [], set(), set()
        self.imap, self.omaps, self.next_omaps = np.zeros((cols, SLOTS, config.segment), bool), None, {}
        self.complete, self.released, self.done = NEVER, NEVER, NEVER  # C, A, D of the last chunk and step
        self.moved, self.free, self.first = NEVER, NEVER, True  # M and F of the last step
        self.ends = [NEVER, NEVER]  # E of the last two chunks
        self.last = np.full((rows, cols), NEVER)  # last cycle of the last chunk, of each element
        self.closed = None  # cycle of the first WEIGHT or GO of the chunk that is loaded

    def send(self, item):
        """The next item."""
        self.passed.append(self.taken)
        at = self.taken + 1
        if item.kind == Kind.OMAP:
            at = max(at, self.moved + 1)
            self.next_omaps[item.row_tag] = item.map[:self.config.segment]
        else:
            at = max(at, self.complete + 1, self.ends[-2] + 3)
            if item.kind != Kind.INPUT and self.closed is None:
                if self.first:
                    at = max(at, self.moved + 1)
                self.closed = at
        self.taken = at
        if item.kind == Kind.INPUT:
            bits, columns = item.map.reshape(self.config.cols, -1), slice(None) if item.col_all else item.col_tag
            self.imap[columns, item.slot, item.mask] = bits[columns, item.mask]
        elif item.kind == Kind.GO:
            self._chunk(at, item.last)

    def _chunk(self, go, last):
        config, layer = self.config, self.layer
        forming = self.closed + 1
        if self.first:
            forming = max(forming, self.released + 1)
            self.omaps = np.zeros((config.rows, config.segment), bool)
            for row, omap in self.next_omaps.items():
                self.omaps[row] = omap
            self.present, self.next_omaps = len(self.next_omaps), {}
        self.complete = max(forming + config.tag_words + 1, go + 1)
        self.released = max(self.complete + 1, self.released + 1)
        if self.first:
            self.released = max(self.released, self.done + 1)
            self.moved = max(self.released + 1, self.done + self.tree + 6)
        imap = self.imap.reshape(config.cols, -1)
        counts = tag_counts(layer.program, self.omaps[:, None], imap if layer.use_imap else np.ones_like(imap))
        begin = np.maximum(self.released + 3, self.last + 1)
        self.last = begin + np.maximum(counts, 1) - 1
        self.counts.append(counts)
        for row, col in zip(*np.nonzero(counts)):
            self.busy.update(range(begin[row, col], self.last[row, col] + 1))
        self.ends = [self.ends[-1], int(self.last.max())]
        self.first, self.closed = last, None
        if last:
            self._end()

    def _end(self):
        begun = max(self.ends[-1] + 3, self.moved + 1, self.free)
        self.done = begun + 1 + max(1, int(self.omaps.any(axis=0).sum()))
        self.ending.update(range(self.released + 1, self.done + 1))
        leaves = self.done + self.tree + 6 + (self.config.rows + 4 if self.curved else 0)
        self.results += range(leaves + 1, leaves + 1 + self.present)
        self.free = leaves + max(self.present, 1)
