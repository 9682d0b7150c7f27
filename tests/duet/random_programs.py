"""Random programs of every kind for the accelerator: networks, recurrent cells, gates."""

import dataclasses

from golden.duet.cell_unit import Cell
from golden.duet.cnn_program import cnn_program
from golden.duet.mode import Mode
from golden.duet.rnn_program import rnn_program
from golden.duet.speculator_mfu import Function
from tests.duet.accelerator_programs import gate
from tests.duet.network_programs import network, random_cell

__all__ = ["random_program"]


def random_program(rng, sizes):
    """A ``Program`` for a machine of ``sizes`` (the preset ``small``, or one with more room). What does not fit is left
    out, and another is made; a ``ValueError`` when a hundred do not."""
    for _ in range(100):
        try:
            return rng.choice([_convolutions, _cells, _gate], p=[.6, .3, .1])(rng, sizes)
        except ValueError as error:  # the machine has no room, or the layers no output
            refused = error
    raise refused


def _convolutions(rng, sizes):
    """Up to three layers with strides or pooling, in parts and strips where the GlobalBuffer is made small."""
    room = dataclasses.replace(sizes, lines=int(rng.integers(sizes.lines // 5, sizes.lines + 1)),
                               map_lines=int(rng.integers(sizes.map_lines // 4, sizes.map_lines + 1)))
    layers = []
    for _ in range(int(rng.integers(1, 4))):
        kernel, stride = int(rng.integers(1, 4)), tuple(int(side) for side in rng.choice([1, 1, 2], 2))
        pooling = tuple(int(side) for side in rng.choice([1, 2], 2)) if max(stride) == 1 else 1
        layers.append(dict(out_channels=int(rng.integers(1, 18)), kernel=kernel, padding=int(rng.integers(kernel)),
                           stride=stride, pooling=pooling))
    shape = tuple(int(side) for side in rng.integers((1, 5, 5), (6, 12, 16)))
    layers, image = network(int(rng.integers(10_000)), sizes, shape, *layers)
    program = cnn_program(layers, image, room, rng.choice(list(Mode)), speculate_first=bool(rng.integers(2)),
                          store_maps=bool(rng.integers(2)))
    return dataclasses.replace(program, sizes=sizes)


def _cells(rng, sizes):
    """One or two cells over up to three steps, one gate of which may be accurate."""
    kind, mode = Cell(rng.integers(2)), Mode.DUET if rng.integers(3) else Mode.BASE
    accurate = {Cell.LSTM: "ifgo", Cell.GRU: "rz"}[kind][:int(rng.integers(2))]
    cells = [random_cell(rng, sizes, kind, int(rng.integers(1, 20)), int(rng.integers(1, 28)), accurate=accurate)
             for _ in range(int(rng.integers(1, 3)))]
    inputs = [rng.integers(-32768, 32768, (int(rng.integers(1, 4)), cell.inputs)) for cell in cells]
    return rnn_program(cells, inputs, sizes, mode)


def _gate(rng, sizes):
    """A gate, speculated where it has a function."""
    function = rng.choice([Function.NONE, Function.SIGMOID, Function.TANH])
    return gate(sizes, rng, speculate=function != Function.NONE and bool(rng.integers(2)), function=Function(function),
                neurons=int(rng.integers(1, 30)), inputs=int(rng.integers(1, 40)))
