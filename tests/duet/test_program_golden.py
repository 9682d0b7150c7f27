"""Programs of whole networks on the golden accelerator equal plain numpy, in every mode, whatever the order."""

import dataclasses

import numpy as np
import pytest

from golden.arith.activation import sigmoid, tanh
from golden.arith.fixed import requantize
from golden.duet.accelerator_sizes import AcceleratorSizes
from golden.duet.calibrate import calibrate_execution, calibrate_speculation, convolution_rows, vector_rows
from golden.duet.cell_unit import Cell, gru, lstm
from golden.duet.cnn_program import CnnLayer, cnn_program
from golden.duet.command import Command, CopyOp, Engine, WorkOp
from golden.duet.duet_accelerator import DuetAccelerator
from golden.duet.executor_config import Region, address
from golden.duet.gates import calibrate_cell
from golden.duet.layer import ConvLayer
from golden.duet.mapping import map_conv
from golden.duet.mode import Mode
from golden.duet.networks import DuetConvolution
from golden.duet.program import DramImage, Queues
from golden.duet.rnn_program import FUNCTIONS, RnnCell, RnnGate, rnn_program
from golden.duet.speculator_mfu import Function
from golden.workloads import layers as float_layers
from tests.duet.accelerator_programs import random_parameters, random_speculation
from tests.duet.test_mapping_golden import plain_convolution

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


# Convolutions.

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


def plain_network(layers, image, sizes, speculated):
    """(result, [(switching map, corrected map)]) of each layer, by sliding windows."""
    maps = []
    for given, switched in zip(layers, speculated):
        layer = given.layer
        computed = np.ones((layer.out_channels, *layer.conv_size), dtype=bool)
        if switched:
            rows = convolution_rows(image >> 12, layer.kernel, layer.padding[0], sizes.cols)
            computed = given.speculation.mask(given.speculation.pre(rows)).T.reshape(computed.shape)
        image = plain_convolution(layer, given.parameters, image, computed)
        height, width = (size * pooling for size, pooling in zip(layer.out_size, layer.pooling))
        maps.append((computed[:, :height, :width], image != 0))
    return image, maps


def check_network(program, machine, layers, image):
    expected, maps = plain_network(layers, image, program.sizes, program.speculated)
    assert (program.output(machine.dram) == expected).all()
    for number, (switching, corrected) in enumerate(maps):
        if f"map[{number}]" in program.results:
            assert (program.result_map(machine.dram, number) == corrected).all()
        if f"omap[{number}]" in program.results:
            assert (program.switching_map(machine.dram, number) == switching).all()


POOLED = (SMALL, (3, 9, 7), dict(out_channels=5, padding=1, pooling=2), dict(out_channels=6, padding=1),
          dict(out_channels=3, kernel=1))
RAGGED = (SMALL, (2, 7, 8), dict(out_channels=3, padding=1, pooling=(2, 1)), dict(out_channels=9, kernel=2))
PARTED = (dataclasses.replace(SMALL, lines=450, map_lines=600), (4, 4, 2), dict(out_channels=9, padding=1),
          dict(out_channels=24, padding=1), dict(out_channels=23, kernel=2, padding=1))


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("sizes, shape, layers, plain", [
    (POOLED[0], POOLED[1], POOLED[2:], ()), (RAGGED[0], RAGGED[1], RAGGED[2:], ()),
    (PARTED[0], PARTED[1], PARTED[2:], ()), (POOLED[0], POOLED[1], POOLED[2:], (1,)),
], ids=["pooled", "ragged", "parted", "plain_layer"])
def test_cnn(sizes, shape, layers, plain, mode):
    layers, image = network(2, sizes, shape, *layers, plain=plain)
    for options in (dict(), dict(speculate_first=True, store_maps=True)):
        program = cnn_program(layers, image, sizes, mode, **options)
        first = bool(options) or mode is Mode.BASE
        assert program.speculated == tuple(mode.speculates and number not in plain and (first or number > 0)
                                           for number in range(len(layers)))
        for machine in (run(program, queue_depth=1), run(program, np.random.default_rng(3))):
            check_network(program, machine, layers, image)
    with pytest.raises(AssertionError):  # the check can fail
        machine.dram[program.results["output"][0], 0] += 1
        check_network(program, machine, layers, image)


