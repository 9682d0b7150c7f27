"""``resilin run rnn``: programs equal their golden models, figures in files and on the screen; wrong ones are found."""

import json

import numpy as np
import pytest

from golden.duet.gate_study import Task
from golden.duet.gates import DuetCell
from golden.workloads import layers as float_layers
from hw.duet.accelerator_config import DuetAcceleratorConfig
from resilin.cli import main
from resilin.duet import program_run, rnn_networks, rnn_run
from tests.workloads.models import crnn, g2p, page_lines, silero, speech

SMALL = DuetAcceleratorConfig.preset("small")


def random_cell(rng, inputs=5, width=6, kind="lstm"):
    """A trained cell's shape with random numbers."""
    rows = len(float_layers.GATES[kind]) * width
    return float_layers.Cell("cell", kind, *(rng.normal(0, 0.5, shape) for shape in (
        (rows, inputs), (rows, width), (rows,), (rows,))))


@pytest.mark.parametrize("kind, accurate", [("lstm", "i"), ("gru", "")])
@pytest.mark.parametrize("first", [0, 7])
def test_programs_equal_numpy(kind, accurate, first):
    """Without RTL and without a model: what is skipped is neither fetched nor multiplied."""
    rng = np.random.default_rng(1)
    cell = random_cell(rng, kind=kind)
    x = rng.normal(0, 1, (200, 5))
    duet = rnn_run.make_cell(cell, x, SMALL)
    chosen = rnn_networks.choices(duet, (0.3, 0.7), accurate)
    found, runs = rnn_run.run_cells(cell, chosen, x[:first + 3], SMALL, first=first, rtl=False)
    names = ["BASE", "DUET 30%", "DUET 70%"] + ["DUET 30%, i accurate", "DUET 70%, i accurate"] * (kind == "lstm")
    assert [item.name for item in found] == list(runs) == names
    base, some, most = found[:3]
    assert base.ratio == 0 and base.error < 0.02 and 0 < some.ratio < most.ratio
    assert base.weight_bytes > some.weight_bytes > most.weight_bytes and base.macs > some.macs > most.macs
    assert base.cycles > 0 and base.little_bytes == 0 < most.little_bytes
    assert all(item.cycles > max(item.dram_cycles, item.mac_cycles) > 0 for item in found)
    assert all(item.cycles == item.dram_cycles + sum(item.waits.values()) for item in found)
    assert all(count > 0 for item in found for kind, count in item.waits.items() if kind != "first")
    assert base.waits["first"] == 0
    if kind == "lstm":  # the rows of an accurate gate are fetched meanwhile
        assert found[3].waits["tail"] + found[3].waits["first"] < some.waits["tail"] + some.waits["first"]
    assert base.mac_cycles == -(-base.macs // (SMALL.rows * SMALL.cols))
    if kind == "lstm":
        assert most.weight_bytes / base.weight_bytes == pytest.approx(1 - most.ratio)
        assert all(item.ratio <= 0.75 and item.little_bytes < most.little_bytes for item in found[3:])
        with pytest.raises(ValueError, match="gates x are not allowed"):
            duet.without("x")
        with pytest.raises(ValueError, match="at least one gate"):
            duet.without("ifgo")
    total = rnn_run.summed([some, most])
    assert total.cycles == some.cycles + most.cycles and total.error == max(some.error, most.error)


def test_wrong_states_are_found(monkeypatch):
    rng = np.random.default_rng(1)
    cell = random_cell(rng)
    x = rng.normal(0, 1, (50, 5))
    chosen = rnn_networks.choices(rnn_run.make_cell(cell, x, SMALL), ())
    accurate = DuetCell.accurate
    monkeypatch.setattr(DuetCell, "accurate", lambda *given: accurate(*given) ^ 1)
    with pytest.raises(program_run.Mismatch, match="program BASE: h of the golden accelerator"):
        rnn_run.run_cells(cell, chosen, x[:2], SMALL, rtl=False)


def test_a_differing_word_is_found():
    expected = np.zeros((3, 4), np.int64)
    found = expected.copy()
    program_run.compare("one", expected, found)
    found[2, 1] = 7
    with pytest.raises(program_run.Mismatch, match="program one: line 2, word 1 of the DRAM: expected 0, got 7"):
        program_run.compare("one", expected, found)


def test_cut_cell():
    cell = random_cell(np.random.default_rng(2))
    cut = rnn_run.cut_cell(cell, 3, 2)
    assert cut.input_weight.shape == (8, 3) and cut.hidden_weight.shape == (8, 2)
    assert (cut.input_weight[cut.rows("g")] == cell.input_weight[cell.rows("g")][:2, :3]).all()


def test_answers():
    """On a toy network: the less is computed, the less is read and the greater the error; exact gates leave none."""
    rng = np.random.default_rng(2)
    cell, data = random_cell(rng), [rng.normal(0, 1, (steps, 5)) for steps in (300, 40)]

    def evaluate(gate):
        outputs, _ = float_layers.run_cell(cell, data[1], gate)
        return outputs, list(outputs[:, 0] > 0)

    task = Task("toy", {"cell": cell}, lambda gate: float_layers.run_cell(cell, data[0], gate), evaluate,
                lambda answer, reference: {"signs_equal": float(np.mean(np.equal(answer, reference)))})
    duet = rnn_run.make_cell(cell, data[0], SMALL)
    network = rnn_networks.RnnNetwork("toy", task, {"cell": duet}, {"cell": data[1]}, 0,
                                      *evaluate(float_layers.dense_gate), "i")
    rows = rnn_networks.answers(network, (0.3, 0.7))
    assert [row["name"] for row in rows] == ["integers", "DUET 30%", "DUET 70%", "DUET 30%, i accurate",
                                             "DUET 70%, i accurate"]
    assert rows[0]["error"] < 0.05 and rows[0]["error"] < rows[1]["error"] < rows[2]["error"]
    assert rows[0]["read"] > rows[1]["read"] > rows[2]["read"] and rows[4]["ratio"] < 0.75 * rows[2]["ratio"] + 0.1
    assert all(row["signs_equal"] > 0.5 for row in rows)
    exact = rnn_networks.compared(network, task, *evaluate(float_layers.dense_gate))
    assert exact == {"error": 0, "signs_equal": 1}


@pytest.mark.slow
def test_job(tmp_path, capsys):
    silero(), speech("calibration"), speech("evaluation")
    assert main(["run", "rnn", "--network", "silero", "--steps", "2", "--seconds", "2", "--ratio", "0.5", "-o",
                 str(tmp_path)]) == 0
    results = json.loads((tmp_path / "rnn.json").read_text())
    (whole,) = results["networks"]
    assert (whole["cells"][0]["inputs"], whole["cells"][0]["width"]) == (128, 128)
    assert [run["name"] for run in whole["runs"]] == ["BASE", "DUET 50%", "DUET 50%, i accurate"]
    assert all(run["cycles"] > 0 for part in (whole, results["rtl"]) for run in part["runs"])
    assert whole["answers"][0]["decisions_equal"] == 1 and whole["config"]["code_bits"] == 8
    printed = capsys.readouterr().out
    assert "every word of the DRAM equals" in printed and (tmp_path / "rnn.txt").read_text() in printed


@pytest.mark.slow
def test_job_of_text(tmp_path):
    """Text and phonemes without RTL; convolutions approximate too."""
    crnn(), page_lines(), g2p()
    assert main(["run", "rnn", "--no-rtl", "--network", "easyocr", "--network", "g2p", "--convolutions", "--steps", "1",
                 "--ratio", "0.3", "-o", str(tmp_path)]) == 0
    reader, phonemes = json.loads((tmp_path / "rnn.json").read_text())["networks"]
    assert len(reader["cells"]) == 4 and [cell["kind"] for cell in phonemes["cells"]] == ["gru", "gru"]
    assert [row["name"] for row in reader["answers"]] == ["integers", "DUET 30%", "DUET 30%, i accurate"]
    assert all(row["characters_equal"] > 0.95 for row in reader["answers"])
    convolved = reader["with_convolutions"]
    assert all(row["characters_equal"] > 0.95 and 0.4 < row["macs_skipped"] < 0.8 for row in convolved)
    assert all(row["phonemes_equal"] > 0.95 for row in phonemes["answers"])


@pytest.mark.parametrize("arguments, reason", [
    (["--set", "rows=3"], "rows"), (["-o", __file__], "must be a folder"), (["--seed", "-1"], "seed"),
    (["--network", "g2p", "--convolutions"], "--convolutions is not allowed")])
def test_bad_requests(arguments, reason, capsys):
    assert main(["run", "rnn", *arguments]) == 2
    assert reason in capsys.readouterr().err
