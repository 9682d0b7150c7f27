"""Lockstep comparison of what a design gives with what the golden model gives."""

import collections

__all__ = ["Mismatch", "Scoreboard"]


class Mismatch(AssertionError):
    """The design gave something else than expected; the message names job, index, field, expected and got."""


class Scoreboard:
    """Compares items one by one, in order, the moment they arrive: the first difference is the failure.

    Parameters
    ----------
    name: what is compared, for messages (usually the stream's name)
    lanes: width in bits of a lane, or a dict of field -> width, for packed vectors: a difference then names the lane
    bench: the :class:`sim.bench.Bench` whose ``finish()`` shall call :meth:`finish` too

    Items are integers or dicts of fields. Use :meth:`check` as the ``callback`` of a
    :class:`sim.stream.StreamMonitor`.

    Attributes: ``count``, the items compared so far.
    """

    def __init__(self, name, *, lanes=None, bench=None):
        self.name = name
        self.lanes = lanes
        self.count = 0
        self._expected = collections.deque()
        if bench is not None:
            bench.add_board(self)

    def expect(self, item, job=0):
        """Add one item to what is expected; ``job`` is what a message calls the piece of work."""
        self._expected.append((job, item))

    def expect_many(self, items, job=0):
        """Add items, in order, to what is expected."""
        self._expected.extend((job, item) for item in items)

    def check(self, got):
        """Compare one item with the next expected one; :class:`Mismatch` when they differ."""
        if not self._expected:
            raise Mismatch(f"{self.name}: item {self.count} came and nothing more was expected: got {got!r}")
        job, expected = self._expected.popleft()
        if expected != got:
            raise Mismatch(f"{self.name}: job {job}, item {self.count}{self._differences(expected, got)}")
        self.count += 1

    def pending(self):
        """Number of items expected that have not come."""
        return len(self._expected)

    def reset(self):
        """Forget what is expected, after a reset of the design."""
        self._expected.clear()

    def finish(self):
        """End of test: :class:`Mismatch` when expected items did not come."""
        if self._expected:
            job, item = self._expected[0]
            raise Mismatch(f"{self.name}: {len(self._expected)} expected items did not come, the first is item "
                           f"{self.count} of job {job}: {item!r}")

    def _differences(self, expected, got):
        if not isinstance(expected, dict) or not isinstance(got, dict):
            return self._lane_difference(self.lanes, expected, got)
        words = []
        for field in [*expected, *[field for field in got if field not in expected]]:
            one, other = expected.get(field), got.get(field)
            if one != other:
                lanes = self.lanes.get(field) if isinstance(self.lanes, dict) else None
                words.append(f", field {field}" + self._lane_difference(lanes, one, other))
        return ";".join(words)

    @staticmethod
    def _lane_difference(width, expected, got):
        if isinstance(width, int) and isinstance(expected, int) and isinstance(got, int):
            mask = (1 << width) - 1
            different = expected ^ got
            first = (different & -different).bit_length() - 1
            lane = first // width
            shift = lane * width
            return (f", lane {lane}: expected {expected >> shift & mask:#x}, got {got >> shift & mask:#x} "
                    f"(whole word: expected {expected:#x}, got {got:#x})")
        if isinstance(expected, int) and isinstance(got, int):
            return f": expected {expected} ({expected:#x}), got {got} ({got:#x})"
        return f": expected {expected!r}, got {got!r}"
