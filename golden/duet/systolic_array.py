"""Golden model of the SystolicArray: exact INT4 matrix products, carried on over any K (thesis 5.1.1, step 3)."""

from golden.arith.fixed import check_range

__all__ = ["matmul", "sum_bits"]


def sum_bits(max_k, bits=4):
    """Bits of a signed sum of ``max_k`` products of ``bits``-bit signed numbers; the greatest is 2^(2 bits - 2)."""
    return (max_k << (2 * bits - 2)).bit_length() + 1


def matmul(a, b, initial=None, *, bits=4, acc_bits=None):
    """``a`` (m, k) times ``b`` (k, n), signed integers of ``bits`` bits, plus ``initial`` (m, n) where given.

    ``initial`` is what the array holds from tiles before (``first`` = 0 in the hardware). Returns int64 (m, n), exact.
    Raises ``ValueError`` for a number out of range, shapes that do not fit and, with ``acc_bits``, for a sum that does
    not fit in that many bits.
    """
    a, b = check_range("a", a, bits), check_range("b", b, bits)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"a has shape {a.shape} and b {b.shape}: they must be (m, k) and (k, n)")
    sums = a @ b
    if initial is not None:
        initial = check_range("initial", initial, acc_bits or 63)
        if initial.shape != sums.shape:
            raise ValueError(f"initial has shape {initial.shape}: it must be {sums.shape}")
        sums = sums + initial
    return sums if acc_bits is None else check_range("a sum", sums, acc_bits)
