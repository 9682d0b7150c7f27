"""Programs of convolutions on the golden accelerator equal plain numpy, in every mode, whatever the order."""

import dataclasses

import numpy as np
import pytest

from golden.duet.calibrate import calibrate_execution, calibrate_speculation, convolution_rows
from golden.duet.cnn_program import CnnLayer, cnn_program
from golden.duet.command import CopyOp, Engine, WorkOp
from golden.duet.engine_registers import REGISTERS
from golden.duet.mode import Mode
from golden.duet.networks import DuetConvolution
from golden.duet.speculator_mfu import Function
from tests.duet.network_programs import PAPER, SMALL, network, run, without_wait
from tests.duet.test_mapping_golden import plain_convolution


def plain_network(layers, image, sizes, speculated):
    """[(switching map, result)] of each layer, by sliding windows."""
    found = []
    for given, switched in zip(layers, speculated):
        layer = given.layer
        computed = np.ones((layer.out_channels, *layer.conv_size), dtype=bool)
        if switched:
            rows = convolution_rows(image >> 12, layer.kernel, layer.padding[0], sizes.cols)
            mask = given.speculation.mask(given.speculation.pre(rows)).T.reshape(len(computed), *stride_1(layer))
            computed = mask[:, ::layer.stride[0], ::layer.stride[1]]
        image = plain_convolution(layer, given.parameters, image, computed)
        height, width = (size * pooling for size, pooling in zip(layer.out_size, layer.pooling))
        found.append((computed[:, :height, :width], image))
    return found


def stride_1(layer):
    """Height and width of the outputs that the layer would have with a stride of 1."""
    return dataclasses.replace(layer, stride=1).conv_size


def check_network(program, machine, layers, image):
    expected = plain_network(layers, image, program.sizes, program.speculated)
    assert (program.output(machine.dram) == expected[-1][1]).all()
    for number, (switching, result) in enumerate(expected):
        if f"map[{number}]" in program.results:
            assert (program.result_map(machine.dram, number) == (result != 0)).all()
        if f"omap[{number}]" in program.results:
            assert (program.switching_map(machine.dram, number) == switching).all()


POOLED = (SMALL, (3, 9, 7), dict(out_channels=5, padding=1, pooling=2), dict(out_channels=6, padding=1),
          dict(out_channels=3, kernel=1))
RAGGED = (SMALL, (2, 7, 8), dict(out_channels=3, padding=1, pooling=(2, 1)), dict(out_channels=9, kernel=2))
STRIDED = (SMALL, (3, 9, 7), dict(out_channels=5, padding=1, stride=2), dict(out_channels=6, kernel=1, stride=(1, 2)),
           dict(out_channels=5, kernel=2, padding=1), dict(out_channels=9, kernel=1, stride=2),
           dict(out_channels=3, padding=1))
PARTED = (dataclasses.replace(SMALL, lines=450, map_lines=600), (4, 4, 2), dict(out_channels=9, padding=1),
          dict(out_channels=24, padding=1), dict(out_channels=23, kernel=2, padding=1))


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("sizes, shape, layers, plain", [
    (POOLED[0], POOLED[1], POOLED[2:], ()), (RAGGED[0], RAGGED[1], RAGGED[2:], ()),
    (PARTED[0], PARTED[1], PARTED[2:], ()), (POOLED[0], POOLED[1], POOLED[2:], (1,)),
    (STRIDED[0], STRIDED[1], STRIDED[2:], ()), (STRIDED[0], STRIDED[1], STRIDED[2:], (0, 3)),
], ids=["pooled", "ragged", "parted", "plain_layer", "strided", "plain_strided"])
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


