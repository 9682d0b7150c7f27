"""Recurrent networks on the DUET accelerator: their data and tasks, their cells in integers, what they then answer."""

import dataclasses

import numpy as np

from golden.duet.calibrate import SpeculatorFormat
from golden.duet.gate_study import Task, evaluation_words, phoneme_task, reader_task, voice_task
from golden.duet.gates import DuetCell, GateRecorder, calibrate_cell, gate_function
from golden.workloads.layers import dense_gate

__all__ = ["CALIBRATION_SECONDS", "CALIBRATION_WORDS", "EVALUATION_WORDS", "FIRST_STEP", "NETWORKS", "RnnNetwork",
           "answers", "calibrated_cell", "choices", "compared", "load_network", "reader_with_convolutions"]

#: What is calibrated on: seconds of speech, drawn lines of text, words.
CALIBRATION_SECONDS, CALIBRATION_LINES, CALIBRATION_WORDS = 32, 16, 300
EVALUATION_WORDS = 60
_EVALUATION_LINES = 6
#: Step of the evaluation speech from which on programs run: somebody speaks there.
FIRST_STEP = 20
#: What the outputs of convolutions may lose where they are approximate too, see docs/duet/dmi.md.
_BUDGET = 0.05


@dataclasses.dataclass(frozen=True, eq=False)
class RnnNetwork:
    """A trained network. ``cells``: name -> as trained and, in ``duets``, in integers; ``inputs``: name -> x of all
    evaluation data, float (steps, inputs), of which programs take some from step ``first`` on; ``outputs`` and
    ``answer`` of the exact network. ``accurate``: gates that are always accurate in the second kind of runs, "" for
    none."""

    title: str
    task: Task
    duets: dict[str, DuetCell]
    inputs: dict[str, np.ndarray]
    first: int
    outputs: np.ndarray
    answer: object
    accurate: str

    @property
    def cells(self):
        return self.task.cells


def calibrated_cell(cell, x, h, config):
    """The ``DuetCell`` of a trained cell for inputs ``x`` and ``h``, float; ``config``: of the accelerator.

    A GRU's n is always accurate: the accelerator computes it from two parts.
    """
    formats = SpeculatorFormat(pre_bits=config.pre_bits, code_bits=config.code_bits, max_k=config.max_k)
    return calibrate_cell(cell, x, h, cols=config.cols, segment=config.segment, trees=config.trees, formats=formats,
                          speculate="rz" if cell.kind == "gru" else None)


def choices(duet, ratios, accurate=""):
    """What is compared: name of a run -> (wanted ratio, ``DuetCell``), for each ratio with all gates approximate and,
    where given, without the gates ``accurate``."""
    found = {"BASE": (0.0, duet)}
    for gates in ("", accurate)[:1 + bool(accurate)]:
        part = duet.without(gates) if gates else duet
        for ratio in ratios:
            found[f"DUET {100 * ratio:.0f}%" + (f", {gates} accurate" if gates else "")] = ratio, part.at_ratio(ratio)
    return found


def _silero(tell, seconds):
    from golden.workloads.silero import RATE, SileroVad
    from golden.workloads.speech import speech

    sounds = speech("calibration", tell)[:CALIBRATION_SECONDS * RATE], speech("evaluation", tell)[:seconds * RATE]
    return "Silero's voice detector", voice_task(SileroVad.load(tell), *sounds), FIRST_STEP


def _reader_data(tell):
    from golden.workloads.easyocr import Crnn
    from golden.workloads.lines import page_lines, rendered_lines

    lines = rendered_lines("evaluation", _EVALUATION_LINES) + page_lines(tell)[:1]
    return Crnn.load(tell), rendered_lines("calibration", CALIBRATION_LINES), lines


def _easyocr(tell, seconds):
    return "EasyOCR's reader behind exact convolutions", reader_task(*_reader_data(tell)), 10


