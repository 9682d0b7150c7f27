"""InstructionDecoder: what a command and operand mean, or why they are no instruction (thesis 6.4.3, Figure 6.7)."""

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.isa_table import COMMAND_BITS, OPERAND_BITS, TABLE, Error, Kind, jobs

__all__ = ["DecodeStage", "ERROR_FLAGS", "Instruction", "InstructionDecoder", "Meaning", "slices"]

#: One flag a code of an error that an instruction can have.
ERROR_FLAGS = max(error.value for error in Error) + 1
#: Address bits that every burst address has beside the row: bank group, column / 8, bank; and the byte in a burst.
_ROW_LSB = 17


class Instruction(data.Struct):
    """A command, address bits A12 to A0, and its operand."""

    command: COMMAND_BITS
    operand: OPERAND_BITS


class Meaning(data.Struct):
    """``kind``: the controller's :class:`Kind`; ``op``: number of the job in its kind; ``errors``: a bit a code.

    Without errors ``kind`` and ``op`` are those of the table; with errors they have no meaning.
    """

    kind: Kind
    op: 3
    errors: ERROR_FLAGS


def slices(name, form=-1):
    """Operand fields of an instruction's form (the last one when not given): name -> ``slice``."""
    row = next(row for row in TABLE["instructions"] if row["name"] == name)
    return {field: slice(row_field["bits"][1], row_field["bits"][0] + 1)
            for field, row_field in row["forms"][form].get("fields", {}).items()}


def _mask(places):
    return sum((1 << high + 1) - (1 << low) for high, low in places)


