"""Golden model of the Screener, job by job (thesis 6.4.2, Screener; numbers and layouts: docs/enmc/machine.md)."""

import dataclasses
import enum

import numpy as np

from golden.arith.fixed import check_range, requantize, saturate
from golden.arith.int_to_float import int_to_float
from golden.enmc.layout import BURST_BYTES, GROUP_CLASSES, LANES, MAX_CHUNKS

__all__ = ["Buffer", "Filtered", "Screener", "ScreenerSettings", "item_entries"]

ENTRIES = 64
_WORDS = 4
_FRACTION = 16


class Buffer(enum.IntEnum):
    """The Screener's buffers, by their numbers in instructions."""

    FEATURE = 0
    WEIGHT = 1
    PSUM = 4


def item_entries(items):
    """Sums that each of ``items`` (1 to 4) has in the PSUM buffer: 64, 32, 16, 16."""
    if not 1 <= items <= 4:
        raise ValueError(f"items = {items} is not allowed: items must be from 1 to 4")
    return ENTRIES >> (items - 1).bit_length()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScreenerSettings:
    """Registers that the Screener uses; a ``ValueError`` names one that is out of range.

    ``classes``: of the layer, 0 to 2^32 - 1. ``items`` 1 to 4, ``chunks`` 1 to 32, ``items * chunks`` <= 32.
    ``scale``: of each of four items, 16 bits unsigned. ``shift`` 0 to 47. ``threshold``: Q15.16, 32 bits signed.
    """

    classes: int
    items: int = 1
    chunks: int = 1
    scale: tuple = (1, 1, 1, 1)
    shift: int = 0
    threshold: int = 0

    def __post_init__(self):
        for name, low, high in (("classes", 0, (1 << 32) - 1), ("items", 1, 4), ("chunks", 1, MAX_CHUNKS),
                                ("shift", 0, 47), ("threshold", -(1 << 31), (1 << 31) - 1)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} = {getattr(self, name)} is not allowed: it must be from {low} to {high}")
        if self.items * self.chunks > MAX_CHUNKS:
            raise ValueError(f"chunks = {self.chunks} is not allowed with items = {self.items}: items * chunks must be "
                             f"at most {MAX_CHUNKS}")
        if len(self.scale) != 4 or not all(0 <= scale < 1 << 16 for scale in self.scale):
            raise ValueError(f"scale = {self.scale} is not allowed: it must be four integers from 0 to 65535")


@dataclasses.dataclass(frozen=True)
class Filtered:
    """What FILTER gives: of each of 64 entries ``values`` (FP32 patterns, uint32), ``stored`` and ``valid`` (bool).

    ``valid``: the entry is a class and an item that exist; ``stored``: valid, and no candidate. ``candidates``: (item,
    class) pairs in order.
    """

    values: np.ndarray
    stored: np.ndarray
    valid: np.ndarray
    candidates: list


