"""What the Scheduler's tests share: groups of masks, the harness that drives and compares them, cover points."""

import numpy as np

from golden.dota import scheduler as golden
from hw.dota.scheduler import SchedulerConfig
from sim.context import context
from sim.coverage import Coverage

from .harness import StreamHarness

TOKENS = 4  # of the run that collects coverage
NAMES = [golden.buffer_name(value, TOKENS) for value in range(1, 1 << TOKENS)]
POINTS = [
    *(f"{name} {state}" for name in NAMES for state in ("empty", "one ID", "holds max_keys")),
    # B1110 never lends: it is the first choice whenever B1111 is empty.
    *(f"{name} lends" for name in NAMES if 2 <= name.count("1") < TOKENS and name != "B1110"),
    *(f"{name} receives" for name in NAMES if name.count("1") <= TOKENS - 2),
    "two borrows in a round", "collision leaves a row empty", "collision takes the second choice",
    "moved ID leaves in the next round", "max_keys / 2 moved IDs in a buffer",
    *(f"group {kind}" for kind in ("empty", "full", "with equal rows", "of one key", "of max_keys", "ragged")),
    "beat without keys inside a group", "fill waits for issue", "reset in mid-work",
]
coverage = Coverage("scheduler", POINTS)


def matrix(*rows):
    """Masks of rows given as sets of key indices."""
    masks = np.zeros((len(rows), max(map(max, rows)) + 1), dtype=bool)
    for row, keys in zip(masks, rows):
        row[list(keys)] = True
    return masks


FIG_7_14 = matrix({2, 3}, {1, 2, 5}, {2, 3}, {1, 3, 5})
FIG_7_15 = matrix({1, 2, 3}, {2, 3, 4}, {2, 5, 6}, {3, 4, 5})


def random_group(rng, tokens, max_keys):
    """Masks of random size and density, sometimes with correlated rows as in real attention, or with few keys."""
    keys = int(rng.integers(1, max_keys + 1))
    if rng.random() < 0.3:
        return few_keys(rng, tokens, keys)
    masks = rng.random((tokens, keys)) < rng.choice([0, 0.05, 0.2, 0.5, 0.8, 1], (tokens, 1))
    if rng.random() < 0.4:
        masks |= rng.random(keys) < rng.random() / 2
    return masks if rng.random() < 0.9 else np.tile(masks[:1], (tokens, 1))


def few_keys(rng, tokens, keys):
    """At most three needed keys, anywhere among ``keys``: buffers run empty, and moved IDs leave at once."""
    masks = np.zeros((tokens, keys), bool)
    for key in rng.integers(keys, size=3):
        masks[:, key] = rng.random(tokens) < 0.6
    return masks


def column_group(names, count, tokens=TOKENS):
    """``count`` keys of each name, in turn."""
    columns = [[digit == "1" for digit in name[1:]] for name in names]
    return np.tile(np.array(columns).reshape(-1, tokens).T, (1, count))


class Harness(StreamHarness):
    """Drives groups, compares every round with the golden model, collects coverage."""

    source, sink = "masks", "rounds"

    def __init__(self, dut):
        super().__init__(dut)
        self.config = SchedulerConfig.from_dict(self.ctx.config)
        self.groups = 0

    def beats(self, masks):
        """Beats of one group, token t's key lane k at bit t * key_lanes + k."""
        lanes = self.config.key_lanes
        padded = np.pad(masks, ((0, 0), (0, -masks.shape[1] % lanes)))
        beats = padded.reshape(len(masks), -1, lanes).swapaxes(0, 1).reshape(-1, len(masks) * lanes)
        words = [int.from_bytes(np.packbits(beat, bitorder="little").tobytes(), "little") for beat in beats]
        return [{"bits": word, "last": index == len(words) - 1} for index, word in enumerate(words)]

    def rounds(self, masks):
        """What the golden model says must come out."""
        tokens, items = self.config.tokens, []
        for picks in golden.schedule(masks):
            item = {f"picks.{slot}.{field}": 0 for slot in range(tokens) for field in ("valid", "id", "rows")}
            for slot, pick in enumerate(picks):
                rows = int(pick.rows @ (1 << np.arange(tokens)))
                item |= {f"picks.{slot}.valid": 1, f"picks.{slot}.id": pick.key, f"picks.{slot}.rows": rows}
            items.append(item | {"last": 0})
        items[-1]["last"] = 1
        if self.corrupt:
            items[0]["picks.0.rows"] ^= 1
        return items

    def put(self, *groups):
        """Queue groups; returns the number of rounds each must give."""
        lengths = []
        for masks in groups:
            self.driver.put_many(self.beats(masks))
            rounds = self.rounds(masks)
            self.board.expect_many(rounds, job=self.groups)
            self.groups += 1
            lengths.append(len(rounds))
            if self.config.tokens == TOKENS:
                cover(masks, self.config)
        return lengths


