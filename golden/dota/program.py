"""Programs of a lane: its sizes, the packing of numbers into memory words, and checked commands.

A *word* holds 32 * C bits: 2C FX16, 4C INT8, 8C INT4 or 16C INT2 numbers, element 0 in the low bits. Global word
addresses are ``bank * bank_words + offset``. A matrix is a base address and a stride in words; row i starts at
``base + i * stride``.
"""

import dataclasses
import enum

import numpy as np

from golden.arith.fixed import check_range
from golden.arith.precision import Precision
from golden.dota.detector import Mode

__all__ = ["Command", "LaneOp", "LaneSize", "Phase", "Region", "copy_offsets", "pack", "regions", "unpack"]

#: Longest contraction (K of GEMM, in elements) for which no sum can overflow.
MAX_INNER = 4096
#: Greatest shift of a requantization, see :func:`golden.arith.fixed.requantize`; CONVERT takes up to 63.
MAX_SHIFT = 61


class LaneOp(enum.IntEnum):
    """What a command does."""

    GEMM = 0
    SOFTMAX = 1
    CONVERT = 2
    ATTEND = 3


class Phase(enum.IntEnum):
    """Counter groups: what share of the cycles a stage of the head takes."""

    LINEAR = 0
    DETECT = 1
    SCORE = 2
    SOFTMAX = 3
    OUTPUT = 4
    SPARSE = 5
    CONVERT = 6
    OTHER = 7


