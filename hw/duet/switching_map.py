"""SwitchingMap: which outputs need the accurate computation, and the dequantizer (thesis 5.1.1, Equation 5.2)."""

import dataclasses

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config, ConfigError, field
from hw.duet.dequantizer import Dequantizer
from hw.duet.function import Function
from hw.stream.hold import assert_hold

__all__ = ["Candidates", "Switched", "SwitchingMap", "SwitchingMapConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwitchingMapConfig(Config):
    """Sizes of the switching map."""

    lanes: int = field(16, "positions in an item", min=1, max=64)
    pre_bits: int = field(8, "width of a pre-activation, signed", unit="bits", min=5, max=12)
    code_bits: int = field(4, "width of an activation's code, at most pre_bits", unit="bits", min=2, max=12)

    PRESETS = {
        "paper": {},
        "small": {"lanes": 4},
        "fpga": {},
    }

    def check(self):
        if self.code_bits > self.pre_bits:
            raise ConfigError("code_bits", self.code_bits, f"at most pre_bits = {self.pre_bits}")


class Candidates(data.StructLayout):
    """An item: of lane k ``pre[k * pre_bits:]``, ``code[k * code_bits:]``, ``valid[k]`` (position inside the image)."""

    def __init__(self, config):
        super().__init__({"pre": config.lanes * config.pre_bits, "code": config.lanes * config.code_bits,
                          "valid": config.lanes})


class Switched(data.StructLayout):
    """Results: ``map[k]``, lane k needs the accurate computation; ``z[k * 16:]``, its approximate activation, INT16."""

    def __init__(self, config):
        super().__init__({"map": config.lanes, "z": config.lanes * 16})


class SwitchingMap(wiring.Component):
    """Compares pre-activations with the threshold, and dequantizes the activations.

    ``RELU``: map = pre >= threshold; the others: map = magnitude of pre <= threshold, exact (2^(pre_bits-1) for the
    least number). Positions that are not ``valid`` have map 0 and z 0.

    Latency: :attr:`latency` = 1 cycle. Throughput: one item a cycle. ``i.ready`` depends in the same cycle on
    ``o.ready``. ``map`` comes from registers, ``z`` from registers and ``curve`` by logic (:class:`Dequantizer`).
    Source: thesis 5.1.1, Equation 5.2, and the dequantizer of step 4.

    Parameters: ``config`` a :class:`SwitchingMapConfig`; ``assertions``: check that results stay until they are taken.

    Members
    -------
    curve: In(:class:`Function`); threshold: In(signed(pre_bits)); both stable while there are items inside
    i: In(stream of :class:`Candidates`)
    o: Out(stream of :class:`Switched`)
    """

    latency = 1

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "curve": In(Function),
            "threshold": In(signed(config.pre_bits)),
            "i": In(stream.Signature(Candidates(config))),
            "o": Out(stream.Signature(Switched(config))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        relu = Signal()
        m.d.comb += [relu.eq(self.curve == Function.RELU),
                     self.i.ready.eq(~self.o.valid | self.o.ready)]
        # Both rules are x + c <= limit of unsigned numbers. Magnitude: x is pre, complemented where negative, and c its
        # sign. ReLU: complements of pre and threshold, shifted to begin at 0. A bit below the point holds c.
        sign = 1 << config.pre_bits - 1
        limit = Mux(relu, ~self.threshold ^ sign, self.threshold)[:config.pre_bits]
        possible = relu | ~self.threshold[-1]
        needed, codes = [], []
        for lane in range(config.lanes):
            pre = self.i.p.pre.word_select(lane, config.pre_bits)
            code = self.i.p.code.word_select(lane, config.code_bits)
            valid = self.i.p.valid[lane]
            negative = pre[-1]
            x = Cat(negative & ~relu, pre[:-1] ^ (relu | negative).replicate(config.pre_bits - 1), negative & relu)
            needed.append(valid & possible & (x <= Cat(0, limit)))
            # A code of 0 stands for 0 with every function.
            codes.append(code & valid.replicate(config.code_bits))

        kept = Signal(data.StructLayout({"map": config.lanes, "code": config.lanes * config.code_bits}),
                      reset_less=True)
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), kept.map.eq(Cat(needed)), kept.code.eq(Cat(codes))]
        m.d.comb += self.o.p.map.eq(kept.map)
        for lane in range(config.lanes):
            m.submodules[f"dequantizer_{lane}"] = dequantizer = Dequantizer(config.code_bits)
            m.d.comb += [
                dequantizer.code.eq(kept.code.word_select(lane, config.code_bits)),
                dequantizer.curve.eq(self.curve), self.o.p.z.word_select(lane, 16).eq(dequantizer.z),
            ]
        if self.assertions:
            assert_hold(m, self.o)
        return m
