"""Golden model of the EnmcController: registers, jobs of the units, errors (thesis 6.4.2, 6.4.3).

Instructions are taken one after the other; there is no time. The rules: docs/enmc/machine.md, docs/enmc/isa.md.
"""

import dataclasses

from .isa import RANK_BYTES, decode
from .isa_table import COMMAND, INSTRUCTIONS, REGISTERS, Error
from .layout import BURST_BYTES, GROUP_CLASSES, MAX_CHUNKS
from .screener import item_entries

__all__ = ["EnmcController", "Job"]

_MOST_LATER = 255


@dataclasses.dataclass(frozen=True)
class Job:
    """What an instruction asks for: ``kind``, ``op`` (kinds, jobs of docs/enmc/isa.toml), buffers, operand fields."""

    kind: str
    op: str | None
    buf1: int
    buf2: int
    fields: dict


class EnmcController:
    """Registers and errors of the controller.

    Attributes: ``rank_bytes``; ``registers``, name -> value of those that INIT writes; ``executed``, instructions since
    reset or CLR; ``error``: ``None`` or (code, command, number); ``later``, errors after it; ``returned``; ``locked``,
    whether WRITE_LOW and WRITE_HIGH are.
    """

    def __init__(self, rank_bytes=RANK_BYTES):
        self.rank_bytes = rank_bytes
        self.registers = {}
        self.locked = False
        self._clear()

    def _clear(self):
        kept = {name: value for name, value in self.registers.items() if REGISTERS[name].lock}
        self.registers = {row.name: row.reset for row in REGISTERS.values() if row.access == "write" and not row.clears}
        self.registers |= kept
        self.executed = 0
        self.error, self._weak, self.later = None, False, 0
        self.returned = False

    def take(self, instruction):
        """Take the next instruction, not a QUERY. The :class:`Job` it asks for, ``None`` when it is refused."""
        decoded = decode(instruction, self.rank_bytes)
        if decoded.definition is not None and decoded.definition.register == "read":
            raise ValueError("QUERY is not taken in turn: use query()")
        errors = decoded.errors | self._setting_errors(decoded)
        self.returned = False
        self.locked |= instruction.command >> COMMAND["opcode"].low != INSTRUCTIONS["INIT"].opcode
        job = None
        if errors:
            self.report(min(errors), instruction.command)
        else:
            job = Job(decoded.form.kind, decoded.form.job, decoded.buf1, decoded.buf2, decoded.fields)
        self.executed = (self.executed + 1) % (1 << 32)
        if job is not None:
            self._apply(job, decoded, instruction)
        return job

    def _setting_errors(self, decoded):
        """Errors that depend on the registers."""
        errors, fields, registers = set(), decoded.fields, self.registers
        if decoded.form is None:
            return errors
        if decoded.form.kind == "INIT":
            register = _register(decoded.register)
            if register is not None and register.lock and self.locked:
                errors.add(Error.REGISTER)
        elif decoded.form.job == "SCREEN":
            if fields["groups"] * GROUP_CLASSES > item_entries(registers["ITEMS"]):
                errors.add(Error.OPERAND)
            if fields["address"] + fields["groups"] * (registers["CHUNKS"] + 1) * BURST_BYTES > self.rank_bytes:
                errors.add(Error.RANGE)
            if registers["ITEMS"] * registers["CHUNKS"] > MAX_CHUNKS:
                errors.add(Error.SETTING)
        elif decoded.form.kind == "CANDIDATES":
            if fields["class"] + fields["count"] > registers["CLASSES"] or fields["item"] >= registers["ITEMS"]:
                errors.add(Error.SETTING)
        return errors

    def _apply(self, job, decoded, instruction):
        if job.kind == "INIT":
            register = _register(decoded.register)
            if register.clears:
                self.error, self._weak, self.later = None, False, 0
            else:
                self.registers[register.name] = instruction.operand
        elif job.kind == "RETURN":
            self.returned = True
        elif job.kind == "CLR":
            self._clear()

    def report(self, error, command=0, number=None):
        """An error of instruction ``number``, the one that is taken (or comes from the host) now when ``None``."""
        if self.error is None or self._weak:
            self.later = min(self.later + (self.error is not None), _MOST_LATER)
            self.error, self._weak = (int(error), command, self.executed if number is None else number), False
        else:
            self.later = min(self.later + 1, _MOST_LATER)

    def report_write(self):
        """A result or a log entry of a candidate was not written: RANGE of no instruction, which any other replaces."""
        if self.error is None:
            self.error, self._weak = (int(Error.RANGE), 0, 0), True
        else:
            self.later = min(self.later + 1, _MOST_LATER)

    def query(self, name):
        """The value of a register that is known here; STATUS: as when nothing goes on. ``ValueError`` for others."""
        if name == "STATUS":
            return (self.error is not None) << 2 | self.returned << 3
        if name == "ERROR":
            code, command, number = self.error or (0, 0, 0)
            return code | command << 8 | self.later << 24 | number << 32
        if name == "INSTRUCTIONS":
            return self.executed
        if name not in self.registers:
            raise ValueError(f"register = {name} is not one of the controller's: they are STATUS, ERROR, INSTRUCTIONS, "
                             + ", ".join(self.registers))
        return self.registers[name]


def _register(number):
    return next((row for row in REGISTERS.values() if row.number == number), None)
