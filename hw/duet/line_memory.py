"""A memory that is written in lines of the GlobalBuffer and read in rows of another width."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.memory.sram import SramBank

__all__ = ["LineMemory"]


class LineMemory(wiring.Component):
    """``rows`` rows of ``row_bits``, packed without gaps into lines: line l holds bits ``line_bits * l`` and up.

    A row narrower than a line: row r is in bank r % ``banks``, so that a line is written in :attr:`beats` cycles,
    ``banks`` rows in each. A wider row is a line in each of its banks. Only the banks that are read are enabled.

    Latency of a read: :attr:`latency` = 1 cycle; ``row`` stays until the next read. Throughput: a read a cycle and a
    line every :attr:`beats` cycles (``write.ready`` with the last); a line is not kept, its sender holds it meanwhile.
    A row read in the cycle in which it is written is the old one.

    Parameters: ``line_bits``, ``row_bits``, ``rows``; ``banks``, rows written in a cycle where rows are narrower than
    lines. The ratio of the widths, ``rows`` and ``banks`` are powers of two. ``ValueError`` for others.

    Members
    -------
    write: In(stream of {address: line, data})
    read_enable, read_row: In; row: Out(row_bits)
    """

    latency = 1

    def __init__(self, line_bits, row_bits, rows, banks=1):
        wide = row_bits > line_bits
        ratio = row_bits // line_bits if wide else line_bits // row_bits
        self.banks = ratio if wide else banks
        for name, value in (("rows", rows), ("banks", banks), ("ratio of row_bits and line_bits", ratio)):
            if value < 1 or value & value - 1:
                raise ValueError(f"{name} = {value} is not allowed: {name} must be a power of two")
        if max(row_bits, line_bits) != ratio * min(row_bits, line_bits) or not wide and not banks <= ratio <= rows:
            raise ValueError(f"line_bits = {line_bits}, row_bits = {row_bits}, rows = {rows}, banks = {banks} is not "
                             "allowed: a line must hold whole rows, from banks to rows of them")
        self.wide = wide
        self.row_bits, self.rows = row_bits, rows
        #: Cycles in which a line is written.
        self.beats = 1 if wide else ratio // banks
        lines = rows * ratio if wide else rows // ratio
        super().__init__({
            "write": In(stream.Signature(data.StructLayout({"address": ceil_log2(lines), "data": line_bits}))),
            "read_enable": In(1),
            "read_row": In(ceil_log2(rows)),
            "row": Out(row_bits),
        })

    def elaborate(self, platform):
        m = Module()
        index_bits, beat_bits = self.banks.bit_length() - 1, self.beats.bit_length() - 1
        width = self.row_bits // self.banks if self.wide else self.row_bits
        address, line = self.write.p.address, self.write.p.data
        beat = Signal(beat_bits)
        m.d.comb += self.write.ready.eq(beat == self.beats - 1)
        if self.beats > 1:
            with m.If(self.write.valid):
                m.d.sync += beat.eq(beat + 1)
        read_bank, chosen = self.read_row[:index_bits], Signal(index_bits)
        outputs = []
        for index in range(self.banks):
            m.submodules[f"bank_{index}"] = bank = SramBank(width, self.rows if self.wide else self.rows // self.banks)
            m.d.comb += bank.write_mask.eq(self.write.valid)
            if self.wide:
                m.d.comb += [
                    bank.write_mask.eq(self.write.valid & (address[:index_bits] == index)),
                    bank.write_address.eq(address[index_bits:]), bank.write_data.eq(line),
                    bank.read_enable.eq(self.read_enable), bank.read_address.eq(self.read_row),
                ]
            else:
                rows = line.word_select(Cat(Const(index, index_bits), beat), width)
                m.d.comb += [
                    bank.write_mask.eq(self.write.valid), bank.write_address.eq(Cat(beat, address)),
                    bank.write_data.eq(rows),
                    bank.read_enable.eq(self.read_enable & (read_bank == index)),
                    bank.read_address.eq(self.read_row[index_bits:]),
                ]
            outputs.append(bank.read_data)
        if self.wide:
            m.d.comb += self.row.eq(Cat(outputs))
        else:
            with m.If(self.read_enable):
                m.d.sync += chosen.eq(read_bank)
            m.d.comb += self.row.eq(Cat(outputs).word_select(chosen, width))
        return m
