"""``resilin run rnn``: programs equal their golden models, figures in files and on the screen; wrong ones are found."""

import json

import numpy as np
import pytest

from golden.duet.gates import DuetCell
from golden.workloads import layers as float_layers
from hw.duet.accelerator_config import DuetAcceleratorConfig
from resilin.cli import main
from resilin.duet import program_run, rnn_run
from tests.workloads.models import silero, speech

SMALL = DuetAcceleratorConfig.preset("small")


def random_cell(rng, inputs=5, width=6):
    """A trained LSTM's shape with random numbers."""
    return float_layers.Cell("lstm", "lstm", *(rng.normal(0, 0.5, shape) for shape in (
        (4 * width, inputs), (4 * width, width), (4 * width,), (4 * width,))))


def test_programs_equal_numpy():
    """Without RTL and without a model: what is skipped is neither fetched nor multiplied."""
    rng = np.random.default_rng(1)
    cell = random_cell(rng)
    x = rng.normal(0, 1, (200, 5))
    duet = rnn_run.make_cell(cell, x, SMALL)
    found, runs = rnn_run.run_cells(cell, duet, x[:3], (0.3, 0.7), SMALL, rtl=False)
    base, some, most = found
    assert [item.name for item in found] == list(runs) == ["BASE", "DUET 30%", "DUET 70%"]
    assert base.ratio == 0 and base.error < 0.02 and 0 < some.ratio < most.ratio
    assert base.weight_bytes > some.weight_bytes > most.weight_bytes and base.macs > some.macs > most.macs
    assert base.cycles > 0 and base.little_bytes == 0 < most.little_bytes
    assert most.weight_bytes / base.weight_bytes == pytest.approx(1 - most.ratio)


def test_wrong_states_are_found(monkeypatch):
    rng = np.random.default_rng(1)
    cell = random_cell(rng)
    x = rng.normal(0, 1, (50, 5))
    duet = rnn_run.make_cell(cell, x, SMALL)
    accurate = DuetCell.accurate
    monkeypatch.setattr(DuetCell, "accurate", lambda *given: accurate(*given) ^ 1)
    with pytest.raises(program_run.Mismatch, match="program BASE: h of the golden accelerator"):
        rnn_run.run_cells(cell, duet, x[:2], (), SMALL, rtl=False)


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


@pytest.mark.slow
def test_job(tmp_path, capsys):
    silero(), speech("calibration"), speech("evaluation")
    assert main(["run", "rnn", "--steps", "2", "--seconds", "2", "--ratio", "0.5", "-o", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "rnn.json").read_text())
    cut, whole = results["programs"]
    assert cut["rtl"] and not whole["rtl"] and (whole["inputs"], whole["width"]) == (128, 128)
    assert all(run["cycles"] > 0 for run in cut["runs"]) and results["detector"]["rows"][0]["decisions_equal"] == 1
    printed = capsys.readouterr().out
    assert "every word of the DRAM equals" in printed and (tmp_path / "rnn.txt").read_text() in printed


@pytest.mark.parametrize("arguments, reason", [(["--set", "rows=3"], "rows"), (["-o", __file__], "must be a folder"),
                                               (["--seed", "-1"], "seed")])
def test_bad_requests(arguments, reason, capsys):
    assert main(["run", "rnn", *arguments]) == 2
    assert reason in capsys.readouterr().err
