"""PSUM buffer of the Screener: 64 sums of 32 bits in each of two banks."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.enmc_types import WORD_BITS
from hw.enmc.screener_types import GROUP_CLASSES, WORD_ENTRIES, WORDS

__all__ = ["PsumBuffer", "PsumWrite"]

ROWS = 8


class PsumWrite(data.StructLayout):
    """Sums of a row of 8 (one item, one group of classes) of a bank: where ``mask`` is 1, sum i becomes value
    i % ``lanes``. ``begin``: all other sums of the bank become 0.
    """

    def __init__(self, lanes):
        super().__init__({"enable": 1, "begin": 1, "bank": 1, "row": range(ROWS), "mask": GROUP_CLASSES,
                          "values": data.ArrayLayout(32, lanes)})


class PsumBuffer(wiring.Component):
    """A memory of eight words of 16 sums, four a bank. A row of 8 sums that was not written is zero.

    Latency of reads: 1 cycle. Throughput: a read and a write a cycle.

    Parameters: ``lanes``: sums that are written in a cycle.

    Members
    -------
    sums: In(:class:`PsumWrite`)
    write_enable, write_bank, write_index, write_data: In, a word; not while sums are written
    forget: In(1): all is zero
    read_enable, read_bank, read_index: In; data: Out(512), kept until the next read
    """

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__({
            "sums": In(PsumWrite(lanes)),
            "write_enable": In(1), "write_bank": In(1), "write_index": In(2), "write_data": In(WORD_BITS),
            "forget": In(1),
            "read_enable": In(1), "read_bank": In(1), "read_index": In(2), "data": Out(WORD_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = words = memory.Memory(shape=WORD_BITS, depth=2 * WORDS, init=[])
        write, read = words.write_port(granularity=32), words.read_port()
        sums = self.sums
        mask = sums.mask & sums.enable.replicate(GROUP_CLASSES)
        halves = [mask & (sums.row[0] == half).replicate(GROUP_CLASSES) for half in range(2)]
        m.d.comb += [
            write.addr.eq(Mux(self.write_enable, Cat(self.write_index, self.write_bank), Cat(sums.row[1:], sums.bank))),
            write.data.eq(Mux(self.write_enable, self.write_data,
                              Cat(sums.values[index % self.lanes] for index in range(WORD_ENTRIES)))),
            write.en.eq(Cat(halves) | self.write_enable.replicate(WORD_ENTRIES)),
            read.en.eq(self.read_enable), read.addr.eq(Cat(self.read_index, self.read_bank)),
        ]
        known = Signal(data.ArrayLayout(ROWS, 2))
        shown = Signal(2)  # halves of the word that was read
        m.d.comb += self.data.eq(read.data & Cat(half.replicate(WORD_BITS // 2) for half in shown))
        with m.If(self.read_enable):
            m.d.sync += shown.eq(known[self.read_bank].word_select(self.read_index, 2))
        with m.If(sums.enable):
            with m.If(sums.begin):
                m.d.sync += known[sums.bank].eq(0)
            m.d.sync += known[sums.bank].bit_select(sums.row, 1).eq(1)
        with m.If(self.write_enable):
            m.d.sync += known[self.write_bank].word_select(self.write_index, 2).eq(3)
        with m.If(self.forget):
            m.d.sync += known.eq(0)
        return m
