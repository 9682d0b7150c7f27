"""How well the gates of trained recurrent networks are speculated: insensitive ratio against output and answer.

All choices come from calibration data; all figures are of other data. Errors build up: a gate sees the states that
approximate gates before it left.
"""

import numpy as np

from golden.duet.calibrate import SpeculatorFormat
from golden.duet.dmi import LittleModule, block_projection, needed
from golden.duet.gates import GateRecorder, calibrate_cell, gate_function
from golden.duet.networks import SHARE
from golden.duet.speculator_mfu import Function
from golden.workloads.easyocr import character_accuracy, edit_distance
from golden.workloads.layers import activate, dense_convolution, dense_gate
from golden.workloads.text import texts

__all__ = ["RATIOS", "VARIANTS", "Task", "evaluation_words", "gate_study", "phoneme_task", "reader_task", "voice_task"]

RATIOS = (0, 0.3, 0.5, 0.7)
#: Name -> options of ``calibrate_cell`` and widths that differ from the defaults. "n accurate" is for GRUs.
VARIANTS = {"code of 8 bits": {"code_bits": 8}, "code of 4 bits": {"code_bits": 4}, "code of 6 bits": {"code_bits": 6},
            "k = d/4": {"code_bits": 8, "share": 0.25}, "pre of 6 bits": {"code_bits": 6, "pre_bits": 6},
            "pre of 10 bits": {"code_bits": 8, "pre_bits": 10}, "x clipped to 0.6": {"code_bits": 8, "clipping": 0.6},
            "n accurate": {"code_bits": 8, "speculate": "rz"}}


class Task:
    """A network with data: ``cells`` by name; ``calibrate(gate)`` and ``evaluate(gate)`` run it with a gate function.

    ``evaluate`` returns (outputs, answer): an array to measure errors on, and what the network is for.
    ``compare(answer, reference)`` gives named results.
    """

    def __init__(self, name, cells, calibrate, evaluate, compare):
        self.name, self.cells = name, cells
        self.calibrate, self.evaluate, self.compare = calibrate, evaluate, compare


def voice_task(model, calibration, evaluation):
    """Silero on recordings (samples,): the answer is speech or not, every 32 ms."""
    features = [model.features(samples) for samples in (calibration, evaluation)]

    def evaluate(gate):
        found = model.probabilities(features[1], gate)
        return found, found > 0.5

    return Task("silero-vad", {"lstm": model.cell}, lambda gate: model.probabilities(features[0], gate), evaluate,
                lambda answer, reference: {"decisions_equal": float((answer == reference).mean())})


def evaluation_words(part, count):
    """``count`` English words of one part of the texts; those of "evaluation" do not occur in "calibration"."""
    words = _words(part)
    if part == "evaluation":
        seen = set(_words("calibration"))
        words = [word for word in words if word not in seen]
    return words[:count]


def _words(part):
    words = (word.strip(".,:;()\"'").lower() for text in texts(part) for word in text.split())
    return list(dict.fromkeys(word for word in words if len(word) > 3 and word.isascii() and word.isalpha()))


def phoneme_task(model, calibration, evaluation):
    """g2p-en on two lists of words: the answer is their phonemes."""
    def evaluate(gate):
        recorder = GateRecorder()

        def both(cell, name, x, h, reset=None):
            recorder(cell, name, x, h, reset)
            return gate(cell, name, x, h, reset)

        answer = [model.phonemes(word, both) for word in evaluation]
        return recorder.arrays("enc")[1], answer  # the encoder's states: as many, whatever is said

    def compare(answer, reference):
        wrong = sum(edit_distance(a, b) for a, b in zip(answer, reference))
        return {"phonemes_equal": 1 - wrong / sum(map(len, reference)),
                "words_equal": float(np.mean([a == b for a, b in zip(answer, reference)]))}

    return Task("g2p-en", model.cells, lambda gate: [model.phonemes(word, gate) for word in calibration], evaluate,
                compare)