@pytest.mark.parametrize("stride", [2, (2, 1)])
@pytest.mark.parametrize("kernel", [1, 3])
def test_paper_size_strided(kernel, stride):
    """Tiles of 2 x 2 and 2 x 4 outputs of blocks of 4 x 4, or windows that leave pixels out."""
    layers, image = network(8, PAPER, (20, 11, 13), dict(out_channels=33, kernel=kernel, padding=kernel // 2,
                                                         stride=stride), dict(out_channels=17, padding=1))
    program = cnn_program(layers, image, PAPER, Mode.DUET, speculate_first=True, store_maps=True)
    high, wide = program.mappings[0].tile
    assert high * wide == {(1, 2): 16, (1, (2, 1)): 16, (3, 2): 4, (3, (2, 1)): 8}[kernel, stride]
    check_network(program, run(program), layers, image)


@pytest.mark.parametrize("engine, match", [(Engine.SPEC, "unused = 3"), (Engine.EXEC, "assert")])
def test_wrong_tile_mask(engine, match):
    """Outputs that no tile has are refused, or spoil the result."""
    layers, image = network(2, *STRIDED)
    program = cnn_program(layers, image, SMALL, Mode.IOS, speculate_first=engine == Engine.SPEC, store_maps=True)
    mask = REGISTERS[engine]["tile_mask"]
    commands = [dataclasses.replace(command, a=0xf) if (command.engine, command.op, command.b) == (engine, 0, mask)
                else command for command in program.commands]
    assert commands != list(program.commands)
    with pytest.raises((ValueError, AssertionError), match=match):
        check_network(program, run(dataclasses.replace(program, commands=tuple(commands))), layers, image)


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
    with pytest.raises(ValueError, match="race at line"):
        run(without_wait(program, nth, engine, op))


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
    with pytest.raises(ValueError, match=r"has 90 lines, too few: at time \d+ it needs .*weights\[1\.0\] 54"):
        cnn_program(layers, image, dataclasses.replace(SMALL, lines=90), Mode.DUET)
    with pytest.raises(ValueError, match=r"map memory has 20 lines, too few: at time 0 it needs "):
        cnn_program(layers, image, dataclasses.replace(SMALL, map_lines=20), Mode.BASE)
    with pytest.raises(ValueError, match="layer 1 takes"):
        cnn_program([layers[0], layers[2]], image, SMALL, Mode.BASE)
    with pytest.raises(ValueError, match="layers is empty"):
        cnn_program([], image, SMALL, Mode.BASE)
    with pytest.raises(ValueError, match="image has shape"):
        cnn_program(layers, image[:2], SMALL, Mode.BASE)


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 2)])
def test_calibrated_convolutions(stride):
    """The integers that calibration finds, through the machine, give what they give there."""
    rng = np.random.default_rng(6)
    x, convolutions, layers = rng.normal(0, 9000, (3, 8, 9)).clip(-32768, 32767).astype(np.int64), [], []
    image, step = x, 1.0
    for number, outputs in enumerate((5, 4)):
        weight, bias = rng.normal(0, 0.3, (outputs, len(x), 3, 3)), rng.normal(0, 3000, outputs)
        strides = dict(stride=(1, 1) if number else stride)
        rows = convolution_rows((x >> 12).astype(np.float32), (3, 3), 1, SMALL.cols, **strides)
        y = (convolution_rows(x.astype(float), (3, 3), 1, 1, **strides).reshape(len(rows), -1) * step
             @ weight.reshape(outputs, -1).T + bias)
        execution = calibrate_execution(weight.reshape(outputs, -1), bias, step, np.abs(y).max() / 30000, True)
        speculation = calibrate_speculation(rows, y, Function.RELU, SMALL.speculator.trees)
        convolution = DuetConvolution(str(number), (3, 3), 1, (1, 1), SMALL.cols, step, execution, speculation,
                                      **strides)
        convolutions.append(convolution)
        layers.append(CnnLayer.of(convolution, *x.shape[1:]))
        x, step = convolution.run(x)[0], execution.out_step
    program = cnn_program(layers, image, SMALL, Mode.DUET, speculate_first=True, store_maps=True)
    machine = run(program)
    for number, convolution in enumerate(convolutions):
        image, mask = convolution.run(image)
        assert (program.switching_map(machine.dram, number) == mask).all() and 0 < mask.mean() < 1
    assert (program.output(machine.dram) == image).all()
