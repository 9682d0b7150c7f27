"""Leading zeros, the shift that removes them, and the decision to round up: what float results end with.

The value may have a fraction f below its lowest bit. ``one`` says that f is exactly 1 (the value waits for a carry that
no adder has to propagate), ``sticky`` that 0 < f < 1, neither that f is 0. A fraction of 1 is written as endless ones.
"""

from amaranth.hdl import C, Cat, Mux, Signal, Value

__all__ = ["leading_zeros", "normalize", "rounds_up"]


def leading_zeros(m, value, *, name):
    """Number of zeros above the highest set bit of ``value``, its width where none is set; logic in module ``m``."""
    # Ones below the value end the count.
    size = 1 << len(value).bit_length()
    bits = Cat(C((1 << size - len(value)) - 1, size - len(value)), value)

    def count(low, width):
        """Whether ``width`` bits from ``low`` on are all zero, and, if not, how many zeros lead, lowest bit first."""
        if width == 1:
            return ~bits[low], []
        (low_zero, low_count), (high_zero, high_count) = (count(place, width // 2) for place in (low, low + width // 2))
        high = Signal(name=f"{name}_{low + width}_{width}")
        m.d.comb += high.eq(high_zero)
        return high & low_zero, [*(Mux(high, b, a) for a, b in zip(high_count, low_count)), high]

    return Cat(*count(0, size)[1])


def normalize(m, value, shift, kept, *, one, name):
    """``value`` moved left by ``shift``, cut to its upper ``kept`` bits: (these bits, whether what is cut is not f).

    The place of f goes into the lowest bits. What is cut *is not f* when a bit of it differs from ``one``: where
    ``one`` is 0 something is cut, where it is 1 the cut part and f do not add up to 1 exactly.
    """
    other = C(0, 1)
    for level in reversed(range(len(shift))):
        step = min(1 << level, len(value))
        moved = Signal(len(value), name=f"{name}_{level}")
        m.d.comb += moved.eq(Mux(shift[level], Cat(one.replicate(step), value)[:len(value)], value))
        value, cut = Value.cast(moved), len(value) - kept - ((1 << level) - 1)
        if cut > 0:
            other |= (value[:cut] ^ one.replicate(cut)).any()
            value = value[cut:]
    return value, other


def rounds_up(lowest, guard, other, one):
    """Whether to add one at ``lowest``: nearest, ties to even.

    ``guard`` is the bit below ``lowest``, ``other`` whether what is below it, with f, is not exactly ``one``.
    """
    return Mux(other, guard, Mux(one, guard | lowest, guard & lowest))
