"""``resilin run nm``: a part of MiniLM's feed-forward block on the three engines, on the RTL too."""

import json

import numpy as np
import pytest

from golden.figs.patterns import Pattern, is_pattern, magnitude_mask, pattern_of
from hw.figs.figs_engine import FigsEngineConfig
from resilin.cli import main
from resilin.figs.comparison import engines_for
from resilin.figs.engine_run import run_layer
from tests.workloads.models import minilm

SMALL = ["--preset", "small", "--set", "words=512", "--set", "depth=3"]


@pytest.fixture
def few_passages(monkeypatch):
    minilm()
    from golden.figs import minilm_study

    monkeypatch.setattr(minilm_study, "PASSAGES", {"training": 2, "validation": 1, "evaluation": 2})


def rows_of(folder):
    record = json.loads((folder / "report.json").read_text())
    return record, {(row["ratio"], row["engine"]): row for row in record["rows"]}


def test_a_short_run(tmp_path, capsys, few_passages):
    assert main(["run", "nm", *SMALL, "--ratio", "1:4", "--ratio", "1:1", "--epochs", "0", "--tokens", "4",
                 "--rtl-outputs", "20", "--rtl-tokens", "2", "--no-area", "-o", str(tmp_path)]) == 0
    record, rows = rows_of(tmp_path)
    assert set(rows) == {("1:4", name) for name in (
        "dense", "mux 4", "FiGS", "FiGS, own patterns", "FiGS, beta 1")} | {("1:1", name) for name in ("dense", "FiGS")}
    assert record["rtl"] and {row["macs"] for row in record["rows"]} == {16}
    # alpha = 1 reaches two of four rows: the other two take a cycle more.
    assert rows["1:4", "FiGS"]["held"] > 0 and 1.9 < rows["1:4", "FiGS"]["speedup"] < 2.2
    assert 3.8 < rows["1:4", "mux 4"]["speedup"] <= 4.05
    assert rows["1:4", "mux 4"]["activation_bits"] == 4 * rows["1:4", "dense"]["activation_bits"]
    assert rows["1:1", "FiGS"]["speedup"] > 0.99
    printed = capsys.readouterr().out
    assert "on the RTL 20 outputs and 2 tokens" in printed and "report.txt" in printed


def test_trained_weights_obey_the_pattern(few_passages):
    from resilin.figs.nm_layer import PrunedLayers

    layers = PrunedLayers(lambda *_: None, "second", 1, 0, 8, FigsEngineConfig.preset("paper"))
    own, shared = (layers.get(Pattern(2, 8), flag) for flag in (False, True))
    assert own.weights.shape == shared.weights.shape == (384, 1536) and own.x.shape == (1536, 8)
    assert is_pattern(own.weights, Pattern(2, 8)) and not (own.weights == shared.weights).all()
    groups = (shared.weights.reshape(96, 4, 1536) != 0).any(1)
    assert is_pattern(groups, Pattern(2, 8))
    assert layers.get(Pattern(2, 8), True) is shared


@pytest.mark.parametrize("ratio, names", [
    ("1:1", ["dense", "FiGS"]),
    ("2:4", ["dense", "mux 4", "mux 4, 8 rows", "FiGS", "FiGS, own patterns", "FiGS, beta 1"]),
    ("1:8", ["dense", "mux 8", "mux 8, 2 rows", "FiGS", "FiGS, own patterns", "FiGS, beta 1", "FiGS, alpha 7"]),
    ("1:16", ["dense", "mux 16", "FiGS", "FiGS, own patterns", "FiGS, beta 1", "FiGS, alpha 15"]),
])
def test_engines_have_as_many_multipliers(ratio, names):
    base = FigsEngineConfig.preset("paper")
    engines = list(engines_for(Pattern(*map(int, ratio.split(":"))), base))
    assert [engine.name for engine in engines] == names
    assert {engine.config.macs for engine in engines} == {256}
    assert all(engine.config.words * engine.config.groups >= base.words * base.groups for engine in engines)


@pytest.mark.parametrize("words, message", [
    (["--ratio", "3:4"], "n = 3"), (["--ratio", "1:64"], "m = 64"), (["--epochs", "-1"], "epochs = -1"),
    (["--period", "0"], "period = 0"), (["--set", "array=dense", "--set", "alpha=0", "--set", "depth=1", "--set",
                                         "groups=1"], "array = 'dense'"),
])
def test_refuses(words, message, tmp_path, capsys):
    assert main(["run", "nm", *words, "-o", str(tmp_path)]) != 0
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("ratio, engine, least", [
    ("1:2", "FiGS", 1.9), ("2:4", "FiGS", 1.9), ("4:8", "FiGS", 1.9), ("1:4", "FiGS", 3.8), ("2:8", "FiGS", 3.8),
    ("4:16", "FiGS", 3.8), ("8:32", "FiGS", 3.8), ("1:8", "FiGS, alpha 7", 7.6), ("1:16", "FiGS, alpha 15", 15.2),
])
def test_speed_up_over_the_dense_array(ratio, engine, least):
    """On random patterns that the outputs of an element share, a layer of 256 x 384."""
    pattern, rng = pattern_of(ratio), np.random.default_rng(7)
    engines = {engine.name: engine.config for engine in engines_for(pattern, FigsEngineConfig.preset("paper"))}
    weights = rng.integers(1, 128, (256, 384)) * magnitude_mask(np.repeat(rng.random((64, 384)), 4, 0), pattern)
    x = rng.integers(-128, 128, (384, 64))
    cycles = {name: run_layer(engines[name], weights, x, pattern).cycles for name in ("dense", engine)}
    assert cycles["dense"] / cycles[engine] >= least
