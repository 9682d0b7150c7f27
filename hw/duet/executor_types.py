"""Sizes of the Executor, and what its ports carry (docs/duet/executor.md)."""

import dataclasses

from amaranth.lib import data, enum
from amaranth.utils import ceil_log2

from hw.config import Config, ConfigError, field
from hw.duet.executor_pe import SLOTS, ExecutorPeConfig
from hw.duet.multicast_bus import MulticastBusConfig

__all__ = ["BIAS_BITS", "MAX_BIAS_SHIFT", "PARITIES", "RESULT_BITS", "BusBody", "BusItem", "BusKind", "ConfigRegion",
           "ConfigWord", "Counters", "ExecutorConfig", "Results", "SpeculatorItem"]

#: Places of a tile in a block of pooled outputs.
PARITIES = 4
#: Width of a bias, and the farthest it is shifted to the left.
BIAS_BITS, MAX_BIAS_SHIFT = 32, 15
RESULT_BITS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecutorConfig(Config):
    """Sizes of the Executor."""

    rows: int = field(16, "rows of elements; each computes one output channel", min=2, max=32)
    cols: int = field(16, "elements of a row; each takes one segment of a line", min=2, max=32)
    segment: int = field(16, "words an element takes from a line, outputs of a block", min=4, max=32, power_of_two=True)
    weight_lines: int = field(2, "segments in an element's weight buffer, a bank", min=1, max=8)
    lut_entries: int = field(144, "instructions of a program at most, at least 2 and a multiple of tag_lanes",
                             min=2, max=1024)
    tag_lanes: int = field(16, "instructions whose tags are formed in a cycle", min=1, max=64, power_of_two=True)
    acc_bits: int = field(44, "width of a partial sum, signed", unit="bits", min=32, max=56)
    max_channels: int = field(512, "channels with a bias", min=2, max=4096)
    address_bits: int = field(9, "width of an item's address, at least that of a channel", unit="bits", min=1, max=16)

    PRESETS = {
        "paper": {},
        "small": {"rows": 4, "cols": 2, "segment": 4, "weight_lines": 3, "lut_entries": 36, "tag_lanes": 4,
                  "max_channels": 32, "address_bits": 8},
        "fpga": {"rows": 4, "cols": 4, "max_channels": 64, "address_bits": 8},
    }

    def check(self):
        if self.lut_entries % self.tag_lanes or self.lut_entries == self.tag_lanes:
            raise ConfigError("lut_entries", self.lut_entries,
                              f"a multiple of tag_lanes = {self.tag_lanes}, and at least twice as much")
        if self.address_bits < self.channel_bits:
            raise ConfigError("address_bits", self.address_bits,
                              f"at least {self.channel_bits}, the width of a channel")

    @property
    def element(self):
        """Configuration of the elements."""
        return ExecutorPeConfig(segment=self.segment, weight_lines=self.weight_lines, lut_entries=self.lut_entries,
                                acc_bits=self.acc_bits)

    @property
    def bus(self):
        """Configuration of the bus."""
        return MulticastBusConfig(rows=self.rows, cols=self.cols, body_bits=BusBody(self).size,
                                  data_bits=16 * self.line_words)

    @property
    def line_words(self):
        """Words of a line."""
        return self.cols * self.segment

    @property
    def channel_bits(self):
        """Width of a channel's number."""
        return ceil_log2(self.max_channels)

    @property
    def word_bits(self):
        """Width of a word's number in a segment."""
        return ceil_log2(self.segment)

    @property
    def tag_words(self):
        """Cycles in which the tags of a chunk are formed."""
        return self.lut_entries // self.tag_lanes

    @property
    def sum_bits(self):
        """Width of the sum of a row's partial sums, signed."""
        return self.acc_bits + ceil_log2(self.cols)


class BusKind(enum.Enum, shape=2):
    """What an item of the bus carries."""

    OMAP = 0
    INPUT = 1
    WEIGHT = 2
    GO = 3


class BusBody(data.StructLayout):
    """Fields of an item besides its tags and its line of words."""

    def __init__(self, config):
        super().__init__({
            "kind": BusKind, "slot": ceil_log2(SLOTS), "line": ceil_log2(config.weight_lines), "mask": config.segment,
            "last": 1, "parity": ceil_log2(PARITIES), "address": config.address_bits, "map": config.line_words,
        })


class BusItem(data.StructLayout):
    """An item of the Y-bus; which fields matter depends on ``kind``."""

    def __init__(self, config):
        super().__init__({
            "row_tag": ceil_log2(config.rows + 1), "row_all": 1, "col_tag": ceil_log2(config.cols), "col_all": 1,
            **{name: field.shape for name, field in BusBody(config)}, "data": 16 * config.line_words,
        })


class SpeculatorItem(data.StructLayout):
    """An item for the Speculator: what the fields mean is its matter."""

    def __init__(self, config):
        super().__init__({"kind": 2, "last": 1, "address": config.address_bits, "mask": config.segment,
                          "data": 16 * config.line_words})


class ConfigWord(data.StructLayout):
    """A word of a layer's configuration: region in the top four bits of ``address``, index below."""

    def __init__(self):
        super().__init__({"address": 16, "data": 32})


class ConfigRegion(enum.Enum, shape=4):
    """Top four bits of a configuration word's address."""

    SETTINGS = 0
    PROGRAM = 1
    BIAS = 2
    PLACE = 3
    OWNED = 4
    ROW_ID = 5
    COLUMN_ID = 6


class Results(data.StructLayout):
    """A row's segment of results: word p at bit 16 * p of ``data``, bit p of ``nonzero`` and ``mask``."""

    def __init__(self, config):
        super().__init__({
            "channel": config.channel_bits, "parity": ceil_log2(PARITIES), "data": RESULT_BITS * config.segment,
            "nonzero": config.segment, "mask": config.segment, "last": 1,
        })


class Counters(data.StructLayout):
    """``macs``: instructions issued by all elements. Every cycle counts once: ``busy``: an element issues; ``drain``:
    none does, and a step's last chunk is inside; ``load``: the rest, data is missing.
    """

    def __init__(self):
        super().__init__({"macs": 48, "busy": 32, "load": 32, "drain": 32})
