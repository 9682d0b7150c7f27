"""Results of the RMMU on their way to the SRAM: requantize, pack, write."""

from amaranth.hdl import Assert, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.fixed import Requantize
from hw.arith.precision import Precision
from hw.dota.lane_memory import GRAINS, MemoryWrite
from hw.dota.rmmu import ResultLayout

__all__ = ["RowRequantize", "TileTag", "TileWriter", "saturate_to"]

#: An FX16 sum of 4096 products needs 43 bits; partial sums are signed 44-bit numbers.
SUM_WIDTH = 44
#: As ``golden.dota.program.MAX_SHIFT``: what a command may ask for.
MAX_SHIFT = 61


class TileTag(data.StructLayout):
    """Where a result goes: first word, and the eighth of it in which the tile starts."""

    def __init__(self, config):
        super().__init__({"address": unsigned(config.address_bits), "eighth": unsigned(3)})


def saturate_to(m, value, out, name):
    """Clip a 16-bit signed ``value`` to the precision ``out`` (a run-time signal); 16-bit result."""
    result = Signal(signed(16), name=name)
    m.d.comb += result.eq(value)
    for precision in (Precision.INT8, Precision.INT4, Precision.INT2):
        high, low = (1 << (precision.bits - 1)) - 1, -(1 << (precision.bits - 1))
        with m.If(out == precision):
            with m.If(value > high):
                m.d.comb += result.eq(high)
            with m.Elif(value < low):
                m.d.comb += result.eq(low)
    return result


class RowRequantize(wiring.Component):
    """Requantizes one row's sums: up to four lanes of 64 bits to four 16-bit values clipped to ``out``. Combinational.
    """

    def __init__(self):
        super().__init__({"mode": In(Precision), "out": In(Precision), "shift": In(6), "sums": In(64),
                          "values": Out(data.ArrayLayout(signed(16), 4))})

    def elaborate(self, platform):
        m = Module()
        quarters = [self.sums[16 * k:16 * k + 16].as_signed() for k in range(4)]
        halves = [self.sums[32 * k:32 * k + 32].as_signed() for k in range(2)]
        whole = self.sums[:SUM_WIDTH].as_signed()
        int2, int4 = self.mode == Precision.INT2, self.mode == Precision.INT4
        lanes = [
            (SUM_WIDTH, Mux(int2, quarters[0], Mux(int4, halves[0], whole))),
            (32, Mux(int2, quarters[1], halves[1])),
            (16, quarters[2]),
            (16, quarters[3]),
        ]
        for k, (width, value) in enumerate(lanes):
            requantize = m.submodules[f"requantize_{k}"] = Requantize(width, 16, MAX_SHIFT)
            m.d.comb += [requantize.x.eq(value), requantize.shift.eq(self.shift)]
            m.d.comb += self.values[k].eq(saturate_to(m, requantize.y, self.out, f"clipped_{k}"))
        return m


class TileWriter(wiring.Component):
    """Writes each result of the RMMU as one, two or four words (a full word is R 16-bit values).

    A result of R x L lanes with b bits each is L x b / 16 words, written in as many cycles; the sender leaves that
    many cycles between results. A result smaller than a word goes to its eighths of the word, the rest is kept.
    Latency: the first word is written in the cycle after ``result``; ``idle`` when nothing waits. ``assertions``:
    whether to check that the sender does.
    """

    def __init__(self, config, *, assertions=False):
        self.config, self.assertions = config, assertions
        super().__init__({
            "mode": In(Precision), "out": In(Precision), "shift": In(6),
            "result": In(stream.Signature(ResultLayout(config.rmmu), always_ready=True)),
            "write": Out(MemoryWrite(config.address_bits, config.word_bits)),
            "idle": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        values = Signal(data.ArrayLayout(data.ArrayLayout(signed(16), 4), config.rows), reset_less=True)
        tag = Signal(TileTag(config), reset_less=True)
        pending = Signal(3)
        word = Signal(2)
        int4, int2 = self.mode == Precision.INT4, self.mode == Precision.INT2
        words = Signal(3)
        m.d.comb += words.eq(1)
        with m.If((int2 & (self.out == Precision.INT8)) | (int4 & (self.out == Precision.FX16))):
            m.d.comb += words.eq(2)
        with m.If(int2 & (self.out == Precision.FX16)):
            m.d.comb += words.eq(4)
        for r in range(config.rows):
            requantize = m.submodules[f"requantize_{r}"] = RowRequantize()
            m.d.comb += [requantize.mode.eq(self.mode), requantize.out.eq(self.out), requantize.shift.eq(self.shift),
                         requantize.sums.eq(self.result.p.rows[r])]
            with m.If(self.result.valid):
                m.d.sync += values[r].eq(requantize.values)
        with m.If(self.result.valid):
            m.d.sync += [tag.eq(self.result.p.tag), pending.eq(words), word.eq(0)]
        with m.Elif(pending != 0):
            m.d.sync += [pending.eq(pending - 1), word.eq(word + 1)]

        # Packed tile of every (lanes, bits); a small tile is repeated over the word and the mask picks its place.
        packed = Signal(4 * config.word_bits)
        eighths = Signal(8)
        for lanes, is_mode in ((1, ~int4 & ~int2), (2, int4), (4, int2)):
            for out in Precision:
                tile = Cat(values[r][k][:out.bits] for r in range(config.rows) for k in range(lanes))
                with m.If(is_mode & (self.out == out)):
                    m.d.comb += packed.eq(tile.replicate(max(1, config.word_bits // len(tile))))
                    m.d.comb += eighths.eq((1 << min(8, lanes * out.bits // 2)) - 1)
        m.d.comb += [
            self.write.address.eq(tag.address + word),
            self.write.data.eq(packed.word_select(word, config.word_bits)),
            self.idle.eq((pending == 0) & ~self.result.valid),
        ]
        with m.If(pending != 0):
            mask = (eighths << tag.eighth)[:8]
            m.d.comb += self.write.mask.eq(Cat(mask[k // 2] for k in range(GRAINS)))
        if self.assertions:
            m.d.sync += Assert(~self.result.valid | (pending <= 1), "a result comes before the last one is written")
        return m
