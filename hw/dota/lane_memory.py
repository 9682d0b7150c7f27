"""The banked SRAM of a lane (thesis 7.6.4: ten banks of 64 KB): several read ports, one write port with copies."""

from amaranth.hdl import Array, Assert, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.memory.sram import SramBank

__all__ = ["GRAINS", "LaneMemory", "MemoryRead", "MemoryWrite"]

#: A word is written in sixteenths, the smallest result of any operation.
GRAINS = 16


class MemoryRead(wiring.Signature):
    """One read port: ``data`` belongs to the ``address`` of one cycle before."""

    def __init__(self, address_bits, word_bits):
        super().__init__({"enable": Out(1), "address": Out(address_bits), "data": In(word_bits)})


class MemoryWrite(wiring.Signature):
    """One write: ``mask`` enables sixteenths of the word; ``copies`` more copies go to address + k x copy_stride."""

    def __init__(self, address_bits, word_bits):
        super().__init__({"address": Out(address_bits), "data": Out(word_bits), "mask": Out(GRAINS),
                          "copies": Out(2), "copy_stride": Out(address_bits)})


class LaneMemory(wiring.Component):
    """``banks`` one-read one-write SRAM banks behind a crossbar.

    Every read port may read any bank in any cycle (latency 1); two ports in one bank in one cycle is an error of the
    program (``conflict`` rises in that cycle and one of them gets wrong data). The copies of a write must lie in
    different banks.

    Parameters: number of ``readers``, ``copies`` (greatest number of copies of a write), geometry of the SRAM;
    ``assertions``, whether to check the rule on copies.
    """

    def __init__(self, *, banks, bank_words, word_bits, readers, copies, assertions=False):
        self.banks, self.bank_words, self.word_bits, self.copies = banks, bank_words, word_bits, copies
        self.assertions = assertions
        self.offset_bits = ceil_log2(bank_words)
        self.address_bits = self.offset_bits + ceil_log2(banks)
        super().__init__({
            "reads": In(MemoryRead(self.address_bits, word_bits)).array(readers),
            "write": In(MemoryWrite(self.address_bits, word_bits)),
            "conflict": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        targets = [self.write.address]
        for k in range(1, self.copies):
            target = Signal(self.address_bits, name=f"copy_address_{k}")
            m.d.comb += target.eq(targets[-1] + self.write.copy_stride)
            targets.append(target)
        conflicts, outputs = [], []
        for b in range(self.banks):
            bank = m.submodules[f"bank_{b}"] = SramBank(self.word_bits, self.bank_words, self.word_bits // GRAINS)
            hits = []
            for k, port in enumerate(self.reads):
                hit = Signal(name=f"hit_{b}_{k}")
                m.d.comb += hit.eq(port.enable & (port.address[self.offset_bits:] == b))
                hits.append(hit)
            address = 0
            for hit, port in zip(hits, self.reads):
                address = address | (port.address[:self.offset_bits] & hit.replicate(self.offset_bits))
            m.d.comb += [bank.read_enable.eq(Cat(hits).any()), bank.read_address.eq(address)]
            conflicts.append(sum(hits) > 1)
            outputs.append(bank.read_data)
            address, mask, write_hits = 0, 0, []
            for k, target in enumerate(targets):
                hit = Signal(name=f"write_hit_{b}_{k}")
                m.d.comb += hit.eq((target[self.offset_bits:] == b) & (self.write.copies >= k))
                write_hits.append(hit)
                address = address | (target[:self.offset_bits] & hit.replicate(self.offset_bits))
                mask = mask | (self.write.mask & hit.replicate(GRAINS))
            m.d.comb += [bank.write_address.eq(address), bank.write_data.eq(self.write.data),
                         bank.write_mask.eq(mask)]
            if self.assertions:
                m.d.sync += Assert(~self.write.mask.any() | (sum(write_hits) <= 1), "two copies meet in a bank")
        m.d.comb += self.conflict.eq(Cat(conflicts).any())
        for k, port in enumerate(self.reads):
            chosen = Signal(ceil_log2(self.banks), name=f"chosen_{k}")
            with m.If(port.enable):
                m.d.sync += chosen.eq(port.address[self.offset_bits:])
            m.d.comb += port.data.eq(Array(outputs)[chosen])
        return m
