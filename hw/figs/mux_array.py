"""Multiplexer array: what FiGS is compared with, an M-to-1 multiplexer before each multiplier."""

import dataclasses

from amaranth.hdl import Cat, Signal, signed

from hw.config import field
from hw.figs.mac_lane import MacLane
from hw.figs.nm_array import GridConfig, NmArray
from hw.figs.swap_register import select_value

__all__ = ["MuxArray", "MuxArrayConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MuxArrayConfig(GridConfig):
    """Sizes of the array."""

    window: int = field(16, "activations that every multiplier chooses from, M", min=4, max=32, power_of_two=True)

    PRESETS = {"paper": {}, "small": {"rows": 4, "columns": 2, "beta": 2, "window": 4},
               "fpga": {"rows": 8, "columns": 2, "window": 4, "multiplier": "operator"}}

    @property
    def index_bits(self):
        """Width of a weight's index."""
        return (self.window - 1).bit_length()

    @property
    def entry_bits(self):
        """Width of what a column does in a cycle: index and weight of each unit, low bits first."""
        return self.beta * (self.index_bits + self.weight_bits)


class MuxArray(NmArray):
    """rows x columns elements of ``beta`` multiply-accumulate units; each unit takes one of the element's ``window``
    activations by its own index. Full rate for every pattern.

    Row r has batch column r; units of column c have outputs c * beta and up. A feed brings ``window`` activations a
    row; a ratio of N:M holds it for window * N / M schedule cycles.

    Source: Mishra et al., arXiv 2104.08378 (2:4 tensor cores); VEGETA, arXiv 2302.08687.
    Parameters: ``config`` a :class:`MuxArrayConfig`; ``assertions``: check the rules of ``results`` and that no sums
    are lost (simulation).

    Members: as of :class:`hw.figs.nm_array.NmArray`; row r's feed has value k at bit k * activation_bits; a column's
    entries are, for each unit, an index and a weight, low bits first.
    """

    def __init__(self, config, assertions=False):
        super().__init__(config, feed_bits=config.window * config.activation_bits, entry_bits=config.entry_bits,
                         assertions=assertions)

    def elaborate(self, platform):
        self._east = [None] * self.config.rows
        return super().elaborate(platform)

    def make_column(self, m, column, active, first, capture, shift):
        config, bits = self.config, self.config.activation_bits
        entries, unit_bits = self.control[column].entries, config.index_bits + config.weight_bits
        above = [0] * config.beta
        for row in range(config.rows):
            values = Signal(self.feed_bits, name=f"x_{row}_{column}", reset_less=True)
            east = self._east[row]
            if east is None:
                with m.If(self.go & self.load):
                    m.d.sync += values.eq(self.feed.word_select(row, self.feed_bits))
            else:
                with m.If(self.go):
                    m.d.sync += values.eq(east)
            self._east[row] = values
            window = [values.word_select(k, bits) for k in range(config.window)]
            results = []
            for unit in range(config.beta):
                entry = entries.word_select(unit, unit_bits)
                operand = Signal(signed(bits), name=f"operand_{row}_{column}_{unit}")
                m.d.sync += operand.eq(select_value(window, entry[:config.index_bits]) & active.replicate(bits))
                m.submodules[f"mac_{row}_{column}_{unit}"] = lane = MacLane(config.lane)
                m.d.comb += [
                    lane.x.eq(operand), lane.weight.eq(entry[config.index_bits:]),
                    lane.first.eq(first), lane.capture.eq(capture), lane.shift.eq(shift), lane.above.eq(above[unit]),
                ]
                results.append(lane.result)
            above = results
        return Cat(above)