def test_parts():
    """Weights that do not fit are divided, each part loaded once, in all phases."""
    program = cnn_program(*network(2, *PARTED), PARTED[0], Mode.DUET)
    assert [len(parts) for parts in program.parts] == [1, 3, 2]
    assert [sum(n for _, n in parts) for parts in program.parts] == [9, 24, 23]
    loaded = np.concatenate([np.arange(command.a, command.a + command.c) for command in program.commands
                             if (command.engine, command.op) == (Engine.DMA, CopyOp.LOAD)])
    weights = sum(mapping.outputs * mapping.chunks * mapping.weight_lines for mapping in program.mappings)
    assert len(np.unique(loaded)) >= weights
    zeros = np.flatnonzero(~program.dram.any(axis=1))
    counts = np.bincount(loaded)
    assert not np.delete(counts, zeros[zeros < len(counts)]).max() > 1  # only lines of zeros more than once


def test_macs():
    """No mode multiplies more than BASE; the order of channels changes nothing, nor does skipping zeros add any."""
    layers, image = network(2, *POOLED)
    macs = {mode: run(cnn_program(layers, image, SMALL, mode, speculate_first=True)).macs for mode in Mode}
    assert macs[Mode.BASE] == sum(
        len(mapping.program) * mapping.chunks * SMALL.cols * mapping.outputs * tiles - outside
        for mapping, tiles, outside in (
            (mapping, int(np.prod(mapping.tile_grid)), _outside(mapping))
            for mapping in cnn_program(layers, image, SMALL, Mode.BASE).mappings))
    assert macs[Mode.OS] == macs[Mode.BOS] and macs[Mode.IOS] == macs[Mode.DUET]
    assert macs[Mode.DUET] < macs[Mode.OS] < macs[Mode.BASE]


def _outside(mapping):
    """Multiplications of outputs that are in a tile but not in the image."""
    missing = sum(int((~tile.valid).sum()) for tile in mapping.tiles())
    return missing * mapping.layer.taps * mapping.chunks * mapping.chunk_lines * mapping.sizes.cols * mapping.outputs


def test_paper_size():
    layers, image = network(3, PAPER, (20, 9, 10), dict(out_channels=33, padding=1, pooling=2),
                            dict(out_channels=17, kernel=1))
    program = cnn_program(layers, image, PAPER, Mode.DUET)
    check_network(program, run(program), layers, image)


def test_many_tiles():
    """Layers of more tiles than a counter of tokens holds."""
    sizes = dataclasses.replace(SMALL, lines=4000, map_lines=4000)
    layers, image = network(4, sizes, (1, 30, 29), dict(out_channels=2, kernel=1), dict(out_channels=1, kernel=1),
                            dict(out_channels=1, padding=1))
    program = cnn_program(layers, image, sizes, Mode.DUET, speculate_first=True)
    check_network(program, run(program, queue_depth=1), layers, image)


