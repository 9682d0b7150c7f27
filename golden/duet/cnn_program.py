"""A stack of convolutions as a program of the DUET accelerator.

:mod:`golden.duet.cnn_planner` divides the layers into jobs and gives them places in the GlobalBuffer,
:mod:`golden.duet.cnn_copies` and :mod:`golden.duet.cnn_commands` make the commands.
"""

import dataclasses

import numpy as np

from golden.duet.calibrate import Speculation
from golden.duet.cnn_commands import CnnCommands
from golden.duet.cnn_plan import Job, PlannedLayer
from golden.duet.cnn_planner import make_plan
from golden.duet.layer import ConvLayer
from golden.duet.layer_parameters import QuantizedLayer
from golden.duet.mapping import ConvMapping, map_conv
from golden.duet.mode import Mode
from golden.duet.program import Program
from golden.duet.speculator_mapping import SpeculatorMapping, map_speculation
from golden.duet.speculator_mfu import Function

__all__ = ["CnnLayer", "CnnProgram", "cnn_program"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CnnLayer:
    """A convolution with its integers: ``parameters`` with weights (out_channels, in_channels, kh, kw).

    ``speculation``: None for a layer that is computed without.
    """

    layer: ConvLayer
    parameters: QuantizedLayer
    speculation: Speculation | None = None

    @classmethod
    def of(cls, convolution, height, width):
        """The layer of a calibrated ``golden.duet.networks.DuetConvolution`` for inputs of ``height`` x ``width``."""
        flat = convolution.execution.layer
        weights = flat.weights.reshape(len(flat.weights), -1, *convolution.kernel)
        layer = ConvLayer(in_channels=weights.shape[1], out_channels=len(weights), height=height, width=width,
                          kernel=convolution.kernel, stride=convolution.stride, padding=convolution.padding,
                          pooling=convolution.pool,
                          activation=Function.RELU if convolution.execution.relu else Function.NONE)
        return cls(layer=layer, parameters=dataclasses.replace(flat, weights=weights),
                   speculation=convolution.speculation)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CnnProgram(Program):
    """``results``: "output", and with maps "omap[L]" and "map[L]": lines as a ``STORE`` leaves them.

    ``mode``: the :class:`Mode`; ``mappings``: of each layer; ``speculations``: what the Speculator has of it, None
    where it does not work on it; ``parts``: (first, n) of its output channels; ``strips``: their number, (vertical,
    horizontal); ``jobs``: what the Executor computes one after another.
    """

    mode: Mode
    mappings: tuple[ConvMapping, ...]
    speculations: tuple[SpeculatorMapping | None, ...]
    parts: tuple[tuple[tuple[int, int], ...], ...]
    strips: tuple[tuple[int, int], ...]
    jobs: tuple[Job, ...]

    @property
    def speculated(self):
        """For each layer whether the Speculator works on it."""
        return tuple(speculation is not None for speculation in self.speculations)

    def output(self, dram):
        """The result INT16 (channels, height, width) of the last layer."""
        return self.mappings[-1].out_map.unpack(self.result(dram, "output"))

    def result_map(self, dram, layer):
        """The corrected map of a layer's result, bool (channels, height, width)."""
        return self.mappings[layer].out_map.unpack(self._bits(dram, f"map[{layer}]"))

    def switching_map(self, dram, layer):
        """The switching map of a speculated layer, bool (channels, height, width), of the outputs before pooling."""
        mapping = self.mappings[layer]
        height, width = (count * tile for count, tile in zip(mapping.tile_grid, mapping.tile))
        whole = dataclasses.replace(mapping.out_map, height=height, width=width, block=mapping.tile)
        rows, columns = (size * pooling for size, pooling in zip(mapping.layer.out_size, mapping.layer.pooling))
        bits = self._bits(dram, f"omap[{layer}]").reshape(whole.lines, whole.cols, -1)[:, :, :whole.segment]
        return whole.unpack(bits.reshape(whole.lines, -1))[:, :rows, :columns]

    def _bits(self, dram, name):
        lines = self.result(dram, name)
        bits = (lines[:, :-(-lines.shape[1] // 16), None] >> np.arange(16) & 1).astype(bool)
        return bits.reshape(len(lines), -1)[:, :lines.shape[1]]


def cnn_program(layers, image, sizes, mode, *, speculate_first=False, store_maps=False):
    """The :class:`CnnProgram` of ``layers`` (of :class:`CnnLayer`) for ``image`` INT16 (channels, height, width).

    ``sizes``: ``AcceleratorSizes``; ``mode``: ``Mode``. ``speculate_first``: the first layer too, whose input comes
    from outside. ``store_maps``: all maps are stored as results. Raises ``ValueError`` for what the machine cannot run,
    and where the GlobalBuffer is too small.
    """
    if not layers:
        raise ValueError("layers is empty: there must be at least one")
    planned = []
    for number, given in enumerate(layers):
        mapping = map_conv(given.layer, sizes.executor)
        if number and mapping.in_map != (before := planned[-1].mapping.out_map):
            raise ValueError(f"layer {number} takes {mapping.in_map}: the layer before gives {before}")
        speculation = None
        if mode.speculates and given.speculation is not None and (number or speculate_first):
            speculation = map_speculation(mapping, given.speculation, sizes, keep_order=not mode.reorders)
        planned.append(PlannedLayer(number, mapping, given.parameters, speculation))
    plan = make_plan(planned, sizes, store_maps=store_maps)
    made = CnnCommands(plan, image, sizes, mode, store_maps)
    return CnnProgram(
        sizes=sizes, commands=made.commands, dram=made.dram, results=made.results, mode=mode, jobs=tuple(plan.jobs),
        mappings=tuple(layer.mapping for layer in planned), parts=tuple(tuple(layer.parts) for layer in planned),
        strips=tuple(layer.grid.counts for layer in planned),
        speculations=tuple(layer.speculation for layer in planned))
