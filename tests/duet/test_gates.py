"""Recurrent cells in integers: against the golden blocks and the float cell, ratios, the GRU's two-part gate."""

import numpy as np
import pytest

from golden.arith.activation import sigmoid, tanh
from golden.arith.fixed import requantize
from golden.duet import gates
from golden.duet.calibrate import SpeculatorFormat
from golden.duet.switching_map import dequantize
from golden.duet.speculator_mfu import Function, activate
from golden.workloads.layers import GATES, Cell, run_cell
from tests.workloads.models import silero, speech

INPUTS, WIDTH = 10, 12


def _cell(kind):
    rng = np.random.default_rng(1)
    rows = len(GATES[kind]) * WIDTH
    return Cell("cell", kind, rng.normal(size=(rows, INPUTS)), 2 * rng.normal(size=(rows, WIDTH)),
                rng.normal(size=rows), rng.normal(size=rows))


def _inputs(steps, seed):
    noise = np.random.default_rng(seed).normal(size=(steps + 4, INPUTS))
    return noise[4:] + noise[3:-1] + noise[2:-2]  # neighbours are alike, as in speech


@pytest.fixture(scope="module", params=["lstm", "gru"])
def calibrated(request):
    cell, recorder = _cell(request.param), gates.GateRecorder()
    run_cell(cell, _inputs(600, 0), recorder)
    return cell, gates.calibrate_cell(cell, *recorder.arrays("cell"), cols=2, segment=4, trees=4, share=1)


def _sample(duet, count=50):
    rng = np.random.default_rng(3)
    return duet.quantize(_inputs(count, 5), np.tanh(rng.normal(size=(count, WIDTH))))


def test_recorder_keeps_inputs_and_changes_nothing():
    cell, recorder = _cell("gru"), gates.GateRecorder()
    outputs, _ = run_cell(cell, _inputs(9, 1), recorder)
    x, h = recorder.arrays("cell")
    assert np.array_equal(outputs, run_cell(cell, _inputs(9, 1))[0])
    assert np.array_equal(x, _inputs(9, 1)) and np.array_equal(h[1:], outputs[:-1]) and not h[0].any()


def test_rows_and_switching(calibrated):
    cell, duet = calibrated
    x, h = _sample(duet)
    assert duet.speculator_rows(x, h).shape == (50, 1, 24)  # 22 words in 3 lines of 2 x 4
    reset = np.full((50, WIDTH), 20_000)
    for gate in cell.gates:
        speculation = duet.speculations[gate]
        function = Function.TANH if gate in "gn" else Function.SIGMOID
        pre = speculation.pre(duet.speculator_rows(x, h))
        values, mask = duet.run(gate, x, h, reset)
        assert speculation.function == function and 0.2 < mask.mean() < 0.8
        assert np.array_equal(mask, np.abs(pre) <= speculation.threshold)
        assert np.array_equal(values[~mask], dequantize(activate(pre, function), function)[~mask])
        assert np.array_equal(values[mask], duet.accurate(gate, x, h, reset)[mask])


def test_accurate_gates(calibrated):
    cell, duet = calibrated
    x, h = _sample(duet)
    reset = np.full((50, WIDTH), 20_000)
    for gate in cell.gates:
        parts = [execution.outputs(rows) for execution, rows in zip(
            duet.executions[gate], (x, h) if gate == "n" else (np.concatenate([x, h], 1),))]
        pre = parts[0] if gate != "n" else np.clip(parts[0] + requantize(reset * parts[1], 15, 16), -32768, 32767)
        assert np.array_equal(duet.accurate(gate, x, h, reset), (tanh if gate in "gn" else sigmoid)(pre))
        exact = np.array([cell.pre_activation(gate, a * duet.x_step, b / 32768, 20_000 / 32768) for a, b in zip(x, h)])
        inside = (np.abs(exact) < 15) & (np.max([np.abs(part) for part in parts], axis=0) < 32767)
        assert np.abs(pre / 2048 - exact)[inside].max() < 4e-3


def test_ratio_gives_the_threshold(calibrated):
    cell, duet = calibrated
    pre = np.concatenate(list(duet.pre.values()))
    for ratio in (0.3, 0.5, 0.7):
        changed = duet.at_ratio(ratio)
        thresholds = {speculation.threshold for speculation in changed.speculations.values()}
        assert len(thresholds) == 1 and abs((np.abs(pre) > thresholds.pop()).mean() - ratio) < 0.03
    assert duet.at_ratio(0).speculations[cell.gates[0]].threshold == 127


def test_errors_grow_with_the_ratio_and_are_small_without(calibrated):
    cell, duet = calibrated
    inputs, errors, ratios = _inputs(80, 9), [], []
    exact, _ = run_cell(cell, inputs)
    for ratio in (0, 0.3, 0.7):
        maps = []
        got, _ = run_cell(cell, inputs, gates.gate_function({"cell": duet.at_ratio(ratio)},
                                                            lambda *call: maps.append(call)))
        errors.append(np.linalg.norm(got - exact) / np.linalg.norm(exact))
        ratios.append(1 - np.mean([mask for _, _, mask in maps]))
        assert [call[:2] for call in maps[:2]] == [("cell", gate) for gate in cell.gates[:2]]
    assert errors[0] < 0.1 and errors == sorted(errors) and ratios == sorted(ratios) and ratios[2] > 0.5


def test_bytes(calibrated):
    cell, duet = calibrated
    accurate, little = duet.weight_bytes
    k = duet.speculations[cell.gates[0]].weight.shape[1]
    assert accurate == len(cell.gates) * WIDTH * (INPUTS + WIDTH) * 2
    assert little == len(cell.gates) * WIDTH * (k / 2 + 20 / 8)


def test_voice_detector_with_half_of_the_gates_approximate():
    model, recorder = silero(), gates.GateRecorder()
    model.probabilities(model.features(speech("calibration")[:16_000 * 12]), recorder)
    duet = gates.calibrate_cell(model.cell, *recorder.arrays("lstm"), formats=SpeculatorFormat(code_bits=8))
    features, share = model.features(speech("evaluation")[:16_000 * 4]), []
    found = model.probabilities(features, gates.gate_function({"lstm": duet}, lambda *call: share.append(call[2])))
    assert ((found > 0.5) == (model.probabilities(features) > 0.5)).mean() > 0.97
    assert abs(1 - np.mean(share) - 0.5) < 0.06
