"""The order of FP32 numbers as that of unsigned integers: IEEE 754's totalOrder, -NaN < -inf < -0 < +0 < inf < NaN."""

from amaranth.hdl import Cat

__all__ = ["order_key", "pattern_of"]


def order_key(pattern):
    """A binary32 pattern's place in the order, 32 bits unsigned."""
    return Cat(pattern[:31] ^ pattern[31].replicate(31), ~pattern[31])


def pattern_of(key):
    """The pattern whose :func:`order_key` it is."""
    return Cat(key[:31] ^ (~key[31]).replicate(31), ~key[31])
