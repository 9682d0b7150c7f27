"""The study of gates, on a random cell and on the voice detector: ratios, errors, bytes."""

import numpy as np

from golden.duet import gate_study as study
from golden.workloads.layers import GATES, Cell, run_cell
from tests.workloads.models import silero, speech


def _task(kind):
    rng = np.random.default_rng(1)
    rows = len(GATES[kind]) * 16
    cell = Cell("cell", kind, rng.normal(size=(rows, 8)), 0.4 * rng.normal(size=(rows, 16)), rng.normal(size=rows),
                rng.normal(size=rows))
    data = [rng.normal(size=(steps, 8)) for steps in (500, 60)]

    def evaluate(gate):
        outputs, _ = run_cell(cell, data[1], gate)
        return outputs, outputs > 0

    return study.Task("toy", {"cell": cell}, lambda gate: run_cell(cell, data[0], gate), evaluate,
                      lambda answer, reference: {"signs_equal": float((answer == reference).mean())})


def test_rows_of_both_kinds_of_cell():
    for kind in GATES:
        variants = {"code of 8 bits": {"code_bits": 8}, "k = d/4": {"code_bits": 8, "share": 0.25},
                    "n accurate": {"code_bits": 8, "speculate": "rz"}}
        rows = study.gate_study(_task(kind), (0, 0.3, 0.6), variants)["rows"]
        names = ["float"] * 2 + ["code of 8 bits"] * 3 + ["k = d/4"] * 3 + ["n accurate"] * 3 * (kind == "gru")
        assert [row["variant"] for row in rows] == names
        for row in rows[:8]:
            assert abs(row["ratio"] - row["wanted"]) < 0.12 and set(row["ratio_by_gate"]) == set(GATES[kind])
            assert 1 - row["ratio"] <= row["read"] < 1 - row["ratio"] + 0.1 and row["signs_equal"] > 0.6
        assert kind == "lstm" or rows[10]["ratio_by_gate"]["n"] == 0 < rows[10]["ratio"] < rows[7]["ratio"]
        assert rows[2]["error"] < 0.1 and rows[2]["error"] < rows[3]["error"] < rows[4]["error"]


def test_words_to_evaluate_on_are_new():
    calibration, evaluation = (study.evaluation_words(part, 200) for part in ("calibration", "evaluation"))
    assert len(calibration) == 200 and len(evaluation) >= 100 and not set(calibration) & set(evaluation)
    assert all(word.isalpha() and word.islower() for word in calibration + evaluation)


def test_voice_detector():
    model = silero()
    task = study.voice_task(model, speech("calibration")[:16_000 * 8], speech("evaluation")[:16_000 * 3])
    rows = study.gate_study(task, (0, 0.5), {"code of 8 bits": {"code_bits": 8}})["rows"]
    assert [row["decisions_equal"] > 0.95 for row in rows] == [True] * 3 and 0.4 < rows[2]["read"] < 0.65
