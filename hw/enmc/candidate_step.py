"""What the InstructionGenerator tells the EnmcExecutor, and what that gives: micro-instructions, accurate results."""

import dataclasses

from amaranth.lib import data, enum

from hw.config import Config, field
from hw.enmc.enmc_types import ADDRESS_BITS

__all__ = ["AccurateResult", "CandidateOp", "CandidateStep", "GROUP", "TileConfig"]

#: Candidates of a group at most, which are computed side by side: slots of PSUM_FP32.
GROUP = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class TileConfig(Config):
    """What both of them must know."""

    tile_words: int = field(8, "words of a row that are read at a time; the buffers hold two such tiles", min=4, max=16,
                            power_of_two=True)


class CandidateOp(enum.Enum, shape=1):
    """Micro-instructions of candidates."""

    LOAD_FEATURE = 0
    LOAD_ROW = 1


class CandidateStep(data.Struct):
    """A micro-instruction: ``count`` bursts from ``address`` on, 1 to ``tile_words``; none beyond the last address.

    LOAD_FEATURE begins a tile: words of the features of a group, whose last candidate has ``slot``. When ``last``, the
    lanes of all slots are added after the tile, and are the results of ``classes`` 0 to ``slot`` of ``item``. LOAD_ROW,
    once for each slot from 0 on, with the same ``count``: the words of its row, which are multiplied with those of
    the features and added to ``slot`` of PSUM_FP32.
    """

    op: CandidateOp
    address: ADDRESS_BITS
    count: 5
    slot: 2
    last: 1
    item: 2
    classes: data.ArrayLayout(32, GROUP)


class AccurateResult(data.Struct):
    """The FP32 ``value`` of a class of ``item``, from the full weights."""

    item: 2
    class_index: 32
    value: 32