def _g2p(tell, seconds):
    from golden.workloads.g2p import G2p

    words = evaluation_words("calibration", CALIBRATION_WORDS), evaluation_words("evaluation", EVALUATION_WORDS)
    return "g2p-en, letters to phonemes", phoneme_task(G2p.load(tell), *words), 0


#: Name -> function of (tell, seconds of speech) that gives title, task, first step of the programs.
NETWORKS = {"silero": _silero, "easyocr": _easyocr, "g2p": _g2p}


def load_network(name, config, tell, seconds):
    """The :class:`RnnNetwork` ``name`` of :data:`NETWORKS`, calibrated for a machine of ``config``."""
    title, task, first = NETWORKS[name](tell, seconds)
    tell.step(f"{title}: calibrating")
    calibration, evaluation = GateRecorder(), GateRecorder()
    task.calibrate(calibration)
    duets = {cell: calibrated_cell(trained, *calibration.arrays(cell), config) for cell, trained in task.cells.items()}
    outputs, answer = task.evaluate(evaluation)
    inputs = {cell: evaluation.arrays(cell)[0] for cell in task.cells}
    lstm = all(cell.kind == "lstm" for cell in task.cells.values())
    return RnnNetwork(title, task, duets, inputs, first, outputs, answer, "i" if lstm else "")


def answers(network, ratios, task=None):
    """What the network answers at each ratio: rows with the error of its outputs (relative L2 norm), results of the
    task and ``read``, the bytes of weights read as a share of all weights at every step. ``task``: another one on the
    same data, to be compared with the exact network's answers."""
    task = task or network.task
    parts = {cell: choices(duet, ratios, network.accurate) for cell, duet in network.duets.items()}
    parts = {cell: {"integers": (0.0, found["BASE"][1].at_ratio(0)), **found} for cell, found in parts.items()}
    rows = []
    for name, (wanted, _) in next(iter(parts.values())).items():
        if name == "BASE":
            continue
        duets, maps = {cell: found[name][1] for cell, found in parts.items()}, []
        outputs, answer = task.evaluate(gate_function(duets, lambda cell, gate, mask: maps.append(mask.mean())))
        ratio, steps = 1 - float(np.mean(maps)), len(maps) / sum(len(cell.gates) for cell in task.cells.values())
        weights, little = np.sum([duet.weight_bytes for duet in duets.values()], 0)
        rows.append({"name": name, "wanted": wanted, "ratio": ratio,
                     "read": 1 - ratio + float(little / weights) / steps, **compared(network, task, outputs, answer)})
    return rows


def compared(network, task, outputs, answer):
    """Error and results of an answer against the exact network's."""
    return {"error": float(np.linalg.norm(outputs - network.outputs) / np.linalg.norm(network.outputs)),
            **task.compare(answer, network.answer)}


def reader_with_convolutions(network, ratios, tell):
    """The reader with its convolutions in integers too, whose outputs are skipped where the map says so: rows as of
    :func:`answers`, the first with exact gates, each with ``macs_skipped`` of the convolutions."""
    from golden.duet.networks import calibrate_convolutions, convolution_function

    model, calibration, evaluation = _reader_data(tell)
    layers = calibrate_convolutions(model, [image for image, _ in calibration], budget=_BUDGET)
    done, size = 0, {layer.name: layer.weight[0].size for layer in model.convolutions}
    total = 0

    def record(name, mask, results):
        nonlocal done, total
        done, total = done + int(mask.sum()) * size[name], total + mask.size * size[name]

    task = reader_task(model, calibration, evaluation, convolution_function(layers, record))
    skipped = 1 - done / total
    rows = [{"name": "exact gates", "wanted": 0.0, "ratio": 0.0, "read": 1.0,
             **compared(network, task, *task.evaluate(dense_gate))}]
    return [{**row, "macs_skipped": skipped} for row in rows + answers(network, ratios, task)]