def _refuse(field, value, allowed):
    raise ValueError(f"{field} = {value!r} is not allowed: {field} must be {allowed}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaneSize:
    """Sizes of a lane, as in the configuration of the same names (``rows`` = 2 ``cols``)."""

    rows: int = 32
    cols: int = 16
    vectors_per_cycle: int = 1
    banks: int = 10
    bank_words: int = 1024
    psum_depth: int = 128
    tokens: int = 4
    max_keys: int = 512

    def __post_init__(self):
        for spec in dataclasses.fields(self):
            if getattr(self, spec.name) < 1:
                _refuse(spec.name, getattr(self, spec.name), "at least 1")
        if self.rows != 2 * self.cols:
            _refuse("rows", self.rows, f"2 x cols = {2 * self.cols}")

    @classmethod
    def from_config(cls, config):
        """From the plain values of the lane's configuration, a dict."""
        return cls(**{spec.name: config[spec.name] for spec in dataclasses.fields(cls)})

    @property
    def word_bytes(self):
        """Bytes of a word."""
        return 4 * self.cols

    @property
    def words(self):
        """Words of the memory."""
        return self.banks * self.bank_words

    @property
    def max_words(self):
        """Longest key, query or value vector of ATTEND, in words."""
        return self.rows // (2 * self.tokens)

    def per_word(self, precision):
        """Elements of a word."""
        return 8 * self.word_bytes // Precision(precision).bits

    def chunk(self, precision):
        """Elements of the inner dimension in a GEMM chunk: half a word in FX16, else a word."""
        return self.cols * Precision(precision).tile[0]

    def chunk_words(self, precision, chunks):
        """Words that ``chunks`` chunks take."""
        return -(-chunks // 2) if Precision(precision) is Precision.FX16 else chunks

    def tile(self, precision):
        """Columns of C (rows of B) in a GEMM tile."""
        return self.rows * Precision(precision).tile[1]

    def words_for(self, precision, elements):
        """Words that ``elements`` packed numbers take."""
        return -(-elements // self.per_word(precision))


def pack(values, precision, word_bytes, name="values"):
    """Pack signed integers (..., n) into words: uint8 (..., words, word_bytes), the last word filled up with zeros.

    Raises ``ValueError`` for a number outside the precision's range.
    """
    bits = Precision(precision).bits
    values = check_range(name, values, bits)
    if values.ndim == 0:
        raise ValueError(f"{name} has no dimension: it must have at least one")
    per_word = 8 * word_bytes // bits
    missing = -values.shape[-1] % per_word
    values = np.concatenate([values, np.zeros((*values.shape[:-1], missing), np.int64)], axis=-1)
    if bits == 16:
        flat = values.astype("<i2").view(np.uint8)
    else:
        fields = (values & ((1 << bits) - 1)).reshape(*values.shape[:-1], -1, 8 // bits)
        flat = (fields << np.arange(0, 8, bits)).sum(axis=-1).astype(np.uint8)
    return flat.reshape(*values.shape[:-1], -1, word_bytes)


def unpack(words, precision, count=None):
    """Inverse of :func:`pack`: uint8 (..., words, word_bytes) to int64 (..., n), the first ``count`` elements."""
    bits = Precision(precision).bits
    words = np.asarray(words)
    if words.dtype != np.uint8 or words.ndim < 2:
        raise ValueError(f"words has dtype {words.dtype} and shape {words.shape}: it must be uint8 (..., words, bytes)")
    flat = np.ascontiguousarray(words).reshape(*words.shape[:-2], -1)
    if bits == 16:
        values = flat.view("<i2").astype(np.int64)
    else:
        fields = (flat[..., None].astype(np.int64) >> np.arange(0, 8, bits)) & ((1 << bits) - 1)
        values = (fields - ((fields >> (bits - 1)) << bits)).reshape(*flat.shape[:-1], -1)
    if count is not None and not 0 <= count <= values.shape[-1]:
        _refuse("count", count, f"from 0 to {values.shape[-1]}")
    return values[..., :count]


@dataclasses.dataclass(frozen=True)
class Region:
    """The words of a matrix: ``rows`` rows of ``words`` words, row i from ``base + i * stride``."""

    name: str
    base: int
    stride: int
    rows: int
    words: int

    def addresses(self):
        """Word addresses, int64 (rows, words)."""
        return self.base + np.arange(self.rows)[:, None] * self.stride + np.arange(self.words)

    def moved(self, offset):
        """The same region, ``offset`` words further."""
        return dataclasses.replace(self, base=self.base + offset)

    def banks(self, size):
        """The set of banks the region touches."""
        return set(np.unique(self.addresses() // size.bank_words).tolist())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """One command of a lane. Fields that an operation does not use keep their default.

    GEMM     out[i][n] = requantize(sum_k A[i][k] * B[n][k], ``shift``, ``out`` bits), i < ``m``, n < ``n_tiles`` tiles
             of R, R, 2R or 4R columns (FX16, INT8, INT4, INT2), k < ``k_chunks`` chunks of C, 4C, 8C or 16C. A and B
             are in ``precision``. ``transposed`` (FX16 only): element n of row k of the B region is B[n][k].
             ``copies`` (1 to 4) copies of the result are written, each ``copy_stride`` words after the one before.
    SOFTMAX  of ``m`` rows of ``keys`` FX16 scores, with ``scale`` and ``scale_shift``; the last beat of C elements is
             filled up with zeros.
    CONVERT  ``m`` rows of ``k_chunks`` beats of C elements from ``precision`` to ``out``, one of which is FX16: to an
             integer requantize(x, ``shift``), to FX16 saturate(x << ``shift``).
    ATTEND   sparse attention of ``m`` query rows (A, ``words`` words each) over ``keys`` keys (B) and values (V), with
             the connections that ``mode``, ``threshold``, ``count`` select from the INT8 scores in S. Scores are
             requantized by ``shift``, outputs by ``out_shift``. With V vectors a cycle, stream s reads keys and values
             ``s * copy_stride`` words further.
    ``phase`` is the counter group its cycles are added to.
    """

    op: LaneOp
    phase: Phase = Phase.OTHER
    precision: Precision = Precision.FX16
    out: Precision = Precision.FX16
    transposed: bool = False
    a_base: int = 0
    a_stride: int = 0
    b_base: int = 0
    b_stride: int = 0
    c_base: int = 0
    c_stride: int = 0
    v_base: int = 0
    v_stride: int = 0
    s_base: int = 0
    s_stride: int = 0
    m: int = 1
    n_tiles: int = 0
    k_chunks: int = 0
    shift: int = 0
    out_shift: int = 0
    copies: int = 1
    copy_stride: int = 0
    keys: int = 0
    words: int = 0
    mode: Mode = Mode.THRESHOLD
    threshold: int = 0
    count: int = 0
    scale: int = 0
    scale_shift: int = 0

    def fields(self):
        """The fields as the command port takes them (``copies`` counts the extra ones)."""
        values = {spec.name: int(getattr(self, spec.name)) for spec in dataclasses.fields(self)}
        return values | {"copies": self.copies - 1}

    @classmethod
    def from_fields(cls, values):
        """Inverse of :meth:`fields`."""
        kinds = {"op": LaneOp, "phase": Phase, "precision": Precision, "out": Precision, "mode": Mode,
                 "transposed": bool}
        typed = {name: kinds.get(name, int)(value) for name, value in values.items()}
        return cls(**typed | {"copies": values["copies"] + 1})

    def check(self, size):
        """Refuse (``ValueError`` naming field, value and what is allowed) what a lane of ``size`` cannot run."""
        for name, kind in (("op", LaneOp), ("phase", Phase), ("precision", Precision), ("out", Precision),
                           ("mode", Mode)):
            if getattr(self, name) not in list(kind):
                _refuse(name, getattr(self, name), "one of " + ", ".join(kind.__members__))
        for name in ("a", "b", "c", "v", "s"):
            for part in ("base", "stride"):
                self._range(f"{name}_{part}", 0, size.words - 1)
        self._range("m", 1, size.words)
        self._range("copies", 1, 4)
        self._range("copy_stride", 0, size.words - 1)
        self._range("shift", 0, 63 if self.op is LaneOp.CONVERT else MAX_SHIFT)
        self._range("out_shift", 0, MAX_SHIFT)
        self._range("scale", 0, 65535)
        self._range("scale_shift", 0, 31)
        self._range("threshold", -128, 127)
        {LaneOp.GEMM: self._check_gemm, LaneOp.SOFTMAX: self._check_softmax, LaneOp.CONVERT: self._check_convert,
         LaneOp.ATTEND: self._check_attend}[LaneOp(self.op)](size)
        self._check_regions(size)

    def _range(self, name, low, high):
        if not low <= getattr(self, name) <= high:
            _refuse(name, getattr(self, name), f"from {low} to {high}")

    def _check_gemm(self, size):
        self._range("n_tiles", 1, size.words)
        self._range("k_chunks", 1, MAX_INNER // size.chunk(self.precision))
        if self.transposed and self.precision is not Precision.FX16:
            _refuse("transposed", self.transposed, "0 unless precision is FX16")

    def _check_softmax(self, size):
        self._range("keys", 1, size.max_keys)
        self._no_copies()

    def _check_convert(self, size):
        self._range("k_chunks", 1, size.words)
        if (self.precision is Precision.FX16) == (self.out is Precision.FX16):
            _refuse("out", self.out.name, "an integer format when precision is FX16, and FX16 when it is not")
        self._no_copies()

    def _check_attend(self, size):
        self._range("keys", 1, size.max_keys)
        self._range("words", 1, size.max_words)
        if self.mode is Mode.BALANCED:
            self._range("count", 1, size.max_keys)
        self._no_copies()

    def _no_copies(self):
        if self.copies != 1:
            _refuse("copies", self.copies, f"1 for {self.op.name}")

    def _check_regions(self, size):
        reads, writes = regions(self, size)
        for region in reads + writes:
            last = int(region.addresses().max())
            if last >= size.words:
                _refuse(region.name, f"words up to {last}", f"within the memory, words 0 to {size.words - 1}")
        written = np.concatenate([region.addresses().ravel() for region in writes])
        if np.unique(written).size != written.size:
            _refuse("c", "rows or copies that share words", "written at most once a word")
        for region in reads:
            if np.intersect1d(region.addresses(), written).size:
                _refuse(region.name, "words that are also written", "apart from the result")
        for names in _exclusive(self, size):
            seen = {}
            for name in names:
                for region in (region for region in reads if region.name in name):
                    for bank in region.banks(size):
                        if seen.setdefault(bank, name) != name:
                            _refuse(region.name, f"words in bank {bank}", f"in other banks than {'/'.join(seen[bank])}")
        if len(writes) > 1:
            used = [region.banks(size) for region in writes]
            if sum(map(len, used)) != len(set().union(*used)):
                _refuse("copy_stride", self.copy_stride, "such that each copy has banks of its own")


def copy_offsets(command, size):
    """Offsets, in words, of the key and value copies that the streams of ATTEND read."""
    return [stream * command.copy_stride for stream in range(size.vectors_per_cycle)]


def _exclusive(command, size):
    """Groups of read regions that must not meet in a bank: tuples of the names that may share one."""
    if command.op is LaneOp.GEMM:
        return [(("a",), ("b",))]
    if command.op is LaneOp.ATTEND:
        return [(("s",), ("a",), *((f"b+{i}", f"v+{i}") for i in range(size.vectors_per_cycle)))]
    return []


def regions(command, size):
    """The regions a command reads and those it writes: two lists of :class:`Region`."""
    m = command.m

    def region(name, rows, words, offset=0, label=None):
        base, stride = getattr(command, f"{name}_base"), getattr(command, f"{name}_stride")
        return Region(label or name, base + offset, stride, rows, words)

    if command.op is LaneOp.GEMM:
        inner = size.chunk_words(command.precision, command.k_chunks)
        columns = command.n_tiles * size.tile(command.precision)
        if command.transposed:
            b = region("b", command.k_chunks * size.cols, command.n_tiles)
        else:
            b = region("b", columns, inner)
        result = region("c", m, size.words_for(command.out, columns))
        return [region("a", m, inner), b], [result.moved(copy * command.copy_stride) for copy in range(command.copies)]
    if command.op is LaneOp.SOFTMAX:
        words = size.words_for(Precision.FX16, command.keys)
        return [region("a", m, words)], [region("c", m, words)]
    if command.op is LaneOp.CONVERT:
        elements = command.k_chunks * size.cols
        return ([region("a", m, size.words_for(command.precision, elements))],
                [region("c", m, size.words_for(command.out, elements))])
    keys, words = command.keys, command.words
    vectors = [region(name, keys, words, offset, f"{name}+{stream}") for name in "bv"
               for stream, offset in enumerate(copy_offsets(command, size))]
    scores = region("s", m, size.words_for(Precision.INT8, keys))
    return [region("a", m, words), scores, *vectors], [region("c", m, words)]
