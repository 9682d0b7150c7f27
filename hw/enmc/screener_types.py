"""Sizes of the Screener, and what it gives to its neighbours."""

from amaranth.lib import data

from hw.enmc.enmc_types import WORD_BITS

__all__ = ["Candidate", "ENTRIES", "GROUP_CLASSES", "LANES", "MAX_CHUNKS", "ScreenerResult", "SUM_BITS", "WORDS",
           "WORD_ENTRIES"]

#: Classes of a burst of screening weights, features of a chunk, chunks of the feature buffer, sums of the PSUM buffer.
GROUP_CLASSES, LANES, MAX_CHUNKS, ENTRIES = 8, 16, 32, 64
#: Entries of a word, and words of a buffer.
WORD_ENTRIES, WORDS = 16, 4
#: Bits of an exact sum: 512 products of at most 64.
SUM_BITS = 17


class ScreenerResult(data.Struct):
    """Entries 16 ``word`` to 16 ``word`` + 15: FP32 in ``data``, entry i at bit 32 i.

    ``valid_mask``: the entry is a class and an item that exist; ``stored``: valid and no candidate.
    """

    data: WORD_BITS
    stored: WORD_ENTRIES
    valid_mask: WORD_ENTRIES
    word: 2


class Candidate(data.Struct):
    """A class whose sum of ``item`` is above the threshold."""

    item: 2
    class_index: 32
