"""The lowest set bit of a vector, its number, and what is left without it."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["FindNextSet"]


class FindNextSet(wiring.Component):
    """Finds the lowest set bit. Combinational: a tree up, which counts, and down again, which chooses.

    Parameters: ``width`` of the vector, at least 1.

    Members
    -------
    bits: In(width)
    any: Out(1), a bit is set; more: Out(1), at least two are
    index: Out(range(width)), number of the lowest set bit, defined while ``any``
    first: Out(width), that bit alone; rest: Out(width), the others

    Raises ``ValueError`` when ``width`` is not a positive integer.
    """

    def __init__(self, width):
        if not isinstance(width, int) or width < 1:
            raise ValueError(f"width = {width!r} is not allowed: width must be an integer, at least 1")
        self.width = width
        super().__init__({
            "bits": In(width), "any": Out(1), "more": Out(1), "index": Out(ceil_log2(width)),
            "first": Out(width), "rest": Out(width),
        })

    def elaborate(self, platform):
        m = Module()
        any_, more, index = self._node(m, 0, self.width, Const(1, 1))
        m.d.comb += [self.any.eq(any_), self.more.eq(more), self.index.eq(index), self.rest.eq(self.bits & ~self.first)]
        return m

    def _node(self, m, start, size, chosen):
        """The part of the vector from ``start`` on, ``size`` bits; ``chosen``: no lower bit is set.

        Returns whether a bit is set, whether several are, and the number of the lowest inside the part.
        """
        if size == 1:
            bit = self.bits[start]
            m.d.comb += self.first[start].eq(bit & chosen)
            return bit, Const(0, 1), Const(0, 0)
        half = 1 << ceil_log2(size) - 1
        name = f"{start}_{size}"
        above = Signal(name=f"above_{name}")
        low, low_more, low_index = self._node(m, start, half, chosen)
        high, high_more, high_index = self._node(m, start + half, size - half, above)
        any_, more = Signal(name=f"any_{name}"), Signal(name=f"more_{name}")
        index = Signal(ceil_log2(size), name=f"index_{name}")
        m.d.comb += [
            above.eq(chosen & ~low), any_.eq(low | high), more.eq(low_more | high_more | (low & high)),
            index.eq(Mux(low, low_index, high_index | half)),
        ]
        return any_, more, index
