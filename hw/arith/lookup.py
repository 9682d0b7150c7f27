"""Constant tables as logic."""

from amaranth.hdl import C, Cat, Mux, Signal

__all__ = ["lookup"]


def lookup(m, index, values, width, *, name):
    """``values[index]``, unsigned of ``width`` bits, as combinational logic in the module ``m``.

    Each bit is a decision diagram: multiplexers from the top bit of ``index`` down, equal parts made once. Small for
    tables with few steps, whatever their length, which must be 2^len(index).
    """
    nodes = {}

    def node(part):
        """The signal that chooses from ``part``, one bit of the table, by the low bits of ``index``."""
        if len(set(part)) == 1:
            return C(part[0], 1)
        half = len(part) // 2
        if part[:half] == part[half:]:
            return node(part[:half])
        if part not in nodes:
            nodes[part] = Signal(name=f"{name}_{len(nodes)}")
            m.d.comb += nodes[part].eq(Mux(index[half.bit_length() - 1], node(part[half:]), node(part[:half])))
        return nodes[part]

    return Cat(node(tuple(value >> bit & 1 for value in values)) for bit in range(width))
