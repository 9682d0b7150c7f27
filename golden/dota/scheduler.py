"""Golden model of the Scheduler: token-parallel, out-of-order order of the key loads (thesis 7.6.3, Algorithm 4).

A *group* is T query rows that are processed in parallel, given as a boolean matrix ``masks`` of shape (T, n):
``masks[t, k]`` tells whether query row t needs key k. Row 0 is q1, the leftmost digit of a buffer's name: key k
starts in the buffer named by column k read from top to bottom, B1000 = needed by q1 only.

Where Algorithm 4 leaves a choice open, this model and the RTL take the same one (docs/dota/scheduler.md).
"""

import collections
import dataclasses
import functools

import numpy as np

__all__ = ["Loads", "Pick", "buffer_name", "loads", "pick", "schedule"]

MIN_TOKENS, MAX_TOKENS = 2, 6

Pick = collections.namedtuple("Pick", "key rows")
Pick.__doc__ = "One key of a round: its index, and the boolean vector (T,) of the rows that use it in this round."


def _checked(masks):
    masks = np.asarray(masks)
    if masks.dtype != np.bool_ or masks.ndim != 2:
        raise ValueError(f"masks has dtype {masks.dtype} and shape {masks.shape}: "
                         "it must be a bool array (rows, keys)")
    return masks


def _check_tokens(tokens):
    if not MIN_TOKENS <= tokens <= MAX_TOKENS:
        raise ValueError(f"tokens = {tokens} is not allowed: tokens must be from {MIN_TOKENS} to {MAX_TOKENS}")


def buffer_name(value, tokens):
    """The printed name of the buffer with mask ``value``: ``buffer_name(2, 4) == "B0010"``, q1 leftmost."""
    return f"B{value:0{tokens}b}"


@functools.lru_cache(maxsize=1 << 16)
def pick(nonempty, tokens):
    """The picks of one round: a pure function of which buffers hold an ID.

    ``nonempty`` is a frozenset of buffer masks, q1 the most significant bit. Returns a tuple of (buffer, rows) in
    the order of issue; the remainder ``buffer & ~rows`` of a borrowed ID goes to the tail of that buffer.
    """
    picks = []
    uncovered = (1 << tokens) - 1
    # Whole IDs: the buffer with the most rows that all still wait; ties, the largest mask value.
    while inside := [mask for mask in nonempty if mask & ~uncovered == 0]:
        mask = max(inside, key=lambda mask: (mask.bit_count(), mask))
        picks.append((mask, mask))
        uncovered &= ~mask
    # Borrowed IDs, a row at a time, q1 first: the buffer that shares the row with the fewest other rows; ties, the
    # smallest mask value. A buffer takes in one ID a round, so a second borrow that would end in it has to wait.
    received = set()
    for row in reversed(range(tokens)):
        if not uncovered >> row & 1:
            continue
        able = [mask for mask in nonempty if mask >> row & 1 and mask & ~uncovered not in received]
        if able:
            mask = min(able, key=lambda mask: (mask.bit_count(), mask))
            picks.append((mask, mask & uncovered))
            received.add(mask & ~uncovered)
            uncovered &= ~mask
        else:
            uncovered &= ~(1 << row)
    return tuple(picks)


def schedule(masks, trace=None):
    """The rounds of one group, in order: a list of rounds, each a list of :class:`Pick` in the order of issue.

    Parameters: ``masks`` bool (T, n), T from 2 to 6. ``trace`` (a list, optional) receives after every round a dict
    of buffer mask -> tuple of the key indices it holds. A group without any connection has one round without picks.
    Raises ``ValueError`` for another dtype, number of dimensions or T.
    """
    masks = _checked(masks)
    tokens = masks.shape[0]
    _check_tokens(tokens)
    weights = 1 << np.arange(tokens - 1, -1, -1)
    names = weights @ masks
    buffers = {mask: collections.deque(np.flatnonzero(names == mask).tolist()) for mask in range(1, 1 << tokens)}
    rounds = []
    while True:
        picks, moved = [], []
        for mask, rows in pick(frozenset(mask for mask, keys in buffers.items() if keys), tokens):
            key = buffers[mask].popleft()
            picks.append(Pick(key, (weights & rows) != 0))
            if mask != rows:
                moved.append((mask & ~rows, key))
        for mask, key in moved:
            buffers[mask].append(key)
        rounds.append(picks)
        if trace is not None:
            trace.append({mask: tuple(keys) for mask, keys in buffers.items() if keys})
        if not any(buffers.values()):
            return rounds


@dataclasses.dataclass(frozen=True)
class Loads:
    """Key vectors loaded for the same masks, by order of work; ``rounds`` counts the out-of-order rounds.

    ``row_by_row``: every connection loads its key. ``left_to_right``: T rows in parallel, each from its lowest key to
    its highest, one load for rows that use the same key in the same round. ``out_of_order``: this Scheduler.
    ``lower_bound``: the number of different keys of each group, summed.
    """

    row_by_row: int
    left_to_right: int
    out_of_order: int
    lower_bound: int
    rounds: int


def loads(masks, tokens=None):
    """Count loads of ``masks`` bool (rows, n), taken ``tokens`` rows at a time (default: all rows are one group).

    Rows short of a whole last group count as empty rows. Returns :class:`Loads`; raises ``ValueError`` as
    :func:`schedule` does.
    """
    masks = _checked(masks)
    tokens = masks.shape[0] if tokens is None else tokens
    _check_tokens(tokens)
    missing = -masks.shape[0] % tokens
    groups = np.pad(masks, ((0, missing), (0, 0))).reshape(-1, tokens, masks.shape[1])
    turn = np.cumsum(groups, axis=2)  # the round in which left-to-right order reaches a connection
    group, row, key = np.nonzero(groups)
    parallel = np.unique(np.stack([group, key, turn[group, row, key]]), axis=1).shape[1]
    ordered = [schedule(group) for group in groups]
    return Loads(row_by_row=int(groups.sum()), left_to_right=parallel,
                 out_of_order=sum(len(picks) for rounds in ordered for picks in rounds),
                 lower_bound=int(groups.any(axis=1).sum()), rounds=sum(len(rounds) for rounds in ordered))
