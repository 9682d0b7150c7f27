"""ExecutorPe: runs a program of multiply-accumulate instructions and skips those that are not tagged (thesis 5.1.2)."""

import dataclasses

from amaranth.hdl import Assert, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.arith.pipelined_multiplier import PipelinedMultiplier
from hw.config import Config, field
from hw.duet.set_bits import SetBits
from hw.shared import shared

__all__ = ["SLOTS", "ExecutorPe", "ExecutorPeConfig", "Instruction", "Load", "ProgramWrite"]

#: Segments in an element's input buffer, a bank.
SLOTS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecutorPeConfig(Config):
    """Sizes of an element."""

    segment: int = field(16, "words of a segment, and partial sums", min=4, max=32, power_of_two=True)
    weight_lines: int = field(2, "segments in the weight buffer, a bank", min=1, max=8)
    lut_entries: int = field(144, "instructions of a program at most", min=2, max=1024)
    acc_bits: int = field(44, "width of a partial sum, signed", unit="bits", min=32, max=56)

    PRESETS = {
        "paper": {},
        "small": {"segment": 4, "weight_lines": 3, "lut_entries": 36},
        "fpga": {},
    }

    @property
    def memory_bits(self):
        """Bits of the program, the input, weight and partial-sum buffers."""
        return (self.lut_entries * Instruction(self).size + self.segment * self.acc_bits
                + 2 * (SLOTS + self.weight_lines) * self.segment * 16)


class Instruction(data.StructLayout):
    """``psum[o] += input[i] * weight[w]``; i = slot * S + word, w = line * S + word."""

    def __init__(self, config):
        word = ceil_log2(config.segment)
        super().__init__({
            "i": data.StructLayout({"word": word, "slot": ceil_log2(SLOTS)}),
            "w": data.StructLayout({"word": word, "line": ceil_log2(config.weight_lines)}),
            "o": word,
        })


class ProgramWrite(data.StructLayout):
    """One entry of the program, written when ``enable`` is 1."""

    def __init__(self, config):
        super().__init__({"enable": 1, "address": ceil_log2(config.lut_entries), "entry": Instruction(config)})


class Load(data.StructLayout):
    """Words for a bank: ``slot`` of the inputs, those in ``mask``; or ``line`` of the weights, all."""

    def __init__(self, config):
        super().__init__({
            "input_enable": 1, "weight_enable": 1, "bank": 1, "slot": ceil_log2(SLOTS),
            "line": ceil_log2(config.weight_lines), "mask": config.segment, "data": 16 * config.segment,
        })


