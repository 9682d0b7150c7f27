"""Packed vectors of lanes, as the blocks have them at their ports."""

__all__ = ["pack_lanes"]


def pack_lanes(values, bits):
    """The word of integers of ``bits`` bits each, two's complement where negative, the first in the low bits."""
    return sum((int(value) & (1 << bits) - 1) << bits * index for index, value in enumerate(values))
