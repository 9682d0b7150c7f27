"""The engine DMA: lines between DRAM and the GlobalBuffer, weight rows by a switching map."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.command import CommandLayout, CopyOp
from hw.duet.global_buffer import LineWrite, ReadRequest
from hw.duet.set_bits import SetBits

__all__ = ["Dma", "DramRequest"]


class DramRequest(data.StructLayout):
    """Read, or write, ``lines`` lines from ``address`` (a line's number) on."""

    def __init__(self):
        super().__init__({"write": 1, "address": unsigned(32), "lines": unsigned(16)})


class Dma(wiring.Component):
    """Runs ``LOAD``, ``STORE`` and ``FETCH`` one after another (docs/duet/duet_accelerator.md).

    Throughput: a beat of ``dram_bits`` a cycle. A ``FETCH`` asks for a weight row a cycle, ahead of the lines that
    arrive, so that rows that are skipped cost nothing.

    Members
    -------
    commands: In(stream of :class:`CommandLayout`); ended: Out(stream of ``signal``)
    dram_request: Out(stream of :class:`DramRequest`)
    dram_read: In(stream of ``dram_bits``), dram_write: Out(stream of ``dram_bits``): beats, low bits of a line first
    read: Out(stream of :class:`ReadRequest`); answer, data, map: In, in the cycle after
    fill: Out(stream of :class:`LineWrite`)
    """

    def __init__(self, config):
        self.config = config
        beat = stream.Signature(config.dram_bits)
        words = config.cols * config.segment
        super().__init__({
            "commands": In(stream.Signature(CommandLayout())),
            "ended": Out(stream.Signature(4)),
            "dram_request": Out(stream.Signature(DramRequest())),
            "dram_read": In(beat), "dram_write": Out(beat),
            "read": Out(stream.Signature(ReadRequest(config.global_buffer))),
            "answer": In(1), "data": In(16 * words), "map": In(words),
            "fill": Out(stream.Signature(LineWrite(config.global_buffer))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        words = config.cols * config.segment
        beats = 16 * words // config.dram_bits
        m.submodules.rows = rows = SetBits(words, marker=True)
        command, fill = self.commands, self.fill
        c = Signal(CommandLayout(), reset_less=True)
        line = Signal(16 * words, reset_less=True)
        beat = Signal(range(max(2, beats)))
        place, expected = Signal(16, reset_less=True), Signal(16)  # next line of the buffer; lines still to come
        map_place = Signal(16, reset_less=True)
        asked = Signal()  # a FETCH has asked for all its rows
        row_lines = c.flags[1:]
        full = Signal()  # a whole line is in the register
        bit_map, limit = Signal(words), Signal(words)
        m.d.comb += [limit[index].eq(c.d > index) for index in range(words)]
        m.d.comb += [bit_map.eq(Mux(c.flags[0], ~0, self.map) & limit), rows.i.p.bits.eq(bit_map)]
        request = self.dram_request
        next_line = Signal(16 * words)
        with m.If(self.dram_read.valid & self.dram_read.ready):
            m.d.comb += next_line.eq(Cat(line[config.dram_bits:], self.dram_read.payload))
        m.d.comb += [
            fill.p.data_enable.eq(1), fill.p.data_address.eq(place), fill.p.data.eq(line),
            fill.p.map_enable.eq((c.op == CopyOp.LOAD.value) & c.flags[0]), fill.p.map_address.eq(map_place),
            fill.p.map.eq(Cat(line.word_select(index, 16).any() for index in range(words))),
        ]

        def receive():
            """Beats become lines; a line goes to the buffer while the first beat of the next arrives."""
            m.d.comb += [
                fill.valid.eq(full),
                self.dram_read.ready.eq((expected != 0) & (~full | fill.ready)),
            ]
            with m.If(full & fill.ready):
                m.d.sync += [full.eq(0), place.eq(place + 1), map_place.eq(map_place + 1)]
            with m.If(self.dram_read.valid & self.dram_read.ready):
                m.d.sync += [line.eq(next_line), beat.eq(beat + 1)]
                with m.If(beat == beats - 1):
                    m.d.sync += [beat.eq(0), full.eq(1)]

        arrived = self.dram_read.valid & self.dram_read.ready & (beat == beats - 1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += command.ready.eq(1)
                m.d.sync += [
                    c.eq(command.payload), place.eq(command.p.b), map_place.eq(command.p.d), expected.eq(command.p.c),
                    asked.eq(0), beat.eq(0),
                ]
                with m.If(command.valid):
                    with m.Switch(command.p.op):
                        with m.Case(CopyOp.LOAD):
                            m.next = "ASK"
                        with m.Case(CopyOp.STORE):
                            m.next = "ASK"
                        with m.Default():
                            m.d.sync += expected.eq(0)
                            m.next = "MAP"
            with m.State("ASK"):
                m.d.comb += [
                    request.valid.eq(1), request.p.write.eq(c.op == CopyOp.STORE.value), request.p.address.eq(c.a),
                    request.p.lines.eq(c.c),
                ]
                with m.If(request.ready):
                    m.next = "LOAD"
                    with m.If(c.op == CopyOp.STORE.value):
                        m.next = "READ"
            with m.State("LOAD"):
                receive()
                with m.If(arrived):
                    m.d.sync += expected.eq(expected - 1)
                with m.If((expected == 0) & (~full | fill.ready)):
                    m.next = "END"

            with m.State("READ"):
                m.d.comb += [
                    self.read.valid.eq(1), self.read.p.data_enable.eq(~c.flags[0]), self.read.p.data_address.eq(place),
                    self.read.p.map_enable.eq(c.flags[0]), self.read.p.map_address.eq(place),
                ]
                with m.If(self.read.ready):
                    m.d.sync += [place.eq(place + 1), expected.eq(expected - 1)]
                    m.next = "TAKE"
            with m.State("TAKE"):
                m.d.sync += line.eq(Mux(c.flags[0], self.map, self.data))
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [self.dram_write.valid.eq(1), self.dram_write.payload.eq(line[:config.dram_bits])]
                with m.If(self.dram_write.ready):
                    m.d.sync += [line.eq(line >> config.dram_bits), beat.eq(beat + 1)]
                    with m.If(beat == beats - 1):
                        m.d.sync += beat.eq(0)
                        m.next = "READ"
                        with m.If(expected == 0):
                            m.next = "END"

            with m.State("MAP"):
                m.d.comb += [
                    self.read.valid.eq(1), self.read.p.map_enable.eq(1), self.read.p.map_address.eq(c.c),
                ]
                with m.If(self.read.ready):
                    m.next = "ROWS"
            with m.State("ROWS"):
                m.d.comb += rows.i.valid.eq(1)
                m.next = "FETCH"
            with m.State("FETCH"):
                receive()
                more = Signal(16)
                m.d.comb += [
                    request.valid.eq(rows.o.valid & ~rows.o.p.none & ~asked),
                    request.p.address.eq(c.a + rows.o.p.index * row_lines), request.p.lines.eq(row_lines),
                    rows.o.ready.eq(rows.o.p.none | request.ready),
                ]
                with m.If(request.valid & request.ready):
                    m.d.comb += more.eq(row_lines)
                m.d.sync += expected.eq(expected + more - arrived)
                with m.If(rows.o.valid & rows.o.ready & rows.o.p.last):
                    m.d.sync += asked.eq(1)
                with m.If(asked & (expected == 0) & (~full | fill.ready)):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [self.ended.valid.eq(1), self.ended.payload.eq(c.signal)]
                with m.If(self.ended.ready):
                    m.next = "IDLE"
        return m