@shared
class ExecutorPe(wiring.Component):
    """One multiplier and adder, its buffers, and a look-up table of instructions, all run for each chunk of data.

    A chunk begins with ``start``: one tag an instruction. The tagged ones are issued one a cycle, lowest first; the
    others cost no cycle (:class:`~hw.duet.set_bits.SetBits`). Inputs and weights have two banks, of which one may be
    written while a program runs on the other. Partial sums stay from chunk to chunk, each with a bit that tells whether
    it is zero, so that ``clear`` takes no time.

    Throughput: one multiplication a cycle; the next chunk's tags are taken while the last instructions of the one
    before are issued, so that chunks follow each other without a bubble. A chunk without tags takes one cycle.
    Latency: the first instruction is issued :attr:`start_latency` = 2 cycles after ``start``; :attr:`latency` = 6
    cycles after the cycle that issues an instruction its sum can be read.

    Parameters: ``config`` an :class:`ExecutorPeConfig`; ``assertions``: check the rules on inputs.

    Members
    -------
    program_write: In(:class:`ProgramWrite`), while nothing runs
    load: In(:class:`Load`); a bank may be written from the second cycle after ``done`` of the chunk that reads it
    start, start_bank, tags, clear: In; a chunk on a bank begins. Only while ``ready``. ``clear`` = 1: the sums begin at
        zero; only while ``idle``.
    ready: Out, a chunk can start: the last tags of the one before are about to be issued, or have been
    issuing: Out, an instruction is issued in this cycle
    done: Out, the last instruction of a chunk is issued, or the cycle of a chunk without tags goes by
    done_bank: Out, its bank
    idle: Out, nothing is to be issued or on its way to the sums
    psum_read, psum_index: In; reads a sum, only while ``idle``
    psum: Out(signed(acc_bits)), the sum read in the cycle before, zero if it was not touched since ``clear``; zero when
        none was read

    Sums are exact modulo 2^acc_bits. Source: thesis 5.1.2, Figure 5.3.
    """

    latency = 6
    start_latency = SetBits.latency

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "program_write": In(ProgramWrite(config)),
            "load": In(Load(config)),
            "start": In(1),
            "start_bank": In(1),
            "tags": In(config.lut_entries),
            "clear": In(1),
            "ready": Out(1),
            "issuing": Out(1),
            "done": Out(1),
            "done_bank": Out(1),
            "idle": Out(1),
            "psum_read": In(1),
            "psum_index": In(ceil_log2(config.segment)),
            "psum": Out(signed(config.acc_bits)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        instruction = Instruction(config)

        # Issue: the next tag, whose entry leaves the table in the next cycle.
        m.submodules.tags = tags = SetBits(config.lut_entries, marker=True, assertions=self.assertions)
        m.submodules.lut = lut = memory.Memory(shape=instruction, depth=config.lut_entries, init=[])
        write, read = lut.write_port(), lut.read_port()
        m.d.comb += [
            tags.i.valid.eq(self.start), tags.i.p.bits.eq(self.tags), self.ready.eq(tags.i.ready), tags.o.ready.eq(1),
            self.issuing.eq(tags.o.valid & ~tags.o.p.none), self.done.eq(tags.o.valid & tags.o.p.last),
            write.en.eq(self.program_write.enable), write.addr.eq(self.program_write.address),
            write.data.eq(self.program_write.entry),
            read.en.eq(self.issuing), read.addr.eq(tags.o.p.index),
        ]
        # At most two chunks are inside: one issues, the tags of the other wait.
        waiting_bank, bank, started = Signal(), Signal(), Signal()
        m.d.comb += self.done_bank.eq(bank)
        m.d.sync += started.eq(self.start)
        with m.If(self.start):
            m.d.sync += waiting_bank.eq(self.start_bank)
        with m.If(~tags.o.valid | self.done):
            m.d.sync += bank.eq(waiting_bank)

        # Stages after issue: 1 = entry, 2 = words of the buffers, 3 = operands, 4 = partial products, 5 = sum.
        valid = Signal(6)
        m.d.comb += valid[0].eq(self.issuing)
        m.d.sync += valid[1:].eq(valid[:-1])
        entry_bank = Signal(reset_less=True)
        m.d.sync += entry_bank.eq(bank)
        entry = read.data
        x = self._operand(m, "input", SLOTS, Cat(entry_bank, entry.i.slot), entry.i.word, valid[1],
                          self.load.input_enable.replicate(config.segment) & self.load.mask, self.load.slot)
        w = self._operand(m, "weight", config.weight_lines, Cat(entry_bank, entry.w.line), entry.w.word, valid[1],
                          self.load.weight_enable.replicate(config.segment), self.load.line)
        outputs = [entry.o]
        for stage in range(2, 6):
            output = Signal.like(entry.o, name=f"output_{stage}", reset_less=True)
            m.d.sync += output.eq(outputs[-1])
            outputs.append(output)
        m.submodules.multiplier = multiplier = PipelinedMultiplier(16, signed(16))
        m.d.comb += [multiplier.a.eq(x), multiplier.b.eq(w)]
        self._accumulate(m, multiplier.product, valid, outputs[3], outputs[4])
        m.d.comb += self.idle.eq(~(valid[1:].any() | tags.o.valid | started))

        if self.assertions:
            with m.If(self.start):
                m.d.sync += Assert(self.ready, "start while a chunk runs")
                with m.If(self.clear):
                    m.d.sync += Assert(self.idle, "clear while sums are formed")
            with m.If(self.psum_read):
                m.d.sync += Assert(self.idle, "a sum is read while sums are formed")
        return m

    def _operand(self, m, name, lines, address, word, enable, mask, line):
        """A buffer of two banks, and the word at ``address`` and ``word``, two cycles later."""
        segment = self.config.segment
        m.submodules[name] = buffer = memory.Memory(shape=16 * segment, depth=2 * lines, init=[])
        write, read = buffer.write_port(granularity=16), buffer.read_port()
        select = Signal.like(word, name=f"{name}_word", reset_less=True)
        operand = Signal(signed(16), name=f"{name}_operand", reset_less=True)
        m.d.comb += [
            write.en.eq(mask), write.addr.eq(Cat(self.load.bank, line)), write.data.eq(self.load.data),
            read.en.eq(enable), read.addr.eq(address),
        ]
        with m.If(enable):
            m.d.sync += select.eq(word)
        m.d.sync += operand.eq(read.data.word_select(select, 16))
        return operand

    def _accumulate(self, m, product, valid, early, late):
        """Adds the product to the sum ``late``, which is read a cycle before, while it is called ``early``."""
        config = self.config
        m.submodules.psums = psums = memory.Memory(shape=signed(config.acc_bits), depth=config.segment, init=[])
        write, read = psums.write_port(), psums.read_port()
        touched = Signal(config.segment)
        index = Signal.like(early, name="psum_at")
        repeated, known, shown = Signal(reset_less=True), Signal(reset_less=True), Signal()
        stored, before, total = (Signal(signed(config.acc_bits), name=name) for name in ("stored", "before", "total"))
        latest = Signal(signed(config.acc_bits), reset_less=True)
        m.d.comb += [
            index.eq(Mux(self.psum_read, self.psum_index, early)),
            read.en.eq(valid[4] | self.psum_read), read.addr.eq(index),
            stored.eq(Mux(known, read.data, 0)),
            # The sum just formed is not in the memory yet.
            before.eq(Mux(repeated, latest, stored)), total.eq(before + product),
            write.en.eq(valid[5]), write.addr.eq(late), write.data.eq(total),
            self.psum.eq(Mux(shown, stored, 0)),
        ]
        m.d.sync += [
            repeated.eq(valid[5] & (early == late)), known.eq(touched.bit_select(index, 1)), shown.eq(self.psum_read),
        ]
        with m.If(valid[5]):
            m.d.sync += [latest.eq(total), touched.bit_select(late, 1).eq(1)]
        clearing = Signal()  # a cycle late: no sum is formed or read yet
        m.d.sync += clearing.eq(self.start & self.clear)
        with m.If(clearing):
            m.d.sync += touched.eq(0)
        return m
