"""From an output layer to instructions (thesis 6.4.4, Figure 6.8): tiles, programs, the host's writes, the results.

::

    layer = Classifier(weight, bias)
    layer.train(vectors, k, candidates)  # or layer.screener(screener, threshold)
    results = layer(hidden)  # on a golden rank: layer.image(), layer.setup(), layer.compile(hidden), Program.results()

Another rank: once after reset write layer.image() to the DRAM at layer.base and run layer.setup(items); then for each
program of layer.compile(hidden) make its writes, run its instructions, and have its results().

A program's batch is what the Screener's feature buffer holds: the vectors that are more become further programs.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import signed_range
from golden.enmc.enmc_rank import EnmcRank
from golden.enmc.isa import RANK_BYTES, make
from golden.enmc.layout import (BURST_BYTES, GROUP_CLASSES, LANES, MAX_CHUNKS, Layout, chunks, pack_features,
                                pack_items)
from golden.enmc.screener import item_entries
from golden.enmc.screener_training import calibrated_threshold, train

__all__ = ["Classifier", "MAX_ITEMS", "Program", "Results", "accurate_program", "screening_program", "split"]

MAX_ITEMS = 4
_ENTRIES = 64  # results of a tile, and values of a buffer
_LOG_ENTRY = np.dtype([("class", "<u4"), ("score", "<f4")])


def _most_items(k):
    """Vectors of ``k`` features that the feature buffer holds."""
    return min(MAX_ITEMS, MAX_CHUNKS // chunks(k))


def split(items, k):
    """Sizes of the batches that ``items`` vectors of ``k`` features are worked on in: few, and about equal."""
    most = _most_items(k)
    if items < 1 or most < 1:
        raise ValueError(f"items = {items}, k = {k} is not allowed: at least one vector, of at most "
                         f"{MAX_CHUNKS * LANES} features")
    count = -(-items // most)
    return [items // count + (number < items % count) for number in range(count)]


def _tiles(layout):
    """(first class, classes) of each tile of sums."""
    size = item_entries(layout.items)  # divides the padded number of classes
    return [(first, size) for first in range(0, layout.padded_classes, size)]


def _settings(layout):
    """A clean start, and INIT of what all programs need."""
    yield make("CLR")
    yield from (make("INIT", name, value) for name, value in (
        ("CLASSES", layout.classes), ("ITEMS", layout.items), ("ROW_BASE", layout.row_base),
        ("ROW_BURSTS", layout.row_bursts), ("FEATURE_BASE", layout.feature_base), ("RESULT_BASE", layout.result_base),
        ("RESULT_STRIDE", layout.result_stride)))


def _log(layout):
    return [make("INIT", "LOG_BASE", layout.log_base), make("INIT", "LOG_STRIDE", layout.log_stride)]


def screening_program(layout, item_scale, shift, threshold, *, probabilities=False):
    """The instructions that screen all classes and compute the candidates.

    Parameters: ``layout`` a :class:`golden.enmc.layout.Layout`; ``item_scale`` (items,) unsigned 16 bits, ``shift`` of
    the Screener, ``threshold`` Q15.16. ``probabilities``: then softmax over the mixed results, in their place. The end:
    BARRIER, QUERY of both counts of candidates, QUERY STATUS.
    """
    scales = sum(int(scale) << 16 * number for number, scale in enumerate(item_scale))
    program = [*_settings(layout), *_log(layout), make("INIT", "CHUNKS", chunks(layout.k)),
               make("INIT", "SCALE", scales), make("INIT", "SHIFT", shift), make("INIT", "THRESHOLD", int(threshold)),
               make("LDR", "FEATURE_INT4", address=layout.item_base, count=layout.item_bytes // BURST_BYTES)]
    for first, classes in _tiles(layout):
        # A store has `width` words an item, so many that the items of a tile fill 256 bytes.
        width = classes * 4 // BURST_BYTES
        groups = layout.screening_base + first // GROUP_CLASSES * layout.group_bursts * BURST_BYTES
        program += [
            make("MUL_ADD_INT4", "FEATURE_INT4", "WEIGHT_INT4", address=groups, groups=classes // GROUP_CLASSES),
            make("FILTER", "PSUM_INT4", class_=first),
            make("STR", "OUTPUT", address=layout.result_base + 4 * first, count=width * layout.items, width=width,
                 stride=layout.result_stride // BURST_BYTES)]
    program.append(make("BARRIER"))
    if probabilities:
        program += _softmax(layout)
    return program + _queries()


def accurate_program(layout, classes=None, *, probabilities=False):
    """The instructions that compute all classes with full weights, or those of each item in ``classes``: no screening.

    Those of ``classes`` are logged as after screening, all are not. The end is that of :func:`screening_program`.
    """
    program = [*_settings(layout), *([make("INIT", "LOG_BASE", 0)] if classes is None else _log(layout))]
    for item in range(layout.items):
        ranges = [(0, layout.classes)] if classes is None else [(int(number), 1) for number in classes[item]]
        program += [make("MUL_ADD_FP32", "FEATURE_FP32", "WEIGHT_FP32", class_=first, count=count, item=item)
                    for first, count in ranges]
    program.append(make("BARRIER"))
    if probabilities:
        program += _softmax(layout)
    return program + _queries()


def _softmax(layout):
    """Two passes over each item's results: the sum of the exponentials, then the probabilities."""
    for item in range(layout.items):
        yield make("INIT", "SUM", 0)
        for phase in (0, 1):
            for first in range(0, layout.classes, _ENTRIES):
                count = min(_ENTRIES, layout.classes - first)
                words = -(-count // LANES)
                place = layout.result_base + item * layout.result_stride + 4 * first
                yield make("LDR", "PSUM_FP32", address=place, count=words)
                yield make("SOFTMAX", "PSUM_FP32", phase=phase, item=item, count=count)
                if phase:
                    yield make("STR", "PSUM_FP32", address=place, count=words, width=words, stride=0)
    yield make("BARRIER")


def _queries():
    return [make("QUERY", name) for name in ("CANDIDATES01", "CANDIDATES23", "STATUS")]


@dataclasses.dataclass(frozen=True)
class Results:
    """Of a program: ``scores`` float32 (items, classes), probabilities where they were asked for.

    ``candidates``: for each item its candidates, int64 in the order they were found; ``accurate``: their scores,
    likewise. Both are empty without a log.
    """

    scores: np.ndarray
    candidates: list
    accurate: list


@dataclasses.dataclass(frozen=True)
class Program:
    """``instructions`` for a rank, and what the host does before and after them.

    Attributes: ``layout``; ``instructions`` a list of :class:`golden.enmc.isa.Instruction`; ``writes`` [(byte address,
    uint8 array)]: the batch's features; ``logged``: the results have logs of candidates.
    """

    layout: Layout
    instructions: list
    writes: list
    logged: bool

    def results(self, read, replies):
        """The :class:`Results`: ``read(address, size)`` gives uint8 of the DRAM, ``replies`` the values that the
        program's QUERY instructions returned, in order.

        Raises ``ValueError`` where the rank reports an error or is not done.
        """
        layout, (low, high, status) = self.layout, replies
        if status & 7:
            raise ValueError(f"STATUS = {status:#x}: the rank " + ("reports an error" if status & 4 else "is not done"))
        scores = np.stack([read(layout.result_base + item * layout.result_stride, 4 * layout.classes).view("<f4")
                           for item in range(layout.items)]).astype(np.float32)
        candidates, accurate = [], []
        for item in range(layout.items):
            count = (low, high)[item // 2] >> 32 * (item % 2) & 0xFFFF_FFFF if self.logged else 0
            log = read(layout.log_base + item * layout.log_stride, 8 * count).view(_LOG_ENTRY)
            candidates.append(log["class"].astype(np.int64))
            accurate.append(log["score"].astype(np.float32))
        return Results(scores, candidates, accurate)


class Classifier:
    """An output layer ``weight`` float32 (classes, d), ``bias`` (classes,) in a rank's DRAM from ``base`` on.

    Called with hidden vectors it classifies them on a golden rank.
    """

    def __init__(self, weight, bias, base=0):
        if weight.ndim != 2 or bias.shape != weight.shape[:1]:
            raise ValueError(f"weight has shape {weight.shape}, bias {bias.shape}: they must be (classes, d) and "
                             "(classes,)")
        for name, values in (("weight", weight), ("bias", bias)):
            if not np.isfinite(values).all():
                raise ValueError(f"{name} has numbers that are not finite")
        self.weight, self.bias, self.base = weight, bias, base
        self._screener = self._threshold = self._rank = None

    def train(self, vectors, k, candidates, kind="ternary", *, seed=0):
        """Screen with ``k`` features, as trained on hidden ``vectors`` (n, d): :func:`.screener_training.train`.

        The threshold gives ``candidates`` a vector on average there; one for all vectors needs a layer that is centred
        (:func:`.screener_training.centred_layer`).
        """
        screener = train(self.weight, self.bias, vectors, k, kind, seed=seed)
        self.screener(screener, calibrated_threshold(screener, vectors, candidates))

    def screener(self, screener, threshold):
        """Screen by ``screener``, a ``screener_training.TrainedScreener`` of integers, at ``threshold`` (Q15.16)."""
        low, high = signed_range(32)
        if screener.scale is None or len(screener.weight) != len(self.weight):
            raise ValueError("screener must be one of integers, of as many classes as the layer")
        if not low <= threshold <= high:
            raise ValueError(f"threshold = {threshold} is not allowed: it must be from {low} to {high}")
        self._screener, self._threshold, self._rank = screener, int(threshold), None

    def layout(self, items):
        """The :class:`Layout` of a batch of ``items`` vectors; places of the weights do not depend on it.

        Raises ``ValueError`` where a rank has no room for it.
        """
        if self._screener is None:
            raise ValueError("the layer has no screener yet: call train() or screener() first")
        classes, hidden = self.weight.shape
        layout = Layout(classes=classes, hidden=hidden, k=self._screener.k, items=items, base=self.base)
        if layout.end > RANK_BYTES:
            raise ValueError(f"base = {self.base} is not allowed: the layer ends at byte {layout.end} then, a rank has "
                             f"{RANK_BYTES} at most")
        return layout

    def image(self):
        """Weights as uint8, for the DRAM from ``base`` on: once, before all programs."""
        hidden = np.zeros((1, self.weight.shape[1]), np.float32)
        screener = self._screener
        layout = self.layout(1)
        whole = layout.image(self.weight, self.bias, (screener.weight, screener.scale, screener.bias),
                             np.zeros((1, screener.k), np.int64), hidden)
        return whole[:layout.item_base - layout.base]

    def setup(self, items):
        """The first instructions after reset: where the rank may write, for all programs of up to ``items`` vectors.

        Results and logs alone; the rank takes these settings once.
        """
        return self.limits([self.layout(each) for each in range(1, max(split(items, self._screener.k)) + 1)])

    @staticmethod
    def limits(layouts):
        """INIT of where the rank may write: the results and logs of ``layouts``."""
        return [make("INIT", "WRITE_LOW", min(layout.result_base for layout in layouts)),
                make("INIT", "WRITE_HIGH", max(layout.end for layout in layouts))]

    def compile(self, hidden, *, accurate=False, probabilities=False):
        """A list of :class:`Program` for ``hidden`` float32 (n, d), batch after batch.

        ``accurate``: full classification of all classes on the same rank, without screening. ``probabilities``: softmax
        over the results, by the rank.

        Raises ``ValueError`` for another shape or type, and for numbers that are not finite.
        """
        width = self.weight.shape[1]
        if hidden.ndim != 2 or hidden.shape[1] != width or hidden.dtype != np.float32:
            raise ValueError(f"hidden has shape {hidden.shape} of {hidden.dtype}: it must be (n, {width}) of float32")
        if not np.isfinite(hidden).all():
            raise ValueError("hidden has numbers that are not finite")
        programs, first = [], 0
        for items in split(len(hidden), self.layout(1).k):
            part = hidden[first:first + items]
            layout = self.layout(items)
            integers, scales = self._screener.quantized(part.astype(np.float64))
            writes = [(layout.item_base, pack_items(integers)), (layout.feature_base, pack_features(part))]
            instructions = accurate_program(layout, probabilities=probabilities) if accurate else screening_program(
                layout, scales, self._screener.shift, self._threshold, probabilities=probabilities)
            programs.append(Program(layout, instructions, writes, logged=not accurate))
            first += items
        return programs

    def __call__(self, hidden, *, accurate=False, probabilities=True):
        """:class:`Results` of ``hidden`` float32 (n, d), of a golden rank that runs the compiled programs.

        ``scores`` (n, classes) are softmax over the mixed results; without ``probabilities`` those themselves.
        ``accurate`` and what is refused: :meth:`compile`.
        """
        programs = self.compile(hidden, accurate=accurate, probabilities=probabilities)
        rank, done = self._loaded_rank(), []
        for program in programs:
            for address, content in program.writes:
                rank.store(address, content)
            done.append(program.results(rank.fetch, rank.run(program.instructions)))
        return Results(np.concatenate([each.scores for each in done]),
                       [row for each in done for row in each.candidates],
                       [row for each in done for row in each.accurate])

    def _loaded_rank(self):
        """The golden rank of this layer, made at the first call."""
        if self._rank is None:
            rank = EnmcRank()
            rank.memory.load(self.base // BURST_BYTES, self.image().reshape(-1, BURST_BYTES))
            rank.run(self.setup(_most_items(self._screener.k)))
            self._rank = rank
        return self._rank
