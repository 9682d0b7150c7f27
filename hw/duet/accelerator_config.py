"""Sizes of the whole accelerator, and those of its parts that follow from them."""

import dataclasses

from amaranth.utils import ceil_log2

from hw.config import ConfigError, field
from hw.duet.cell_unit import CellUnitConfig
from hw.duet.executor_types import ExecutorConfig
from hw.duet.global_buffer import GlobalBufferConfig
from hw.duet.speculator_types import SpeculatorConfig

__all__ = ["DuetAcceleratorConfig"]


def _merged(name):
    """The parts' presets of one name, as one."""
    fields = {}
    for part in (GlobalBufferConfig, ExecutorConfig, SpeculatorConfig):
        fields |= part.PRESETS[name]
    return fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class DuetAcceleratorConfig(SpeculatorConfig, ExecutorConfig, GlobalBufferConfig):
    """The sizes of all parts under their own names (those of the same name are the same), and the accelerator's."""

    readers: int = field(3, "ports of the GlobalBuffer that read: bus, CELL, DMA", choices=(3,))
    writers: int = field(4, "ports that write segments: maps, orders, results, CELL", choices=(4,))
    cell_lanes: int = field(4, "elements that the CellUnit updates in a cycle", min=1, max=64, power_of_two=True)
    c_fraction: int = field(8, "fraction bits of the cell state of an LSTM", unit="bits", min=4, max=11)
    dram_bits: int = field(512, "width of the DRAM port", unit="bits", min=32, max=8192, power_of_two=True)
    queue_depth: int = field(8, "commands that an engine's queue holds", min=3, max=1024)

    PRESETS = {
        "paper": _merged("paper"),
        "small": {**_merged("small"), "cell_lanes": 2, "dram_bits": 32, "lines": 512, "map_lines": 256},
        "fpga": {**_merged("fpga"), "cell_lanes": 2, "dram_bits": 64},
    }

    def check(self):
        for part in (self.executor, self.speculator, self.global_buffer, self.cell_unit):
            part.check()
        for name in ("rows", "cols"):
            if getattr(self, name) & (getattr(self, name) - 1):
                raise ConfigError(name, getattr(self, name), "a power of two")
        if self.rows > self.segment:
            raise ConfigError("rows", self.rows, f"at most segment = {self.segment}, the words of an order's segment")
        if self.dram_bits > self.line_bits:
            raise ConfigError("dram_bits", self.dram_bits, f"at most {self.line_bits}, a line")
        if self.cell_lanes > self.segment:
            raise ConfigError("cell_lanes", self.cell_lanes, f"at most segment = {self.segment}")
        if self.address_bits < ceil_log2(self.line_count):
            raise ConfigError("address_bits", self.address_bits, f"at least {ceil_log2(self.line_count)}, the width of "
                              "an address in the Speculator")

    def _part(self, config_class, **fields):
        names = [spec.name for spec in dataclasses.fields(config_class)]
        return config_class(**{**{name: getattr(self, name) for name in names if name not in fields}, **fields})

    @property
    def executor(self):
        """Configuration of the Executor inside."""
        return self._part(ExecutorConfig)

    @property
    def speculator(self):
        """Configuration of the Speculator inside."""
        return self._part(SpeculatorConfig)

    @property
    def global_buffer(self):
        """Configuration of the GlobalBuffer inside."""
        return self._part(GlobalBufferConfig)

    @property
    def cell_unit(self):
        """Configuration of the CellUnit inside."""
        return CellUnitConfig(lanes=self.cell_lanes, c_fraction=self.c_fraction)

    @property
    def channel_bits(self):
        """Width of a channel's, or neuron's, number."""
        return ceil_log2(self.max_channels)
