"""Commands of the DUET accelerator (docs/duet/duet_accelerator.md): engines, operations, the word that carries one."""

import dataclasses
import enum
import operator

__all__ = ["CellOp", "Command", "CopyOp", "Engine", "WorkOp"]


class Engine(enum.IntEnum):
    """Who carries out a command."""

    DMA = 0
    SPEC = 1
    EXEC = 2
    CELL = 3


class CopyOp(enum.IntEnum):
    """Operations of ``DMA``."""

    LOAD = 0
    STORE = 1
    FETCH = 2


class WorkOp(enum.IntEnum):
    """Operations of ``SPEC`` and ``EXEC`` (which has no ``FILL``)."""

    CONFIG = 0
    FILL = 1
    TILE = 2
    GATE = 3


class CellOp(enum.IntEnum):
    """Operations of ``CELL``."""

    CONFIG = 0
    UPDATE = 1


OPERATIONS = {Engine.DMA: tuple(CopyOp), Engine.SPEC: tuple(WorkOp), Engine.CELL: tuple(CellOp),
              Engine.EXEC: (WorkOp.CONFIG, WorkOp.TILE, WorkOp.GATE)}
"""The operations that each engine has."""

_BITS = {"engine": 2, "op": 2, "wait": 4, "signal": 4, "flags": 8, "a": 32, "b": 16, "c": 16, "d": 16}


@dataclasses.dataclass(frozen=True)
class Command:
    """A command, fields as in the page's table: unsigned integers. Raises ``ValueError`` for one out of range."""

    engine: int
    op: int
    wait: int = 0
    signal: int = 0
    flags: int = 0
    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0

    def __post_init__(self):
        for name, bits in _BITS.items():
            value = operator.index(getattr(self, name))
            if not 0 <= value < 1 << bits:
                raise ValueError(f"{name} = {value} is not allowed: {name} must be from 0 to {(1 << bits) - 1}")
            object.__setattr__(self, name, Engine(value) if name == "engine" else value)

    def word(self):
        """The command as one integer of 100 bits, the fields in their order, ``engine`` in the low bits."""
        word = shift = 0
        for name, bits in _BITS.items():
            word |= getattr(self, name) << shift
            shift += bits
        return word

    def waits_for(self):
        """The engines from which it takes a token."""
        return self._engines(self.wait)

    def signals_to(self):
        """The engines to which it gives a token."""
        return self._engines(self.signal)

    def waits_for_own(self):
        """Whether it waits until its engine has ended all commands before it: ``CONFIG``, and all of DMA and CELL."""
        return self.engine in (Engine.DMA, Engine.CELL) or self.op == WorkOp.CONFIG

    def __str__(self):
        names = {int(op): op.name for op in OPERATIONS[self.engine]}
        fields = "".join(f" {name}={getattr(self, name):#x}" for name in list(_BITS)[2:] if getattr(self, name))
        return f"{self.engine.name} {names.get(self.op, self.op)}{fields}"

    def _engines(self, bits):
        return [engine for engine in Engine if engine != self.engine and bits >> engine & 1]
