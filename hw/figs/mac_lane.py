"""A multiply-accumulate unit of FiGS and its rivals, with the register from which its sum leaves."""

import dataclasses

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.baugh_wooley import signed_products
from hw.arith.compressor import Compressor
from hw.config import Config, ConfigError, field
from hw.shared import shared

__all__ = ["LaneConfig", "MacLane"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaneConfig(Config):
    """Number formats, and how many units share an operand."""

    beta: int = field(4, "multiply-accumulate units that share an operand", min=1, max=16)
    weight_bits: int = field(8, "width of a weight, signed", unit="bits", choices=(8, 16))
    activation_bits: int = field(8, "width of an activation, signed", unit="bits", choices=(8,))
    sum_bits: int = field(32, "width of a sum, signed", unit="bits", min=16, max=48)
    multiplier: str = field("tree", "a carry-save tree of gates, or an operator that FPGAs have DSP blocks for",
                            choices=("tree", "operator"))

    @property
    def lane(self):
        """The configuration of one unit."""
        return LaneConfig(**{spec.name: getattr(self, spec.name) for spec in dataclasses.fields(LaneConfig)})

    def check(self):
        least = self.weight_bits + self.activation_bits
        if self.sum_bits < least:
            raise ConfigError("sum_bits", self.sum_bits, f"at least weight_bits + activation_bits = {least}")


@shared
class MacLane(wiring.Component):
    """``sum`` <= (``first`` ? 0 : ``sum``) + ``x`` * ``weight``; the sum leaves through a second register.

    The weight is registered here, the operand outside, in the same cycle: ``x`` is a register. There is no enable: a
    cycle without work has x = 0 or weight = 0. Sums and weights are not reset.

    ``multiplier`` "tree": the bits of the products and of the old sum are reduced to two numbers by carry-save adders,
    then added: smaller and faster in standard cells. "operator": what synthesis makes of it, DSP blocks on FPGAs.

    Latency: 1 cycle from ``x`` to the sum, one more with ``capture`` to ``result``. Throughput: a product a cycle.

    Parameters: ``config`` a :class:`LaneConfig`; two's complement.

    Members
    -------
    x: In(activation_bits), of a register
    weight: In(weight_bits), taken a cycle before its ``x``
    first: In(1), with ``x``
    capture: In(1), ``result`` takes the sum
    shift: In(1), otherwise: ``result`` takes ``above``
    above: In(sum_bits), the result of the lane in the row above
    result: Out(sum_bits), register
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "x": In(signed(config.activation_bits)), "weight": In(signed(config.weight_bits)),
            "first": In(1), "capture": In(1), "shift": In(1),
            "above": In(config.sum_bits), "result": Out(config.sum_bits),
        })

    def elaborate(self, platform):
        m = Module()
        width = len(self.result)
        weight = Signal.like(self.weight, reset_less=True)
        total, kept, result = Signal(width, reset_less=True), Signal(width), Signal(width, reset_less=True)
        m.d.comb += kept.eq(Mux(self.first, 0, total))
        m.d.sync += weight.eq(self.weight)
        if self.config.multiplier == "tree":
            adders = Compressor(m)
            columns, constant = signed_products(adders, self.x, weight)
            for place in range(width):
                columns.setdefault(place, []).extend([Const(1)] * (constant >> place & 1) + [kept[place]])
            one, other = (Cat(Const(0) if bit is None else bit for bit in row) for row in adders.rows(columns, width))
            m.d.sync += total.eq(one + other)
        else:
            m.d.sync += total.eq(kept + self.x * weight)
        with m.If(self.capture):
            m.d.sync += result.eq(total)
        with m.Elif(self.shift):
            m.d.sync += result.eq(self.above)
        m.d.comb += self.result.eq(result)
        return m
