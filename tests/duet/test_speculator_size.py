"""``resilin run speculator_size``: machines of the same buffers and results, cycles that fall with size, area."""

import dataclasses
import json

import numpy as np
import pytest

from hw.duet.accelerator_config import DuetAcceleratorConfig
from resilin.cli import main
from resilin.duet import speculator_sizes as study
from resilin.duet.rnn_run import make_cell
from tests.duet.network_programs import network
from tests.duet.test_rnn_job import random_cell
from tests.workloads.models import crnn, silero, speech

SMALL, PAPER = (DuetAcceleratorConfig.preset(name) for name in ("small", "paper"))
#: Sizes for the small machine, whose tiles have 4 positions.
SHAPES = tuple(study.SpeculatorShape(*shape) for shape in ((2, 4, 2), (4, 8, 4), (8, 8, 8)))


@pytest.mark.parametrize("gates", [False, True])
@pytest.mark.parametrize("config, shapes", [(PAPER, study.SIZES), (SMALL, SHAPES)])
def test_only_the_speculator_differs(config, shapes, gates):
    same = ("projection_rows", "trees"), ("input_rows", "trees"), ("weight_rows", "array_cols")
    for shape in shapes:
        machine = study.sized(config, shape, gates)
        for rows, width in same:
            assert getattr(machine, rows) * getattr(machine, width) == getattr(config, rows) * getattr(config, width)
        assert machine.max_k == config.max_k and machine.trees == shape.trees and machine.array_rows <= config.segment
        elements = machine.array_rows * machine.array_cols
        assert elements == shape.rows * shape.cols or gates and shape.rows > config.segment
        assert machine.executor == config.executor and machine.global_buffer == config.global_buffer
    assert study.sized(PAPER, study.SIZES[3], gates) == PAPER


def test_a_larger_speculator_is_not_slower():
    rng = np.random.default_rng(3)
    cell, x = random_cell(rng, inputs=5, width=14), rng.normal(0, 1, (200, 5))
    duet = make_cell(cell, x, study.sized(SMALL, SHAPES[-1])).at_ratio(0.7)
    state = np.zeros(14, int), np.zeros(14, int)
    gates = study.cell_cycles(duet, duet.quantize(x[:3], np.zeros(1))[0], state, SMALL, SHAPES)
    layers, image = network(5, study.sizes_of(study.sized(SMALL, SHAPES[-1])), (5, 6, 6),
                            dict(out_channels=12, padding=1), dict(out_channels=14, kernel=1))
    convolutions = study.chain_cycles(layers, image, SMALL, SHAPES)
    for cycles in (gates, convolutions):
        assert list(cycles) == ["BASE", "2 x 4", "4 x 8", "8 x 8"]
        assert cycles["2 x 4"] > cycles["4 x 8"] >= cycles["8 x 8"] > 0


def test_another_result_is_found(monkeypatch):
    rng = np.random.default_rng(3)
    cell, x = random_cell(rng), rng.normal(0, 1, (200, 5))
    duet = make_cell(cell, x, study.sized(SMALL, SHAPES[-1])).at_ratio(0.5)
    runs = study.golden_runs

    def wrong(programs, config):
        found = runs(programs, config)
        if config.array_rows == 2:
            found = {name: dataclasses.replace(run, dram=run.dram + 1) for name, run in found.items()}
        return found

    monkeypatch.setattr(study, "golden_runs", wrong)
    with pytest.raises(AssertionError, match="changes a result"):
        study.cell_cycles(duet, duet.quantize(x[:2], np.zeros(1))[0], np.zeros((2, 6), int), SMALL, SHAPES)


@pytest.mark.slow
def test_area():
    small, large = (study.area(SMALL, shape) for shape in SHAPES[:2])
    assert set(small) == {"systolic_array", "projection", "speculator_mfu"}
    assert all(0 < small[name] < large[name] for name in small)


@pytest.mark.slow
def test_job(tmp_path, capsys):
    crnn(), silero(), speech("calibration"), speech("evaluation")
    assert main(["run", "speculator_size", "--no-area", "--steps", "1", "--crop", "8", "8", "-o", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "speculator_size.json").read_text())
    assert list(results["cycles"]) == ["convolutions", "LSTM", "LSTM, i accurate"] and results["area"] is None
    for cycles in results["cycles"].values():
        assert cycles["8 x 8"] > cycles["16 x 32"] >= cycles["32 x 32"] > 0
    assert (tmp_path / "speculator_size.txt").read_text() in capsys.readouterr().out


@pytest.mark.parametrize("arguments, reason", [(["--ratio", "1"], "ratio = 1"), (["-o", __file__], "must be a folder")])
def test_bad_requests(arguments, reason, capsys):
    assert main(["run", "speculator_size", *arguments]) == 2
    assert reason in capsys.readouterr().err
