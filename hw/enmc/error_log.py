"""The first error, and the number of those after it."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.host_port import HostError
from hw.enmc.isa_table import COMMAND_BITS, Error

__all__ = ["ErrorLog", "ErrorRegister", "ReportedError"]


class ErrorRegister(data.StructLayout):
    """The register ERROR; ``code`` 0: none."""

    def __init__(self):
        super().__init__({"code": Error, "command": COMMAND_BITS, "none": 3, "later": 8, "number": 32})


class ReportedError(data.Struct):
    """An error of an instruction, when ``valid``."""

    valid: 1
    code: Error
    command: COMMAND_BITS
    number: 32


class ErrorLog(wiring.Component):
    """Keeps the first error and counts the others, up to 255, also several of one cycle.

    Of the errors of a cycle the first counts in the order of the members. A result that was not written belongs to no
    instruction: it is kept as RANGE with zeros until another error replaces it (and counts it).
    Latency 1 cycle.

    Members
    -------
    clear: In(1); errors of the same cycle are dropped
    instruction, store: In(:class:`ReportedError`), of the instruction that is taken, of a store's write
    host: In(:class:`hw.enmc.host_port.HostError`); full, query: In(:class:`ReportedError`)
    number: In(32), the number of errors in ``host``
    result: In(1), a result or log entry was not written
    register: Out(:class:`ErrorRegister`)
    """

    def __init__(self):
        super().__init__({
            "clear": In(1), "instruction": In(ReportedError), "store": In(ReportedError), "host": In(HostError),
            "full": In(ReportedError), "query": In(ReportedError), "number": In(32), "result": In(1),
            "register": Out(ErrorRegister()),
        })

    def elaborate(self, platform):
        m = Module()
        register, weak = self.register, Signal()
        ranked = [self.instruction, self.store, self.full, self.query]
        strong, count, later = Signal(), Signal(4), Signal(10)
        m.d.comb += [
            strong.eq(self.instruction.valid | self.store.valid | self.host.count.any() | self.full.valid
                      | self.query.valid),
            count.eq(sum((one.valid for one in ranked), self.host.count) + self.result),
        ]
        none = register.code == Error.NONE
        replaced = none | weak & strong
        # The first of a cycle is kept and not counted; the one that it replaces is counted.
        m.d.comb += later.eq(register.later + count - (none & count.any()))
        with m.If(self.clear):
            m.d.sync += [register.eq(0), weak.eq(0)]
        with m.Elif(count.any()):
            m.d.sync += register.later.eq(Mux(later > 255, 255, later))
            with m.If(replaced):
                m.d.sync += [weak.eq(~strong), register.code.eq(Error.RANGE), register.command.eq(0),
                             register.number.eq(0)]
                for valid, one, number in reversed([
                        (self.instruction.valid, self.instruction, self.instruction.number),
                        (self.store.valid, self.store, self.store.number),
                        (self.host.count.any(), self.host, self.number), (self.full.valid, self.full, self.number),
                        (self.query.valid, self.query, self.number)]):
                    with m.If(valid):
                        m.d.sync += [register.code.eq(one.code), register.command.eq(one.command),
                                     register.number.eq(number)]
        return m
