"""What the InstructionGenerator tells the EnmcExecutor, and what that gives: micro-instructions, accurate results."""

from amaranth.lib import data, enum

from hw.enmc.enmc_types import ADDRESS_BITS

__all__ = ["AccurateResult", "CandidateOp", "CandidateStep", "GROUP", "TILE"]

#: Candidates of a group at most, which are computed side by side: slots of PSUM_FP32.
GROUP = 4
#: Words of features that are loaded at a time: FEATURE_FP32.
TILE = 4


class CandidateOp(enum.Enum, shape=2):
    """Micro-instructions of candidates."""

    LOAD_FEATURE = 0
    MAC = 1
    REDUCE = 2


class CandidateStep(data.Struct):
    """A micro-instruction.

    LOAD_FEATURE: ``count`` (1 to 4) bursts from ``address`` on become words 0 to ``count`` - 1 of FEATURE_FP32. MAC:
    the burst at ``address`` times feature ``word``, added to ``slot`` of PSUM_FP32, to 0 when ``first``. REDUCE: the
    lanes of slots 0 to ``count`` - 1 are added: the results of ``classes`` 0 to ``count`` - 1 of ``item``.
    """

    op: CandidateOp
    address: ADDRESS_BITS
    count: 3
    slot: 2
    word: 2
    first: 1
    item: 2
    classes: data.ArrayLayout(32, GROUP)


class AccurateResult(data.Struct):
    """The FP32 ``value`` of a class of ``item``, from the full weights."""

    item: 2
    class_index: 32
    value: 32
