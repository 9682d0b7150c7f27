"""Networks of random integers for the tests of programs, and a run on the golden accelerator."""

import dataclasses

import numpy as np

from golden.duet.accelerator_sizes import AcceleratorSizes
from golden.duet.cnn_program import CnnLayer
from golden.duet.duet_accelerator import DuetAccelerator
from golden.duet.layer import ConvLayer
from golden.duet.rnn_cell import FUNCTIONS, RnnCell, RnnGate
from golden.duet.speculator_mfu import Function
from tests.duet.accelerator_programs import random_parameters, random_speculation

SMALL, PAPER = AcceleratorSizes.preset("small"), AcceleratorSizes.preset("paper")


def run(program, rng=None, **options):
    """The machine after the program, whose memories begin with garbage; all tokens must be taken."""
    garbage = np.random.default_rng(1)
    machine = DuetAccelerator(program.sizes, program.dram)
    machine.data[:] = garbage.integers(-32768, 32768, machine.data.shape)
    machine.maps[:] = garbage.integers(0, 2, machine.maps.shape)
    machine.run(program.commands, rng=rng, **options)
    machine.run([])  # refused where tokens were left
    return machine


def network(seed, sizes, image_shape, *layers, plain=()):
    """(layers, image) with random integers; ``layers``: fields of each ``ConvLayer`` but its input; those whose number
    is in ``plain`` have no speculation."""
    rng, (channels, height, width), made = np.random.default_rng(seed), image_shape, []
    for number, fields in enumerate(layers):
        layer = ConvLayer(in_channels=channels, height=height, width=width, **fields)
        parameters = random_parameters(rng, (layer.out_channels, channels, *layer.kernel))
        speculation = None
        if number not in plain:
            speculation = random_speculation(rng, layer.out_channels, -(-channels // sizes.cols),
                                             sizes.speculator.trees, layer.taps * sizes.cols, Function.RELU, sizes)
        made.append(CnnLayer(layer=layer, parameters=parameters, speculation=speculation))
        channels, (height, width) = layer.out_channels, layer.out_size
    return made, rng.integers(-32768, 32768, image_shape) * (rng.random(image_shape) < 0.7)


def random_cell(rng, sizes, kind, inputs, width, accurate=()):
    """A cell with random integers; gates named in ``accurate`` have no speculation."""
    k, lanes = 2 * sizes.speculator.trees, -(-(inputs + width) // sizes.line_words) * sizes.line_words
    projection, gates = rng.integers(-1, 2, (1, k, lanes)), {}
    for name, function in FUNCTIONS[kind].items():
        words = {"nx": inputs, "nh": width}.get(name, inputs + width)
        parameters = dataclasses.replace(random_parameters(rng, (width, words)), shift=int(19 + np.log2(words) / 2))
        speculation = None
        if function != Function.NONE and name not in accurate:
            speculation = random_speculation(rng, width, 1, k, lanes, function, sizes, projection=projection)
        gates[name] = RnnGate(parameters=parameters, speculation=speculation)
    return RnnCell(kind=kind, inputs=inputs, width=width, gates=gates)


def without_wait(program, nth, engine, op):
    """A program whose ``nth`` command of a kind, of those that wait for tokens, does not."""
    commands = list(program.commands)
    index = [k for k, c in enumerate(commands) if (c.engine, c.op) == (engine, op) and c.wait][nth]
    commands[index] = dataclasses.replace(commands[index], wait=0)
    return dataclasses.replace(program, commands=tuple(commands))
