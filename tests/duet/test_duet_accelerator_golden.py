"""The golden model of the DUET accelerator: small programs, whatever the order; what it refuses; races, deadlocks."""

import dataclasses

import numpy as np
import pytest

from golden.arith.activation import sigmoid, tanh
from golden.arith.fixed import requantize
from golden.duet.accelerator_sizes import AcceleratorSizes
from golden.duet.calibrate import convolution_rows, vector_rows
from golden.duet.command import CellOp, Command, CopyOp, Engine, WorkOp
from golden.duet.duet_accelerator import DuetAccelerator
from golden.duet.layout import unpack_vector
from golden.duet.reorder_unit import order
from golden.duet.sizes import Sizes
from golden.duet.speculator import SpeculatorSize
from golden.duet.speculator_mfu import Function
from tests.duet import accelerator_programs
from tests.duet.accelerator_programs import PROGRAMS
from tests.duet.test_mapping_golden import plain_convolution

SMALL = AcceleratorSizes.preset("small")
DMA, SPEC, EXEC, CELL = (1 << engine for engine in Engine)


def run(program, seed=None, **options):
    """The machine after the program; memories begin with garbage."""
    rng = np.random.default_rng(seed)
    machine = DuetAccelerator(program.sizes, program.dram)
    machine.data[:] = rng.integers(-32768, 32768, machine.data.shape)
    machine.maps[:] = rng.integers(0, 2, machine.maps.shape)
    machine.run(program.commands, rng=None if seed is None else rng, **options)
    return machine


def from_map_lines(lines):
    """Bool (lines, C S) of stored map lines, whose upper words must be zero."""
    bits = lines.shape[1] // 16 or 1
    assert not lines[:, bits:].any()
    return (lines[:, :bits, None] >> np.arange(16) & 1).reshape(len(lines), -1)[:, :lines.shape[1]].astype(bool)


def check_copy(program, dram):
    lines = program.parts["lines"]
    assert (program.result(dram, "lines") == lines[1:4]).all()
    assert (from_map_lines(program.result(dram, "maps")) == (lines != 0)[1:5]).all()


def check_fetch(program, dram):
    rows, words = program.parts["rows"], program.sizes.line_words
    assert (program.result(dram, "some") == rows[program.parts["chosen"]].reshape(-1, words)).all()
    assert (program.result(dram, "all") == rows[:min(words, 5)].reshape(-1, words)).all()


def check_tile(program, dram):
    mapping, inputs = program.parts["mapping"], program.parts["inputs"]
    layer, speculation = mapping.layer, program.parts["speculation"]
    computed = np.ones((layer.out_channels, *layer.conv_size), dtype=bool)
    if speculation is not None:
        rows = convolution_rows(inputs >> 12, layer.kernel, layer.padding[0], mapping.sizes.cols)
        computed = speculation.mask(speculation.pre(rows)).T.reshape(computed.shape)
        omaps = from_map_lines(program.result(dram, "omaps"))
        th, tw = mapping.tile
        whole = dataclasses.replace(mapping.out_map, height=mapping.tile_grid[0] * th, width=mapping.tile_grid[1] * tw)
        height, width = (size * pooling for size, pooling in zip(layer.out_size, layer.pooling))
        assert (whole.unpack(omaps)[:, :height, :width] == computed[:, :height, :width]).all()
    expected = plain_convolution(layer, program.parts["parameters"], inputs, computed)
    results = program.result(dram, "results")
    assert (mapping.out_map.unpack(results) == expected).all()
    assert not results[~mapping.out_map.valid].any()
    assert (from_map_lines(program.result(dram, "out_maps")) == (results != 0)).all()


def check_gate(program, dram):
    layer, parameters = program.parts["mapping"].layer, program.parts["parameters"]
    inputs, speculation = program.parts["inputs"], program.parts["speculation"]
    sums = parameters.weights @ inputs + (parameters.bias << parameters.bias_shift)
    pre = requantize(sums, parameters.shift, 16)
    expected = {Function.NONE: pre, Function.SIGMOID: sigmoid(pre), Function.TANH: tanh(pre)}[layer.activation]
    if speculation is not None:
        approximate = speculation.pre(vector_rows(inputs[None] >> 12, program.sizes.cols, program.sizes.segment))[0]
        computed = speculation.mask(approximate)
        assert (unpack_vector(from_map_lines(program.result(dram, "maps")), layer.neurons) == computed).all()
        assert 0 < computed.sum() < layer.neurons
        expected = np.where(computed, expected, speculation.approximation(approximate))
    assert (unpack_vector(program.result(dram, "gate"), layer.neurons) == expected).all()


