"""Golden model of the reconfigurable matrix multiplication unit (thesis 7.6.2, Fig. 7.13).

Written from the specification with int64 arithmetic on whole arrays; it knows nothing of pipelines: a call is a
cycle's work. What the hardware leaves unspecified (registers never loaded, the upper half after a 16-bit load,
partial sums of another mode) is refused with a ``ValueError``, and so is every sum that leaves its field.
"""

import enum

import numpy as np

from golden.arith.fixed import check_range, signed_range
from golden.arith.precision import Precision

__all__ = ["LoadKind", "PeOp", "Rmmu", "chunk_elements", "dot_segments", "join_segments", "split_segments",
           "unpack_elements"]

_LANES = 4
_EMPTY, _LOW_HALF, _WHOLE = 0, 1, 2


class PeOp(enum.IntEnum):
    """What a row of processing elements does in a cycle."""

    NOP = 0
    DOT = 1
    MAC = 2


class LoadKind(enum.IntEnum):
    """How a word of operands is spread over the shadow registers of the array."""

    WORD = 0
    HALF = 1
    PAIR = 2
    COLUMN = 3


def chunk_elements(precision, cols):
    """Elements of the inner dimension that one beat of a row consumes: C, 4C, 8C or 16C."""
    return cols * Precision(precision).tile[0]


def unpack_elements(bits, precision):
    """Split unsigned 32-bit groups into signed elements, element 0 in the low bits.

    ``bits``: int64, shape (...). Returns int64, shape (..., 32 / width).
    """
    width = Precision(precision).bits
    shifts = np.arange(0, 32, width, dtype=np.int64)
    fields = (bits[..., None] >> shifts) & ((1 << width) - 1)
    return fields - ((fields >> (width - 1)) << width)


def split_segments(values, precision):
    """Split a row's 64-bit result (Python ints or uint64) into its 1, 1, 2 or 4 signed dot products."""
    lanes = Precision(precision).tile[1]
    values = np.asarray(values, dtype=np.uint64)
    little = values[..., None].view(np.uint8).reshape(*values.shape, 8)
    return np.ascontiguousarray(little).view(f"<i{8 // lanes}").astype(np.int64)


