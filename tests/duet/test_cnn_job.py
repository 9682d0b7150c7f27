"""``resilin run cnn``: programs equal their golden models, figures in files and on the screen; wrong ones are found."""

import dataclasses
import json
import types

import numpy as np
import pytest

from golden.duet.mode import Mode
from golden.duet.networks import DuetConvolution
from golden.workloads.layers import Convolution
from hw.duet.accelerator_config import DuetAcceleratorConfig
from resilin.cli import main
from resilin.duet import cnn_run, program_run
from resilin.duet_machine import sizes_of
from tests.workloads.models import crnn

SMALL = DuetAcceleratorConfig.preset("small")


def stack(channels=None, crop=(6, 5)):
    """Three random convolutions, cut from the middle of a larger image."""
    rng = np.random.default_rng(1)
    shapes = ((6, 1, 3, 3), (5, 6, 3, 3), (9, 5, 3, 3))
    model = types.SimpleNamespace(convolutions=[
        Convolution(f"c{number}", rng.normal(0, 0.5, shape).astype(np.float32),
                    rng.normal(-0.5, 0.5, shape[0]).astype(np.float32), 1, (2, 1) if number == 1 else (1, 1))
        for number, shape in enumerate(shapes)])
    images = [rng.integers(0, 256, (12, 30)) for _ in range(3)]
    return cnn_run.make_stack(model, images[:2], images[2], 0, 3, crop, SMALL, channels=channels, budget=0.1)


def test_programs_equal_numpy():
    """Without RTL and without a model: each mode's MACs by layer add up, and none has more than BASE."""
    given = stack()
    runs = cnn_run.run_stack(given, SMALL, rtl=False)
    macs = {name: [layer.macs for layer in cnn_run.layer_runs(run)] for name, run in runs.items()}
    assert list(runs) == [mode.name for mode in Mode]
    assert all(sum(macs[name]) == run.macs and run.cycles > 0 for name, run in runs.items())
    assert macs["OS"] == macs["BOS"] and macs["IOS"] == macs["DUET"]
    assert macs["OS"][0] == macs["BASE"][0] and macs["OS"][1] < macs["BASE"][1]  # the first layer is never switched
    assert sum(macs["DUET"]) < sum(macs["OS"])
    assert all(error < 0.5 for error in given.errors(True))


def test_layers_of_cycles():
    """Cycles of layers add up to the last tile's end; waits for weights are told apart."""
    program = stack().program(sizes_of(SMALL), Mode.BASE)
    run = program_run.golden_runs({"BASE": program}, SMALL)["BASE"]
    counts = [sum(command.engine == engine for command in program.commands) for engine in range(4)]
    # Commands of the Executor end every 10 cycles from 1000 on, those of the DMA every 100.
    ends = [[100 * (place + 1) for place in range(counts[0])], [],
            [1000 + 10 * place for place in range(counts[2])], []]
    found = cnn_run.layer_runs(dataclasses.replace(run, ends=ends))
    last = max(place for place, command in enumerate(
        command for command in program.commands if command.engine == 2) if command.op)
    assert sum(layer.cycles for layer in found) == 1000 + 10 * last
    assert found[0].waits >= 100 and all(0 <= layer.waits <= layer.cycles for layer in found[:1])
    assert found[0].work_cycles == found[0].cycles - found[0].waits


def test_channels_are_cut():
    assert [layer.execution.layer.weights.shape for layer in stack(channels=4).layers] == [(4, 9), (4, 36), (4, 36)]


def test_wrong_results_are_found(monkeypatch):
    given = stack()
    results = DuetConvolution.run
    monkeypatch.setattr(DuetConvolution, "run", lambda *args: (results(*args)[0] + 1, results(*args)[1]))
    with pytest.raises(program_run.Mismatch, match="program BASE: the golden accelerator differs"):
        cnn_run.run_stack(given, SMALL, rtl=False)


def test_crop_must_fit():
    with pytest.raises(ValueError, match="crop = 13 x 5 is not allowed: the map has 12 x 30"):
        stack(crop=(13, 5))


@pytest.mark.slow
def test_job(tmp_path, capsys):
    crnn()
    assert main(["run", "cnn", "--first", "0", "--layers", "2", "--channels", "4", "--crop", "4", "8", "--lines", "1",
                 "--evaluation-lines", "1", "-o", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "cnn.json").read_text())
    assert list(results["modes"]) == ["BASE", "OS", "BOS", "IOS", "DUET"]
    for mode in results["modes"].values():
        assert mode["counters"]["executor.macs"] == mode["macs"] == sum(layer["macs"] for layer in mode["layers"])
    printed = capsys.readouterr().out
    assert "every word of the DRAM equals" in printed and (tmp_path / "cnn.txt").read_text() in printed


@pytest.mark.parametrize("arguments, reason", [(["--set", "rows=3"], "rows"), (["-o", __file__], "must be a folder"),
                                               (["--channels", "-1"], "channels"), (["--budget", "-1"], "budget")])
def test_bad_requests(arguments, reason, capsys):
    assert main(["run", "cnn", *arguments]) == 2
    assert reason in capsys.readouterr().err
