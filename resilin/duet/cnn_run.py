"""Consecutive convolutions of a trained network as programs of the DUET accelerator, in every mode."""

import dataclasses
import types

import numpy as np

from golden.duet.calibrate import SpeculatorFormat
from golden.duet.cnn_program import CnnLayer, cnn_program
from golden.duet.conv_works import conv_works
from golden.duet.cycles import CycleModel
from golden.duet.executor_pe import SLOTS
from golden.duet.mode import Mode
from golden.duet.networks import DuetConvolution, calibrate_convolutions, sort_channels
from golden.duet.unfold import unfold_image, unfold_layer, unfold_weights, unfolds
from golden.duet.works import ExecWork
from golden.workloads.layers import Convolution, dense_convolution, max_pool
from resilin.duet.program_run import Mismatch, ProgramRun, golden_runs, run_programs
from resilin.duet_machine import machine_timing, sizes_of

__all__ = ["Stack", "make_stack", "model_stack", "run_stack"]


@dataclasses.dataclass(frozen=True, eq=False)
class Stack:
    """``convolutions`` as they were trained, ``layers`` in integers; ``crop``: the first one's real inputs."""

    convolutions: list[Convolution]
    layers: list[DuetConvolution]
    crop: np.ndarray

    @property
    def image(self):
        """INT16 of the crop."""
        return self.layers[0].quantize(self.crop)

    def part(self, height, width):
        """The same for a part of the crop, from its middle."""
        whole = self.crop.shape[1:]
        if not (1 <= height <= whole[0] and 1 <= width <= whole[1]):
            raise ValueError(f"crop = {height} x {width} is not allowed: it must be 1 x 1 to {whole[0]} x {whole[1]}")
        top, left = (whole[0] - height) // 2, (whole[1] - width) // 2
        return dataclasses.replace(self, crop=self.crop[:, top:top + height, left:left + width])

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


def make_stack(model, images, image, first, count, config, *, channels=None, budget=0.05, sort=False):
    """``count`` convolutions of ``model`` from number ``first`` on, calibrated on ``images``: a :class:`Stack`.

    The crop is all of the first one's input for ``image``. ``channels``: of each layer only so many, the first ones;
    the layers' weights are cut to them, so it is another network, with the same kind of numbers. ``config``: of the
    accelerator; layers with more channels than its Speculator holds are never switched. ``budget``: see
    ``calibrate_convolutions``. ``sort``: channels between the layers in the order of ``sort_channels``. Raises
    ``ValueError`` for layers that do not exist.
    """
    chosen = model.convolutions[first:first + count]
    if first < 0 or count < 2 or len(chosen) < count:
        raise ValueError(f"layers {first} to {first + count - 1} are not allowed: they must be at least two of 0 to "
                         f"{len(model.convolutions) - 1}")
    layers = [dataclasses.replace(layer, weight=layer.weight[:channels, :channels], bias=layer.bias[:channels])
              for layer in chosen]
    calibration = [_input(model, first, each)[:channels] for each in images]
    inputs = _inputs(layers, calibration)
    if sort:
        layers = sort_channels(layers, inputs, config.cols)
        inputs = _inputs(layers, calibration)
    duets = calibrate_convolutions(
        types.SimpleNamespace(convolutions=layers), images, cols=config.cols, trees=config.trees, budget=budget,
        inputs=inputs,
        formats=SpeculatorFormat(pre_bits=config.pre_bits, code_bits=config.code_bits, max_k=config.max_k))
    most = config.activation_rows // SLOTS * config.cols
    found = [duet if layer.weight.shape[1] <= most else dataclasses.replace(duet, speculation=None, losses=None)
             for layer, duet in zip(layers, duets.values())]
    return Stack(layers, found, _input(model, first, image)[:channels])


def _inputs(layers, x):
    """Inputs of each layer, by name, for the inputs ``x`` of the first one."""
    inputs = {}
    for layer in layers:
        inputs[layer.name] = x
        x = [max_pool(dense_convolution(layer, each), layer.pool) for each in x]
    return inputs


def _input(model, number, image):
    """The input (channels, height, width) of a convolution for an image."""
    x = model.picture(image)
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


def model_stack(stack, config):
    """Every mode's program on the cycle model alone, with the works that plain numpy's maps make: ``Mode`` name ->
    ``ProgramRun`` without ``dram`` and ``moved``. The golden machine, which finds races, is not asked."""
    runs, timing = {}, machine_timing(config)
    for mode in Mode:
        program = stack.program(sizes_of(config), mode)
        works = stack.works(program)
        model = CycleModel(timing, program.commands, works)
        macs = sum(int(step.counts.sum()) for work in works.values() if isinstance(work, ExecWork)
                   for step in work.steps)
        runs[mode.name] = ProgramRun(program, None, works, macs, {}, model.ends, model.ends, model.timeline)
    return runs
