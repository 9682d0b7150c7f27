"""The binary32 patterns that hardware uses by name; the same as in ``golden.arith.float_fma``."""

__all__ = ["INFINITY", "MINUS_ZERO", "NAN", "ONE"]

ONE = 0x3F80_0000
MINUS_ZERO = 0x8000_0000
INFINITY = 0x7F80_0000
NAN = 0x7FC0_0000
