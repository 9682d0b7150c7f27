"""The Scheduler against its golden model: every round under stalls, worked examples, full rate, latency."""

import itertools

import cocotb
import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.dota import scheduler as golden
from hw.config import ConfigError
from hw.dota import scheduler
from hw.dota.round_pick import RoundPick, name_value
from hw.dota.scheduler import SchedulerConfig
from sim.bench import start
from sim.context import context
from sim.coverage import Coverage, NotCovered
from sim.formal import ProofFailure, prove
from sim.scoreboard import Scoreboard
from sim.stream import StallProfile
from sim.timed import TimedDriver, TimedMonitor

from . import formal_scheduler

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
    """Masks of random size and density, sometimes with correlated rows as in real attention."""
    keys = int(rng.integers(1, max_keys + 1))
    masks = rng.random((tokens, keys)) < rng.choice([0, 0.05, 0.2, 0.5, 0.8, 1], (tokens, 1))
    if rng.random() < 0.4:
        masks |= rng.random(keys) < rng.random() / 2
    return masks if rng.random() < 0.9 else np.tile(masks[:1], (tokens, 1))


def column_group(names, count, tokens=TOKENS):
    """``count`` keys of each name, in turn."""
    columns = [[digit == "1" for digit in name[1:]] for name in names]
    return np.tile(np.array(columns).reshape(-1, tokens).T, (1, count))


# ---- in the simulation ------------------------------------------------------------------------------------------


class Harness:
    """Drives groups, compares every round with the golden model, collects coverage."""

    def __init__(self, dut):
        self.dut, self.ctx = dut, context()
        self.config = SchedulerConfig.from_dict(self.ctx.config)
        self.groups = 0

    async def start(self, drive=None, take=None, monitor=True):
        self.bench = await start(self.dut, timeout=1000)
        self.board = Scoreboard("rounds", bench=self.bench)
        self.driver = TimedDriver(self.dut, "masks", stall=drive, layout=self.ctx.layout("masks"))
        if monitor:
            self.monitor_rounds(take)

    def monitor_rounds(self, take=None):
        self.monitor = TimedMonitor(self.dut, "rounds", stall=take, layout=self.ctx.layout("rounds"),
                                    callback=self.board.check)

    async def settle(self):
        """Wait for every expected round; a hang ends the wait."""
        while self.board.pending():
            await self.bench.cycles(8)

    async def finish(self):
        """Wait for every expected round, then check that nothing is left over."""
        await self.settle()
        await self.bench.finish()

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
        if self.ctx.options.get("corrupt"):
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


PROFILES = {
    "none": (lambda rng: None, lambda rng: None),
    "slow input": (lambda rng: StallProfile.random(0.7, rng), lambda rng: None),
    "slow output": (lambda rng: None, lambda rng: StallProfile.random(0.7, rng)),
    "bursts": (lambda rng: StallProfile.bursts(rng), lambda rng: StallProfile.bursts(rng)),
    "after offer": (lambda rng: StallProfile.random(0.2, rng), lambda rng: StallProfile.after_offer(1)),
    "adversarial": (StallProfile.adversarial, StallProfile.adversarial),
}


@cocotb.test()
@cocotb.parametrize(profile=list(PROFILES))
async def random_groups(dut, profile):
    """Back-to-back groups of random masks."""
    h = Harness(dut)
    drive, take = (make(h.ctx.random) for make in PROFILES[profile])
    await h.start(drive, take)
    h.put(*(random_group(h.ctx.rng, h.config.tokens, h.config.max_keys) for _ in range(25)))
    await h.finish()


