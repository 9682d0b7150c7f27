"""Timing graph of a mapped netlist: delays of all arcs, and longest paths over them, in numpy.

A node is an edge of a net (2 x net: rising, 2 x net + 1: falling), an arc leads from an input pin's edge to an output
pin's. Every node carries the slowest slew that reaches it, which fixes the delay of each arc; longest paths are then
sums of fixed numbers.
"""

import numpy as np

__all__ = ["NEVER", "Graph"]

NEVER = -np.inf
_DEEPEST = 20000


def evaluate(rows, slews, loads):
    """Bilinear rows [n, 4] (k0, ks, kc, kx) at input slews (ps) and loads (fF), never negative."""
    return np.maximum(0.0, rows[:, 0] + rows[:, 1] * slews + (rows[:, 2] + rows[:, 3] * slews) * loads)


class Graph:
    """Arcs between nodes, sorted by level.

    Parameters: ``nodes`` their number; ``sources``, ``targets`` a node an arc; ``delay_rows``, ``slew_rows`` a
    bilinear row an arc; ``loads`` fF a node; ``slews`` ps a node, where a path can start, ``NEVER`` elsewhere.

    Raises ``ValueError`` for a combinational loop.
    """

    def __init__(self, nodes, sources, targets, delay_rows, slew_rows, loads, slews):
        self.nodes, self.slews, self._incoming = nodes, slews.copy(), None
        level = self._levels(nodes, sources, targets)
        order = np.argsort(level[targets], kind="stable")
        self.arcs = order  # graph's arc -> arc as given
        self.sources, self.targets = sources[order], targets[order]
        delay_rows, slew_rows = delay_rows[order], slew_rows[order]
        bounds = np.searchsorted(level[self.targets], np.arange(1, level.max(initial=0) + 2))
        self.slices = [slice(start, end) for start, end in zip(bounds[:-1], bounds[1:])]
        self.delays = np.full(len(order), NEVER)
        for part in self.slices:
            at, into = self.slews[self.sources[part]], self.targets[part]
            live = at > NEVER
            into, at = into[live], at[live]
            self.delays[part][live] = evaluate(delay_rows[part][live], at, loads[into])
            np.maximum.at(self.slews, into, evaluate(slew_rows[part][live], at, loads[into]))

    @staticmethod
    def _levels(nodes, sources, targets):
        level = np.zeros(nodes, dtype=np.int64)
        active = np.arange(len(sources))
        for _ in range(min(nodes, _DEEPEST) + 1):
            if not len(active):
                return level
            before = level.copy()
            np.maximum.at(level, targets[active], level[sources[active]] + 1)
            changed = level != before
            active = np.flatnonzero(changed[sources])
        raise ValueError("the netlist has a combinational loop")

    def arrivals(self, start):
        """Longest time from the start values (ps a node, ``NEVER``: no start), and the start node it came from."""
        return self._longest(start, self.slices, self.sources, self.targets)

    def departures(self, end):
        """Longest time to an end (ps a node, ``NEVER``: no end), and the end node it leads to."""
        return self._longest(end, self.slices[::-1], self.targets, self.sources)

    def _longest(self, values, parts, near, far):
        """Longest times from ``values`` over the arcs, ``near`` to ``far``, and the node that each came from."""
        time, origin = values.copy(), np.where(values > NEVER, np.arange(self.nodes), -1)
        for part in parts:
            reached, before = time[near[part]] + self.delays[part], time[far[part]]
            np.maximum.at(time, far[part], reached)
            won = (reached > before) & (reached >= time[far[part]])
            origin[far[part][won]] = origin[near[part][won]]
        return time, origin

    def last_arc(self, times, node):
        """The arc (position in this graph) by which ``times`` came to a node; ``None`` where a path starts."""
        return next((arc for arc in self._by_target().get(node, ())
                     if times[self.sources[arc]] + self.delays[arc] >= times[node] - 1e-6), None)

    def path(self, times, node):
        """Nodes and arcs (numbers as given) of the longest path that ends in ``node``, last first."""
        steps = []
        while (arc := self.last_arc(times, node)) is not None:
            steps.append((node, int(self.arcs[arc])))
            node = int(self.sources[arc])
        return [*steps, (node, None)]

    def _by_target(self):
        if self._incoming is None:
            self._incoming = {}
            for arc, target in enumerate(self.targets.tolist()):
                self._incoming.setdefault(target, []).append(arc)
        return self._incoming