def reader_task(model, calibration, evaluation, convolution=dense_convolution):
    """EasyOCR's recurrent layers on (image, text) of lines, behind exact convolutions or another implementation's. The
    answer is the text read."""
    features = [[model.features(image, convolution) for image, _ in lines] for lines in (calibration, evaluation)]
    true = [text for _, text in evaluation]

    def evaluate(gate):
        scores = [model.sequence(x, gate) for x in features[1]]
        return np.concatenate(scores), [model.decode(score) for score in scores]

    return Task("easyocr-en", model.cells, lambda gate: [model.sequence(x, gate) for x in features[0]], evaluate,
                lambda answer, reference: {
                    "characters_read": character_accuracy(answer, true),
                    "characters_equal": character_accuracy(answer, reference),
                    "lines_equal": float(np.mean([a == b for a, b in zip(answer, reference)]))})


def _float_function(cells, recorder, share, ratio, record):
    """A gate function with little modules in float and one threshold for each cell at which the share is ``ratio``."""
    modules, thresholds = {}, {}
    for name, cell in cells.items():
        x, h = recorder.arrays(name)
        joined = np.concatenate([x, h], 1)
        projection = block_projection([(round(share * part.shape[1]), part.shape[1]) for part in (x, h)])
        reset = None
        for gate in cell.gates:
            y = np.array([cell.pre_activation(gate, *pair, *(() if reset is None else (r,)))
                          for pair, r in zip(zip(x, h), x if reset is None else reset)])
            if gate == "r":
                reset = activate("r", y)
            modules[name, gate] = LittleModule.fit(projection, joined, np.clip(y, -8, 8), None, None)
        found = np.concatenate([modules[name, gate](joined) for gate in cell.gates])
        thresholds[name] = np.quantile(np.abs(found), 1 - ratio)

    def gate_value(cell, gate, x, h, reset=None):
        y = modules[cell.name, gate](np.concatenate([x, h])[None])[0]
        mask = needed(y, Function.TANH, thresholds[cell.name])
        record(cell.name, gate, mask)
        return np.where(mask, dense_gate(cell, gate, x, h, reset), activate(gate, y))

    return gate_value


def gate_study(task, ratios=RATIOS, variants=VARIANTS, progress=None):
    """A row for each variant and ratio: ratio reached, error of the outputs, results of the task, bytes read.

    ``read``: bytes of weights read (rows that are not skipped, at every step; little modules once) as a share of all
    weights at every step.
    """
    recorder, rows = GateRecorder(), []
    task.calibrate(recorder)
    exact, reference = task.evaluate(dense_gate)

    def measure(variant, ratio, function, maps, little=0):
        outputs, answer = task.evaluate(function)
        found = 1 - float(np.mean([mask.mean() for _, _, mask in maps]))
        gates = {gate: 1 - float(np.mean([mask.mean() for _, name, mask in maps if name == gate]))
                 for gate in dict.fromkeys(name for _, name, _ in maps)}
        steps = len(maps) / sum(len(cell.gates) for cell in task.cells.values())
        rows.append({"network": task.name, "variant": variant, "wanted": ratio, "ratio": found, "ratio_by_gate": gates,
                     "error": float(np.linalg.norm(outputs - exact) / np.linalg.norm(exact)),
                     **task.compare(answer, reference), "read": 1 - found + little / steps})
        if progress:
            results = ", ".join(f"{name} {value:.3f}" for name, value in rows[-1].items() if "equal" in name
                                or "read" in name or name == "error")
            progress(f"{task.name}, {variant}, {ratio:g}: {results}")

    for ratio in ratios[1:]:
        maps = []
        measure("float", ratio, _float_function(task.cells, recorder, SHARE, ratio, lambda *call: maps.append(call)),
                maps)
    for variant, options in variants.items():
        if not set(options.get("speculate", "")) <= {gate for cell in task.cells.values() for gate in cell.gates}:
            continue  # meant for the other kind of cell
        widths = {name: value for name, value in options.items() if name.endswith("_bits")}
        others = {name: value for name, value in options.items() if name not in widths}
        cells = {name: calibrate_cell(cell, *recorder.arrays(name), formats=SpeculatorFormat(**widths), **others)
                 for name, cell in task.cells.items()}
        accurate, little = np.sum([cell.weight_bytes for cell in cells.values()], 0)
        for ratio in ratios:
            maps = []
            function = gate_function({name: cell.at_ratio(ratio) for name, cell in cells.items()},
                                     lambda *call: maps.append(call))
            measure(variant, ratio, function, maps, little / accurate)
    return {"network": task.name, "rows": rows}
