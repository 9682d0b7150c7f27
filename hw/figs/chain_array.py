"""What the rivals of FiGS share: a chain of registers a row, every unit with an operand of its own."""

from amaranth.hdl import Cat, Signal

from hw.figs.mac_lane import MacLane
from hw.figs.nm_array import NmArray

__all__ = ["ChainArray"]


class ChainArray(NmArray):
    """Base of the arrays whose elements pass ``feed_bits`` bits of activations on to the west.

    Row r has batch column r; units of column c have outputs c * beta and up. A column's entries are ``unit_bits`` for
    each unit, unit 0 low: what :meth:`operand` takes, and above it the weight.
    """

    def __init__(self, config, *, feed_bits, unit_bits, assertions=False):
        self.unit_bits = unit_bits
        super().__init__(config, feed_bits=feed_bits, entry_bits=config.beta * unit_bits, assertions=assertions)

    def elaborate(self, platform):
        self._east = [None] * self.config.rows
        return super().elaborate(platform)

    def make_column(self, m, column, active, first, capture, shift):
        config, choice_bits = self.config, self.unit_bits - self.config.weight_bits
        entries = [self.control[column].entries.word_select(unit, self.unit_bits) for unit in range(config.beta)]
        # A column without a schedule cycle adds zeros.
        weights = [entry[choice_bits:] & active.replicate(config.weight_bits) for entry in entries]
        above = [0] * config.beta
        for row in range(config.rows):
            values = Signal(self.feed_bits, name=f"x_{row}_{column}", reset_less=True)
            east = self._east[row]
            with m.If(self.go & self.load if east is None else self.go):
                m.d.sync += values.eq(self.feed.word_select(row, self.feed_bits) if east is None else east)
            self._east[row] = values
            results = []
            for unit in range(config.beta):
                place = f"{row}_{column}_{unit}"
                m.submodules[f"mac_{place}"] = lane = MacLane(config.lane)
                m.d.comb += [
                    lane.x.eq(self.operand(m, values, entries[unit][:choice_bits], place)),
                    lane.weight.eq(weights[unit]), lane.first.eq(first), lane.capture.eq(capture),
                    lane.shift.eq(shift), lane.above.eq(above[unit]),
                ]
                results.append(lane.result)
            above = results
        return Cat(above)

    def operand(self, m, values, choice, place):
        """A unit's operand, a register, out of what its element passes on."""
        raise NotImplementedError