def test_speculation_overlaps():
    """Each tile of the Speculator waits for no more tiles than its window touches."""
    layers, image = network(5, SMALL, (2, 8, 8), dict(out_channels=2, padding=1), dict(out_channels=2, padding=1))
    commands = cnn_program(layers, image, SMALL, Mode.DUET).commands
    gives = [(command.b, command.c) for command in commands if command.engine == Engine.EXEC
             and command.op == WorkOp.TILE and command.signal >> Engine.SPEC & 1]
    waits = [(command.b, command.c) for command in commands if command.engine == Engine.SPEC
             and command.op == WorkOp.TILE and command.wait >> Engine.EXEC & 1]
    # A window of 3 x 3 around a tile reaches the next tile to the right and below, while there is one.
    needed = list(zip(waits, gives))
    assert needed[0] == ((0, 0), (1, 1)) and needed[1] == ((0, 1), (1, 2)) and needed[3] == ((1, 0), (2, 1))
    assert needed[-1] == ((2, 2), (3, 3)) and len(waits) == len(gives) == 9
    # In the stream the Speculator's first tile comes before the Executor's last of the layer before.
    first = commands.index(next(c for c in commands if c.engine == Engine.SPEC and c.op == WorkOp.TILE))
    last = max(k for k, c in enumerate(commands) if c.engine == Engine.EXEC and c.op == WorkOp.TILE)
    assert first < last - 16


@pytest.mark.parametrize("nth, engine, op", [(0, Engine.SPEC, WorkOp.TILE), (4, Engine.SPEC, WorkOp.TILE),
                                             (0, Engine.EXEC, WorkOp.TILE), (0, Engine.SPEC, WorkOp.FILL),
                                             (-1, Engine.EXEC, WorkOp.TILE), (-1, Engine.DMA, CopyOp.STORE)])
def test_broken_cnn_races(nth, engine, op):
    """A command that does not wait."""
    layers, image = network(2, *POOLED)
    program = cnn_program(layers, image, SMALL, Mode.DUET)
    commands = list(program.commands)
    index = [k for k, c in enumerate(commands) if (c.engine, c.op) == (engine, op) and c.wait][nth]
    commands[index] = dataclasses.replace(commands[index], wait=0)
    with pytest.raises(ValueError, match="race at line"):
        run(dataclasses.replace(program, commands=tuple(commands)))


def test_broken_cnn_deadlocks():
    """A command that gives no token."""
    layers, image = network(2, *POOLED)
    program = cnn_program(layers, image, SMALL, Mode.DUET)
    commands = list(program.commands)
    index = [k for k, c in enumerate(commands) if c.engine == Engine.SPEC and c.op == WorkOp.TILE][-1]
    commands[index] = dataclasses.replace(commands[index], signal=0)
    with pytest.raises(ValueError, match="deadlock: .*EXEC TILE.*DMA STORE|deadlock: .*DMA STORE.*EXEC TILE"):
        run(dataclasses.replace(program, commands=tuple(commands)))


def test_cnn_refused():
    layers, image = network(2, *POOLED)
    with pytest.raises(ValueError, match=r"has 90 lines, too few: at time \d it needs .*weights\[2\] 54"):
        cnn_program(layers, image, dataclasses.replace(SMALL, lines=90), Mode.DUET)
    with pytest.raises(ValueError, match=r"map memory has 20 lines, too few: at time 0 it needs 52 \(map\[0\] 40"):
        cnn_program(layers, image, dataclasses.replace(SMALL, map_lines=20), Mode.BASE)
    with pytest.raises(ValueError, match="layer 1 takes"):
        cnn_program([layers[0], layers[2]], image, SMALL, Mode.BASE)
    with pytest.raises(ValueError, match="layers is empty"):
        cnn_program([], image, SMALL, Mode.BASE)
    with pytest.raises(ValueError, match="image has shape"):
        cnn_program(layers, image[:2], SMALL, Mode.BASE)
    strided, image = network(2, SMALL, (2, 8, 8), dict(out_channels=2, padding=1, stride=2))
    with pytest.raises(ValueError, match=r"tile = \(1, 1\) is not allowed"):
        cnn_program(strided, image, SMALL, Mode.BASE)


