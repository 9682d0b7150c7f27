"""MAC PE of FiGS: beta multiply-accumulate units that share a swap register (slides)."""

import dataclasses

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.figs.mac_lane import LaneConfig, MacLane
from hw.figs.swap_register import SwapRegister, SwapRegisterConfig, swap_members
from hw.shared import shared

__all__ = ["FigsPe", "FigsPeConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FigsPeConfig(LaneConfig, SwapRegisterConfig):
    """Sizes of a MAC PE."""

    PRESETS = {"paper": {}, "small": {"beta": 2, "alpha": 1, "depth": 2},
               "fpga": {"depth": 3, "multiplier": "operator"}}

    def check(self):
        LaneConfig.check(self)
        SwapRegisterConfig.check(self)

    @property
    def entry_bits(self):
        """Width of what a PE does in a cycle: use, select, a weight for each unit; low bits first."""
        return 1 + self.select_bits + self.beta * self.weight_bits

    @property
    def swap(self):
        """The configuration of its swap register."""
        return SwapRegisterConfig(activation_bits=self.activation_bits, alpha=self.alpha, depth=self.depth)


@shared
class FigsPe(wiring.Component):
    """A swap register and ``beta`` multiply-accumulate units: ``beta`` sums, of outputs that use the same activations.

    Latency: 2 cycles from ``used``, ``select``, ``weights`` to the sum, a third with ``capture`` to ``results``.
    Throughput: ``beta`` products a cycle.
    Source: slides "FIGS Architecture - PEs".

    Parameters: ``config`` a :class:`FigsPeConfig`.

    Members
    -------
    go, east, west, others, used, select: as those of :class:`hw.figs.swap_register.SwapRegister`
    weights: In, of unit j at bit j * weight_bits
    first: In(1), a cycle after ``used``: the sums begin with its products
    capture: In(1), ``results`` take the sums
    shift: In(1), otherwise: ``results`` take ``above``
    above, results: In and Out, unit j at bit j * sum_bits; ``results`` are registers
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            **swap_members(config.swap),
            "weights": In(config.beta * config.weight_bits),
            "first": In(1), "capture": In(1), "shift": In(1),
            "above": In(config.beta * config.sum_bits), "results": Out(config.beta * config.sum_bits),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.swap = swap = SwapRegister(config.swap)
        m.d.comb += [
            swap.go.eq(self.go), swap.east.eq(self.east), self.west.eq(swap.west), swap.others.eq(self.others),
            swap.used.eq(self.used), swap.select.eq(self.select),
        ]
        results = []
        for unit in range(config.beta):
            m.submodules[f"mac_{unit}"] = lane = MacLane(config.lane)
            m.d.comb += [
                lane.x.eq(swap.operand), lane.weight.eq(self.weights.word_select(unit, config.weight_bits)),
                lane.first.eq(self.first), lane.capture.eq(self.capture), lane.shift.eq(self.shift),
                lane.above.eq(self.above.word_select(unit, config.sum_bits)),
            ]
            results.append(lane.result)
        m.d.comb += self.results.eq(Cat(results))
        return m
