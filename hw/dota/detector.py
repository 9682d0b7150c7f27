"""Detector: selects the strong attentions of T query rows from their estimated scores (thesis 7.6.3, Figure 7.12)."""

import dataclasses

from amaranth.hdl import Assert, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import field
from hw.dota.mask_columns import MaskConfig, Masks
from hw.dota.row_select import RowSelect
from hw.stream.hold import assert_hold

__all__ = ["Detector", "DetectorConfig", "Scores", "SelectMode"]


class SelectMode(enum.Enum, shape=1):
    """How connections are selected: all scores at or above a threshold, or the same number in every row."""

    THRESHOLD = 0
    BALANCED = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectorConfig(MaskConfig):
    """Sizes of the Detector."""

    score_bits: int = field(8, "width of a score, signed", unit="bits", min=2, max=32)

    @property
    def memory_bits(self):
        """Bits of the row buffers, two groups of T rows."""
        return 2 * self.tokens * self.max_keys * self.score_bits

    def words(self, keys):
        """Words of a row, and beats of masks of a group, for ``keys`` keys."""
        return -(-keys // self.key_lanes)

    def latency(self, keys, balanced):
        """Cycles from the transfer of a group's last word to its first beat's valid, the Detector otherwise idle."""
        passes = self.score_bits if balanced else 0
        return passes * (self.words(keys) + 2) + 5

    def period(self, keys, balanced, rows):
        """Cycles between groups of ``rows`` rows when neither side stalls."""
        return max(rows * self.words(keys), self.latency(keys, balanced) + self.words(keys) - 2)


class Scores(data.StructLayout):
    """A word of scores: key lane k at ``data[k * score_bits:]``; ``group_rows`` (1..T): rows this group has.

    ``group_rows`` is taken with the first word of a group.
    """

    def __init__(self, tokens, key_lanes, score_bits):
        super().__init__({"data": key_lanes * score_bits, "group_rows": range(tokens + 1)})


class Detector(wiring.Component):
    """Turns estimated scores into binary masks, T query rows at a time, for the Scheduler.

    Scores of a group go row by row into buffers, one a row, double: the next group loads while this one is selected.
    All rows are then selected side by side. ``THRESHOLD`` reads the rows once. ``BALANCED`` finds, bit by bit, the
    highest value that enough scores reach (one pass over the rows a bit, :class:`RowSelect`) and marks in a last pass.

    Throughput: a word of scores a cycle in, a group every :meth:`DetectorConfig.period` cycles.
    Latency: :meth:`DetectorConfig.latency`.
    Back-pressure: full on both sides; ``scores.ready`` does not depend combinationally on ``masks.ready``.
    Source: thesis 7.6.3; the balanced selection is the workload-balance constraint of 7.6.3, done in hardware.

    Parameters
    ----------
    config: :class:`DetectorConfig`
    assertions: add checks of the rules on inputs, and that masks stay until they are taken (simulation)

    Members
    -------
    mode: In(:class:`SelectMode`)
    threshold: In(signed(score_bits)), lowest selected score in mode ``THRESHOLD``
    count: In, connections of a row in mode ``BALANCED``, 1..max_keys; a shorter row is selected as a whole
    keys: In, keys of a row, 1..max_keys. ``mode``, ``threshold``, ``count`` and ``keys`` are stable from a group's
        first word of scores to its last beat of masks.
    scores: In(stream of :class:`Scores`): a group's rows one after another, ceil(keys / key_lanes) words each
    masks: Out(stream of :class:`hw.dota.mask_columns.Masks`), registered; rows that a group lacks have empty masks
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "mode": In(SelectMode),
            "threshold": In(signed(config.score_bits)),
            "count": In(range(config.max_keys + 1)),
            "keys": In(range(config.max_keys + 1)),
            "scores": In(stream.Signature(Scores(config.tokens, config.key_lanes, config.score_bits))),
            "masks": Out(stream.Signature(Masks(config.tokens, config.key_lanes))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        lane_bits = config.key_lanes.bit_length() - 1
        top_key = Signal(range(config.max_keys))
        m.d.comb += top_key.eq(self.keys - 1)
        last_word, last_lane = top_key[lane_bits:], top_key[:lane_bits]
        balanced = Signal()
        m.d.comb += balanced.eq(self.mode == SelectMode.BALANCED)

        full, rows = Signal(2), Signal(data.ArrayLayout(range(config.tokens + 1), 2))
        buffers = [memory.Memory(shape=config.key_lanes * config.score_bits, depth=2 * config.words(config.max_keys),
                                 init=[]) for _ in range(config.tokens)]
        for index, buffer in enumerate(buffers):
            m.submodules[f"row_{index}"] = buffer
        self._load(m, buffers, full, rows, last_word)

        bank, word, reading = Signal(), Signal.like(last_word, name="word"), Signal()
        trial = Signal(config.score_bits)
        go, start, marking = Signal(), Signal(), Signal()
        # Stages of a word: a = it leaves the memory, b = compared, c = counted.
        stages = data.StructLayout({"a": 1, "b": 1, "c": 1})
        valid, last = Signal(stages), Signal(stages)
        at_end = word == last_word
        moves = ~self.masks.valid | self.masks.ready
        m.d.comb += go.eq(~marking | moves)
        with m.If(go):
            m.d.sync += [
                valid.a.eq(reading), valid.b.eq(valid.a), valid.c.eq(valid.b & ~marking),
                last.a.eq(reading & at_end), last.b.eq(last.a), last.c.eq(last.b & ~marking),
            ]
            with m.If(reading):
                m.d.sync += [word.eq(word + 1), reading.eq(~at_end)]
        with m.FSM():
            with m.State("WAIT"):
                with m.If(full.bit_select(bank, 1)):
                    m.d.comb += start.eq(1)
                    m.d.sync += [trial.eq(balanced << config.score_bits - 1), word.eq(0), reading.eq(1)]
                    with m.If(balanced):
                        m.next = "COUNT"
                    with m.Else():
                        m.next = "MARK"
            with m.State("COUNT"):
                with m.If(last.b):
                    m.d.sync += [word.eq(0), reading.eq(1)]
                with m.If(last.c):
                    m.d.sync += trial.eq(trial >> 1)
                    with m.If(trial[0]):
                        m.next = "MARK"
            with m.State("MARK"):
                m.d.comb += marking.eq(1)
                with m.If(moves & last.b):
                    m.d.sync += [bank.eq(~bank), full.bit_select(bank, 1).eq(0)]
                    m.next = "WAIT"

        with m.If(moves):
            m.d.sync += self.masks.valid.eq(marking & valid.b)
        beat = Signal.like(self.masks.payload, reset_less=True)
        m.d.comb += self.masks.payload.eq(beat)
        lanes = Mux(last.a, Cat(lane <= last_lane for lane in range(config.key_lanes)), ~0)
        masks = []
        sign = 1 << config.score_bits - 1
        for index, buffer in enumerate(buffers):
            read = buffer.read_port()
            m.submodules[f"select_{index}"] = select = RowSelect(config.key_lanes, config.score_bits, config.max_keys)
            m.d.comb += [
                read.addr.eq(Cat(word, bank)), read.en.eq(go), select.go.eq(go), select.data.eq(read.data),
                select.start.eq(start), select.start_value.eq(Mux(balanced, 0, self.threshold ^ sign)),
                select.trial.eq(trial), select.balanced.eq(balanced), select.lanes.eq(lanes),
                select.count.eq(Mux(self.count < self.keys, self.count, self.keys)),
                select.tally.eq(valid.c), select.decide.eq(last.c), select.mark.eq(marking & moves & valid.b),
            ]
            masks.append(Mux(rows[bank] > index, select.mask, 0))
        with m.If(moves & marking):
            m.d.sync += [beat.bits.eq(Cat(masks)), beat.last.eq(last.b)]
        if self.assertions:
            assert_hold(m, self.masks)
        return m

    def _load(self, m, buffers, full, rows, last_word):
        """Scores go into the row buffers of the free bank."""
        bank, row, word = Signal(), Signal(range(self.config.tokens)), Signal.like(last_word, name="load_word")
        group_rows = Signal.like(self.scores.p.group_rows)
        taken = self.scores.valid & self.scores.ready
        m.d.comb += [
            self.scores.ready.eq(~full.bit_select(bank, 1)),
            group_rows.eq(Mux(row.any() | word.any(), rows[bank], self.scores.p.group_rows)),
        ]
        for index, buffer in enumerate(buffers):
            write = buffer.write_port()
            m.d.comb += [write.addr.eq(Cat(word, bank)), write.data.eq(self.scores.p.data),
                         write.en.eq(taken & (row == index))]
        with m.If(taken):
            m.d.sync += [word.eq(word + 1), rows[bank].eq(group_rows)]
            with m.If(word == last_word):
                m.d.sync += [word.eq(0), row.eq(row + 1)]
                with m.If(row + 1 == group_rows):
                    m.d.sync += [row.eq(0), bank.eq(~bank), full.bit_select(bank, 1).eq(1)]
            if self.assertions:
                m.d.sync += [
                    Assert((group_rows != 0) & (group_rows <= self.config.tokens), "group_rows is not 1 to tokens"),
                    Assert((self.keys != 0) & (self.keys <= self.config.max_keys), "keys is not 1 to max_keys"),
                    Assert((self.mode == SelectMode.THRESHOLD) | (self.count != 0), "count is 0"),
                ]
