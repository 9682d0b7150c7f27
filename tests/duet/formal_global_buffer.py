"""Proof benches of the GlobalBuffer: who is served, and that a read gives what was written last."""

from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.generate import yosys
from hw.stream.hold import assume_hold

__all__ = ["ArbitrationProof", "MemoryProof", "flat"]


def flat(component):
    """RTLIL of a proof bench, module ``top``, its memories turned into registers: solved far faster than arrays."""
    script = ("read_rtlil in.il; hierarchy -top top; proc; flatten; memory; opt -fast; opt_clean; "
              "write_rtlil out.il")
    return yosys(script, {"in.il": rtlil.convert(component, name="top")})["out.il"]


class _Surroundings(wiring.Component):
    """A GlobalBuffer whose ports take any requests that obey the hold rule."""

    def __init__(self, block, **members):
        self.block = block
        config = block.config
        super().__init__({
            "read": In(stream.Signature(block.read[0].payload.shape())).array(config.readers),
            "write": In(stream.Signature(block.write[0].payload.shape())).array(config.writers),
            "fill": In(stream.Signature(block.fill.payload.shape())),
            "data": Out(block.data.payload.shape()), "map": Out(block.map.payload.shape()), **members,
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.block = block = self.block
        m.d.comb += [self.data.eq(block.data.payload), self.map.eq(block.map.payload)]
        for outer, inner in zip([*self.read, *self.write, self.fill], [*block.read, *block.write, block.fill]):
            wiring.connect(m, wiring.flipped(outer), inner)
            assume_hold(m, inner)
        self.properties(m, block)
        return m


class ArbitrationProof(_Surroundings):
    """Rules of both sides, for ever.

    A request is served once, in the cycle of its transfer, so it is enough that no two in a cycle share a memory, that
    each is answered in the cycle after, and that one is passed by only for one before it.
    """

    def properties(self, m, block):
        for ports in (block.read, [*block.write, block.fill]):
            used = {"data": 0, "map": 0}
            for port in ports:
                takes = {name: port.valid & port.ready & port.p[f"{name}_enable"] for name in used}
                blocked = 0
                for name, others in used.items():
                    m.d.comb += Assert(~(takes[name] & others), "two in one memory")
                    blocked = blocked | others & port.p[f"{name}_enable"]
                m.d.comb += Assert(~port.valid | port.ready | blocked, "a request waits without a reason")
                used = {name: others | takes[name] for name, others in used.items()}
            if ports is block.read:
                for name, member in (("data", block.data), ("map", block.map)):
                    asked = Signal(name=f"asked_{name}")
                    m.d.sync += asked.eq(used[name])
                    m.d.comb += Assert(member.valid == asked, "valid without a read, or a read without valid")
        for index, port in enumerate(block.read):
            transfer = Signal(name=f"transfer_{index}")
            m.d.sync += transfer.eq(port.valid & port.ready)
            m.d.comb += Assert(block.answer[index] == transfer, "an answer is lost, or comes from nowhere")


class MemoryProof(_Surroundings):
    """A word and its map bit, chosen freely in the first cycle, are followed through all writes."""

    def __init__(self, block):
        config = block.config
        super().__init__(block, line=In(range(config.lines)), map_line=In(range(config.map_lines)),
                         word=In(range(config.line_words)))

    def properties(self, m, block):
        config = block.config
        m.d.comb += [Assume(self.line < config.lines), Assume(self.map_line < config.map_lines),
                     Assume(self.word < config.line_words)]
        fixed = Signal()
        line, map_line, word = (Signal.like(port) for port in (self.line, self.map_line, self.word))
        m.d.sync += fixed.eq(1)
        with m.If(~fixed):
            m.d.sync += [line.eq(self.line), map_line.eq(self.map_line), word.eq(self.word)]
        for port in [*block.read, *block.write, block.fill]:
            m.d.comb += [Assume(fixed | ~port.valid), Assume(port.p.data_address < config.lines),
                         Assume(port.p.map_address < config.map_lines)]

        column, place = word // config.segment, word % config.segment
        value, bit, value_known, bit_known = Signal(16), Signal(), Signal(), Signal()
        for port in block.write:
            m.d.comb += Assume(port.p.column < config.cols)
            hit = port.valid & port.ready & (port.p.column == column) & port.p.mask.bit_select(place, 1)
            with m.If(hit & port.p.data_enable & (port.p.data_address == line)):
                m.d.sync += [value.eq(port.p.data.word_select(place, 16)), value_known.eq(1)]
            with m.If(hit & port.p.map_enable & (port.p.map_address == map_line)):
                m.d.sync += [bit.eq(port.p.map.bit_select(place, 1)), bit_known.eq(1)]
        go = block.fill.valid & block.fill.ready
        with m.If(go & block.fill.p.data_enable & (block.fill.p.data_address == line)):
            m.d.sync += [value.eq(block.fill.p.data.word_select(word, 16)), value_known.eq(1)]
        with m.If(go & block.fill.p.map_enable & (block.fill.p.map_address == map_line)):
            m.d.sync += [bit.eq(block.fill.p.map.bit_select(word, 1)), bit_known.eq(1)]

        # What each reader must see in the cycle after, if it reads the followed place.
        for port in block.read:
            go = port.valid & port.ready
            check, expected, check_bit, expected_bit = Signal(), Signal(16), Signal(), Signal()
            m.d.sync += [
                check.eq(go & port.p.data_enable & (port.p.data_address == line) & value_known), expected.eq(value),
                check_bit.eq(go & port.p.map_enable & (port.p.map_address == map_line) & bit_known),
                expected_bit.eq(bit),
            ]
            m.d.comb += [
                Assert(Mux(check, self.data.word_select(word, 16) == expected, 1), "not the word written last"),
                Assert(Mux(check_bit, self.map.bit_select(word, 1) == expected_bit, 1), "not the bit written last"),
            ]
