"""Products of two signed numbers bit by bit (Baugh-Wooley), for a :class:`hw.arith.compressor.Compressor`."""

__all__ = ["signed_products"]


def signed_products(adders, a, b):
    """Columns (weight -> bits) and a constant that add up to ``a`` times ``b``, two's complement vectors.

    A product with one sign bit counts negative: it is taken inverted, as -p = ~p - 1, and the ones are in the constant.
    """
    columns = {}
    for i in range(len(a)):
        for j in range(len(b)):
            product = a[i] & b[j]
            negative = (i == len(a) - 1) != (j == len(b) - 1)
            columns.setdefault(i + j, []).append(adders.bit(~product if negative else product))
    return columns, (1 << len(a) - 1) + (1 << len(b) - 1) - (1 << len(a) + len(b) - 1)
