"""Commands of the accelerator: the structure that the host sends, and the engines that take them."""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum

__all__ = ["CellOp", "CommandLayout", "CopyOp", "Engine", "WorkOp"]


class Engine(enum.Enum, shape=2):
    """What takes a command from a queue of its own."""

    DMA = 0
    SPEC = 1
    EXEC = 2
    CELL = 3


class CopyOp(enum.Enum, shape=2):
    """Commands of the engine DMA."""

    LOAD = 0
    STORE = 1
    FETCH = 2


class WorkOp(enum.Enum, shape=2):
    """Commands of the engines SPEC and EXEC; EXEC has no ``FILL``."""

    CONFIG = 0
    FILL = 1
    TILE = 2
    GATE = 3


class CellOp(enum.Enum, shape=2):
    """Commands of the engine CELL."""

    CONFIG = 0
    UPDATE = 1


class CommandLayout(data.StructLayout):
    """Fields of a command; docs/duet/duet_accelerator.md has what each engine does with them."""

    def __init__(self):
        super().__init__({
            "engine": Engine, "op": unsigned(2), "wait": unsigned(4), "signal": unsigned(4), "flags": unsigned(8),
            "a": unsigned(32), "b": unsigned(16), "c": unsigned(16), "d": unsigned(16),
        })
