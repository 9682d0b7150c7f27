"""An output layer on a rank, and what it is compared with: the same work without the second module, and in full."""

import dataclasses

import numpy as np

from golden.enmc.compiler import Classifier, Program, accurate_program
from golden.enmc.layout import Layout
from golden.enmc.rank_timing import RankTiming
from golden.enmc.screener_training import TrainedScreener, calibrated_threshold, train
from golden.enmc.screening import above_threshold
from resilin.enmc.rank_run import Mismatch, Session

__all__ = ["Task", "check_layer", "curve_session", "full_session", "full_times", "layer_session", "make_task",
           "timeline"]

_NEVER = (1 << 31) - 1  # no score is above it


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """Vectors ``hidden`` float32 (items, d) to classify by a layer ``weight`` (classes, d), ``bias`` (classes,).

    ``screener`` in integers and its ``threshold`` (Q15.16); ``reference``: the same in float.
    """

    weight: np.ndarray
    bias: np.ndarray
    screener: TrainedScreener
    reference: TrainedScreener
    threshold: int
    hidden: np.ndarray

    def part(self, chosen):
        """The same with the classes ``chosen`` (indexes, or a slice) alone."""
        screener = dataclasses.replace(self.screener, weight=self.screener.weight[chosen],
                                       scale=self.screener.scale[chosen], bias=self.screener.bias[chosen])
        reference = dataclasses.replace(self.reference, weight=self.reference.weight[chosen],
                                        bias=self.reference.bias[chosen])
        return dataclasses.replace(self, weight=self.weight[chosen], bias=self.bias[chosen], screener=screener,
                                   reference=reference)

    def of(self, hidden):
        """The same for other vectors."""
        return dataclasses.replace(self, hidden=hidden)

    def scores(self):
        """The Screener's scores of all items and classes, int64."""
        return self.screener.scores(self.hidden.astype(np.float64))

    def candidates(self):
        """The classes of each item's candidates, ascending."""
        return [np.flatnonzero(row) for row in above_threshold(self.scores(), self.threshold)]

    def program(self, threshold, **options):
        """The layer in a rank's DRAM, and the program that screens all items at ``threshold``.

        ``ValueError`` for more items than the Screener holds.
        """
        layer = Classifier(self.weight, self.bias)
        layer.screener(self.screener, threshold)
        layer.layout(len(self.hidden))  # refuses more
        (program,) = layer.compile(self.hidden, **options)
        return layer, program


def make_task(weight, bias, training, hidden, k, kind, candidates, threshold=None):
    """The :class:`Task` of a layer, its screener with ``k`` features of a projection ``kind`` trained on ``training``
    vectors (n, d).

    The threshold gives ``candidates`` an item on average in training, if ``threshold`` (a real number) is None.
    """
    screener = train(weight, bias, training, k, kind)
    reference = train(weight, bias, training, k, kind, integer=False)
    fixed = calibrated_threshold(screener, training[::max(1, len(training) // 1024)], candidates) \
        if threshold is None else round(threshold * 65536)
    return Task(weight, bias, screener, reference, fixed, hidden)


def layer_session(task, probabilities=False):
    """The session of the whole layer.

    Programs: "screening": candidates beside it; "alone", then "candidates": one after the other; where
    ``probabilities`` are asked for, "probabilities": as the first, with softmax.
    """
    layer, program = task.program(task.threshold)
    after = accurate_program(program.layout, task.candidates())
    programs = {"screening": program, "alone": task.program(_NEVER)[1],
                "candidates": Program(program.layout, after, [], logged=True)}
    if probabilities:
        programs["probabilities"] = task.program(task.threshold, probabilities=True)[1]
    return Session.of(layer, len(task.hidden), programs)


def check_layer(task, runs):
    """Raise :class:`~resilin.enmc.rank_run.Mismatch` where the runs of :func:`layer_session` have other candidates than
    ``golden.enmc.screening``, or the two ways other results."""
    found = runs["screening"].results.candidates
    for item, (ours, theirs) in enumerate(zip(task.candidates(), found, strict=True)):
        if not np.array_equal(ours, theirs):
            raise Mismatch(f"item {item}: the rank has {len(theirs)} candidates, golden.enmc.screening {len(ours)}, or "
                           "others")
    beside, after = runs["screening"].results, runs["candidates"].results
    for ours, theirs in ((beside.scores, after.scores), *zip(beside.candidates, after.candidates, strict=True),
                         *zip(beside.accurate, after.accurate, strict=True)):
        if not np.array_equal(ours, theirs):
            raise Mismatch("candidates after screening give other results, or another log, than beside it")


def full_session(weight, bias, hidden):
    """A session whose program "full" computes all classes of a layer with the Executor, without a Screener."""
    weight, bias, hidden = (values.astype(np.float32) for values in (weight, bias, hidden))
    classes, width = weight.shape
    layout = Layout(classes=classes, hidden=width, k=1, items=len(hidden))
    nothing = np.zeros((classes, 1), np.int64)
    image = layout.image(weight, bias, (nothing, nothing[:, 0], nothing[:, 0]), np.zeros((len(hidden), 1), np.int64),
                         hidden)
    setup = Classifier.limits([layout])
    program = Program(layout, accurate_program(layout), [], logged=False)
    return Session(image, layout.result_base, layout.end, setup, {"full": program})


def full_times(classes, width, items, config):
    """``golden.enmc.rank_timing.RankTimes`` of such a program, for a layer (classes, width)."""
    layout = Layout(classes=classes, hidden=width, k=1, items=items)
    model = RankTiming(config)
    model.run(Classifier.limits([layout]))
    return model.run(accurate_program(layout))


def curve_session(task, counts):
    """A session of programs that screen the layer at thresholds which give about so many candidates."""
    order, programs = np.sort(task.scores().ravel())[::-1], {}
    for count in counts:
        threshold = _NEVER if not count else int(order[count]) if count < order.size else -(1 << 31)
        layer, programs[f"{count} candidates"] = task.program(threshold)
    return Session.of(layer, len(task.hidden), programs)


def timeline(samples, bins):
    """Shares of the time in which the Screener, the Executor, both work, and of the data bus for reads: (4, bins).

    ``samples`` of a :class:`~resilin.enmc.rank_run.RankRun`; between two of them the counters are taken to grow evenly.
    """
    edges = np.linspace(0, samples[-1, 0], bins + 1)
    cycles = np.concatenate([[0], samples[:, 0]])
    return np.stack([np.diff(np.interp(edges, cycles, np.concatenate([[0], samples[:, column]]))) / np.diff(edges)
                     for column in range(1, samples.shape[1])])
