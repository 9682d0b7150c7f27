"""Where ENMC's data are in a rank's DRAM: screening weights, rows of the full weights, features (docs/enmc/machine.md).

All is measured in bursts of 64 bytes. Packed data are uint8 arrays; numbers are little endian, nibble n of a burst is
bits 4 n to 4 n + 3. INT4 integers are int64 arrays, FP32 numbers float32 arrays.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import check_range

__all__ = ["BURST_BYTES", "CLASS_BLOCK", "GROUP_CLASSES", "LANES", "MAX_CHUNKS", "Layout", "chunks", "pack_features",
           "pack_items", "pack_rows", "pack_screening", "unpack_features", "unpack_items", "unpack_rows",
           "unpack_screening"]

BURST_BYTES = 64
LANES = 16  # FP32 numbers of a burst, and INT4 features of a chunk
GROUP_CLASSES = 8  # of one burst of screening weights
CLASS_BLOCK = 64  # classes are padded to a multiple of this
MAX_CHUNKS = 32  # of all items' INT4 features together
_MAX_ROW_BURSTS = 4095
_REGION_BYTES = 512 * BURST_BYTES  # a row of each bank group
_NEVER = -(1 << 31)  # bias of a padded class
_PARAMETERS = np.dtype([("bias", "<i4"), ("scale", "<u2"), ("zero", "<u2")])


def chunks(k):
    """Chunks of 16 that ``k`` features take."""
    return -(-k // LANES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """Sizes and places of a classifier of ``classes`` outputs and ``hidden`` inputs, screened with ``k`` features.

    ``items``: hidden vectors of a batch. Places (``..._base``) are byte addresses from ``base`` on, each region at a
    multiple of 32 KB, which is a row of each bank group, so that no two share a row: screening weights, rows, INT4
    features, FP32 features, results, logs of candidates. Raises ``ValueError`` for sizes the machine does not take.
    """

    classes: int
    hidden: int
    k: int
    items: int
    base: int = 0

    def __post_init__(self):
        for name, low, high in (("classes", 1, (1 << 32) - 1), ("hidden", 1, _MAX_ROW_BURSTS * LANES - 1),
                                ("items", 1, 4), ("k", 1, MAX_CHUNKS * LANES)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} = {getattr(self, name)} is not allowed: it must be from {low} to {high}")
        if self.items * chunks(self.k) > MAX_CHUNKS:
            raise ValueError(f"items = {self.items} is not allowed with k = {self.k}: {self.items} x {chunks(self.k)} "
                             f"chunks of features, the machine holds {MAX_CHUNKS}")
        if self.base < 0 or self.base % _REGION_BYTES:
            raise ValueError(f"base = {self.base} is not allowed: it must be a multiple of {_REGION_BYTES}, 0 or more")

    @property
    def padded_classes(self):
        """Classes with those that fill up the last block of 64."""
        return -(-self.classes // CLASS_BLOCK) * CLASS_BLOCK

    @property
    def group_bursts(self):
        """Bursts of a group of 8 classes' screening weights and parameters."""
        return chunks(self.k) + 1

    @property
    def row_bursts(self):
        """Bursts of a class's full weights and bias, and of an item's FP32 features."""
        return chunks(self.hidden + 1)

    @property
    def screening_bytes(self):
        """Bytes of all screening weights and parameters."""
        return self.padded_classes // GROUP_CLASSES * self.group_bursts * BURST_BYTES

    @property
    def row_bytes(self):
        """Bytes of one class's full weights and bias."""
        return self.row_bursts * BURST_BYTES

    @property
    def item_bytes(self):
        """Bytes of all items' INT4 features."""
        return -(-self.items * chunks(self.k) * LANES // 2 // BURST_BYTES) * BURST_BYTES

    @property
    def result_stride(self):
        """Bytes of an item's results."""
        return self.padded_classes * 4

    @property
    def log_stride(self):
        """Bytes of an item's log, if every class were a candidate."""
        return self.padded_classes * 8

    @property
    def screening_base(self):
        """Of the screening weights."""
        return self.base

    @property
    def row_base(self):
        """Of the rows."""
        return self._after(self.screening_base, self.screening_bytes)

    @property
    def item_base(self):
        """Of the INT4 features."""
        return self._after(self.row_base, self.classes * self.row_bytes)

    @property
    def feature_base(self):
        """Of the FP32 features."""
        return self._after(self.item_base, self.item_bytes)

    @property
    def result_base(self):
        """Of the results; the machine writes from here on."""
        return self._after(self.feature_base, self.items * self.row_bytes)

    @property
    def log_base(self):
        """Of the logs."""
        return self._after(self.result_base, self.items * self.result_stride)

    @property
    def end(self):
        """The first byte after everything."""
        return self._after(self.log_base, self.items * self.log_stride)

    @staticmethod
    def _after(start, size):
        return start + -(-size // _REGION_BYTES) * _REGION_BYTES

    def image(self, weight, bias, screening, items, features):
        """Everything that the machine reads, uint8 from ``base`` to ``result_base``; gaps are zeros.

        ``weight``, ``bias``: as for :func:`pack_rows`. ``screening``: (weight, scale, bias) of :func:`pack_screening`.
        ``items``: INT4 (items, k). ``features``: FP32 (items, hidden).
        """
        parts = ((self.screening_base, pack_screening(*screening), self.screening_bytes),
                 (self.row_base, pack_rows(weight, bias), self.classes * self.row_bytes),
                 (self.item_base, pack_items(items), self.item_bytes),
                 (self.feature_base, pack_features(features), self.items * self.row_bytes))
        data = np.zeros(self.result_base - self.base, np.uint8)
        for start, part, size in parts:
            if part.size != size:
                raise ValueError(f"a part of {part.size} bytes does not fit this layout, which has {size} for it")
            data[start - self.base:start - self.base + size] = part
        return data


def _pack_nibbles(values):
    """Bytes of INT4 ``values`` (..., even number): the first of two in the low half."""
    nibbles = (values & 15).astype(np.uint8)
    return nibbles[..., 0::2] | nibbles[..., 1::2] << 4


def _unpack_nibbles(data):
    """Inverse of :func:`_pack_nibbles`: int64."""
    nibbles = np.stack([data & 15, data >> 4], -1).reshape(*data.shape[:-1], -1).astype(np.int64)
    return nibbles - (nibbles >> 3 << 4)


def _padded(values, axis, size):
    missing = -values.shape[axis] % size
    return np.pad(values, [(0, missing if number == axis else 0) for number in range(values.ndim)])


def _bytes(name, data, size):
    data = np.asarray(data)
    if data.dtype != np.uint8 or data.shape != (size,):
        raise ValueError(f"{name} is {data.dtype} of shape {data.shape}: it must be uint8 of shape {(size,)}")
    return data


def _matrix(name, values):
    if values.ndim != 2 or not values.size:
        raise ValueError(f"{name} has shape {values.shape}: it must be a matrix with at least one number")
    return values


def _floats(name, values):
    values = np.asarray(values)
    if values.dtype != np.float32:
        raise TypeError(f"{name} must be float32, not {values.dtype}")
    return values


def pack_screening(weight, scale, bias):
    """Screening weights INT4 (classes, k), scales (classes,) of 16 bits unsigned, biases INT32 (classes,).

    A group of 8 classes is ceil(k / 16) bursts, burst j with feature 16 j + t of class i in nibble 16 i + t, and one
    burst of parameters, 8 bytes a class. Classes that fill up the last 64 have weights and scale 0, bias -2^31.
    """
    weight = _matrix("weight", check_range("weight", weight, 4))
    scale, bias = check_range("scale", scale, 16, signed=False), check_range("bias", bias, 32)
    if scale.shape != (len(weight),) or bias.shape != (len(weight),):
        raise ValueError(f"scale has shape {scale.shape}, bias {bias.shape}: both must be {(len(weight),)}")
    weight = _padded(_padded(weight, 1, LANES), 0, CLASS_BLOCK)
    parameters = np.zeros(len(weight), _PARAMETERS)
    parameters["bias"] = _NEVER
    parameters["scale"][:len(scale)], parameters["bias"][:len(bias)] = scale, bias
    blocks = weight.reshape(-1, GROUP_CLASSES, weight.shape[1] // LANES, LANES).swapaxes(1, 2)
    bursts = _pack_nibbles(blocks).reshape(len(blocks), -1, BURST_BYTES)
    last = parameters.view(np.uint8).reshape(len(blocks), 1, BURST_BYTES)
    return np.concatenate([bursts, last], 1).ravel()


def unpack_screening(data, classes, k):
    """Inverse of :func:`pack_screening`: (weight, scale, bias) of ``classes`` classes, int64."""
    layout = Layout(classes=classes, hidden=1, k=k, items=1)
    groups = _bytes("data", data, layout.screening_bytes).reshape(-1, layout.group_bursts, BURST_BYTES)
    weight = _unpack_nibbles(groups[:, :-1]).reshape(len(groups), -1, GROUP_CLASSES, LANES).swapaxes(1, 2)
    parameters = np.ascontiguousarray(groups[:, -1]).view(_PARAMETERS).ravel()[:classes]
    return (weight.reshape(layout.padded_classes, -1)[:classes, :k],
            parameters["scale"].astype(np.int64), parameters["bias"].astype(np.int64))


def pack_rows(weight, bias):
    """Full weights float32 (classes, d) and biases (classes,): a row is d weights, the bias, zeros up to a burst."""
    weight, bias = _matrix("weight", _floats("weight", weight)), _floats("bias", bias)
    if bias.shape != (len(weight),):
        raise ValueError(f"bias has shape {bias.shape}: it must be {(len(weight),)}")
    rows = _padded(np.concatenate([weight, bias[:, None]], 1), 1, LANES)
    return rows.astype("<f4").view(np.uint8).ravel()


def unpack_rows(data, classes, hidden):
    """Inverse of :func:`pack_rows`: (weight (classes, hidden), bias (classes,)), float32."""
    layout = Layout(classes=classes, hidden=hidden, k=1, items=1)
    rows = _bytes("data", data, classes * layout.row_bytes).view("<f4").reshape(classes, -1).astype(np.float32)
    return rows[:, :hidden], rows[:, hidden]


def pack_items(items):
    """INT4 features (items, k): each item in whole chunks of 16 (8 bytes), one after the other, zeros up to a burst."""
    items = _padded(_matrix("items", check_range("items", items, 4)), 1, LANES)
    return _padded(_pack_nibbles(items).ravel(), 0, BURST_BYTES)


def unpack_items(data, items, k):
    """Inverse of :func:`pack_items`: int64 (items, k)."""
    layout = Layout(classes=1, hidden=1, k=k, items=items)
    used = _bytes("data", data, layout.item_bytes)[:items * chunks(k) * LANES // 2]
    return _unpack_nibbles(used.reshape(items, -1))[:, :k]


def pack_features(features):
    """FP32 features (items, d): each item d numbers, 1.0 for the bias, zeros up to a burst."""
    features = _matrix("features", _floats("features", features))
    return pack_rows(features, np.ones(len(features), np.float32))


def unpack_features(data, items, hidden):
    """Inverse of :func:`pack_features`: float32 (items, hidden)."""
    return unpack_rows(data, items, hidden)[0]
