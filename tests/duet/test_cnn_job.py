"""``resilin run cnn``: programs equal their golden models, figures in files and on the screen; wrong ones are found."""

import dataclasses
import json
import types

import numpy as np
import pytest

from golden.duet.mode import Mode
from golden.duet.networks import DuetConvolution
from golden.workloads.craft import Craft
from golden.workloads.easyocr import Crnn
from golden.workloads.layers import Convolution
from hw.duet.accelerator_config import DuetAcceleratorConfig
from resilin.cli import main
from resilin.duet import cnn_run, program_run
from resilin.duet.layer_cycles import layer_cycles
from resilin.jobs import cnn
from resilin.jobs.cnn import CAUSES
from resilin.duet_machine import sizes_of
from tests.workloads.models import crnn

SMALL = DuetAcceleratorConfig.preset("small")


def stack(channels=None, crop=(6, 5), sort=False, config=SMALL):
    """Three random convolutions, cut from the middle of a larger image."""
    rng = np.random.default_rng(1)
    shapes = ((6, 1, 3, 3), (5, 6, 3, 3), (9, 5, 3, 3))
    model = types.SimpleNamespace(picture=Crnn.picture, convolutions=[
        Convolution(f"c{number}", rng.normal(0, 0.5, shape).astype(np.float32),
                    rng.normal(-0.5, 0.5, shape[0]).astype(np.float32), 1, (2, 1) if number == 1 else (1, 1))
        for number, shape in enumerate(shapes)])
    images = [rng.integers(0, 256, (12, 30)) for _ in range(3)]
    return cnn_run.make_stack(model, images[:2], images[2], 0, 3, config, channels=channels, budget=0.1,
                              sort=sort).part(*crop)


@pytest.fixture(scope="module")
def golden():
    """A stack and its runs on the golden machine, compared with plain numpy."""
    given = stack()
    return given, cnn_run.run_stack(given, SMALL, rtl=False)


def test_programs_equal_numpy(golden):
    """Each mode's MACs by layer add up, and none has more than BASE."""
    given, runs = golden
    macs = {name: [layer.macs for layer in layer_cycles(run)] for name, run in runs.items()}
    assert list(runs) == [mode.name for mode in Mode]
    assert all(sum(macs[name]) == run.macs and run.cycles > 0 for name, run in runs.items())
    assert macs["OS"] == macs["BOS"] and macs["IOS"] == macs["DUET"]
    assert macs["OS"][0] == macs["BASE"][0] and macs["OS"][1] < macs["BASE"][1]  # the first layer is never switched
    assert sum(macs["DUET"]) < sum(macs["OS"])
    assert all(error < 0.5 for error in given.errors(True))


def test_model_alone_equals_the_golden_machine(golden):
    given, runs = golden
    alone = cnn_run.model_stack(given, SMALL)
    assert all(alone[name].macs == run.macs and alone[name].ends == run.ends for name, run in runs.items())


def test_any_size_runs():
    """A map that the GlobalBuffer has no room for is computed in strips, and equals plain numpy."""
    given = stack(crop=(9, 14))
    config = DuetAcceleratorConfig.preset("small", {"lines": 260, "map_lines": 100})
    runs = cnn_run.run_stack(given, config, rtl=False)
    assert all(max(map(max, run.program.strips)) > 1 for run in runs.values())
    with pytest.raises(ValueError, match="too few"):
        given.program(dataclasses.replace(sizes_of(SMALL), map_lines=16), Mode.DUET)


def test_sorted_channels_are_the_same_network():
    """The exact results stay, and the program's equal plain numpy."""
    plain, given = stack(), stack(sort=True)
    assert not np.array_equal(plain.convolutions[0].weight, given.convolutions[0].weight)
    assert np.allclose(plain.exact()[-1], given.exact()[-1], atol=1e-4)
    program = given.program(sizes_of(SMALL), Mode.DUET)
    dram = program_run.golden_runs({"": program}, SMALL)[""].dram
    assert np.array_equal(program.output(dram), given.results(True)[-1][0])


def test_channels_are_cut():
    assert [layer.execution.layer.weights.shape for layer in stack(channels=4).layers] == [(4, 9), (4, 36), (4, 36)]


def test_layers_that_the_speculator_cannot_hold_are_not_switched():
    """Channels of the second layer, 6, and the third, 5, take three groups of 4 rows each."""
    switched = [[layer.speculation is not None for layer in stack(config=config).layers] for config in (
        SMALL, DuetAcceleratorConfig.preset("small", {"activation_rows": 16}))]
    assert switched == [[False, True, True], [False, True, True]]
    config = DuetAcceleratorConfig.preset("small", {"activation_rows": 8})
    given = stack(config=config)
    assert [layer.speculation is not None for layer in given.layers] == [False, False, False]
    runs = cnn_run.run_stack(given, config, rtl=False)
    assert runs["OS"].macs == runs["BASE"].macs > runs["IOS"].macs == runs["DUET"].macs


