"""Golden model of the InstructionGenerator: candidates into groups, groups into micro-instructions (thesis 6.4.2)."""

import collections
import dataclasses
import enum

__all__ = ["CandidateOp", "CandidateSettings", "CandidateStep", "GROUP", "Group", "InstructionGenerator",
           "LAST_ADDRESS", "TILE_WORDS", "group_steps"]

#: Candidates of a group; items.
GROUP, ITEMS = 4, 4
#: Words of a row that can be read at a time.
TILE_WORDS = (4, 8, 16)
#: Of a burst; an address beyond it is this one.
LAST_ADDRESS = (1 << 30) - 1
_CLASSES = 1 << 32


class CandidateOp(enum.IntEnum):
    """Micro-instructions; what they do: ``hw/enmc/candidate_step.py``, docs/enmc/enmc_executor.md."""

    LOAD_FEATURE = 0
    LOAD_ROW = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class CandidateSettings:
    """Registers that the generator uses: burst addresses below 2^30, ``row_bursts`` 1 to 4095; else ``ValueError``."""

    row_base: int
    row_bursts: int
    feature_base: int

    def __post_init__(self):
        for name, low, high in (("row_base", 0, LAST_ADDRESS), ("row_bursts", 1, 4095),
                                ("feature_base", 0, LAST_ADDRESS)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} = {getattr(self, name)} is not allowed: it must be from {low} to {high}")


@dataclasses.dataclass(frozen=True)
class CandidateStep:
    """A micro-instruction; fields that its ``op`` does not use have their defaults."""

    op: CandidateOp
    address: int = 0
    count: int = 0
    slot: int = 0
    last: bool = False
    item: int = 0
    classes: tuple = ()


@dataclasses.dataclass(frozen=True)
class Group:
    """One to four classes of an item, computed side by side."""

    item: int
    classes: tuple

    def __post_init__(self):
        if not 0 <= self.item < ITEMS:
            raise ValueError(f"item = {self.item} is not allowed: item must be from 0 to {ITEMS - 1}")
        if not 1 <= len(self.classes) <= GROUP or not all(0 <= c < _CLASSES for c in self.classes):
            raise ValueError(f"classes = {self.classes} are not allowed: they must be 1 to {GROUP} numbers of 32 bits")


def _address(exact):
    """A burst address; beyond the last one: the last one, which no rank has."""
    return min(exact, LAST_ADDRESS)


def group_steps(group, settings, tile_words):
    """The micro-instructions of a :class:`Group`, ``tile_words`` (4, 8, 16; else ``ValueError``) words of a row at a
    time.

    For each tile of up to ``tile_words`` words: LOAD_FEATURE of the item's features (``slot``: that of the last
    candidate; ``last``: it is the group's last tile), then for each candidate LOAD_ROW of its row's words. Rows are at
    row_base + class * row_bursts, features at feature_base + item * row_bursts; an address above 2^30 - 1 is 2^30 - 1.
    """
    if tile_words not in TILE_WORDS:
        raise ValueError(f"tile_words = {tile_words!r} is not allowed: tile_words must be one of {TILE_WORDS}")
    rows = [settings.row_base + number * settings.row_bursts for number in group.classes]
    features = settings.feature_base + group.item * settings.row_bursts
    steps = []
    for tile in range(0, settings.row_bursts, tile_words):
        words = min(tile_words, settings.row_bursts - tile)
        steps.append(CandidateStep(
            CandidateOp.LOAD_FEATURE, address=_address(features + tile), count=words, slot=len(rows) - 1,
            last=tile + words == settings.row_bursts, item=group.item, classes=group.classes))
        steps += [CandidateStep(CandidateOp.LOAD_ROW, address=_address(row + tile), count=words, slot=slot)
                  for slot, row in enumerate(rows)]
    return steps


class InstructionGenerator:
    """Queues of candidates, one an item. Groups of one item keep their order; that of different items is free."""

    def __init__(self):
        self.queues = [collections.deque() for _ in range(ITEMS)]

    def put(self, item, class_index):
        """A candidate; gives the :class:`Group` that it completes, or ``None``."""
        queue = self.queues[Group(item, (class_index,)).item]
        queue.append(class_index)
        return self._take(item) if len(queue) == GROUP else None

    def put_range(self, item, first_class, count):
        """``count`` candidates from ``first_class`` on; gives the list of groups they complete."""
        groups = (self.put(item, first_class + index) for index in range(count))
        return [group for group in groups if group is not None]

    def flush(self):
        """The groups of what is left, fewer than four of each item."""
        return [self._take(item) for item, queue in enumerate(self.queues) if queue]

    def _take(self, item):
        classes = tuple(self.queues[item])
        self.queues[item].clear()
        return Group(item, classes)