class Screener:
    """The Screener's buffers and what each job does to them; all are zeros at first.

    Attributes: ``feature`` (32 chunks, 16) and ``weight`` (4 bursts, 8 classes, 16), INT4; ``psum`` (64,), INT32; all
    int64 arrays. The two banks of the PSUM buffer do not show: a job sees the sums of the jobs before it.
    """

    def __init__(self):
        self.clear()

    def clear(self):
        """CLR: zeros in all buffers."""
        self.feature = np.zeros((MAX_CHUNKS, LANES), np.int64)
        self.weight = np.zeros((_WORDS, GROUP_CLASSES, LANES), np.int64)
        self.psum = np.zeros(ENTRIES, np.int64)

    def load(self, buffer, index, word):
        """Word ``index`` (0 to 3) of a :class:`Buffer` becomes ``word``, uint8 (64,)."""
        word = _bytes("word", word, (BURST_BYTES,))
        if buffer == Buffer.PSUM:
            self._words(buffer)[_index(index)] = word.view("<i4")
        else:
            target = self._words(buffer)[_index(index)]
            target[...] = _nibbles(word).reshape(target.shape)

    def word(self, buffer, index):
        """Word ``index`` (0 to 3) of a :class:`Buffer`, uint8 (64,)."""
        values = self._words(buffer)[_index(index)]
        if buffer == Buffer.PSUM:
            return values.astype("<i4").view(np.uint8)
        nibbles = (values & 15).astype(np.uint8).reshape(-1, 2)
        return nibbles[:, 0] | nibbles[:, 1] << 4

    def screen(self, settings, bursts):
        """SCREEN: the groups of weights ``bursts``, uint8 (groups, CHUNKS + 1, 64), for all items.

        The sums of classes that are not among them become 0, and so does the weight buffer.
        """
        bursts = np.asarray(bursts)
        span = item_entries(settings.items)
        if bursts.ndim != 3 or not 1 <= len(bursts) <= span // GROUP_CLASSES:
            raise ValueError(f"bursts has shape {bursts.shape}: it must be (groups, chunks + 1, {BURST_BYTES}) with 1 "
                             f"to {span // GROUP_CLASSES} groups for {settings.items} items")
        groups = len(bursts)
        bursts = _bytes("bursts", bursts, (groups, settings.chunks + 1, BURST_BYTES))
        weight = _nibbles(bursts[:, :-1]).reshape(groups, settings.chunks, GROUP_CLASSES, LANES)
        parameters = np.ascontiguousarray(bursts[:, -1]).view(
            np.dtype([("bias", "<i4"), ("scale", "<u2"), ("zero", "<u2")])).reshape(groups, GROUP_CLASSES)
        items = self.feature[:settings.items * settings.chunks].reshape(settings.items, settings.chunks, LANES)
        acc = np.einsum("gjct,bjt->bgc", weight, items)
        scale = np.array(settings.scale[:settings.items], np.int64)[:, None, None]
        product = acc * parameters["scale"].astype(np.int64) * scale
        z = saturate(requantize(product, settings.shift, 32) + parameters["bias"].astype(np.int64), 32)
        self.psum = np.zeros(ENTRIES, np.int64)
        for item, scores in enumerate(z.reshape(settings.items, -1)):
            self.psum[item * span:item * span + scores.size] = scores
        self.weight[...] = 0

    def mul_add(self):
        """MUL_ADD: eight sums, one a class, take the products of the four bursts with chunks 0 to 3."""
        self.psum[:GROUP_CLASSES] += np.einsum("jct,jt->c", self.weight, self.feature[:_WORDS])
        self.psum = _wrapped(self.psum)

    def add(self):
        """ADD: sum i becomes nibble i of the feature buffer plus nibble i of the weight buffer."""
        self.psum = self.feature.ravel()[:ENTRIES] + self.weight.ravel()[:ENTRIES]

    def mul(self):
        """MUL: sum i becomes nibble i of the feature buffer times nibble i of the weight buffer."""
        self.psum = self.feature.ravel()[:ENTRIES] * self.weight.ravel()[:ENTRIES]

    def filter(self, settings, first_class):
        """FILTER: the sums as FP32, and which of them are above the threshold; ``first_class``: of entry 0, 32 bits.

        Returns :class:`Filtered`.
        """
        first_class = int(check_range("first_class", first_class, 32, signed=False))
        span = item_entries(settings.items)
        entry = np.arange(ENTRIES)
        item, number = entry // span, first_class + entry % span
        valid = (item < settings.items) & (number < settings.classes)
        candidate = valid & (self.psum > settings.threshold)
        values = int_to_float(self.psum)
        # Every integer but zero is 1 or more, so that z / 65536 is a normal number: only the exponent changes.
        values = np.where(self.psum == 0, values, values - np.uint32(_FRACTION << 23)).astype(np.uint32)
        return Filtered(values, valid & ~candidate, valid,
                        [(int(item[e]), int(number[e])) for e in np.flatnonzero(candidate)])

    def _words(self, buffer):
        """The buffer's array, its first axis the words."""
        if buffer == Buffer.FEATURE:
            return self.feature.reshape(_WORDS, -1, LANES)
        if buffer == Buffer.WEIGHT:
            return self.weight
        if buffer == Buffer.PSUM:
            return self.psum.reshape(_WORDS, -1)
        raise ValueError(f"buffer = {buffer!r} is not allowed: buffer must be one of " +
                         ", ".join(f"{one.value} ({one.name})" for one in Buffer))


def _index(index):
    if not 0 <= index < _WORDS:
        raise ValueError(f"index = {index} is not allowed: index must be from 0 to {_WORDS - 1}")
    return index


def _bytes(name, values, shape):
    values = np.asarray(values)
    if values.dtype != np.uint8 or values.shape != shape:
        raise ValueError(f"{name} is {values.dtype} of shape {values.shape}: it must be uint8 of shape {shape}")
    return values


def _nibbles(data):
    """The signed nibbles of bytes (..., n): int64 (..., 2 n), the low half of a byte first."""
    nibbles = np.stack([data & 15, data >> 4], -1).reshape(*data.shape[:-1], -1).astype(np.int64)
    return nibbles - (nibbles >> 3 << 4)


def _wrapped(values):
    """``values`` modulo 2^32, signed."""
    return values.astype(np.uint64).astype(np.uint32).astype(np.int32).astype(np.int64)
