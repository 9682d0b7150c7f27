"""Programs of recurrent cells on the golden accelerator equal plain numpy, in every mode, whatever the order."""

import dataclasses

import numpy as np
import pytest

from golden.arith.activation import sigmoid, tanh
from golden.arith.fixed import requantize
from golden.duet.calibrate import vector_rows
from golden.duet.cell_unit import Cell, gru, lstm
from golden.duet.command import CopyOp, Engine, WorkOp
from golden.duet.executor_config import Region, address
from golden.duet.gates import calibrate_cell
from golden.duet.mode import Mode
from golden.duet.rnn_cell import FUNCTIONS, RnnCell
from golden.duet.rnn_program import rnn_program
from golden.duet.speculator_mfu import Function
from golden.workloads import layers as float_layers
from tests.duet.accelerator_programs import random_speculation
from tests.duet.network_programs import SMALL, random_cell, run


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
