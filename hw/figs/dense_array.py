"""Dense array: what FiGS is compared with, a systolic array without any means against zeros."""

import dataclasses

from amaranth.hdl import Cat, Signal, signed

from hw.figs.mac_lane import MacLane
from hw.figs.nm_array import GridConfig, NmArray

__all__ = ["DenseArray", "DenseArrayConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseArrayConfig(GridConfig):
    """Sizes of the array."""

    PRESETS = {"paper": {}, "small": {"rows": 4, "columns": 2, "beta": 2},
               "fpga": {"rows": 8, "columns": 2, "multiplier": "operator"}}


class DenseArray(NmArray):
    """rows x columns elements of ``beta`` multiply-accumulate units, one register an element: Y = W X, every product.

    Row r has batch column r; units of column c have outputs c * beta and up. A schedule cycle is one k.

    Parameters: ``config`` a :class:`DenseArrayConfig`; ``assertions``: check the rules of ``results`` and that no sums
    are lost (simulation).

    Members: as of :class:`hw.figs.nm_array.NmArray`; a column's entries are its ``beta`` weights, low bits first, in
    the cycle of the feed (``entry_lag`` = 0).
    """

    entry_lag = 0

    def __init__(self, config, assertions=False):
        super().__init__(config, feed_bits=config.activation_bits, entry_bits=config.beta * config.weight_bits,
                         assertions=assertions)

    def elaborate(self, platform):
        self._east = [None] * self.config.rows
        return super().elaborate(platform)

    def make_column(self, m, column, active, first, capture, shift):
        config, bits = self.config, self.config.activation_bits
        weights = self.control[column].entries & active.replicate(config.beta * config.weight_bits)
        above = [0] * config.beta
        for row in range(config.rows):
            value = Signal(signed(bits), name=f"x_{row}_{column}", reset_less=True)
            east = self._east[row]
            if east is None:
                with m.If(self.go & self.load):
                    m.d.sync += value.eq(self.feed.word_select(row, bits))
            else:
                with m.If(self.go):
                    m.d.sync += value.eq(east)
            self._east[row] = value
            results = []
            for unit in range(config.beta):
                m.submodules[f"mac_{row}_{column}_{unit}"] = lane = MacLane(config.lane)
                m.d.comb += [
                    lane.x.eq(value), lane.weight.eq(weights.word_select(unit, config.weight_bits)),
                    lane.first.eq(first), lane.capture.eq(capture), lane.shift.eq(shift), lane.above.eq(above[unit]),
                ]
                results.append(lane.result)
            above = results
        return Cat(above)
