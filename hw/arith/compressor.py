"""Column compressors: sums of weighted bits from full and half adders."""

import bisect
from collections import deque

from amaranth.hdl import Signal

__all__ = ["Compressor", "CompressorPlan"]


class Compressor:
    """Builds adders bit by bit inside a module, and counts them.

    Times (:meth:`within`) are in thirds of a full adder's delay: its sum takes ``SUM_TIME``, its carry ``CARRY_TIME``.

    The adders are plain logic; synthesis finds them again and maps them to full-adder cells (``extract_fa``).
    ``None`` stands for a bit that is always zero.

    Attributes: ``full_adders``, ``half_adders``: how many were made.
    """

    SUM_TIME, CARRY_TIME = 3, 2

    def __init__(self, m):
        self._m = m
        self._names = 0
        self.full_adders = self.half_adders = 0

    def bit(self, value):
        """A signal of one bit that is ``value``."""
        signal = Signal(name=f"t{self._names}")
        self._names += 1
        self._m.d.comb += signal.eq(value)
        return signal

    def select(self, flag, low, high):
        """``low`` where ``flag``, else ``high``; either may be ``None``."""
        if low is None and high is None:
            return None
        if low is high:
            return low
        if low is None:
            return self.bit(high & ~flag)
        if high is None:
            return self.bit(low & flag)
        return self.bit((low & flag) | (high & ~flag))

    def full_adder(self, a, b, c):
        """Sum and carry of three bits."""
        self.full_adders += 1
        return self.bit(a ^ b ^ c), self.bit((a & b) | (c & (a | b)))

    def half_adder(self, a, b):
        """Sum and carry of two bits."""
        self.half_adders += 1
        return self.bit(a ^ b), self.bit(a & b)

    def sum(self, columns, width):
        """Add up ``columns`` (weight -> bits) modulo 2^``width``; a list of ``width`` bits, lowest first.

        The oldest bits of a column are added first, so that late carries meet late.
        """
        columns = {weight: [bit for bit in bits if bit is not None] for weight, bits in columns.items()}
        result = []
        for weight in range(width):
            column, carries = deque(columns.get(weight, ())), columns.setdefault(weight + 1, [])
            while len(column) > 1:
                if len(column) > 2:
                    total, carry = self.full_adder(*(column.popleft() for _ in range(3)))
                elif weight + 1 < width:
                    total, carry = self.half_adder(column.popleft(), column.popleft())
                else:
                    total, carry = self.bit(column.popleft() ^ column.popleft()), None
                column.append(total)
                if carry is not None:
                    carries.append(carry)
            result.append(column[0] if column else None)
        return result

    def rows(self, columns, width):
        """Reduce ``columns`` (weight -> bits) to two rows of ``width`` bits with the same sum modulo 2^``width``.

        Carries move one column only, so the delay is that of a few adders, whatever the width.
        """
        columns = {weight: [bit for bit in bits if bit is not None] for weight, bits in columns.items()}
        while max(map(len, columns.values())) > 2:
            reduced = {weight: [] for weight in range(width + 1)}
            for weight in range(width):
                column = columns.get(weight, [])
                while len(column) > 2:
                    total, carry = self.full_adder(*column[:3])
                    reduced[weight].append(total)
                    reduced[weight + 1].append(carry)
                    column = column[3:]
                reduced[weight] += column
            del reduced[width]
            columns = reduced
        return [[_at(columns.get(weight, []), row) for weight in range(width)] for row in range(2)]

    def within(self, columns, width, limit):
        """Add up ``columns`` (weight -> list of (arrival time, bit)) modulo 2^``width`` as far as the time allows.

        The earliest three bits of a column are added first, as long as their sum is there by ``limit``. Where more
        than two bits are left that come too late, half adders make room for the next column's carries. Returns columns
        of the same kind with the same sum.
        """
        def arrival(item):
            return item[0]

        columns = {weight: sorted(columns.get(weight, ()), key=arrival) for weight in range(width + 1)}
        for weight in range(width):
            column = columns[weight]
            while len(column) > 2:
                count = 3 if column[2][0] + self.SUM_TIME <= limit else 2
                (*_, (latest, _)) = used = column[:count]
                if latest + self.SUM_TIME > limit:
                    break
                del column[:count]
                adder = self.full_adder if count == 3 else self.half_adder
                total, carry = adder(*(bit for _, bit in used))
                bisect.insort(column, (latest + self.SUM_TIME, total), key=arrival)
                columns[weight + 1].append((latest + self.CARRY_TIME, carry))
            columns[weight + 1].sort(key=arrival)
        del columns[width]
        return columns


class CompressorPlan(Compressor):
    """Counts what a :class:`Compressor` would make, and makes nothing: the bits of sums are ``None``."""

    def __init__(self):
        super().__init__(None)

    def full_adder(self, a, b, c):
        self.full_adders += 1
        return None, None

    def half_adder(self, a, b):
        self.half_adders += 1
        return None, None


def _at(bits, index):
    return bits[index] if index < len(bits) else None
