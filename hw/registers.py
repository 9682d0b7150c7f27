"""What a block tells of the registers that its users write: for the description of a generated block."""

import dataclasses
import typing

from amaranth.lib import data

__all__ = ["Register", "registers"]


@dataclasses.dataclass(frozen=True)
class Register:
    """A register, or an array of them at addresses one after the other.

    Attributes: ``name``; ``address`` of the first; ``shape`` of one; ``count``, ``None`` where it is no array;
    ``group``, whose registers these are, where a block has several with addresses of their own.
    """

    name: str
    address: int
    shape: typing.Any
    count: int | None = None
    group: str = ""


def registers(fields, group=""):
    """A list of :class:`Register` of ``fields``: name -> (address, shape), an ``ArrayLayout`` for an array."""
    return [Register(name, address, shape.elem_shape, shape.length, group) if isinstance(shape, data.ArrayLayout)
            else Register(name, address, shape, None, group) for name, (address, shape) in fields.items()]
