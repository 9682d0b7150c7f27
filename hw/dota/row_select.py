"""The Detector's selector of one row of scores."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RowSelect"]


class RowSelect(wiring.Component):
    """Selector of one row: finds the highest value that enough scores reach, then marks the scores.

    ``value`` is built from its top bit down: a trial bit stays when at least ``count`` scores reach the trial value.
    At the end ``above`` scores exceed it, and the first ``count - above`` of those that equal it complete the row.

    Parameters
    ----------
    key_lanes, score_bits, max_keys: as in :class:`DetectorConfig`

    Members
    -------
    go: pipeline enable
    start, start_value: begin a row with this value (offset binary: sign bit inverted)
    trial: the bit on trial, one-hot; zero while the row is marked
    count: scores to select; balanced: whether to count at all
    data, lanes: the word of scores that was read, and which of its lanes are keys of the row
    tally, decide: stage enables, two steps and two steps after the read: add the word up; the word is the pass's last
    mark: stage enable while the row is marked
    mask: marks of the word, one step after its ``data``, combinational from registers
    """

    def __init__(self, key_lanes, score_bits, max_keys):
        self.key_lanes, self.score_bits = key_lanes, score_bits
        keys = range(max_keys + 1)
        super().__init__({
            "go": In(1), "start": In(1), "start_value": In(score_bits), "trial": In(score_bits),
            "count": In(keys), "balanced": In(1), "data": In(key_lanes * score_bits), "lanes": In(key_lanes),
            "tally": In(1), "decide": In(1), "mark": In(1), "mask": Out(key_lanes),
        })

    def elaborate(self, platform):
        m = Module()
        sign = 1 << self.score_bits - 1
        value, candidate = Signal(self.score_bits), Signal(self.score_bits)
        reach, equal = Signal(self.key_lanes), Signal(self.key_lanes)
        total, above = Signal.like(self.count), Signal.like(self.count)
        m.d.comb += candidate.eq(value | self.trial)
        for lane in range(self.key_lanes):
            score = self.data.word_select(lane, self.score_bits) ^ sign
            with m.If(self.go):
                m.d.sync += [reach[lane].eq(self.lanes[lane] & (score >= candidate)),
                             equal[lane].eq(self.lanes[lane] & (score == candidate) & self.balanced)]

        counted = Signal(self.key_lanes)
        m.d.comb += counted.eq(reach & (equal | self.trial.any().replicate(self.key_lanes)))  # marking: of the equal
        ranks = _ranks(m, counted)
        here, sum_ = Signal(range(self.key_lanes + 1)), Signal.like(total)
        m.d.comb += sum_.eq(total + here)
        with m.If(self.go):
            m.d.sync += here.eq(ranks[-1])
        with m.If(self.tally):
            m.d.sync += total.eq(sum_)
        with m.If(self.decide):
            m.d.sync += total.eq(0)
            with m.If(sum_ >= self.count):
                m.d.sync += value.eq(candidate)
            with m.Else():
                m.d.sync += above.eq(sum_)

        # `left` counts down while the row is marked: equal scores that may still be taken.
        taken = Signal.like(total)
        left = Signal.like(total)
        m.d.comb += [
            left.eq(self.count - above),
            self.mask.eq(Cat(reach[lane] & (~equal[lane] | (ranks[lane] <= left)) for lane in range(self.key_lanes))),
            taken.eq(Mux(ranks[-1] > left, left, ranks[-1])),
        ]
        with m.If(self.mark):
            m.d.sync += above.eq(above + taken)
        with m.If(self.start):
            m.d.sync += [value.eq(self.start_value), total.eq(0), above.eq(0)]
        return m


def _ranks(m, bits):
    """How many of ``bits`` are set up to and with each of them: a Sklansky prefix tree."""
    if len(bits) == 1:
        return [bits[0]]
    half = len(bits) // 2
    low, high = _ranks(m, bits[:half]), _ranks(m, bits[half:])
    # A signal a node: a Python expression would be written out again for each of its users.
    sums = [Signal(range(len(bits) + 1), name=f"rank_{len(bits)}") for _ in high]
    m.d.comb += [node.eq(low[-1] + rank) for node, rank in zip(sums, high)]
    return low + sums
