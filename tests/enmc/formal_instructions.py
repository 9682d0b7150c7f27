"""Proof benches of ENMC's decoder and dispatch: every command and operand, every state of the units."""

from amaranth.hdl import Assert, Assume, Cover, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from golden.enmc.isa_table import COMMAND, INSTRUCTIONS, KINDS, REGISTERS
from hw.enmc.instruction_decoder import DecodeStage, InstructionDecoder
from hw.enmc.instruction_dispatch import InstructionDispatch, UnitState
from hw.enmc.isa_table import COMMAND_BITS, OPERAND_BITS, Error, Kind, jobs

__all__ = ["DecoderProof", "DispatchProof", "StageProof"]

RANK_BITS = 17


def _any(flags):
    found = False
    for flag in flags:
        found |= flag
    return found


def _field(word, field):
    return word[field.low:field.high + 1]


def _legal_field(operand, field, rank_bits):
    value = _field(operand, field)
    if field.kind == "address":
        return (value[:6] == 0) & (value[rank_bits:] == 0)
    return (value >= field.min) & (value <= field.max)


def _takes(register, value, rank_bits):
    if register.clears:
        return True
    if register.kind != "count":
        return (value[:6] == 0) & (value <= (1 << rank_bits) - (64 if register.kind == "address" else 0))
    most = (1 << register.bits) - 1 if register.max is None else register.max
    legal = (value >= register.min) & (value <= most)
    return legal & (value[:register.multiple.bit_length() - 1] == 0) if register.multiple > 1 else legal


def legal_forms(command, operand, rank_bits):
    """(definition, form, condition) of every form: the command and operand are that instruction, in all their bits."""
    for definition in INSTRUCTIONS.values():
        fits = (_field(command, COMMAND["opcode"]) == definition.opcode) & (command & ~definition.mask == 0)
        for name in ("buf1", "buf2"):
            if getattr(definition, name):
                fits &= _any(_field(command, COMMAND[name]) == number for number in getattr(definition, name))
        if definition.register:
            write = definition.register == "write"
            number = _field(command, COMMAND["register"])
            fits &= _field(command, COMMAND["write"]) == write
            fits &= _any((number == register.number) & (_takes(register, operand, rank_bits) if write else True)
                         for register in REGISTERS.values() if not write or register.access == "write")
        for form in definition.forms:
            does = fits
            if not definition.register:
                does &= operand & ~form.mask == 0
                if form.when == "zero":
                    does &= operand == 0
                elif len(definition.forms) > 1:
                    does &= operand != 0
                for field in form.fields:
                    does &= _legal_field(operand, field, rank_bits)
                if form.job == "LOAD":
                    address, count = (next(field for field in form.fields if field.name == name)
                                      for name in ("address", "count"))
                    does &= (_field(operand, address) >> 6) + _field(operand, count) <= 1 << rank_bits - 6
            yield definition, form, does


class DecoderProof(wiring.Component):
    """No errors exactly when the bits are an instruction of the table, and then its kind and job; OPCODE exactly when
    no instruction has the opcode."""

    def __init__(self, rank_bits=RANK_BITS + 4):
        self.rank_bits = rank_bits
        super().__init__({"command": In(COMMAND_BITS), "operand": In(OPERAND_BITS)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder = decoder = InstructionDecoder(self.rank_bits - RANK_BITS)
        meaning, held = decoder.meaning, Signal()
        m.d.comb += [decoder.command.eq(self.command), decoder.operand.eq(self.operand)]
        m.d.sync += held.eq(1)  # the design needs a clock
        forms = list(legal_forms(self.command, self.operand, self.rank_bits))
        m.d.comb += Assert((meaning.errors == 0) == _any(does for _, _, does in forms))
        known = _any(_field(self.command, COMMAND["opcode"]) == row.opcode for row in INSTRUCTIONS.values())
        m.d.comb += Assert(meaning.errors[Error.OPCODE.value] == ~known)
        for _, form, does in forms:
            with m.If(does):
                m.d.comb += Assert(meaning.kind.as_value() == KINDS.index(form.kind))
                if form.job:
                    m.d.comb += Assert(meaning.op == jobs(form.kind)[form.job])
            m.d.comb += Cover(does)
        for error in (Error.BUFFER, Error.REGISTER, Error.VALUE, Error.OPERAND, Error.UNALIGNED, Error.RANGE):
            m.d.comb += Cover(meaning.errors == 1 << error.value)
        return m


class StageProof(wiring.Component):
    """The register behind the decoder always holds an instruction with its own meaning."""

    def __init__(self):
        self.stage = DecodeStage(4)
        super().__init__({"valid": In(1), "command": In(COMMAND_BITS), "operand": In(OPERAND_BITS), "leave": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.stage = stage = self.stage
        m.submodules.decoder = decoder = InstructionDecoder(4)
        m.d.comb += [
            stage.i.valid.eq(self.valid), stage.i.p.command.eq(self.command), stage.i.p.operand.eq(self.operand),
            stage.leave.eq(self.leave & stage.valid), decoder.command.eq(stage.instruction.command),
            decoder.operand.eq(stage.instruction.operand),
        ]
        with m.If(stage.valid):
            m.d.comb += Assert(stage.meaning.as_value() == decoder.meaning.as_value())
        return m


class DispatchProof(wiring.Component):
    """What is refused, or is not there, reaches no unit; one instruction goes to one place.

    Units do and take what they like, but never start work by themselves.
    """

    def __init__(self):
        super().__init__({
            "valid": In(1), "command": In(COMMAND_BITS), "operand": In(OPERAND_BITS), "kind": In(Kind), "op": In(3),
            "refused": In(1), "units": In(UnitState), "ready": In(4), "more": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.dispatch = dispatch = InstructionDispatch(assertions=False)
        m.d.comb += [
            dispatch.valid.eq(self.valid), dispatch.instruction.command.eq(self.command),
            dispatch.instruction.operand.eq(self.operand), dispatch.kind.eq(self.kind), dispatch.op.eq(self.op),
            dispatch.refused.eq(self.refused), dispatch.units.eq(self.units),
            dispatch.more.eq(self.more), Assume(self.kind.as_value() < len(Kind)),
        ]
        streams = (dispatch.screener_jobs, dispatch.executor_jobs, dispatch.ranges, dispatch.memory_jobs)
        for index, one in enumerate(streams):
            m.d.comb += one.ready.eq(self.ready[index])
        at_once = [one.valid for one in streams[:3]]
        with m.If(~self.valid | self.refused):
            m.d.comb += Assert(~_any(at_once) & ~dispatch.flush)
        m.d.comb += [Assert(self.valid | ~dispatch.leave), Assert(at_once[0] + at_once[1] + at_once[2] <= 1)]
        # A job of the load-store unit comes from an instruction of its kind that left.
        left = Signal(8)
        taken = self.valid & ~self.refused & dispatch.leave & (self.kind == Kind.MEMORY)
        gone = dispatch.memory_jobs.valid & dispatch.memory_jobs.ready
        m.d.sync += left.eq(left + taken - gone)
        m.d.comb += [Assert(left == dispatch.holding), Assert(~dispatch.memory_jobs.valid | dispatch.holding),
                     Cover(dispatch.memory_jobs.valid & dispatch.memory_jobs.ready)]
        for index in range(3):
            m.d.comb += Cover(at_once[index] & dispatch.leave)
        m.d.comb += Cover(self.valid & self.refused & dispatch.leave)
        return m