def test_calibrated_convolutions():
    """The integers that calibration finds, through the machine, give what they give there."""
    rng = np.random.default_rng(6)
    x, convolutions, layers = rng.normal(0, 9000, (3, 8, 9)).clip(-32768, 32767).astype(np.int64), [], []
    image, step = x, 1.0
    for number, outputs in enumerate((5, 4)):
        weight, bias = rng.normal(0, 0.3, (outputs, len(x), 3, 3)), rng.normal(0, 3000, outputs)
        rows = convolution_rows((x >> 12).astype(np.float32), (3, 3), 1, SMALL.cols)
        y = (convolution_rows(x.astype(float), (3, 3), 1, 1).reshape(len(rows), -1) * step
             @ weight.reshape(outputs, -1).T + bias)
        execution = calibrate_execution(weight.reshape(outputs, -1), bias, step, np.abs(y).max() / 30000, True)
        speculation = calibrate_speculation(rows, y, Function.RELU, SMALL.speculator.trees)
        convolution = DuetConvolution(str(number), (3, 3), 1, (1, 1), SMALL.cols, step, execution, speculation)
        convolutions.append(convolution)
        layers.append(CnnLayer.of(convolution, *x.shape[1:]))
        x, step = convolution.run(x)[0], execution.out_step
    program = cnn_program(layers, image, SMALL, Mode.DUET, speculate_first=True, store_maps=True)
    machine = run(program)
    for number, convolution in enumerate(convolutions):
        image, mask = convolution.run(image)
        assert (program.switching_map(machine.dram, number) == mask).all() and 0 < mask.mean() < 1
    assert (program.output(machine.dram) == image).all()


# Recurrent cells.

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


def plain_cell(cell, inputs, h, c, sizes, mode):
    """(h of each step, last c, outputs that had to be computed)."""
    states, computed = [], 0
    for x in inputs:
        gates = {}
        for name, gate in cell.gates.items():
            parameters, function = gate.parameters, FUNCTIONS[cell.kind][name]
            vector = {"nx": x, "nh": h}.get(name, np.concatenate([x, h]))
            pre = requantize(parameters.weights @ vector + (parameters.bias << parameters.bias_shift), parameters.shift,
                             16)
            value = {Function.NONE: pre, Function.SIGMOID: sigmoid(pre), Function.TANH: tanh(pre)}[function]
            needed = np.ones(cell.width, dtype=bool)
            if mode.speculates and gate.speculation is not None:
                pre = gate.speculation.pre(vector_rows(vector[None] >> 12, sizes.cols, sizes.segment))[0]
                needed = gate.speculation.mask(pre)
                value = np.where(needed, value, gate.speculation.approximation(pre))
            gates[name], computed = value, computed + int(needed.sum())
        if cell.kind == Cell.LSTM:
            h, c = lstm(*(gates[name] for name in "ifgo"), c)
        else:
            h = gru(gates["r"], gates["z"], gates["nx"], gates["nh"], h)
        states.append(h)
    return np.array(states), c, computed


CELLS = {
    "lstm": [(Cell.LSTM, 9, 13, 3, ())],
    "gru": [(Cell.GRU, 9, 13, 3, ())],
    "resident": [(Cell.LSTM, 4, 7, 4, ())],  # the biases of all gates have room
    "aligned": [(Cell.GRU, 8, 8, 4, ())],
    "one_step": [(Cell.LSTM, 3, 5, 1, ())],
    "bidirectional": [(Cell.LSTM, 6, 9, 2, ()), (Cell.LSTM, 6, 9, 2, ())],
    "mixed": [(Cell.GRU, 17, 3, 3, ("z",)), (Cell.LSTM, 2, 17, 3, ("i", "g"))],
    "accurate": [(Cell.LSTM, 5, 6, 3, "ifgo")],
}


