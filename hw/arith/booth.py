"""Radix-4 Booth multiplication: partial products of a signed and an unsigned number, for a :class:`Compressor`."""

__all__ = ["booth_digits", "booth_products", "digit_sizes", "split_digits"]


def booth_digits(adders, value):
    """The digits, -2 to 2, of the unsigned ``value``, lowest first: its sum over j of digit j * 4^j.

    A digit is three bits: (magnitude is 1, magnitude is 2, negative); ``None`` for one that is always zero. Digits may
    be shared by many multiplications.
    """
    bits = [None, *value, None, None]
    digits = []
    for low in range(0, len(value) + 1, 2):
        below, middle, above = bits[low:low + 3]
        if middle is None:
            digits.append((below, None, None))
        elif below is None:
            digits.append((middle, None if above is None else adders.bit(above & ~middle), above))
        elif above is None:
            digits.append((adders.bit(middle ^ below), adders.bit(middle & below), None))
        else:
            digits.append((adders.bit(middle ^ below), adders.bit((above ^ middle) & ~(middle ^ below)), above))
    return digits


def digit_sizes(width):
    """Bits that the digits of a number of ``width`` bits have that are not always zero, lowest digit first."""
    return [*[3] * (width // 2), 2 if width % 2 and width > 1 else 1]


def split_digits(packed, width):
    """The digits whose bits that are not always zero are one after another in the vector ``packed``."""
    digits = []
    for size in digit_sizes(width):
        digits.append((*packed[:size], *[None] * (3 - size)))
        packed = packed[size:]
    return digits


def booth_products(adders, x, digits):
    """Columns (weight -> bits) and a constant that add up to the signed ``x`` times the number of these digits."""
    width = len(x)
    columns, constant = {}, 0
    for index, (one, two, negative) in enumerate(digits):
        low = 2 * index
        top = width if two is not None else width - 1
        for weight in range(top + 1):
            bit = x[min(weight, width - 1)] & one
            if two is not None and weight > 0:
                bit |= x[weight - 1] & two
            if negative is not None:
                bit ^= negative
            # A sign's complement is one less than its negation: so no sign is extended.
            columns.setdefault(low + weight, []).append(adders.bit(~bit if weight == top else bit))
        constant -= 1 << low + top
        if negative is not None:
            columns[low].append(negative)
    return columns, constant
