"""Sizes of the Speculator, and the layouts of what it is sent: lines, jobs, the configuration of a layer."""

import dataclasses

from amaranth.hdl import signed
from amaranth.lib import data, enum
from amaranth.utils import ceil_log2

from hw.config import Config, ConfigError, field
from hw.duet.function import Function

__all__ = ["TileMap", "ConfigWord", "ENTRY_BITS", "Job", "Line", "LineKind", "SLOTS", "Settings",
           "SpeculatorConfig"]

#: Blocks of pixels that a group has in the activation buffer (2 x 2).
SLOTS = 4
#: Bits of an entry of the channel table in a line.
ENTRY_BITS = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeculatorConfig(Config):
    """Sizes of the Speculator (defaults: thesis Table 5.1)."""

    cols: int = field(16, "channels of a group, segments of a line", min=1, max=64, power_of_two=True)
    segment: int = field(16, "words of a segment, pixels of a block, positions of a tile, taps of a pass", min=2,
                         max=64, power_of_two=True)
    bits: int = field(4, "of quantized activations, projected inputs and QDR weights", unit="bits", choices=(2, 4, 8))
    trees: int = field(16, "projected inputs a cycle", min=2, max=64, power_of_two=True)
    array_rows: int = field(16, "rows of the systolic array, at most segment", min=2, max=64, power_of_two=True)
    array_cols: int = field(32, "columns of the systolic array", min=2, max=64, power_of_two=True)
    activation_rows: int = field(64, "rows of the activation buffer, 4 a group of channels", min=8, max=1024,
                                 power_of_two=True)
    projection_rows: int = field(32, "rows of the projection buffer", min=2, max=1024, power_of_two=True)
    max_passes: int = field(16, "passes of taps, or lines of a vector", min=1, max=64)
    input_rows: int = field(32, "rows of the QDR input buffer", min=2, max=1024, power_of_two=True)
    weight_rows: int = field(8192, "rows of the QDR weight buffer", min=2, max=1 << 16, power_of_two=True)
    weight_banks: int = field(32, "rows of the QDR weight buffer that are written in a cycle", min=1, max=64,
                              power_of_two=True)
    table_entries: int = field(2048, "entries of the channel table", min=2, max=1 << 16, power_of_two=True)
    table_banks: int = field(8, "entries of the channel table that are written in a cycle", min=1, max=64,
                             power_of_two=True)
    output_segments: int = field(128, "segments that the QDR output buffer holds", min=3, max=4096)
    max_channels: int = field(512, "channels of a tile, neurons of a gate", min=2, max=4096)
    buckets: int = field(16, "of the Reorder Unit", min=2, max=32)
    scale_bits: int = field(8, "of a channel's scale, unsigned", unit="bits", min=1, max=16)
    bias_bits: int = field(12, "of a channel's bias, signed", unit="bits", min=2, max=16)
    pre_bits: int = field(8, "of an approximate pre-activation", unit="bits", min=5, max=12)
    code_bits: int = field(4, "of an approximate activation", unit="bits", min=2, max=8)

    PRESETS = {
        "paper": {},
        "small": {"cols": 2, "segment": 4, "trees": 4, "array_rows": 4, "array_cols": 8, "max_passes": 8,
                  "weight_rows": 512, "weight_banks": 4, "table_entries": 128, "table_banks": 1, "output_segments": 8,
                  "max_channels": 32, "buckets": 4},
        "fpga": {"cols": 4, "trees": 4, "array_cols": 8, "weight_rows": 1024, "weight_banks": 8, "table_entries": 256,
                 "table_banks": 2, "output_segments": 16, "max_channels": 64},
    }

    def check(self):
        if self.array_rows > self.segment:
            raise ConfigError("array_rows", self.array_rows, f"at most segment = {self.segment}")
        if self.lanes > 1024:
            raise ConfigError("cols", self.cols, f"at most 1024 / segment = {1024 // self.segment}")
        if self.line_bits < ENTRY_BITS:
            raise ConfigError("cols", self.cols, "such that a line of 16 * cols * segment bits holds 32 bits")
        per_line = self.line_bits // (self.array_cols * self.bits)
        if self.weight_banks > max(1, per_line):
            raise ConfigError("weight_banks", self.weight_banks, f"at most {max(1, per_line)}, the rows of a line")
        entries = self.line_bits // ENTRY_BITS
        if self.table_banks > entries:
            raise ConfigError("table_banks", self.table_banks, f"at most {entries}, the entries of a line")
        for name, least in (("weight_rows", per_line), ("table_entries", entries),
                            ("projection_rows", 8 // self.trees)):
            if getattr(self, name) < least:
                raise ConfigError(name, getattr(self, name), f"at least {least}, a whole line")

    @property
    def lanes(self):
        """Words of a line; inputs of the projection."""
        return self.cols * self.segment

    @property
    def line_bits(self):
        """Bits of a line of activations."""
        return 16 * self.lanes

    @property
    def parts(self):
        """Times that the positions of a tile go through the systolic array, ``array_rows`` at a time."""
        return self.segment // self.array_rows

    @property
    def max_k(self):
        """The greatest K."""
        return self.input_rows * self.trees

    @property
    def line_count(self):
        """Lines of the largest buffer."""
        bits = (self.projection_rows * self.trees * self.lanes * 2, self.weight_rows * self.array_cols * self.bits,
                self.table_entries * ENTRY_BITS)
        return max(self.activation_rows, *(count // self.line_bits for count in bits))


class LineKind(enum.Enum, shape=2):
    """What a line holds."""

    ACTIVATION = 0
    PROJECTION = 1
    WEIGHT = 2
    CHANNEL = 3


class Line(data.StructLayout):
    """A line for the Speculator; ``mask`` and ``last`` count with activations only (docs/duet/speculator.md)."""

    def __init__(self, config):
        super().__init__({"kind": LineKind, "last": 1, "address": range(config.line_count), "mask": config.segment,
                          "data": config.line_bits})


class Job(data.StructLayout):
    """A tile of a convolution, or a gate; ``shift_shape``: of ``q_shift``."""

    def __init__(self, config, shift_shape):
        super().__init__({
            "project": 1, "function": Function, "threshold": signed(config.pre_bits), "q_shift": shift_shape,
            "n": range(config.max_channels + 1), "weight_base": range(config.weight_rows),
            "table_base": range(config.table_entries), "valid": config.segment,
        })


class TileMap(data.StructLayout):
    """The switching map of a channel in a tile, position p at bit p; ``last``: of the tile."""

    def __init__(self, config):
        super().__init__({"channel": range(config.max_channels), "map": config.segment, "last": 1})


class ConfigWord(data.StructLayout):
    """A word of the configuration of a layer."""

    def __init__(self, config):
        super().__init__({"address": 8, "data": max(16, 2 * config.segment)})


class Settings(data.StructLayout):
    """The configuration of a layer; ``shift_shape``: of ``p_shift``. Meaning of the fields: docs/duet/speculator.md."""

    def __init__(self, config, shift_shape):
        pixel_bits = ceil_log2(config.segment)
        super().__init__({
            "gate": 1,
            "groups": range(config.activation_rows // SLOTS + 1),
            "passes": range(config.max_passes + 1),
            "group_rows": range(config.input_rows + 1),
            "k_rows": range(config.input_rows + 1),
            "p_shift": shift_shape,
            "block_width": range(pixel_bits + 1),
            "tile_width": range(pixel_bits + 1),
            "stride_y": 3, "stride_x": 3,
            "origin_y": pixel_bits + 1, "origin_x": pixel_bits + 1,
            "keep_order": 1,
            "unused": pixel_bits,
            "thresholds": data.ArrayLayout(range(config.segment + 1), config.buckets - 1),
            "taps": data.ArrayLayout(data.StructLayout({"far_y": config.segment, "far_x": config.segment}),
                                     config.max_passes),
        })
