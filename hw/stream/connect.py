"""A ``wiring.connect`` that also compares shapes."""

from amaranth.hdl import Shape
from amaranth.lib import data, wiring

__all__ = ["connect"]


def connect(m, *args, **kwargs):
    """Connect interfaces like :func:`amaranth.lib.wiring.connect`, after comparing the shapes of all members.

    Amaranth 0.5 compares widths only: a signed payload connects to an unsigned one, ``{a, b}`` to ``{b, a}``, without
    a word. Here members must have equal shapes: the same layout, enumeration, or width and signedness.

    Raises ``wiring.ConnectionError`` naming both members and their shapes.
    """
    sides = [(f"argument {index}", side) for index, side in enumerate(args)]
    sides += [(f"{name!r}", side) for name, side in kwargs.items()]
    first = None
    for label, side in sides:
        shapes = {path: member.shape for path, member, _ in side.signature.flatten(side)}
        if first is None:
            first_label, first = label, shapes
            continue
        for path, shape in shapes.items():
            if path in first and not _same(first[path], shape):
                name = ".".join(map(str, path))
                raise wiring.ConnectionError(
                    f"Cannot connect {name} of {first_label} with shape {first[path]!r} to {name} of {label} with "
                    f"shape {shape!r}: the shapes differ")
    wiring.connect(m, *args, **kwargs)


def _same(one, other):
    """Whether two shapes mean the same; plain integers and ``Shape`` objects compare by width and sign."""
    if isinstance(one, data.Layout) or isinstance(other, data.Layout):
        return isinstance(one, data.Layout) and isinstance(other, data.Layout) and one == other
    if isinstance(one, type) or isinstance(other, type):
        return one is other
    return Shape.cast(one) == Shape.cast(other)