CHECKS = {"copy": check_copy, "fetch": check_fetch, "tile": check_tile, "gate": check_gate}


@pytest.mark.parametrize("preset", ["small", "paper", "fpga"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name, preset):
    program = PROGRAMS[name](AcceleratorSizes.preset(preset), np.random.default_rng(len(name)))
    machine = run(program)
    check = CHECKS[name.split("_")[0]]
    check(program, machine.dram)
    with pytest.raises(AssertionError):  # the check can fail
        dram = machine.dram.copy()
        dram[[line for line, _ in program.results.values()]] += 1
        check(program, dram)


@pytest.mark.parametrize("name", PROGRAMS)
def test_order_of_engines_does_not_matter(name):
    program = PROGRAMS[name](SMALL, np.random.default_rng(7))
    expected = run(program, queue_depth=1)
    for seed in range(3):
        machine = run(program, seed, queue_depth=1 + 5 * seed)
        for region in program.results:
            assert (program.result(machine.dram, region) == program.result(expected.dram, region)).all()
        assert machine.macs == expected.macs and machine.moved == expected.moved


@pytest.mark.parametrize("fields", [
    dict(), dict(pooling=2, height=9, width=7), dict(kernel=1, padding=0, in_channels=8),
    dict(kernel=(1, 3), padding=0), dict(pooling=(2, 1), height=8), dict(kernel=2, padding=1),
    dict(in_channels=2, out_channels=16),
])
@pytest.mark.parametrize("modes", [dict(speculate=False), dict(use_order=False, use_imap=False), dict()])
def test_convolutions(fields, modes):
    program = accelerator_programs.tile(SMALL, np.random.default_rng(3), **modes, **fields)
    check_tile(program, run(program).dram)


@pytest.mark.parametrize("fields", [dict(inputs=1, neurons=1), dict(inputs=8, neurons=8), dict(inputs=30, neurons=32)])
@pytest.mark.parametrize("function", [Function.NONE, Function.SIGMOID, Function.TANH])
def test_gates(fields, function):
    program = accelerator_programs.gate(SMALL, np.random.default_rng(3), speculate=False, function=function, **fields)
    check_gate(program, run(program).dram)


@pytest.mark.parametrize("function", [Function.SIGMOID, Function.TANH])
def test_speculated_gates(function):
    program = accelerator_programs.gate(SMALL, np.random.default_rng(3), function=function, inputs=30, neurons=30)
    check_gate(program, run(program).dram)


def test_order_lines():
    """A tile's order is where the page says, in groups of R."""
    program = accelerator_programs.tile(SMALL, np.random.default_rng(2), out_channels=19, height=2, width=2)
    machine = run(program)
    mapping, sizes = program.parts["mapping"], SMALL.executor
    weights = mapping.pack_weights(program.parts["parameters"].weights)
    first = mapping.in_map.lines + len(weights) + mapping.out_map.lines
    ids = machine.data[first:first + 3].reshape(3, sizes.cols, sizes.segment)[:, :, :sizes.rows].ravel()[:19]
    maps = from_map_lines(program.result(machine.dram, "omaps")).reshape(-1, sizes.segment)[:19]
    assert ids.tolist() == order(maps, (3, 2, 1)).tolist() and ids.tolist() != list(range(19))


def test_cell():
    """LSTM and GRU: states that begin within a line, and lines that are not full."""
    rng, words = np.random.default_rng(5), SMALL.line_words
    sources = [rng.integers(0, 32768, (2, words)) for _ in range(5)]
    state = rng.integers(-32768, 32768, (4, words))
    dram = np.concatenate([*sources, state])

    def program(cell):
        yield Command(Engine.DMA, CopyOp.LOAD, b=0, c=14, signal=CELL)
        words_ = dict(zip(range(10), [cell, 3, 0, 2, 4, 6, 8, 10, 12, 1]))
        for k, (address, data) in enumerate(words_.items()):
            yield Command(Engine.CELL, CellOp.CONFIG, wait=DMA if k == 0 else 0, b=address, a=data)
        yield Command(Engine.CELL, CellOp.UPDATE)

    for cell in range(2):
        machine = DuetAccelerator(SMALL, dram)
        machine.run(program(cell))
        if cell == 0:
            i, f, g, o, c = (source.ravel()[:12] for source in sources)
            new_c = requantize((f * c << 7) + i * g, 22, 16)
            new_h = requantize(o * tanh(np.clip(new_c << 3, -32768, 32767)), 15, 16)
            assert (machine.data[12:14].ravel()[:12] == new_c).all()
        else:
            _, r, nx, z, nh = (source.ravel()[:12] for source in sources)
            h = sources[0].ravel()[4:]
            n = tanh(requantize((nx << 15) + r * nh, 15, 16))
            new_h = requantize((n << 15) + z * (h - n), 15, 16)
        expected = state.copy()
        expected[:2].ravel()[4:] = new_h
        assert (machine.data[10:12] == expected[:2]).all()
        assert cell == 0 or (machine.data[12:14] == state[2:]).all()
        assert (machine.data[13, 4:] == state[3, 4:]).all()


@pytest.mark.parametrize("cell, changes, match", [
    (0, {7: 8, 9: 1}, r"h_line = 8 .* source\[4\]"), (0, {8: 1}, r"c_line = 1 .* source\[0\]"),
    (0, {7: 12, 9: 0}, "h and c overlap"), (1, {7: 1}, r"h_line = 1 .* source\[0\]"),
    (0, {8: 8}, None), (0, {7: 4, 9: 0}, None), (1, {7: 0}, None),
])
def test_cell_places(cell, changes, match):
    """Results in the places of sources: as far as each segment has been read before."""
    def program():
        yield Command(Engine.DMA, CopyOp.LOAD, b=0, c=14, signal=CELL)
        values = dict(zip(range(10), [cell, 3, 0, 2, 4, 6, 8, 10, 12, 1])) | changes
        for k, (address, data) in enumerate(values.items()):
            yield Command(Engine.CELL, CellOp.CONFIG, wait=DMA if k == 0 else 0, b=address, a=data)
        yield Command(Engine.CELL, CellOp.UPDATE)

    machine = DuetAccelerator(SMALL, np.zeros((14, SMALL.line_words), int))
    if match is None:
        machine.run(program())
    else:
        with pytest.raises(ValueError, match=f"CELL UPDATE.*{match}"):
            machine.run(program())


def with_command(program, index, **changes):
    commands = list(program.commands)
    commands[index] = dataclasses.replace(commands[index], **changes)
    return dataclasses.replace(program, commands=tuple(commands))


def find(program, engine, op, nth=0):
    return [k for k, command in enumerate(program.commands) if (command.engine, command.op) == (engine, op)][nth]


@pytest.mark.parametrize("name, engine, op, nth", [
    ("tile_base", Engine.EXEC, WorkOp.CONFIG, 0),  # the inputs
    ("tile_duet", Engine.EXEC, WorkOp.TILE, 0),  # the map
    ("tile_duet", Engine.EXEC, WorkOp.TILE, 3),
    ("tile_duet", Engine.SPEC, WorkOp.FILL, 0),
    ("gate_duet", Engine.DMA, CopyOp.FETCH, 0),  # the map
    ("gate_duet", Engine.DMA, CopyOp.FETCH, 1),  # the weights of the block before are overwritten
    ("gate_duet", Engine.EXEC, WorkOp.GATE, 0),
])
def test_races(name, engine, op, nth):
    """A program in which one command does not wait for its token."""
    program = PROGRAMS[name](SMALL, np.random.default_rng(4))
    broken = with_command(program, find(program, engine, op, nth), wait=0)
    with pytest.raises(ValueError, match="race at line .*nothing orders them"):
        run(broken)
    with pytest.raises(ValueError, match="race at line"):
        run(broken, seed=1)


def test_fill_races_with_job():
    """A FILL right behind the job that reads the buffer; behind a CONFIG it is allowed."""
    program = accelerator_programs.tile(SMALL, np.random.default_rng(4))
    again = [dataclasses.replace(program.commands[find(program, Engine.SPEC, WorkOp.FILL, 1)], wait=0)]
    with pytest.raises(ValueError, match="race at line .* of weight"):
        DuetAccelerator(SMALL, program.dram).run([*program.commands, *again])
    between = [Command(Engine.SPEC, WorkOp.CONFIG, b=13)]
    DuetAccelerator(SMALL, program.dram).run([*program.commands, *between, *again])


def test_deadlocks():
    tokens = [Command(Engine.CELL, CellOp.CONFIG, wait=EXEC, signal=EXEC, b=1, a=1),
              Command(Engine.EXEC, WorkOp.CONFIG, wait=CELL, signal=CELL, b=0x8000)]
    with pytest.raises(ValueError, match="deadlock.*command 1 .EXEC CONFIG.*command 0 .CELL CONFIG"):
        DuetAccelerator(SMALL, np.zeros((1, 8), int)).run(tokens)
    # What would give the token is behind a full queue.
    held = [Command(Engine.CELL, CellOp.CONFIG, wait=EXEC if k == 0 else 0, b=1, a=1) for k in range(4)]
    held.append(Command(Engine.EXEC, WorkOp.CONFIG, signal=CELL, b=0x8000))
    DuetAccelerator(SMALL, np.zeros((1, 8), int)).run(held, queue_depth=4)
    with pytest.raises(ValueError, match="deadlock.*command 0"):
        DuetAccelerator(SMALL, np.zeros((1, 8), int)).run(held, queue_depth=3)
    # A counter holds 255 tokens.
    many = [Command(Engine.CELL, CellOp.CONFIG, signal=EXEC, b=1, a=1)] * 256
    with pytest.raises(ValueError, match="deadlock.*CELL with a token for EXEC"):
        DuetAccelerator(SMALL, np.zeros((1, 8), int)).run(many)
    taken = Command(Engine.EXEC, WorkOp.CONFIG, wait=CELL, b=0x8000)
    DuetAccelerator(SMALL, np.zeros((1, 8), int)).run([*many, taken])


@pytest.mark.parametrize("name, engine, op, changes, match", [
    ("copy", Engine.DMA, CopyOp.LOAD, dict(c=0), "c = 0"),
    ("copy", Engine.DMA, CopyOp.LOAD, dict(b=510), "line 512 of data"),
    ("copy", Engine.DMA, CopyOp.LOAD, dict(d=254), "line 256 of maps"),
    ("copy", Engine.DMA, CopyOp.LOAD, dict(a=1000), "line .* of dram"),
    ("copy", Engine.DMA, CopyOp.LOAD, dict(op=3), "op = 3"),
    ("copy", Engine.CELL, CellOp.CONFIG, dict(b=10), "at address 10"),
    ("copy", Engine.CELL, CellOp.CONFIG, dict(a=1 << 16), "16 bits"),
    ("copy", Engine.CELL, CellOp.CONFIG, dict(op=2), "op = 2"),
    ("fetch", Engine.DMA, CopyOp.FETCH, dict(d=9), "d = 9"),
    ("fetch", Engine.DMA, CopyOp.FETCH, dict(d=0), "d = 0"),
    ("fetch", Engine.DMA, CopyOp.FETCH, dict(flags=1), r"flags\[7:1\] = 0"),
    ("tile_duet", Engine.SPEC, WorkOp.FILL, dict(flags=4), r"flags\[1:0\] = 0"),
    ("tile_duet", Engine.SPEC, WorkOp.FILL, dict(d=63), "address = 63"),
    ("tile_duet", Engine.SPEC, WorkOp.TILE, dict(b=3), "tile y = 3"),
    ("tile_duet", Engine.SPEC, WorkOp.TILE, dict(op=3), "gate = 0"),
    ("tile_duet", Engine.SPEC, WorkOp.CONFIG, dict(b=15), "address 0xf"),
    ("tile_duet", Engine.SPEC, WorkOp.CONFIG, dict(b=35), "address 0x23"),
    ("tile_duet", Engine.SPEC, WorkOp.CONFIG, dict(b=0x8017), "address 0x8017"),
    ("tile_duet", Engine.SPEC, WorkOp.CONFIG, dict(b=0x8009, a=16), "row_mask = 0x10"),
    ("tile_duet", Engine.EXEC, WorkOp.TILE, dict(c=2), "tile x = 2"),
    ("tile_duet", Engine.EXEC, WorkOp.TILE, dict(op=1), "op = 1"),
    ("gate_duet", Engine.EXEC, WorkOp.GATE, dict(a=0), r"a\[31:16\] = 0"),
    ("gate_duet", Engine.EXEC, WorkOp.GATE, dict(a=9 << 16), r"a\[31:16\] = 9"),
    ("gate_duet", Engine.EXEC, WorkOp.GATE, dict(d=4), "d = 4"),
    ("gate_duet", Engine.EXEC, WorkOp.GATE, dict(d=32), "channel 32|channel 3.* is not allowed"),
    ("gate_duet", Engine.SPEC, WorkOp.GATE, dict(op=2), "gate = 1"),
    ("gate_duet", Engine.SPEC, WorkOp.GATE, dict(d=511), "line 512 of data"),
])
def test_refuses(name, engine, op, changes, match):
    program = PROGRAMS[name](SMALL, np.random.default_rng(4))
    index = find(program, engine, op)
    broken = with_command(program, index, **changes)
    with pytest.raises(ValueError, match=rf"command {index} \({engine.name} .*({match})"):
        run(broken)


def changed(program, engine, address, data):
    """The program with another value of a register."""
    commands = [dataclasses.replace(command, a=data) if (command.engine, command.op, command.b) == (engine, 0, address)
                else command for command in program.commands]
    return dataclasses.replace(program, commands=tuple(commands))


@pytest.mark.parametrize("engine, address, data, match", [
    (Engine.SPEC, 4, 31, "k_rows"), (Engine.SPEC, 2, 9, "passes = 9"), (Engine.SPEC, 10, 4, "origin_y = 4"),
    (Engine.SPEC, 5, 10, "p_shift = 10"), (Engine.SPEC, 12, 2, "keep_order = 2"), (Engine.SPEC, 0, 2, "gate = 2"),
    (Engine.SPEC, 0x8015, 2, "project = 0x2 .* 1 bits"), (Engine.EXEC, 0x8002, 1024, "blocks_x = 0x400 .* 10 bits"),
    (Engine.EXEC, 0x8014, 16, "chunk_groups = 0x10 .* 4 bits"), (Engine.EXEC, 0x801a, 2, "merge_y = 0x2"),
    (Engine.SPEC, 0x8003, 3, "groups = 3"), (Engine.SPEC, 14, 1, "unused = 1"),
    (Engine.SPEC, 0x8006, 17, "entries = 17"), (Engine.SPEC, 0x800f, 16, "tile_mask = 0x10"),
    (Engine.SPEC, 0x800e, 33, "n = 33"), (Engine.SPEC, 0x800e, 0, "n = 0"),
    (Engine.SPEC, 0x8011, 256, "threshold = 0x100"), (Engine.SPEC, 0x8013, 510, "weight_base = 510"),
    (Engine.EXEC, 0x8004, 0, "step_y = 0"), (Engine.EXEC, 0x8013, 0, "chunks = 0"),
    (Engine.EXEC, 0x8016, 4, "weight_lines = 4"), (Engine.EXEC, 0x800e, 3, "order"),
    (Engine.EXEC, 0x8020, 0x7fff, "line .* of data|line .* of maps|not written"),
])
def test_refuses_registers(engine, address, data, match):
    program = changed(PROGRAMS["tile_duet"](SMALL, np.random.default_rng(4)), engine, address, data)
    with pytest.raises(ValueError, match=f"command .* {match}"):
        run(program)


def test_registers_are_undefined_at_first():
    with pytest.raises(ValueError, match="EXEC TILE.*register tiles_y was not configured"):
        DuetAccelerator(SMALL, np.zeros((1, 8), int)).run([Command(Engine.EXEC, WorkOp.TILE)])
    with pytest.raises(ValueError, match="CELL UPDATE.*register cell was not configured"):
        DuetAccelerator(SMALL, np.zeros((1, 8), int)).run([Command(Engine.CELL, CellOp.UPDATE)])


def test_runs_follow_each_other():
    """Registers and tokens stay from one run to the next."""
    program = PROGRAMS["tile_duet"](SMALL, np.random.default_rng(1))
    machine = DuetAccelerator(SMALL, program.dram)
    for half in (program.commands[:50], program.commands[50:]):
        machine.run(half, races=False, queue_depth=64)
    check_tile(program, machine.dram)
    machine.run([Command(Engine.CELL, CellOp.CONFIG, signal=EXEC, b=1, a=1)])
    with pytest.raises(ValueError, match="races = True"):
        machine.run([])
    machine.run([Command(Engine.EXEC, WorkOp.CONFIG, wait=CELL, b=0x8000)], races=False)


@pytest.mark.parametrize("fields, match", [
    (dict(speculator=SpeculatorSize(cols=8)), "cols = 8"), (dict(lines=0), "lines = 0"),
    (dict(executor=Sizes(rows=17)), "rows = 17"), (dict(buckets=0), "buckets = 0"),
])
def test_sizes_refused(fields, match):
    with pytest.raises(ValueError, match=f"{match}.* is not allowed"):
        AcceleratorSizes(**fields)


def test_dram_refused():
    with pytest.raises(ValueError, match="dram has shape"):
        DuetAccelerator(SMALL, np.zeros((2, 9), int))
    with pytest.raises(ValueError, match="dram holds"):
        DuetAccelerator(SMALL, np.full((2, 8), 1 << 15))
