"""SpeculatorMfu: pre-activations and activations of the approximate module (thesis 5.1.1, step 3)."""

import dataclasses

from amaranth.hdl import Assert, Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.booth import booth_digits
from hw.arith.compressor import Compressor
from hw.config import Config, ConfigError, field
from hw.duet.activation_code import ActivationCode
from hw.duet.function import Function
from hw.duet.pre_activation import PreActivation
from hw.stream.hold import assert_hold

__all__ = ["Activations", "SpeculatorMfu", "SpeculatorMfuConfig", "Sums"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeculatorMfuConfig(Config):
    """Sizes of the SpeculatorMfu."""

    lanes: int = field(16, "numbers in an item", min=1, max=64)
    acc_bits: int = field(20, "width of an approximate sum, signed", unit="bits", min=4, max=32)
    scale_bits: int = field(8, "width of a channel's scale, unsigned", unit="bits", min=1, max=16)
    bias_bits: int = field(12, "width of a channel's bias, signed", unit="bits", min=2, max=16)
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
        if self.acc_bits + self.scale_bits <= self.pre_bits:
            raise ConfigError("acc_bits", self.acc_bits, f"more than pre_bits - scale_bits = "
                              f"{self.pre_bits - self.scale_bits}")

    @property
    def max_shift(self):
        """The greatest ``q_shift``: the greatest product then fills ``pre_bits``."""
        return self.acc_bits + self.scale_bits - self.pre_bits


class Sums(data.StructLayout):
    """An item: ``acc``, sum of lane k at bit ``k * acc_bits``; ``scale`` and ``bias`` of all lanes' channel."""

    def __init__(self, config):
        super().__init__({"acc": config.lanes * config.acc_bits, "scale": config.scale_bits,
                          "bias": signed(config.bias_bits)})


class Activations(data.StructLayout):
    """Results of lane k: ``pre``, pre-activation, at bit ``k * pre_bits``; ``code``, at bit ``k * code_bits``."""

    def __init__(self, config):
        super().__init__({"pre": config.lanes * config.pre_bits, "code": config.lanes * config.code_bits})


class SpeculatorMfu(wiring.Component):
    """``pre = saturate(round(acc * scale / 2^q_shift) + bias)``, and the code of an activation of it, a lane.

    The quotient is rounded half up and not saturated before the bias. Functions and codes: :class:`ActivationCode`;
    sigmoid and tanh are within half a step of the code, ReLU below one (measured over every pre-activation by
    ``tests/duet/test_speculator_mfu_golden.py``).

    Latency: :attr:`latency` = 2 cycles. Throughput: ``lanes`` results a cycle. ``i.ready`` depends in the same cycle on
    ``o.ready``: all stages move together. ``pre`` comes from registers, ``code`` from them and ``curve`` by logic.

    Source: thesis 5.1.1, step 3 (MFU with ReLU, tanh, sigmoid); the scale and bias a channel are this project's.

    Parameters: ``config`` a :class:`SpeculatorMfuConfig`; ``assertions``: check the rules.

    Members
    -------
    curve: In(:class:`Function`); q_shift: In, 0 to :attr:`SpeculatorMfuConfig.max_shift`; both stable while there
        are items inside
    i: In(stream of :class:`Sums`)
    o: Out(stream of :class:`Activations`)
    """

    latency = PreActivation.latency

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "curve": In(Function),
            "q_shift": In(range(config.max_shift + 1)),
            "i": In(stream.Signature(Sums(config))),
            "o": Out(stream.Signature(Activations(config))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        go = Signal()
        valid = Signal(self.latency)
        m.d.comb += [go.eq(~self.o.valid | self.o.ready), self.i.ready.eq(go), self.o.valid.eq(valid[-1])]
        with m.If(go):
            m.d.sync += valid.eq(Cat(self.i.valid, valid))
        # Of the channel, for all lanes: the scale's digits, and bias * 2^q_shift + 2^q_shift / 2.
        digits = Cat(bit for digit in booth_digits(Compressor(m), self.i.p.scale) for bit in digit if bit is not None)
        addend = Signal(signed(config.bias_bits + config.max_shift))
        m.d.comb += addend.eq((Cat(1, self.i.p.bias).as_signed() << self.q_shift) >> 1)
        pre, code = [], []
        for lane in range(config.lanes):
            m.submodules[f"pre_{lane}"] = scaled = PreActivation(
                config.acc_bits, config.scale_bits, len(addend), config.pre_bits, config.max_shift)
            m.submodules[f"code_{lane}"] = activation = ActivationCode(config.pre_bits, config.code_bits)
            m.d.comb += [
                scaled.acc.eq(self.i.p.acc.word_select(lane, config.acc_bits)), scaled.digits.eq(digits),
                scaled.addend.eq(addend), scaled.shift.eq(self.q_shift), scaled.go.eq(go),
                activation.pre.eq(scaled.pre), activation.curve.eq(self.curve),
            ]
            pre.append(scaled.pre)
            code.append(activation.code)
        m.d.comb += [self.o.p.pre.eq(Cat(pre)), self.o.p.code.eq(Cat(code))]
        if self.assertions:
            assert_hold(m, self.o)
            m.d.sync += Assert(self.q_shift <= config.max_shift, "q_shift is above max_shift")
        return m
