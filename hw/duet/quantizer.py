"""Quantizer: the most significant bits of each activation, for the Speculator (thesis 5.1.1, step 1)."""

import dataclasses

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config, ConfigError, field
from hw.stream.hold import assert_hold

__all__ = ["Quantizer", "QuantizerConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizerConfig(Config):
    """Sizes of the Quantizer."""

    lanes: int = field(256, "activations in an item", min=1, max=1024)
    in_bits: int = field(16, "width of an activation, signed", unit="bits", min=1, max=32)
    out_bits: int = field(4, "width of a quantized activation, signed, at most in_bits", unit="bits", min=1, max=32)

    PRESETS = {
        "paper": {},
        "small": {"lanes": 8},
        "fpga": {"lanes": 64},
    }

    def check(self):
        if self.out_bits > self.in_bits:
            raise ConfigError("out_bits", self.out_bits, f"at most in_bits = {self.in_bits}")


class Quantizer(wiring.Component):
    """Keeps the ``out_bits`` most significant bits of each of ``lanes`` signed numbers; the others are cut off.

    The result is floor(x / 2^(in_bits - out_bits)): below the value by less than 1 LSB; software takes the scale times
    2^(in_bits - out_bits) (4096 for INT16 to INT4).

    Latency: :attr:`latency` = 1 cycle. Throughput: one item a cycle. ``i.ready`` depends in the same cycle on
    ``o.ready``. Source: thesis 5.1.1, step 1.

    Parameters: ``config`` a :class:`QuantizerConfig`; ``assertions``: check that results stay until they are taken.

    Members
    -------
    i: In(stream(lanes * in_bits)), lane k at bit ``k * in_bits``
    o: Out(stream(lanes * out_bits)), registered, lane k at bit ``k * out_bits``
    """

    latency = 1

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "i": In(stream.Signature(config.lanes * config.in_bits)),
            "o": Out(stream.Signature(config.lanes * config.out_bits)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        kept = Signal(config.lanes * config.out_bits, reset_less=True)
        m.d.comb += [self.i.ready.eq(~self.o.valid | self.o.ready), self.o.payload.eq(kept)]
        with m.If(self.i.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid),
                kept.eq(Cat(self.i.payload.word_select(lane, config.in_bits)[-config.out_bits:]
                            for lane in range(config.lanes))),
            ]
        if self.assertions:
            assert_hold(m, self.o)
        return m
