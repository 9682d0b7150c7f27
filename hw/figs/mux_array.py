"""Multiplexer array: what FiGS is compared with, an M-to-1 multiplexer before each multiplier."""

import dataclasses

from amaranth.hdl import Signal

from hw.config import field
from hw.figs.chain_array import ChainArray
from hw.figs.nm_array import GridConfig
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


class MuxArray(ChainArray):
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
        super().__init__(config, feed_bits=config.window * config.activation_bits,
                         unit_bits=config.index_bits + config.weight_bits, assertions=assertions)

    def operand(self, m, values, choice, place):
        bits = self.config.activation_bits
        operand = Signal(bits, name=f"operand_{place}", reset_less=True)
        m.d.sync += operand.eq(select_value([values.word_select(k, bits) for k in range(self.config.window)], choice))
        return operand
