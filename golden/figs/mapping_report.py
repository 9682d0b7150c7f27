"""What a compiled tile or matrix costs."""

import dataclasses

__all__ = ["Report"]


@dataclasses.dataclass(frozen=True)
class Report:
    """Cycles of one pass of a tile, or of one pass of every tile.

    ``positions`` beats of x, at least a cycle each; ``held`` cycles more because a value was needed for longer or in
    another exchange; ``tail`` cycles after the last value's; ``cycles`` the three together. ``jobs`` cycles in which an
    element works, over all elements; ``nonzeros`` weights; ``capacity`` weights that as many cycles could have taken.
    """

    cycles: int
    positions: int
    held: int
    tail: int
    jobs: int
    nonzeros: int
    capacity: int

    @property
    def utilisation(self):
        """Non-zero weights per multiplier and cycle, 0 to 1."""
        return self.nonzeros / self.capacity if self.capacity else 0.0

    def __add__(self, other):
        return Report(*(mine + its for mine, its in zip(dataclasses.astuple(self), dataclasses.astuple(other))))