def join_segments(segments, precision):
    """Inverse of :func:`split_segments`; a dot product that does not fit its field is a ``ValueError``."""
    lanes = Precision(precision).tile[1]
    segments = np.asarray(segments, dtype=np.int64)
    low, high = signed_range(64 // lanes)
    if segments.size and (segments.min() < low or segments.max() > high):
        raise ValueError(f"a {Precision(precision).name} dot product leaves its {64 // lanes}-bit field")
    return np.ascontiguousarray(segments.astype(f"<i{8 // lanes}")).view("<u8")[..., 0]


def dot_segments(streamed, stationary, precision, half=0):
    """Dot products of rows of processing elements, summed over the columns.

    Parameters
    ----------
    streamed: unsigned 32-bit groups, one a column, shape (..., C)
    stationary: unsigned 32-bit groups, shape (..., C, 4): the four lanes of the Operand-1 buffer
    precision: of both operands
    half: FX16 only: 0 or 1, an int or an array of shape (...)

    Returns int64, shape (..., 1, 1, 2 or 4). FX16 takes the ``half`` of the word: elements 0..C-1 or C..2C-1, so
    column c works with element half * C + c.
    """
    precision = Precision(precision)
    length, lanes = precision.tile
    if precision is Precision.FX16:
        elements = unpack_elements(streamed, precision)
        cols = streamed.shape[-1]
        flat = elements.reshape(*elements.shape[:-2], 2, cols)
        half = np.broadcast_to(np.asarray(half), flat.shape[:-2])
        moving = np.take_along_axis(flat, half[..., None, None], axis=-2)[..., 0, :]
        still = unpack_elements(stationary[..., 0], precision)[..., 0]
        return (moving * still).sum(axis=-1)[..., None]
    moving = unpack_elements(streamed, precision)
    still = unpack_elements(stationary[..., :lanes], precision)
    return (moving[..., :, None, :length] * still).sum(axis=(-1, -3))


class Rmmu:
    """An array of R x C multi-precision processing elements with its partial-sum buffer.

    Parameters
    ----------
    rows, cols: R and C, at least 1
    streams: number of words streamed side by side (``vectors_per_cycle``)
    psum_depth: partial sums a row holds

    Words are unsigned Python integers of 32 * C bits, or int64 arrays of C unsigned 32-bit groups.
    """

    def __init__(self, rows, cols, streams=1, psum_depth=128):
        for name, value in (("rows", rows), ("cols", cols), ("streams", streams), ("psum_depth", psum_depth)):
            if value < 1:
                raise ValueError(f"{name} = {value} is not allowed: {name} must be at least 1")
        self.rows, self.cols, self.streams, self.psum_depth = rows, cols, streams, psum_depth
        self.reset()

    def reset(self):
        """Forget everything: no register may be used before it is written again."""
        shape = (self.rows, self.cols, _LANES)
        self._shadow = np.zeros(shape, np.int64)
        self._active = np.zeros(shape, np.int64)
        self._shadow_state = np.full(shape, _EMPTY)
        self._active_state = np.full(shape, _EMPTY)
        self._acc = np.zeros((self.rows, self.cols), np.int64)
        self._acc_known = np.zeros(self.rows, bool)
        self._psum = np.zeros((self.rows, self.psum_depth, 4), np.int64)
        self._psum_mode = np.full((self.rows, self.psum_depth), -1)

    def _groups(self, name, word):
        """A word as C unsigned 32-bit groups."""
        if isinstance(word, (int, np.integer)):
            if not 0 <= word < 1 << (32 * self.cols):
                raise ValueError(f"{name} is not allowed: it must be an unsigned word of {32 * self.cols} bits")
            return np.frombuffer(int(word).to_bytes(4 * self.cols, "little"), "<u4").astype(np.int64)
        word = check_range(name, word, 32, signed=False)
        if word.shape != (self.cols,):
            raise ValueError(f"{name} has shape {word.shape}: it must be ({self.cols},)")
        return word

    @staticmethod
    def _spread(groups):
        """What the columns hold of words (..., C): column c has 16-bit pieces c (low) and C + c (high)."""
        pieces = np.stack([groups & 0xffff, groups >> 16], axis=-1).reshape(*groups.shape[:-1], 2, -1)
        return pieces[..., 0, :] | pieces[..., 1, :] << 16

    def _index(self, name, value, size, step=1):
        if not 0 <= value < size or value % step:
            even = " and even" if step == 2 else ""
            raise ValueError(f"{name} = {value} is not allowed: {name} must be from 0 to {size - 1}{even}")
        return int(value)

    def ready_modes(self, row, swap=False):
        """Precisions in which ``row`` may run a DOT now (with ``swap``: on the shadow tile), as its tile is loaded."""
        state = (self._shadow_state if swap else self._active_state)[self._index("row", row, self.rows)]
        return [mode for mode in Precision
                if (state[:, :mode.tile[1]] >= (_LOW_HALF if mode is Precision.FX16 else _WHOLE)).all()]

    def load(self, data, kind=LoadKind.WORD, row=0, lane=0, half=0, col=0):
        """Write a word into the shadow registers. In a cycle with a beat, call :meth:`beat` first."""
        kind = LoadKind(kind)
        groups = self._groups("data", data)
        if kind is LoadKind.WORD:
            row, lane = self._index("row", row, self.rows), self._index("lane", lane, _LANES)
            self._shadow[row, :, lane] = self._spread(groups)
            self._shadow_state[row, :, lane] = _WHOLE
            return
        elements = np.stack([groups & 0xffff, groups >> 16], axis=-1).reshape(2 * self.cols)
        if kind is LoadKind.HALF:
            row, half = self._index("row", row, self.rows), self._index("half", half, 2)
            where = np.s_[row, :, 0]
            values = elements[half * self.cols:][:self.cols]
        elif kind is LoadKind.PAIR:
            row = self._index("row", row, self.rows - 1, step=2)
            where = np.s_[row:row + 2, :, 0]
            values = elements.reshape(2, self.cols)
        else:
            if self.rows > 2 * self.cols:
                raise ValueError(f"kind = COLUMN is not allowed: rows = {self.rows} must be at most {2 * self.cols}")
            where = np.s_[:, self._index("col", col, self.cols), 0]
            values = elements[:self.rows]
        self._shadow[where] = values
        self._shadow_state[where] = _LOW_HALF

    def beat(self, cols, control, rows=None, index=0, first=True, last=True):
        """One beat of the array.

        Parameters
        ----------
        cols: V words
        control: R dicts with keys op, mode, first, swap, half, select (those left out are 0)
        rows: R signed 16-bit row operands, needed by rows with op MAC
        index: partial-sum index; first: start a new sum; last: emit the sum

        Returns uint64 of shape (R,), the row results of the `result` stream, when ``last``; else None.
        """
        groups = np.stack([self._groups("cols", word) for word in cols])
        if len(groups) != self.streams:
            raise ValueError(f"cols holds {len(groups)} words: it must hold {self.streams}")
        if len(control) != self.rows:
            raise ValueError(f"control holds {len(control)} entries: it must hold {self.rows}")
        field = {name: np.array([int(entry.get(name, 0)) for entry in control])
                 for name in ("op", "mode", "first", "swap", "half", "select")}
        for name, count in (("op", 3), ("mode", 4), ("first", 2), ("swap", 2), ("half", 2), ("select", self.streams)):
            for value in field[name]:
                self._index(name, value, count)
        index = self._index("index", index, self.psum_depth)
        # A row that does nothing takes no part in the swap either.
        swap = (field["swap"] == 1) & (field["op"] != PeOp.NOP)
        self._active[swap] = self._shadow[swap]
        self._active_state[swap] = self._shadow_state[swap]
        streamed = groups[field["select"]]
        results = np.zeros(self.rows, np.uint64)
        for mode in Precision:
            at = np.flatnonzero((field["op"] == PeOp.DOT) & (field["mode"] == mode))
            if at.size:
                results[at] = self._dot(at, streamed[at], mode, field["half"][at], index, first)
        at = np.flatnonzero(field["op"] == PeOp.MAC)
        if at.size:
            if rows is None:
                raise ValueError("rows is missing: a MAC needs a row operand for every row")
            operands = check_range("rows", rows, 16)
            if operands.shape != (self.rows,):
                raise ValueError(f"rows has shape {operands.shape}: it must be ({self.rows},)")
            self._mac(at, streamed[at], field, operands)
        return results if last else None

    def _dot(self, at, streamed, mode, half, index, first):
        lanes = mode.tile[1]
        need = _LOW_HALF if mode is Precision.FX16 else _WHOLE
        if (self._active_state[at, :, :lanes] < need).any():
            raise ValueError(f"mode = {mode.name} is not allowed: the stationary tile of a row was not loaded for it")
        moving = streamed if mode is Precision.FX16 else self._spread(streamed)
        total = dot_segments(moving, self._active[at], mode, half)
        if not first:
            if (self._psum_mode[at, index] != mode).any():
                raise ValueError(f"first = 0 is not allowed: partial sum {index} does not hold a {mode.name} sum")
            total = total + self._psum[at, index, :lanes]
        joined = join_segments(total, mode)
        self._psum[at, index, :lanes] = total
        self._psum_mode[at, index] = mode
        return joined

    def _mac(self, at, streamed, field, operands):
        if (field["mode"][at] != Precision.FX16).any():
            raise ValueError("mode is not allowed: a MAC works in FX16 only")
        fresh = field["first"][at] == 1
        if not (fresh | self._acc_known[at]).all():
            raise ValueError("first = 0 is not allowed: the accumulators of a row were never started")
        elements = np.stack([streamed & 0xffff, streamed >> 16], axis=-1).reshape(len(at), 2, self.cols)
        moving = elements[np.arange(len(at)), field["half"][at]]
        moving = moving - ((moving >> 15) << 16)
        total = np.where(fresh[:, None], 0, self._acc[at]) + moving * operands[at][:, None]
        low, high = signed_range(44)
        if total.min() < low or total.max() > high:
            raise ValueError("an accumulator leaves its 44 bits")
        self._acc[at] = total
        self._acc_known[at] = True
        # The row operand passes through the low half of the active register.
        self._active[at, :, 0] = operands[at][:, None] & 0xffff
        self._active_state[at, :, 0] = _LOW_HALF

    def started(self, row):
        """Whether the accumulators of ``row`` hold a sum."""
        return bool(self._acc_known[self._index("row", row, self.rows)])

    def drain(self, row):
        """The C accumulators of a row, int64 (44-bit signed)."""
        row = self._index("row", row, self.rows)
        if not self._acc_known[row]:
            raise ValueError(f"row = {row} is not allowed: its accumulators were never started")
        return self._acc[row].copy()