def hit(point, reached=True):
    """Count a cover point if it was reached; only runs with TOKENS rows collect."""
    if reached and context().config["tokens"] == TOKENS:
        coverage.hit(point)


def cover(masks, config):
    """Count the cover points that a group reaches, from its golden trace."""
    names = (1 << np.arange(TOKENS - 1, -1, -1)) @ masks
    filled = np.bincount(names, minlength=1 << TOKENS)
    for value, name in enumerate(NAMES, 1):
        for state, count in (("empty", 0), ("one ID", 1), ("holds max_keys", config.max_keys)):
            hit(f"{name} {state}", filled[value] == count)
    total, keys = int(masks.sum()), masks.shape[1]
    for kind, reached in {"empty": total == 0, "full": total == TOKENS * config.max_keys, "of one key": keys == 1,
                          "with equal rows": total and (masks == masks[0]).all(), "ragged": keys % config.key_lanes,
                          "of max_keys": keys == config.max_keys}.items():
        hit(f"group {kind}", reached)
    used = np.add.reduceat(masks.any(axis=0), np.arange(0, keys, config.key_lanes), dtype=int)
    hit("beat without keys inside a group", (used[:-1] == 0).any())

    trace = []
    rounds = golden.schedule(masks, trace)
    before = {value: tuple(np.flatnonzero(names == value)) for value in range(1, 1 << TOKENS) if filled[value]}
    moved_at = {}
    for number, (picks, after) in enumerate(zip(rounds, trace)):
        cover_round(number, picks, before, moved_at)
        for value, ids in after.items():
            moved = sum(names[key] != value for key in ids)
            hit("max_keys / 2 moved IDs in a buffer", moved == config.max_keys // 2)
        before = after


def cover_round(number, picks, before, moved_at):
    """Cover points of one round; ``before`` are the buffers at its start."""
    home = {key: value for value, ids in before.items() for key in ids}
    weights = 1 << np.arange(TOKENS - 1, -1, -1)
    served = [(home[pick.key], int(weights @ pick.rows), pick.key) for pick in picks]
    borrowed = [(value, value & ~rows) for value, rows, _ in served if value != rows]
    hit("two borrows in a round", len(borrowed) == 2)
    for value, rest in borrowed:
        hit(f"{NAMES[value - 1]} lends")
        hit(f"{NAMES[rest - 1]} receives")
    idle = (1 << TOKENS) - 1 & ~sum(rows for _, rows, _ in served)
    hit("collision leaves a row empty", any(value & idle for value in before))
    if len(borrowed) == 2:
        value, rest = borrowed[1]
        rows = value & ~rest
        choices = [mask for mask in before if mask & rows and mask & ~rows]
        first = min(choices, key=lambda mask: (mask.bit_count(), mask))
        hit("collision takes the second choice", first != value)
    for value, rows, key in served:
        hit("moved ID leaves in the next round", moved_at.get(key) == number - 1)
        if value != rows:
            moved_at[key] = number
