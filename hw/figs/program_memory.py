"""Program memory of FigsEngine, in banks: one for the feed, one for each column, read a cycle after one another."""

from amaranth.hdl import Cat, Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.memory.sram import SramBank

__all__ = ["ProgramMemory", "ProgramWord"]


class ProgramWord(data.StructLayout):
    """``word`` is written to ``address``; an address beyond the memory's words writes nothing."""

    def __init__(self, words, word_bits):
        super().__init__({"address": range(words), "word": word_bits})


class ProgramMemory(wiring.Component):
    """``words`` words of ``slots`` slots: ``feed_bits`` for the feed, then ``entry_bits`` for each column, low first.

    Read latency: 1 cycle, of every bank by its own address; data stays until the bank reads again.

    Parameters: ``words``, ``slots``, ``columns``, ``feed_bits``, ``entry_bits``.

    Members
    -------
    program: In(stream of :class:`ProgramWord`), always ready
    enable: In(1); 1: the feed's bank and column 0's read
    enable_others: In(1); 1: those of the other columns read
    feed_address, feed: In and Out, the feed's bits of all slots, the first slot's low
    column_address: In, an address for each column
    entries: Out, for each column its bits of all slots, the first slot's low
    """

    def __init__(self, words, slots, columns, feed_bits, entry_bits):
        self.words, self.slots, self.columns = words, slots, columns
        self.feed_bits, self.entry_bits = feed_bits, entry_bits
        address = range(words)
        super().__init__({
            "program": In(stream.Signature(ProgramWord(words, slots * (feed_bits + columns * entry_bits)))),
            "enable": In(1), "enable_others": In(1),
            "feed_address": In(address), "feed": Out(slots * feed_bits),
            "column_address": In(data.ArrayLayout(address, columns)),
            "entries": Out(data.ArrayLayout(slots * entry_bits, columns)),
        })

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.program.ready.eq(1)
        slots = [self.program.p.word.word_select(slot, self.feed_bits + self.columns * self.entry_bits)
                 for slot in range(self.slots)]
        self._bank(m, "feed", self.enable, self.feed_address, self.feed, [slot[:self.feed_bits] for slot in slots])
        for column in range(self.columns):
            enable = self.enable_others if column else self.enable
            self._bank(m, f"column_{column}", enable, self.column_address[column], self.entries[column],
                       [slot[self.feed_bits:].word_select(column, self.entry_bits) for slot in slots])
        return m

    def _bank(self, m, name, enable, address, read, written):
        m.submodules[name] = bank = SramBank(sum(map(len, written)), self.words)
        inside = self.program.p.address < self.words
        m.d.comb += [
            bank.write_mask.eq(self.program.valid & inside), bank.write_address.eq(self.program.p.address),
            bank.write_data.eq(Cat(written)),
            bank.read_enable.eq(enable), bank.read_address.eq(address), read.eq(bank.read_data),
        ]
