"""Consecutive convolutions of a trained network as programs of the DUET accelerator, in every mode."""

import dataclasses
import types

import numpy as np

from golden.duet.calibrate import SpeculatorFormat
from golden.duet.cnn_program import CnnLayer, cnn_program
from golden.duet.command import Engine, WorkOp
from golden.duet.conv_works import conv_works
from golden.duet.mode import Mode
from golden.duet.networks import DuetConvolution, calibrate_convolutions
from golden.duet.unfold import unfold_image, unfold_layer, unfold_weights, unfolds
from golden.workloads.layers import Convolution, dense_convolution, max_pool
from resilin.duet.program_run import Mismatch, golden_runs, run_programs
from resilin.duet_machine import sizes_of

__all__ = ["LayerRun", "Stack", "layer_runs", "make_stack", "run_stack"]


@dataclasses.dataclass(frozen=True, eq=False)
class Stack:
    """``convolutions`` as they were trained, ``layers`` in integers; ``image`` INT16 and ``crop``, its real values."""

    convolutions: list[Convolution]
    layers: list[DuetConvolution]
    crop: np.ndarray
    image: np.ndarray

    def program(self, sizes, mode):
        """The program for one mode. Where a group of channels has room for the taps of the first layer, they are its
        channels."""
        layers, shape, image = [], self.image.shape[1:], self.image
        for duet in self.layers:
            layers.append(CnnLayer.of(duet, *shape))
            shape = layers[-1].layer.out_size
        first = layers[0]
        if unfolds(first.layer, sizes.cols):
            layers[0] = dataclasses.replace(first, layer=unfold_layer(first.layer),
                                            parameters=unfold_weights(first.parameters))
            image = unfold_image(first.layer, image)
        return cnn_program(layers, image, sizes, mode)

    def works(self, program):
        """The works of a program of :meth:`program`, from the maps that plain numpy gives."""
        results = self.results(program.mode.speculates)
        inputs = [self.image, *(result for result, _ in results[:-1])]
        first = CnnLayer.of(self.layers[0], *self.image.shape[1:]).layer
        if program.mappings[0].layer.in_channels != len(self.image):
            inputs[0] = unfold_image(first, self.image)
        return conv_works(program, inputs, [mask for _, mask in results])

    def results(self, switched):
        """For each layer (results INT16 after pooling, switching map); the first layer is never switched."""
        x, found = self.image, []
        for number, duet in enumerate(self.layers):
            results, mask = duet.run(x, None if switched and number else True)
            x = max_pool(results, duet.pool)
            found.append((x, mask))
        return found

    def exact(self):
        """The results of each layer in float, after pooling."""
        x, found = self.crop, []
        for layer in self.convolutions:
            x = max_pool(dense_convolution(layer, x), layer.pool)
            found.append(x)
        return found

    def errors(self, switched):
        """Relative L2 error of each layer's result against :meth:`exact`."""
        return [float(np.linalg.norm(got * duet.execution.out_step - exact) / np.linalg.norm(exact))
                for (got, _), exact, duet in zip(self.results(switched), self.exact(), self.layers)]


def make_stack(model, images, image, first, count, crop, config, *, channels=None, budget=0.05):
    """``count`` convolutions of ``model`` from number ``first`` on, calibrated on ``images``: a :class:`Stack`.

    ``crop``: height and width that are cut from the middle of the first one's input for ``image``. ``channels``: of
    each layer only so many, the first ones; the layers' weights are cut to them, so it is another network, with the
    same kind of numbers. ``config``: of the accelerator. ``budget``: see ``calibrate_convolutions``. Raises
    ``ValueError`` for layers that do not exist and a crop that is too large.
    """
    chosen = model.convolutions[first:first + count]
    if first < 0 or count < 2 or len(chosen) < count:
        raise ValueError(f"layers {first} to {first + count - 1} are not allowed: they must be at least two of 0 to "
                         f"{len(model.convolutions) - 1}")
    layers = [dataclasses.replace(layer, weight=layer.weight[:channels, :channels], bias=layer.bias[:channels])
              for layer in chosen]
    calibration = [_input(model, first, each)[:channels] for each in images]
    inputs = {}
    for layer in layers:
        inputs[layer.name] = calibration
        calibration = [max_pool(dense_convolution(layer, x), layer.pool) for x in calibration]
    duets = calibrate_convolutions(
        types.SimpleNamespace(convolutions=layers), images, cols=config.cols, trees=config.trees, budget=budget,
        inputs=inputs, formats=SpeculatorFormat(pre_bits=config.pre_bits, code_bits=config.code_bits))
    whole = _input(model, first, image)[:channels]
    height, width = whole.shape[1:]
    if not (1 <= crop[0] <= height and 1 <= crop[1] <= width):
        raise ValueError(f"crop = {crop[0]} x {crop[1]} is not allowed: the map has {height} x {width}")
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    part = whole[:, top:top + crop[0], left:left + crop[1]]
    return Stack(layers, list(duets.values()), part, duets[layers[0].name].quantize(part))


def _input(model, number, image):
    """The input (channels, height, width) of a convolution for an image of a line."""
    x = (image.astype(np.float32) / 127.5 - 1)[None]
    for layer in model.convolutions[:number]:
        x = max_pool(dense_convolution(layer, x), layer.pool)
    return x


def run_stack(stack, config, *, rtl=True, **options):
    """Every mode's program: ``Mode`` name -> ``ProgramRun``. Raises ``Mismatch`` at any difference.

    ``rtl``: on the RTL too; ``options`` are those of ``run_programs``. The golden machine is compared with plain numpy.
    """
    programs = {mode.name: stack.program(sizes_of(config), mode) for mode in Mode}
    runs = run_programs(programs, config, **options) if rtl else golden_runs(programs, config)
    for mode in Mode:
        run, expected = runs[mode.name], stack.results(mode.speculates)[-1][0]
        if not np.array_equal(run.program.output(run.dram), expected):
            raise Mismatch(f"program {mode.name}: the golden accelerator differs from golden.duet.networks")
    return runs


@dataclasses.dataclass(frozen=True)
class LayerRun:
    """A layer in a program: ``macs``; ``cycles`` from the end of the layer before to its end, and ``waits``: those of
    them in which the Executor waited for weights from the DRAM."""

    macs: int
    cycles: int
    waits: int

    @property
    def work_cycles(self):
        """Cycles without the waits for weights."""
        return self.cycles - self.waits


def layer_runs(run):
    """A :class:`LayerRun` for each layer of a convolutional program's ``ProgramRun``."""
    program, found = run.program, []
    queues = {engine: [(number, command) for number, command in enumerate(program.commands)
                       if command.engine == engine] for engine in (Engine.DMA, Engine.EXEC)}
    tiles = iter([(place, number) for place, (number, command) in enumerate(queues[Engine.EXEC])
                  if command.op == WorkOp.TILE])
    loads = iter([place for place, (_, command) in enumerate(queues[Engine.DMA])
                  if Engine.EXEC in command.signals_to()])
    before = 0
    for mapping, parts in zip(program.mappings, program.parts):
        begin, macs, waits = before, 0, 0
        for _ in parts:
            mine = [next(tiles) for _ in range(mapping.tile_grid[0] * mapping.tile_grid[1])]
            macs += sum(int(step.counts.sum()) for _, number in mine for step in run.works[number].steps)
            load = next(loads)
            waits += max(0, run.ends[Engine.DMA][load] - before)
            before = run.ends[Engine.EXEC][mine[-1][0]]
        found.append(LayerRun(macs, before - begin, waits))
    return found
