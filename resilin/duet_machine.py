"""The golden models' view of a DuetAccelerator: its sizes, and what its cycles depend on."""

import dataclasses

from golden.duet.accelerator_sizes import AcceleratorSizes
from golden.duet.cycles import MachineTiming
from golden.duet.sizes import Sizes
from golden.duet.speculator import SpeculatorSize
from golden.duet.speculator_timing import TimingSize
from hw.duet.cell_unit import CellUnit
from hw.duet.projection import ProjectionConfig
from hw.duet.reorder_unit import ReorderUnitConfig
from hw.duet.speculator_mfu import SpeculatorMfu
from hw.duet.speculator_types import ENTRY_BITS
from hw.duet.switching_map import SwitchingMap
from hw.duet.systolic_array import SystolicArrayConfig

__all__ = ["machine_timing", "sizes_of"]


def _part(cls, config, **others):
    """An object of a golden dataclass, its fields from the fields of the same name of a configuration."""
    names = [spec.name for spec in dataclasses.fields(cls) if spec.name not in others and hasattr(config, spec.name)]
    return cls(**{name: getattr(config, name) for name in names}, **others)


def sizes_of(config):
    """The :class:`AcceleratorSizes` of a :class:`hw.duet.accelerator_config.DuetAcceleratorConfig`."""
    return _part(AcceleratorSizes, config, executor=_part(Sizes, config), speculator=_part(SpeculatorSize, config))


def machine_timing(config, latency=2):
    """The :class:`MachineTiming` of a configuration; ``latency`` of the DRAM, by default that of the test bench."""
    array = SystolicArrayConfig(rows=config.array_rows, cols=config.array_cols, bits=config.bits, max_k=config.max_k)
    projection = ProjectionConfig(inputs=config.lanes, trees=config.trees, bits=config.bits,
                                  max_inputs=config.lanes * config.max_passes)
    reorder = ReorderUnitConfig(lanes=config.segment, buckets=config.buckets, max_channels=config.max_channels)
    size = _part(TimingSize, config, array_depth=array.depth, projection_latency=projection.latency,
                 array_latency=array.latency, result_latency=SpeculatorMfu.latency + SwitchingMap.latency)
    # Cycles in which the Speculator's buffers unpack a line: projection, weights, channel table.
    weights = max(1, config.line_bits // (config.array_cols * config.bits)) // config.weight_banks
    table = config.line_bits // ENTRY_BITS // config.table_banks
    return MachineTiming(
        rows=config.rows, cols=config.cols, segment=config.segment, speculator=size,
        tag_words=config.executor.tag_words, beats=config.line_bits // config.dram_bits, latency=latency,
        queue_depth=config.queue_depth, cell_items=config.segment // config.cell_lanes,
        cell_latency=CellUnit.latency, reorder_latency=reorder.latency,
        fill_beats=(max(1, config.line_bits // (2 * config.trees * config.lanes)), max(1, weights), max(1, table)))