@cocotb.test()
async def corner_groups(dut):
    """Empty, full and equal rows, one key, every buffer filled to the brim, and the worked examples."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.3, h.ctx.random))
    tokens, keys = h.config.tokens, h.config.max_keys
    for masks in (FIG_7_14, FIG_7_15):
        if tokens == len(masks):
            h.put(masks, np.zeros((tokens, keys), bool), masks)
    h.put(np.zeros((tokens, 1), bool), np.ones((tokens, keys), bool), np.ones((tokens, 1), bool),
          np.tile(h.ctx.rng.random(keys) < 0.3, (tokens, 1)), np.eye(tokens, keys, keys - tokens, dtype=bool))
    for value in range(1, 1 << tokens):
        h.put(column_group([golden.buffer_name(value, tokens)], keys, tokens))
    for names in itertools.combinations([golden.buffer_name(value, tokens) for value in range(1, 1 << tokens)], 2):
        h.put(column_group(names, min(keys // 2, 16), tokens))
    if tokens == TOKENS:
        h.put(column_group(["B1100", "B1010"], keys // 2), column_group(["B1100", "B1010", "B1001"], keys // 4),
              column_group(["B1100", "B0110", "B0101", "B1001"], keys // 4))
    await h.finish()


@cocotb.test()
async def full_rate(dut):
    """Without stalls: latency from idle, no bubble inside a group, and the fill overlaps the issue."""
    h = Harness(dut)
    await h.start()
    tokens, keys, lanes = h.config.tokens, h.config.max_keys, h.config.key_lanes
    for _ in range(20):
        masks = random_group(h.ctx.rng, tokens, keys)
        sent, seen = len(h.driver.times), len(h.monitor.times)
        [count] = h.put(masks)
        await h.settle()
        used = np.add.reduceat(masks.any(axis=0), np.arange(0, masks.shape[1], lanes), dtype=int)
        times = h.monitor.times[seen:]
        assert times[0] - h.driver.times[sent] == h.config.latency(used), "latency"
        assert np.diff(times).tolist() == [1] * (count - 1), "a bubble inside a group"
    for masks in (np.ones((tokens, keys), bool), np.repeat(np.eye(tokens, dtype=bool), keys // tokens, axis=1),
                  random_group(h.ctx.rng, tokens, keys)):
        seen = len(h.monitor.times)
        lengths = h.put(*[masks] * 6)
        await h.settle()
        starts = np.array(h.monitor.times[seen:])[np.cumsum([0, *lengths[:-1]])]
        used = np.add.reduceat(masks.any(axis=0), np.arange(0, masks.shape[1], lanes), dtype=int)
        period = h.config.period(lengths[0], used)
        assert (np.diff(starts) <= period).all(), f"a group every {np.diff(starts)} cycles, {period} at most expected"
    await h.finish()


@cocotb.test()
async def fill_waits(dut):
    """With the output blocked, a group and what fits of the next one fill; nothing is lost."""
    h = Harness(dut)
    await h.start(monitor=False)
    full = np.ones((h.config.tokens, h.config.max_keys), bool)
    h.put(full, full, full)
    await h.bench.cycles(4 * h.config.max_keys)
    beats = len(h.beats(full))
    assert h.driver.count < 3 * beats and not h.driver.idle()
    hit("fill waits for issue")
    h.monitor_rounds()
    await h.finish()


@cocotb.test()
async def reset_in_work(dut):
    """A reset at any moment leaves nothing behind."""
    h = Harness(dut)
    await h.start(None, StallProfile.random(0.5, h.ctx.random))
    for _ in range(15):
        h.put(*(random_group(h.ctx.rng, h.config.tokens, h.config.max_keys) for _ in range(4)))
        await h.bench.cycles(int(h.ctx.rng.integers(1, 4 * h.config.max_keys)))
        await h.bench.reset(1)
        h.board.reset()
        hit("reset in mid-work")
    h.put(*(random_group(h.ctx.rng, h.config.tokens, h.config.max_keys) for _ in range(4)))
    await h.finish()


@cocotb.test()
async def cover_points(dut):
    """Every point was reached by the tests before this one, where the run asks for it."""
    if context().options.get("cover"):
        coverage.check()


# ---- pytest -----------------------------------------------------------------------------------------------------


def simulate(**options):
    from resilin.simulate import simulate
    return simulate("scheduler", **options)


def test_bit_exact_and_covered():
    simulate(preset="fpga", options={"cover": True}, seed=3)


@pytest.mark.parametrize("tokens, max_keys, key_lanes", [
    (2, 16, 16), (3, 32, 8), pytest.param(5, 16, 4, marks=pytest.mark.slow),
    pytest.param(6, 16, 1, marks=pytest.mark.slow)])
def test_bit_exact(tokens, max_keys, key_lanes):
    simulate(preset="small", overrides=dict(tokens=tokens, max_keys=max_keys, key_lanes=key_lanes), seed=tokens)


def test_paper_size():
    simulate(preset="paper", testcase=["corner_groups", "full_rate"])


def test_wrong_expectation_fails():
    with pytest.raises(AssertionError, match="field picks.0.rows"):
        simulate(preset="fpga", options={"corrupt": True}, testcase="fill_waits")


def test_missing_point_fails():
    with pytest.raises(NotCovered, match="reset in mid-work"):
        Coverage("scheduler", POINTS).check()


def flags_of(tokens):
    """Every combination of non-empty buffers up to T = 3, and random ones from T = 4."""
    flags = (1 << tokens) - 1
    if tokens < 4:
        return range(1 << flags)
    rng = np.random.default_rng(tokens)
    dense = rng.random((1500, flags)) < rng.choice([0.03, 0.1, 0.2, 0.5, 0.9], (1500, 1))
    return [sum(1 << int(bit) for bit in np.flatnonzero(row)) for row in dense]


@pytest.mark.parametrize("tokens", [2, 3, 4, 5, 6])
def test_round_pick(tokens):
    """The pick logic alone, against the golden model."""
    dut = RoundPick(tokens)

    async def bench(ctx):
        for flags in flags_of(tokens):
            nonempty = frozenset(name_value(mask, tokens) for mask in range(1, 1 << tokens) if flags >> mask - 1 & 1)
            ctx.set(dut.nonempty, flags << 1)
            got = [(name_value(slot.source, tokens), name_value(slot.rows, tokens)) for slot in ctx.get(dut.slots)]
            expected = golden.pick(nonempty, tokens)
            assert got == [*expected, *[(0, 0)] * (tokens - len(expected))], flags
            moved = {mask & ~rows for mask, rows in expected} - {0}
            assert ctx.get(dut.pop) == sum(1 << name_value(mask, tokens) for mask, _ in expected), flags
            assert ctx.get(dut.give) == sum(1 << name_value(mask, tokens) for mask in moved), flags
            assert ctx.get(dut.last) == (not moved and len(expected) == len(nonempty)), flags

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("tokens", [2, 3, 4, 5])
def test_round_pick_proven(tokens):
    """One step covers every combination of flags; 3 s each."""
    prove(formal_scheduler.PickProof(tokens), depth=1, mode="bmc", name=f"pick_{tokens}")


def prove_group(tokens, depth, **options):
    config = SchedulerConfig(tokens=tokens, max_keys=4, key_lanes=4)
    text = formal_scheduler.flat(formal_scheduler.GroupProof(config, **options))
    return prove(text, depth=depth, mode="bmc", reset=False)


@pytest.mark.parametrize("tokens, keys", [
    (2, 4), pytest.param(3, 4, marks=pytest.mark.slow), pytest.param(4, 2, marks=pytest.mark.slow)])
def test_group_proven(tokens, keys):
    """Every connection issued exactly once and no deadlock, for all masks of a few keys.

    A group that comes in cycle 1 has its first round in cycle keys + 5 and its last by cycle 2 * keys + 4.
    """
    prove_group(tokens, 2 * keys + 7, keys=keys, stalls=False)


def test_group_proof_sees_a_wrong_pick(monkeypatch):
    class Idle(RoundPick):
        """The second slot never issues, though its buffer gives."""

        def elaborate(self, platform):
            m = super().elaborate(platform)
            m.d.comb += self.slots[1].eq(0)
            return m

    monkeypatch.setattr(scheduler, "RoundPick", Idle)
    with pytest.raises(ProofFailure, match="Assert failed"):
        prove_group(2, 12, stalls=False)


def test_proof_sees_a_wrong_pick(monkeypatch, tmp_path):
    class Overlapping(RoundPick):
        """The second pick serves the rows of the first."""

        def elaborate(self, platform):
            m = super().elaborate(platform)
            m.d.comb += self.slots[1].rows.eq(self.slots[0].rows)
            return m

    monkeypatch.setattr(formal_scheduler, "RoundPick", Overlapping)
    with pytest.raises(ProofFailure, match="a row gets two IDs|a row that does not need the ID|Assert failed"):
        prove(formal_scheduler.PickProof(3), depth=1, mode="bmc", name="pick_wrong", keep=tmp_path)


def test_worked_examples():
    assert golden.loads(FIG_7_14) == golden.Loads(
        row_by_row=10, left_to_right=5, out_of_order=5, lower_bound=4, rounds=3)
    assert golden.loads(FIG_7_15) == golden.Loads(
        row_by_row=12, left_to_right=11, out_of_order=7, lower_bound=6, rounds=3)
    trace = []
    rounds = golden.schedule(FIG_7_15, trace)
    assert [{pick.key for pick in picks} for picks in rounds] == [{2, 5}, {3, 6}, {1, 4, 5}]
    assert 5 in trace[0][0b0010]


@pytest.mark.parametrize("tokens", [2, 3, 4, 5, 6])
def test_golden_issues_every_connection_once(tokens):
    rng = np.random.default_rng(tokens)
    for _ in range(40):
        masks = random_group(rng, tokens, 40)
        issued = np.zeros(masks.shape, int)
        rounds = golden.schedule(masks)
        for picks in rounds:
            assert sum(pick.rows.astype(int) for pick in picks).max() <= 1 if picks else not masks.any()
            for pick in picks:
                issued[:, pick.key] += pick.rows
        np.testing.assert_array_equal(issued, masks)
        counts = golden.loads(masks)
        assert counts.lower_bound <= counts.out_of_order <= counts.row_by_row
        assert counts.lower_bound <= counts.left_to_right <= counts.row_by_row


def test_loads_of_several_groups():
    rng = np.random.default_rng(0)
    masks = rng.random((10, 30)) < 0.3
    parts = [golden.loads(np.pad(part, ((0, 4 - len(part)), (0, 0)))) for part in (masks[:4], masks[4:8], masks[8:])]
    total = golden.loads(masks, 4)
    for field in ("row_by_row", "left_to_right", "out_of_order", "lower_bound", "rounds"):
        assert getattr(total, field) == sum(getattr(part, field) for part in parts)


@pytest.mark.parametrize("masks", [np.zeros((4, 3)), np.zeros(4, bool), np.zeros((1, 4), bool), np.zeros((7, 4), bool)])
def test_golden_refuses(masks):
    with pytest.raises(ValueError, match="must be"):
        golden.schedule(masks)


@pytest.mark.parametrize("field, value", [("tokens", 7), ("tokens", 1), ("max_keys", 48), ("key_lanes", 1024)])
def test_config_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        SchedulerConfig(**{field: value})
