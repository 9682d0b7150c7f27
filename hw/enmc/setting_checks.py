"""Errors of an instruction that depend on the registers."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.enmc_types import ScreenerOp
from hw.enmc.instruction_decoder import ERROR_FLAGS, Instruction, slices
from hw.enmc.isa_table import TABLE, Error, Kind, Register, register_row

__all__ = ["SettingChecks"]

_MAX_CHUNKS = 32  # of all items
_LOCKED = [register for register in Register if register_row(register.name).get("lock")]


class SettingChecks(wiring.Component):
    """Checks what :class:`hw.enmc.instruction_decoder.InstructionDecoder` cannot.

    REGISTER: WRITE_LOW, WRITE_HIGH are locked. OPERAND: more groups than the sums of a tile hold. RANGE: screening
    weights end beyond the rank. SETTING: more than 32 chunks of features; an item or class that is not there.

    Latency: none; 1 cycle for screening and ranges of candidates, which take long anyway: sums and products.

    Parameters: ``row_bits`` as for the decoder.

    Members: ``valid``, ``instruction``, ``kind``, ``op`` In, as decoded; ``leave`` In(1); ``classes`` In(32), ``items``
    In(3), ``chunks`` In(6), ``locked`` In(1); ``checked`` Out(1): ``errors``, Out, a bit a code, are those of the
    instruction.
    """

    def __init__(self, row_bits):
        self.rank_bursts = 1 << row_bits + 11
        super().__init__({
            "valid": In(1), "instruction": In(Instruction), "kind": In(Kind), "op": In(3), "leave": In(1),
            "classes": In(32), "items": In(3), "chunks": In(6), "locked": In(1), "checked": Out(1),
            "errors": Out(ERROR_FLAGS),
        })

    def elaborate(self, platform):
        m = Module()
        operand = self.instruction.operand
        screen, listed = slices("MUL_ADD_INT4"), slices("MUL_ADD_FP32")
        high, low = TABLE["command"]["register"]
        register = self.instruction.command[low:high + 1]
        late, again = Signal(ERROR_FLAGS), Signal()  # errors that take a cycle; it is over
        m.d.sync += [late.eq(0), again.eq(self.valid & ~self.leave)]
        m.d.comb += self.checked.eq(self.valid)
        with m.Switch(self.kind):
            with m.Case(Kind.INIT):
                locked = Signal()
                for one in _LOCKED:
                    with m.If(register == one.value):
                        m.d.comb += locked.eq(self.locked)
                m.d.comb += self.errors[Error.REGISTER.value].eq(locked)
            with m.Case(Kind.SCREENER):
                address, groups = operand[screen["address"]][6:], operand[screen["groups"]]
                # 8 groups fill the sums of one item, 4 those of two, 2 of three or four.
                most = Signal(4)
                m.d.comb += most.eq(8)
                with m.If(self.items > 2):
                    m.d.comb += most.eq(2)
                with m.Elif(self.items > 1):
                    m.d.comb += most.eq(4)
                with m.If(self.op == ScreenerOp.SCREEN.value):
                    m.d.comb += [self.checked.eq(self.valid & again), self.errors.eq(late)]
                    m.d.sync += [
                        late[Error.OPERAND.value].eq(groups > most),
                        late[Error.RANGE.value].eq(address + groups * (self.chunks + 1) > self.rank_bursts),
                        late[Error.SETTING.value].eq(self.items * self.chunks > _MAX_CHUNKS),
                    ]
            with m.Case(Kind.CANDIDATES):
                m.d.comb += [self.checked.eq(self.valid & again), self.errors.eq(late)]
                m.d.sync += late[Error.SETTING.value].eq(
                    (operand[listed["class"]] + operand[listed["count"]] > self.classes)
                    | (operand[listed["item"]] >= self.items))
        return m
