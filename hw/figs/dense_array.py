"""Dense array: what FiGS is compared with, a systolic array without any means against zeros."""

import dataclasses

from hw.figs.chain_array import ChainArray
from hw.figs.nm_array import GridConfig

__all__ = ["DenseArray", "DenseArrayConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseArrayConfig(GridConfig):
    """Sizes of the array."""

    PRESETS = {"paper": {}, "small": {"rows": 4, "columns": 2, "beta": 2},
               "fpga": {"rows": 8, "columns": 2, "multiplier": "operator"}}


class DenseArray(ChainArray):
    """rows x columns elements of ``beta`` multiply-accumulate units, one register an element: Y = W X, every product.

    Row r has batch column r; units of column c have outputs c * beta and up. A schedule cycle is one k.

    Parameters: ``config`` a :class:`DenseArrayConfig`; ``assertions``: check the rules of ``results`` and that no sums
    are lost (simulation).

    Members: as of :class:`hw.figs.nm_array.NmArray`; a column's entries are its ``beta`` weights, low bits first, in
    the cycle of the feed (``entry_lag`` = 0).
    """

    entry_lag = 0

    def __init__(self, config, assertions=False):
        super().__init__(config, feed_bits=config.activation_bits, unit_bits=config.weight_bits, assertions=assertions)

    def operand(self, m, values, choice, place):
        return values
