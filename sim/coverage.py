"""Functional coverage: a list of points that a test run must reach."""

import atexit
import json
import os

__all__ = ["Coverage", "NotCovered", "merge"]

_SAVED = "RESILIN_COVERAGE"  # set inside a simulation: the file that the counts go to
_all = {}


class NotCovered(AssertionError):
    """A listed point was never reached; the message names all such points."""


class Coverage:
    """A named list of cover points, with the number of times each was reached.

    Make one at module level of a test module: it then collects over all cocotb tests of the run. Inside a simulation
    the counts also reach the process that started it, as :attr:`sim.runner.Result.coverage`, where :func:`merge`
    and :meth:`check` work over several runs.

    Raises ``ValueError`` for a repeated point, for one that is not a string, and, inside a simulation, for a name that
    another one has: only one of the two would reach :func:`merge`.
    """

    def __init__(self, name, points):
        points = list(points)
        if len(set(points)) != len(points):
            raise ValueError(f"points of {name} are not allowed: each point must be listed once")
        if not all(isinstance(point, str) for point in points):
            raise ValueError(f"points of {name} are not allowed: each point must be a string")
        self.name = name
        self.hits = dict.fromkeys(points, 0)
        if _SAVED in os.environ:
            if name in _all:
                raise ValueError(f"name = {name!r} is not allowed: another Coverage of this run has it")
            _all[name] = self

    def hit(self, point, times=1):
        """Count a point as reached; a ``ValueError`` when it is not listed."""
        if point not in self.hits:
            raise ValueError(f"point = {point!r} is not allowed: the points of {self.name} are " +
                             ", ".join(map(str, self.hits)))
        self.hits[point] += times

    def add(self, counts):
        """Add counts of another run: a dict of point -> hits."""
        for point, times in counts.items():
            self.hit(point, times)

    def report(self):
        """The points and their counts, as text."""
        reached = sum(1 for count in self.hits.values() if count)
        lines = [f"coverage {self.name}: {reached} of {len(self.hits)} points"]
        lines += [f"  {count:8d}  {point}" + ("" if count else "   <- never") for point, count in self.hits.items()]
        return "\n".join(lines)

    def check(self):
        """Print the report; :class:`NotCovered` when a listed point was never reached."""
        print(self.report())
        missing = [str(point) for point, count in self.hits.items() if not count]
        if missing:
            raise NotCovered(f"{self.name}: {len(missing)} of {len(self.hits)} points never reached: " +
                             ", ".join(missing))


def merge(name, points, results):
    """A :class:`Coverage` with the counts of several runs (:class:`sim.runner.Result`) added up."""
    total = Coverage(name, points)
    for result in results:
        total.add(result.coverage.get(name, {}))
    return total


def _save(path):
    """Write all counts where the process that started the simulation reads them."""
    with open(path, "w") as handle:
        json.dump({name: coverage.hits for name, coverage in _all.items()}, handle)


if _SAVED in os.environ:
    atexit.register(_save, os.environ[_SAVED])