def test_wrong_results_are_found(monkeypatch):
    given = stack()
    results = DuetConvolution.run
    monkeypatch.setattr(DuetConvolution, "run", lambda *args: (results(*args)[0] + 1, results(*args)[1]))
    with pytest.raises(program_run.Mismatch, match="program BASE: the golden accelerator differs"):
        cnn_run.run_stack(given, SMALL, rtl=False)


def test_crop_must_fit():
    with pytest.raises(ValueError, match="crop = 13 x 5 is not allowed: it must be 1 x 1 to 12 x 30"):
        stack(crop=(13, 5))


def test_wrong_ends_are_found():
    ends = [[3, 9], [], [12], []]
    program_run.compare_ends("", ends, [[5, 11], [], [14], []])
    with pytest.raises(program_run.Mismatch, match="command 0 of EXEC ends in cycle 15, not in 14"):
        program_run.compare_ends("", ends, [[5, 11], [], [15], []])


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
    assert "every word of the DRAM equals" in printed and "Executor issues" in printed
    assert (tmp_path / "cnn.txt").read_text() in printed


def test_job_on_the_model(tmp_path, capsys):
    """The whole map, in strips, without the golden machine; cycles add up, averages are of switched layers."""
    crnn()
    assert main(["run", "cnn", "--first", "4", "--layers", "2", "--channels", "4", "--crop", "0", "0",
                 "--lines", "1", "--model-only", "--set", "map_lines=150", "--sort-channels",
                 "--evaluation-lines", "0", "-o", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "cnn.json").read_text())
    assert results["crop"] == results["whole"]
    for row in results["layers"]:
        assert row["strips"] != [1, 1] and sum(row["parts"]) == row["outputs"]
    for name, mode in results["modes"].items():
        first, second = mode["layers"]
        assert results["averages"][name]["speed_up"] == second["speed_up"]
        assert sum(second[cause] for cause in CAUSES) == pytest.approx(second["cycles"])
        assert second["speed_up"] <= second["bound"] * 1.2
    printed = capsys.readouterr().out
    assert "never switched: conv11\n" in printed
    assert "cycle model alone" in printed and "channels sorted" in printed and "Executor issues" not in printed


def test_job_on_the_detector(tmp_path, capsys):
    """The other network, on the page: the golden machine's results equal plain numpy, and the reader is not asked."""
    crnn()
    assert main(["run", "cnn", "--network", "detector", "--layers", "2", "--channels", "4", "--crop", "4", "8",
                 "--lines", "1", "--no-rtl", "-o", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "cnn.json").read_text())
    assert [layer["name"] for layer in results["layers"]] == ["vgg0", "vgg3"] and results["reader"] is None
    assert results["whole"] == [191, 384] and results["modes"]["DUET"]["macs"] < results["modes"]["BASE"]["macs"]
    assert "2 convolutions of the detector" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, reason", [
    (["--set", "rows=3"], "rows"), (["-o", __file__], "must be a folder"), (["--channels", "-1"], "channels = -1"),
    (["--budget", "-1"], "budget"), (["--first", "-1"], "first = -1"), (["--layers", "1"], "layers = 1"),
    (["--crop", "-1", "4"], "crop = -1 4"), (["--crop", "8", "0"], "crop = 8 0"),
    (["--evaluation-lines", "-1"], "evaluation_lines = -1"),
    (["--network", "detector", "--evaluation-lines", "4"], "evaluation_lines = 4 is not allowed with the detector")])
def test_bad_requests(arguments, reason, capsys, monkeypatch):
    """They are refused before a model is loaded."""
    monkeypatch.setattr(Crnn, "load", lambda tell: pytest.fail("the model is loaded"))
    monkeypatch.setattr(Craft, "load", lambda tell: pytest.fail("the model is loaded"))
    assert main(["run", "cnn", *arguments]) == 2
    assert reason in capsys.readouterr().err


def test_a_layer_without_work_has_no_bound():
    row = {"speed_up": 2.0, "work_speed_up": 2.0, "utilisation": 0.5, "bound": 4.0, "work_cycles": 10, "speculation": 3}
    modes = {"BASE": {"layers": [row, row]}, "DUET": {"layers": [row, {**row, "bound": None}]}}
    averages = cnn._averages({"layers": [{"switched": True}] * 2, "modes": modes})
    assert averages["BASE"]["bound"] == 4 and averages["DUET"]["bound"] is None
    assert averages["DUET"]["speed_up"] == 2 and cnn._bound(averages["DUET"]) == "-"
