"""The engine CELL: gates and state of a recurrent cell from the GlobalBuffer through the CellUnit and back."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.cell_unit import Cell, CellUnit
from hw.duet.command import CellOp, CommandLayout
from hw.duet.config_registers import ConfigRegisters
from hw.duet.global_buffer import ReadRequest, SegmentWrite

__all__ = ["CELL_FIELDS", "CellEngine", "OPERANDS"]

#: Operands of the CellUnit, in the order of the registers ``source``.
OPERANDS = "ifgoc"
#: Registers of the engine, as :class:`ConfigRegisters` takes them.
CELL_FIELDS = {
    "cell": (0, Cell), "segments": (1, unsigned(10)), "source": (2, data.ArrayLayout(unsigned(16), len(OPERANDS))),
    "h_line": (7, unsigned(16)), "c_line": (8, unsigned(16)), "h_segment": (9, unsigned(10)),
}


class CellEngine(wiring.Component):
    """Runs ``UPDATE``: a segment of S elements after another (docs/duet/duet_accelerator.md).

    A segment costs 5 reads and S / lanes cycles; its results are written while the next one is read.

    Members
    -------
    commands: In(stream of :class:`CommandLayout`); ended: Out(stream of ``signal``)
    read: Out(stream of :class:`ReadRequest`); data: In, in the cycle after; map: In, not used
    write: Out(stream of :class:`SegmentWrite`)
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        words = config.cols * config.segment
        super().__init__({
            "commands": In(stream.Signature(CommandLayout())),
            "ended": Out(stream.Signature(4)),
            "read": Out(stream.Signature(ReadRequest(config.global_buffer))),
            "data": In(16 * words), "map": In(words),
            "write": Out(stream.Signature(SegmentWrite(config.global_buffer))),
        })

    def elaborate(self, platform):
        m = Module()
        config, lanes = self.config, self.config.cell_lanes
        segment_bits, lane_bits = 16 * config.segment, 16 * lanes
        items = config.segment // lanes
        group_bits = config.cols.bit_length() - 1
        m.submodules.registers = registers = ConfigRegisters(CELL_FIELDS)
        m.submodules.unit = unit = CellUnit(config.cell_unit, self.assertions)
        r, command, read, write = registers.values, self.commands, self.read, self.write
        gru = r.cell == Cell.GRU

        c = Signal(CommandLayout(), reset_less=True)
        segment, operand, item = Signal(10), Signal(range(len(OPERANDS))), Signal(range(max(2, items)))
        operands = [Signal(segment_bits, name=f"operand_{name}", reset_less=True) for name in OPERANDS]
        arriving, arrived, column = Signal(), Signal.like(operand, name="arrived"), Signal(group_bits)
        place = Signal(10)
        written = Signal(10)
        m.d.comb += [
            registers.data.eq(c.a), registers.address.eq(c.b), unit.kind.eq(r.cell),
            # The old h of a GRU is where the new one goes.
            place.eq(segment + Mux(gru & (operand == 0), r.h_segment, 0)),
            read.p.data_enable.eq(1), read.p.data_address.eq(r.source[operand] + (place >> group_bits)),
            unit.i.p.last.eq(item == items - 1),
            *(unit.i.p[name].eq(register[:lane_bits]) for name, register in zip(OPERANDS, operands)),
        ]
        m.d.sync += [arriving.eq(read.valid & read.ready), arrived.eq(operand), column.eq(place)]
        for index, register in enumerate(operands):
            with m.If(arriving & (arrived == index)):
                m.d.sync += register.eq(self.data.word_select(column, segment_bits))
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += command.ready.eq(1)
                m.d.sync += [c.eq(command.payload), segment.eq(0), operand.eq(0), item.eq(0)]
                with m.If(command.valid):
                    with m.If(command.p.op == CellOp.CONFIG.value):
                        m.next = "CONFIG"
                    with m.Else():
                        m.next = "READ"
            with m.State("CONFIG"):
                m.d.comb += registers.enable.eq(1)
                m.next = "END"
            with m.State("READ"):
                m.d.comb += read.valid.eq(1)
                with m.If(read.ready):
                    m.d.sync += operand.eq(operand + 1)
                    with m.If(operand == len(OPERANDS) - 1):
                        m.d.sync += operand.eq(0)
                        m.next = "ARRIVE"
            with m.State("ARRIVE"):
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += unit.i.valid.eq(1)
                with m.If(unit.i.ready):
                    m.d.sync += [register.eq(register >> lane_bits) for register in operands]
                    m.d.sync += item.eq(item + 1)
                    with m.If(item == items - 1):
                        m.d.sync += [item.eq(0), segment.eq(segment + 1)]
                        m.next = "READ"
                        with m.If(segment + 1 == r.segments):
                            m.next = "WRITTEN"
            with m.State("WRITTEN"):
                with m.If(written == r.segments):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [self.ended.valid.eq(1), self.ended.payload.eq(c.signal)]
                with m.If(self.ended.ready):
                    m.next = "IDLE"

        # Results: a segment is gathered, then h and (LSTM) c are written.
        h, state = Signal(segment_bits, reset_less=True), Signal(segment_bits, reset_less=True)
        full, second = Signal(), Signal()
        target = Signal(10)
        m.d.comb += [
            unit.o.ready.eq(~full), write.valid.eq(full), write.p.data_enable.eq(1), write.p.mask.eq(~0),
            target.eq(Mux(second, written, written + r.h_segment)),
            write.p.data_address.eq(Mux(second, r.c_line, r.h_line) + (target >> group_bits)),
            write.p.column.eq(target), write.p.data.eq(Mux(second, state, h)),
        ]
        with m.If(unit.o.valid & unit.o.ready):
            m.d.sync += [h.eq(Cat(h, unit.o.p.h)[lane_bits:]), state.eq(Cat(state, unit.o.p.c)[lane_bits:]),
                         full.eq(unit.o.p.last)]
        with m.If(write.valid & write.ready):
            m.d.sync += second.eq(~second & ~gru)
            with m.If(second | gru):
                m.d.sync += [full.eq(0), written.eq(written + 1)]
        with m.If(command.valid & command.ready):
            m.d.sync += written.eq(0)
        return m