@pytest.mark.parametrize("mode", [Mode.BASE, Mode.DUET])
@pytest.mark.parametrize("name", CELLS)
def test_rnn(name, mode):
    rng, cells, inputs, states = np.random.default_rng(8), [], [], []
    for kind, words, width, steps, accurate in CELLS[name]:
        cells.append(random_cell(rng, SMALL, kind, words, width, accurate))
        inputs.append(rng.integers(-32768, 32768, (steps, words)))
        states.append((rng.integers(-32767, 32768, width), rng.integers(-32768, 32768, width))[:2 - kind])
    for given in (None, states):
        program = rnn_program(cells, inputs, SMALL, mode, states=given)
        for machine in (run(program, queue_depth=1), run(program, np.random.default_rng(1))):
            rows = macs = 0
            for number, (cell, x) in enumerate(zip(cells, inputs)):
                h, c = (*states[number], 0)[:2] if given else (np.zeros(cell.width, int), np.zeros(cell.width, int))
                expected, c, computed = plain_cell(cell, x, h, c, SMALL, mode)
                assert (program.states(machine.dram, number) == expected).all()
                if cell.kind == Cell.LSTM:
                    assert (program.last_c(machine.dram, number) == c).all()
                    lines = -(-(-(-cell.inputs // 4) * 4 + cell.width) // 8)
                    rows, macs = rows + computed * lines, macs + computed * lines * 8
            if all(cell.kind == Cell.LSTM for cell in cells):  # a neuron's row is read only where it is computed
                assert machine.moved[CopyOp.FETCH] == rows and machine.macs == macs
    with pytest.raises(AssertionError):
        expected[-1, 0] += 1
        assert (program.states(machine.dram, len(cells) - 1) == expected).all()


def test_rnn_saves():
    """DUET multiplies and fetches less than BASE."""
    rng = np.random.default_rng(9)
    for kind in Cell:
        cell, x = random_cell(rng, SMALL, kind, 8, 15), rng.integers(-32768, 32768, (3, 8))
        base, duet = (run(rnn_program([cell], [x], SMALL, mode)) for mode in (Mode.BASE, Mode.DUET))
        assert duet.macs < base.macs and duet.moved[CopyOp.FETCH] < base.moved[CopyOp.FETCH]


def test_gates_are_a_pipeline():
    """The Speculator waits for nobody between the gates of a step, and the next rows are fetched meanwhile."""
    rng = np.random.default_rng(10)
    program = rnn_program([random_cell(rng, SMALL, Cell.LSTM, 8, 8)], [rng.integers(-9, 9, (2, 8))], SMALL, Mode.DUET)
    gates = [c for c in program.commands if (c.engine, c.op) == (Engine.SPEC, WorkOp.GATE)]
    assert [c.wait for c in gates] == [0, 0, 0, 0, 1 << Engine.CELL, 0, 0, 0]
    fetches = [c for c in program.commands if (c.engine, c.op) == (Engine.DMA, CopyOp.FETCH)]
    assert [c.wait >> Engine.EXEC & 1 for c in fetches] == [0, 0] + [1] * 6
    assert len({c.b for c in fetches}) == 2


def test_biases_are_written_twice_a_step():
    """Two of four gates have room: each step begins with the gate that the one before ended with."""
    rng = np.random.default_rng(13)
    cell = random_cell(rng, SMALL, Cell.LSTM, 9, 13)
    for mode in (Mode.BASE, Mode.DUET):
        program = rnn_program([cell], [rng.integers(-9999, 9999, (4, 9))], SMALL, mode)
        written = [c.b for c in program.commands if (c.engine, c.op) == (Engine.EXEC, WorkOp.CONFIG)
                   and address(Region.BIAS, 0) <= c.b < address(Region.BIAS, 32)]
        assert len(written) == 13 * (4 + 3 * 2)


@pytest.mark.parametrize("engine, op, nth", [(Engine.DMA, CopyOp.FETCH, 0), (Engine.DMA, CopyOp.FETCH, 2),
                                             (Engine.EXEC, WorkOp.GATE, 1), (Engine.CELL, 1, 0), (Engine.CELL, 1, 1),
                                             (Engine.SPEC, WorkOp.GATE, 4), (Engine.DMA, CopyOp.STORE, 0)])
def test_broken_rnn_races(engine, op, nth):
    rng = np.random.default_rng(10)
    program = rnn_program([random_cell(rng, SMALL, Cell.LSTM, 8, 8)], [rng.integers(-9999, 9999, (3, 8))], SMALL,
                          Mode.DUET)
    commands = list(program.commands)
    index = [k for k, c in enumerate(commands) if (c.engine, c.op) == (engine, op)][nth]
    assert commands[index].wait
    commands[index] = dataclasses.replace(commands[index], wait=0)
    with pytest.raises(ValueError, match="race at line"):
        run(dataclasses.replace(program, commands=tuple(commands)))


def test_rnn_refused():
    rng = np.random.default_rng(11)
    cell, x = random_cell(rng, SMALL, Cell.LSTM, 8, 8), np.zeros((2, 8), int)
    for arguments, match in (
            (([cell], [x], SMALL, Mode.OS), "mode = OS"), (([], [], SMALL, Mode.BASE), "same number"),
            (([cell], [x[:, :7]], SMALL, Mode.BASE), "inputs of cell 0 have shape"),
            (([cell], [x[:0]], SMALL, Mode.BASE), "inputs of cell 0 have shape"),
            (([cell], [x], dataclasses.replace(SMALL, lines=30), Mode.BASE), "GlobalBuffer has 30 lines, too few"),
            (([cell], [x], dataclasses.replace(SMALL, map_lines=3), Mode.BASE), "map memory has 3 lines"),
            (([random_cell(rng, SMALL, Cell.LSTM, 8, 33)], [x], SMALL, Mode.BASE), "neurons = 33"),
            (([random_cell(rng, SMALL, Cell.LSTM, 1017, 2)], [np.zeros((1, 1017), int)], SMALL, Mode.BASE),
             "takes 128 lines")):
        with pytest.raises(ValueError, match=match):
            rnn_program(*arguments)
    with pytest.raises(ValueError, match="a cell of kind GRU has r, z, nx, nh"):
        RnnCell(kind=Cell.GRU, inputs=8, width=8, gates=cell.gates)
    with pytest.raises(ValueError, match="weights of gate i have shape"):
        dataclasses.replace(cell, width=7)
    gates = cell.gates | {"i": cell.gates["g"]}
    with pytest.raises(ValueError, match="gate i cannot be speculated with TANH"):
        dataclasses.replace(cell, gates=gates)
    other = random_speculation(rng, 8, 1, 8, 16, Function.SIGMOID, SMALL)
    mixed = dataclasses.replace(cell, gates=cell.gates | {"i": dataclasses.replace(cell.gates["i"], speculation=other)})
    with pytest.raises(ValueError, match="same projection"):
        rnn_program([mixed], [x], SMALL, Mode.DUET)


@pytest.mark.parametrize("kind, inputs", [("lstm", 8), ("lstm", 6), ("gru", 8)])
def test_calibrated_cells(kind, inputs):
    """A cell from calibration; the GRU's n is accurate here."""
    rng, width, gates = np.random.default_rng(12), 9, len(float_layers.GATES[kind])
    cell = float_layers.Cell("cell", kind, rng.normal(0, 1, (gates * width, inputs)).astype(np.float32),
                             rng.normal(0, 1, (gates * width, width)).astype(np.float32),
                             rng.normal(0, 1, gates * width).astype(np.float32), np.zeros(gates * width, np.float32))
    x, h = rng.normal(0, 1, (200, inputs)), np.tanh(rng.normal(0, 1, (200, width)))
    calibrated = calibrate_cell(cell, x, h, cols=SMALL.cols, segment=SMALL.segment, trees=SMALL.speculator.trees)
    duet = RnnCell.of(calibrated)
    assert (duet.inputs, duet.width) == (inputs, width)
    vectors = calibrated.quantize(x[:3], h[:3])[0]
    program = rnn_program([duet], [vectors], SMALL, Mode.DUET)
    states, computed = program.states(run(program).dram, 0), 0
    state, c = np.zeros(width, int), np.zeros(width, int)
    for x, result in zip(vectors, states):
        values = {}
        for gate in cell.gates:
            if gate == "n":
                values |= {"nx": calibrated.executions["n"][0].outputs(x[None])[0],
                           "nh": calibrated.executions["n"][1].outputs(state[None])[0]}
            else:
                (values[gate],), (mask,) = calibrated.run(gate, x[None], state[None])
                computed += mask.sum()
        if kind == "lstm":
            state, c = lstm(*(values[gate] for gate in "ifgo"), c)
        else:
            state = gru(values["r"], values["z"], values["nx"], values["nh"], state)
        assert (result == state).all()
    assert 0 < computed < 3 * width * len(values)


# What programs are made of.

def test_queues():
    """The stream keeps each engine's order, and a command after those whose tokens it takes."""
    queues = Queues()
    late = Command(Engine.EXEC, WorkOp.CONFIG, wait=1 << Engine.DMA, b=1)
    queues.add(late)
    queues.add([Command(Engine.DMA, CopyOp.LOAD, c=1),
                Command(Engine.DMA, CopyOp.LOAD, c=2, signal=1 << Engine.EXEC)], 9)
    queues.add(Command(Engine.SPEC, WorkOp.CONFIG, b=1), 5)
    assert [(c.engine, c.c) for c in queues.merge()] == [(0, 1), (1, 0), (0, 2), (2, 0)]
    queues.add(late)
    with pytest.raises(ValueError, match="tokens of these commands never come: EXEC CONFIG"):
        queues.merge()
    queues = Queues()
    queues.add([Command(Engine.DMA, CopyOp.LOAD, c=1, signal=1 << Engine.EXEC)] * 256)
    with pytest.raises(ValueError, match="more than 255 tokens from DMA to EXEC"):
        queues.merge()


def test_queues_with_room():
    """A command comes as soon as its engine's queue has room; it does not wait behind another engine's many."""
    queues = Queues(depth=4)
    queues.add([Command(Engine.EXEC, WorkOp.CONFIG, b=k) for k in range(20)], 3)
    queues.add([Command(Engine.DMA, CopyOp.LOAD, c=k) for k in range(1, 7)], 50)
    stream = queues.merge()
    for engine, field in ((Engine.EXEC, "b"), (Engine.DMA, "c")):
        assert [getattr(c, field) for c in stream if c.engine == engine] == sorted(
            getattr(c, field) for c in stream if c.engine == engine)
    places = [k for k, c in enumerate(stream) if c.engine == Engine.DMA]
    assert places[2] < 9  # the first begins at once, two have room
    assert places[4] > 18 and len(stream) == 26  # the fifth has none before the second begins, in cycle 50
    late = Queues()
    late.add([Command(Engine.EXEC, WorkOp.CONFIG, b=k) for k in range(20)], 3)
    late.add([Command(Engine.DMA, CopyOp.LOAD, c=k) for k in range(1, 7)], 50)
    assert [k for k, c in enumerate(late.merge()) if c.engine == Engine.DMA][1] > 15
    queues.add(Command(Engine.EXEC, WorkOp.CONFIG, wait=1 << Engine.DMA))
    with pytest.raises(ValueError, match="tokens of these commands never come: EXEC CONFIG"):
        queues.merge()


def test_dram_image():
    image = DramImage(2)
    assert (image.place(np.ones((3, 2), int)), image.reserve(2), image.lines) == (0, 3, 5)
    assert image.image().tolist() == [[1, 1]] * 3 + [[0, 0]] * 2
    with pytest.raises(ValueError, match="lines has shape"):
        image.place(np.ones((3, 3), int))


def test_mapping_needs_whole_tiles():
    """What the machine's registers cannot say: tiles of fewer outputs than a segment has words."""
    layer = ConvLayer(in_channels=1, out_channels=1, height=8, width=8, stride=2)
    assert map_conv(layer, SMALL.executor).tile == (1, 1)
