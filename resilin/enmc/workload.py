"""Real output layers with hidden vectors to train on and to measure on, for ENMC's jobs."""

import dataclasses

import numpy as np

from golden.enmc.screener_training import classifier_scores
from golden.enmc.screening_study import Vectors
from golden.workloads.hidden import domain_texts, passages
from golden.workloads.lines import page_lines, rendered_lines
from golden.workloads.rapidocr import Recogniser
from golden.workloads.smollm2 import MAX_TOKENS, SmolLm2
from golden.workloads.text import read_text

__all__ = ["Workload", "language_model", "reader"]


@dataclasses.dataclass(frozen=True, eq=False)
class Workload:
    """An output layer ``weight`` float32 (classes, d), ``bias`` (classes,); ``training``: hidden vectors (n, d) to
    train a screener on; ``sets``: name -> :class:`golden.enmc.screening_study.Vectors` of other text."""

    weight: np.ndarray
    bias: np.ndarray
    training: np.ndarray
    sets: dict

    def features(self, reduction):
        """k = d / ``reduction``. Raises ``ValueError`` where that is less than 1."""
        if reduction > self.weight.shape[1]:
            raise ValueError(f"reduction = {reduction} is not allowed: it must be at most {self.weight.shape[1]}, the "
                             "width of a hidden vector")
        return self.weight.shape[1] // reduction


def language_model(training, count, tokens, text, tell):
    """SmolLM2's output layer: ``training`` passages of ``tokens`` tokens to train on, ``count`` of each kind of text to
    measure on, and one of the file ``text`` where it is not None. Raises ``ValueError`` for bad arguments."""
    if not 2 <= tokens <= MAX_TOKENS:
        raise ValueError(f"tokens = {tokens} is not allowed: it must be from 2 to {MAX_TOKENS}")
    own = None if text is None else read_text(text)
    texts = {name: (domain_texts(name), count) for name in ("evaluation", "licence")}
    if own is not None:
        texts["own"] = ([own], 1)
    model = SmolLm2.load(tell)
    trained = passages(model, domain_texts("calibration"), tokens, training, tell)
    measured = {name: passages(model, sources, tokens, number, tell) for name, (sources, number) in texts.items()}
    return Workload(model.output_weight, np.zeros(len(model.output_weight), np.float32), trained.vectors,
                    {name: Vectors(found.vectors, found.targets) for name, found in measured.items()})


def reader(training, count, tell):
    """RapidOCR's output layer: ``training`` and ``count`` rendered lines, and a page; measured where the full layer
    sees a character; what is right is not known."""
    lines = {"evaluation": rendered_lines("evaluation", count), "page": page_lines(tell)}
    model = Recogniser.load(tell)
    weight, bias, sets = model.output_weight, model.output_bias, {}
    for name, pairs in lines.items():
        vectors = np.concatenate(model.vectors([image for image, _ in pairs], tell))
        vectors = vectors[classifier_scores(weight, bias, vectors).argmax(1) > 0]
        sets[name] = Vectors(vectors, np.full(len(vectors), -1))
    trained = model.vectors([image for image, _ in rendered_lines("calibration", training)], tell)
    return Workload(weight, bias, np.concatenate(trained), sets)