class InstructionDecoder(wiring.Component):
    """Decodes any 13-bit command and 64-bit operand: an instruction of the table, or at least one error.

    Combinational. Errors that depend on registers (a lock, the items of a batch, the number of classes) are not known
    here. The logic follows ``docs/enmc/isa.toml``.

    Parameters: ``row_bits`` of a row address of the DRAM, 1 to 18: the rank has 2^(row_bits + 17) bytes.

    Members: ``command`` In(13), ``operand`` In(64), ``meaning`` Out(:class:`Meaning`).
    """

    def __init__(self, row_bits):
        self.rank_bits = row_bits + _ROW_LSB
        super().__init__({"command": In(COMMAND_BITS), "operand": In(OPERAND_BITS), "meaning": Out(Meaning)})

    def elaborate(self, platform):
        m = Module()
        self._errors = {error: Signal(name=f"error_{error.name.lower()}") for error in Error}
        opcode, is_write = self._part("opcode"), self._part("write")
        for error, flag in self._errors.items():
            m.d.comb += self.meaning.errors[error.value].eq(flag)
        with m.Switch(opcode):
            for number in dict.fromkeys(row["opcode"] for row in TABLE["instructions"]):
                with m.Case(number):
                    rows = [row for row in TABLE["instructions"] if row["opcode"] == number]
                    if len(rows) == 1:
                        self._instruction(m, rows[0])
                    else:
                        write, read = sorted(rows, key=lambda row: row["register"], reverse=True)
                        with m.If(is_write):
                            self._instruction(m, write)
                        with m.Else():
                            self._instruction(m, read)
            with m.Default():
                m.d.comb += self._errors[Error.OPCODE].eq(1)
        return m

    def _part(self, name):
        high, low = TABLE["command"][name]
        return self.command[low:high + 1]

    def _flag(self, m, error, condition):
        with m.If(condition):
            m.d.comb += self._errors[error].eq(1)

    def _instruction(self, m, row):
        """The command's part of an instruction, then the form that the operand chooses."""
        places = [TABLE["command"]["opcode"]]
        for name in ("buf1", "buf2"):
            if row.get(name):
                places.append(TABLE["command"][name])
                self._flag(m, Error.BUFFER, ~_one_of(self._part(name), row[name]))
        if "register" in row:
            places += [TABLE["command"]["write"], TABLE["command"]["register"]]
        self._flag(m, Error.OPERAND, (self.command & ~_mask(places) & (1 << COMMAND_BITS) - 1).any())
        if "register" in row:
            self._register(m, row)
            self._form(m, row["forms"][0])
            return
        *others, last = row["forms"]
        if others:
            with m.If(self.operand == 0):
                self._form(m, others[0])
            with m.Else():
                self._operand(m, last)
        else:
            self._operand(m, last)

    def _form(self, m, form):
        m.d.comb += self.meaning.kind.eq(Kind[form["kind"]])
        if "job" in form:
            m.d.comb += self.meaning.op.eq(jobs(form["kind"])[form["job"]])

    def _operand(self, m, form):
        """A form with its fields of the operand."""
        self._form(m, form)
        fields = form.get("fields", {})
        unused = ~_mask(field["bits"] for field in fields.values()) & (1 << OPERAND_BITS) - 1
        self._flag(m, Error.OPERAND, (self.operand & unused).any())
        for field in fields.values():
            high, low = field["bits"]
            value = self.operand[low:high + 1]
            if field["kind"] == "address":
                self._flag(m, Error.UNALIGNED, value[:6].any())
                self._flag(m, Error.RANGE, value[self.rank_bits:].any())
            else:
                if field["min"] > 0:
                    self._flag(m, Error.OPERAND, value < field["min"])
                if field["max"] < (1 << len(value)) - 1:
                    self._flag(m, Error.OPERAND, value > field["max"])
        if form.get("job") == "LOAD":
            place = slices("LDR")
            end = self.operand[place["address"]][6:self.rank_bits] + self.operand[place["count"]]
            self._flag(m, Error.RANGE, end > 1 << self.rank_bits - 6)

    def _register(self, m, row):
        """INIT, QUERY: the register exists, can be written, and takes the value."""
        register = self._part("register")
        with m.Switch(register):
            for entry in TABLE["registers"]:
                if row["register"] == "read" or entry["access"] == "write":
                    with m.Case(entry["number"]):
                        if row["register"] == "write" and not entry.get("clears"):
                            self._flag(m, Error.VALUE, ~self._takes(entry))
            with m.Default():
                m.d.comb += self._errors[Error.REGISTER].eq(1)

    def _takes(self, entry):
        """Whether a register takes the operand as its value."""
        value = self.operand
        if entry.get("kind") == "address":
            return ~(value[:6].any() | value[self.rank_bits:].any())
        if entry.get("kind") == "limit":
            return ~(value[:6].any() | (value > 1 << self.rank_bits))
        takes = ~value[entry["bits"]:].any() if entry["bits"] < OPERAND_BITS else Const(1, 1)
        if entry.get("min", 0):
            takes &= value[:entry["bits"]] >= entry["min"]
        if "max" in entry:
            takes &= value[:entry["bits"]] <= entry["max"]
        if entry.get("multiple", 1) > 1:
            takes &= ~value[:entry["multiple"].bit_length() - 1].any()
        return takes


class DecodeStage(wiring.Component):
    """A register that holds an instruction and its meaning, from a stream, until it may ``leave``.

    Latency 1 cycle, throughput an instruction a cycle. Parameters: ``row_bits`` as for :class:`InstructionDecoder`.

    Members: ``i``, In(stream of :class:`Instruction`); ``valid``, ``instruction``, ``meaning``, Out; ``leave`` In(1),
    only while ``valid``.
    """

    def __init__(self, row_bits):
        self.row_bits = row_bits
        super().__init__({"i": In(stream.Signature(Instruction)), "valid": Out(1), "instruction": Out(Instruction),
                          "meaning": Out(Meaning), "leave": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder = decoder = InstructionDecoder(self.row_bits)
        instruction, meaning = Signal(Instruction, reset_less=True), Signal(Meaning, reset_less=True)
        m.d.comb += [
            self.i.ready.eq(~self.valid | self.leave), self.instruction.eq(instruction), self.meaning.eq(meaning),
            decoder.command.eq(self.i.p.command), decoder.operand.eq(self.i.p.operand),
        ]
        with m.If(self.i.ready):
            m.d.sync += [self.valid.eq(self.i.valid), instruction.eq(self.i.payload), meaning.eq(decoder.meaning)]
        return m


def _one_of(value, numbers):
    found = value == numbers[0]
    for number in numbers[1:]:
        found |= value == number
    return found
