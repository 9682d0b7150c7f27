"""Programs that run a whole attention head on one lane: memory plan, host writes, commands (thesis 7.6.1).

``dense``: Q, K, V = X W^T; S = Q K^T; softmax; Z = weights V. ``balanced`` and ``threshold``: scores are estimated in
low precision first (X to Xq, XP = Xq P^T, Q~ and K~ = XP W~^T, S~ = Q~ K~^T), then ATTEND runs the selected
connections only. The stages are those of ``golden.workloads.head_job.HeadJob``, whose attributes are read here.
"""

import dataclasses

import numpy as np

from golden.arith.precision import Precision
from golden.dota import mfu
from golden.dota.detector import Mode
from golden.dota.program import Command, LaneOp, Phase, Region, pack, unpack

__all__ = ["HeadProgram", "MODES", "Stage", "plan_head"]

MODES = ("dense", "balanced", "threshold")
_SHUFFLES = 24


@dataclasses.dataclass(frozen=True)
class Stage:
    """One command of a head's program and what it leaves behind.

    ``name``: the result's name in ``golden.dota.dsa.integer_head``; ``region``, ``precision``, ``columns``: where the
    result is once ``command`` is done (later stages may reuse the memory; Z stays).
    """

    name: str
    command: Command
    region: Region
    precision: Precision
    columns: int

    def result(self, memory):
        """The result from a memory image, uint8 (words, 4C): int64 (tokens, columns)."""
        return unpack(memory[self.region.addresses()], self.precision, self.columns)


@dataclasses.dataclass(frozen=True)
class HeadProgram:
    """A head as a lane runs it.

    ``mode``: one of :data:`MODES`; ``writes``: what the host writes first, a list of (address, uint8 (n, 4C));
    ``stages``: a :class:`Stage` a command, in order, Z last; ``regions``: the memory plan.
    """

    mode: str
    writes: list
    stages: list
    regions: dict

    @property
    def commands(self):
        """The commands, in order."""
        return [stage.command for stage in self.stages]

    @property
    def z(self):
        """Where Z, FX16 (tokens, width), is at the end: the last stage's :class:`Stage`."""
        return self.stages[-1]


class _DoesNotFit(Exception):
    """No placement was found."""


@dataclasses.dataclass
class _Block:
    """A piece of memory to place: lifetime in stages, banks it must not share, and copies in banks of their own."""

    name: str
    rows: int
    words: int
    first: int
    last: int
    apart: set = dataclasses.field(default_factory=set)
    copies: int = 1
    base: int = -1

    def copy_stride(self, size):
        return -(-self.rows * self.words // size.bank_words) * size.bank_words

    def spans(self, base, size):
        """Start and end of each copy when the block is put at ``base``."""
        length = self.rows * self.words
        return [(base + copy * self.copy_stride(size), base + copy * self.copy_stride(size) + length)
                for copy in range(self.copies)]

    def banks(self, base, size):
        """The set of banks of each copy when the block is put at ``base``."""
        return [set(range(start // size.bank_words, -(-end // size.bank_words)))
                for start, end in self.spans(base, size)]

    def region(self, name=None, row=0, rows=None):
        rows = self.rows - row if rows is None else rows
        return Region(name or self.name, self.base + row * self.words, self.words, rows, self.words)


def _place(blocks, size):
    """Give every block a base. First fit, in several orders; :class:`_DoesNotFit` when none works."""
    rng = np.random.default_rng(0)
    orders = [sorted(blocks, key=lambda block: -block.rows * block.words * block.copies), list(blocks)]
    orders += [[blocks[i] for i in rng.permutation(len(blocks))] for _ in range(_SHUFFLES)]
    for order in orders:
        placed = []
        for block in order:
            base = next((base for base in _candidates(placed, size) if _free(block, base, placed, size)), None)
            if base is None:
                break
            block.base = base
            placed.append(block)
        else:
            return
    raise _DoesNotFit


def _candidates(placed, size):
    ends = {end for block in placed for _, end in block.spans(block.base, size)}
    return sorted(ends | {bank * size.bank_words for bank in range(size.banks)})


def _free(block, base, placed, size):
    spans, banks = block.spans(base, size), block.banks(base, size)
    if spans[-1][1] > size.words or sum(map(len, banks)) != len(set().union(*banks)):
        return False
    for other in placed:
        if other.name in block.apart or block.name in other.apart:
            if set().union(*banks) & set().union(*other.banks(other.base, size)):
                return False
        if block.first <= other.last and other.first <= block.last:
            for start, end in spans:
                if any(start < other_end and other_start < end
                       for other_start, other_end in other.spans(other.base, size)):
                    return False
    return True


@dataclasses.dataclass(frozen=True)
class _Shape:
    """The dimensions that the memory plan depends on."""

    tokens: int
    inputs: int
    width: int
    projected: int | None
    rank: int
    precision: Precision
    mode: str


def _round_up(value, multiple):
    return -(-value // multiple) * multiple


def _dense_blocks(shape, size):
    n, fx = shape.tokens, Precision.FX16
    x_words, head_words, score_words = (size.words_for(fx, count) for count in (shape.inputs, shape.width, n))
    weight_rows = _round_up(shape.width, size.rows)
    key_rows, value_rows = _round_up(n, size.rows), _round_up(n, size.cols)
    blocks = [_Block("x", n, x_words, 0, 2)]
    blocks += [_Block(f"w{name}", weight_rows, x_words, 0, step, {"x"}) for step, name in enumerate("qkv")]
    # Rows of padding are zeros that the host writes, so a block with padding lives from the start.
    blocks += [_Block("q", n, head_words, 0, 3),
               _Block("k", key_rows, head_words, 1 if key_rows == n else 0, 3, {"q"}),
               _Block("v", value_rows, head_words, 2 if value_rows == n else 0, 5, {"weights"}),
               _Block("scores", n, score_words, 3, 4), _Block("weights", n, score_words, 4, 5),
               _Block("z", n, head_words, 5, 6)]
    return blocks


def _partial(shape, size):
    """Names of the low-precision results that leave a part of their words or rows unwritten."""
    low = shape.precision
    tile = size.tile(low)
    written = {"x_low": _round_up(shape.inputs, size.cols), "q_low": _round_up(shape.rank, tile),
               "k_low": _round_up(shape.rank, tile)}
    if shape.projected is not None:
        written["xp"] = _round_up(shape.projected, tile)
    names = {name for name, elements in written.items() if elements % size.per_word(low)}
    return names | ({"k_low"} if shape.tokens % tile else set())


def _detect_blocks(shape, size):
    n, fx, low = shape.tokens, Precision.FX16, shape.precision
    tile = size.tile(low)
    x_words, head_words = size.words_for(fx, shape.inputs), size.words_for(fx, shape.width)
    low_words, rank_words = size.words_for(low, shape.inputs), size.words_for(low, shape.rank)
    weight_rows, rank_rows, key_rows = (_round_up(count, step) for count, step in
                                        ((shape.width, size.rows), (shape.rank, tile), (n, tile)))
    blocks = [_Block("x", n, x_words, 0, 3)]
    blocks += [_Block(f"w{name}", weight_rows, x_words, 0, step, {"x"}) for step, name in enumerate("qkv", 1)]
    streams = size.vectors_per_cycle
    attend = 8 if shape.projected is not None else 7
    partial = _partial(shape, size)
    blocks += [_Block("x_low", n, low_words, 0, 4 if shape.projected is not None else attend - 2)]
    if shape.projected is None:
        source, source_words = "x_low", low_words
    else:
        source, source_words = "xp", size.words_for(low, shape.projected)
        blocks += [_Block("p", _round_up(shape.projected, tile), low_words, 0, 4, {"x_low"}),
                   _Block("xp", n, source_words, 0 if "xp" in partial else 4, 6)]
    blocks += [_Block(f"w{name}_low", rank_rows, source_words, 0, step, {source})
               for name, step in (("q", attend - 3), ("k", attend - 2))]
    first_q, first_k = (0 if f"{name}_low" in partial else step
                        for name, step in (("q", attend - 3), ("k", attend - 2)))
    blocks += [_Block("q_low", n, rank_words, first_q, attend - 1),
               _Block("k_low", key_rows, rank_words, first_k, attend - 1, {"q_low"}),
               _Block("scores_low", n, size.words_for(Precision.INT8, key_rows), attend - 1, attend, {"q"}),
               _Block("q", n, head_words, 1, attend)]
    if streams == 1:
        blocks += [_Block("k", n, head_words, 2, attend, {"q", "scores_low"}),
                   _Block("v", n, head_words, 3, attend, {"q", "scores_low"})]
    else:
        # Every stream reads its own copy, keys and values at the same distance: one block for both.
        blocks += [_Block("kv", 2 * n, head_words, 2, attend, {"q", "scores_low"}, streams)]
    return blocks + [_Block("z", n, head_words, attend, attend + 1)]


def _blocks(shape, size):
    """The placed blocks of a head, by name; :class:`_DoesNotFit` when there is no room."""
    if shape.tokens > size.max_keys:
        raise _DoesNotFit
    blocks = (_dense_blocks if shape.mode == "dense" else _detect_blocks)(shape, size)
    _place(blocks, size)
    return {block.name: block for block in blocks}


def _checked_shape(job, size, mode):
    if mode not in MODES:
        raise ValueError(f"mode = {mode!r} is not allowed: it must be one of {', '.join(MODES)}")
    precision = Precision(job.precision)
    if mode != "dense" and precision is Precision.FX16:
        raise ValueError("precision = FX16 is not allowed: the detector runs at INT8, INT4 or INT2")
    x, width = np.asarray(job.x), len(job.wq)
    shape = _Shape(len(x), x.shape[1], width, None if job.p is None else len(job.p), len(job.wq_low), precision, mode)
    widest = size.max_words * size.per_word(Precision.FX16)
    if mode != "dense" and width > widest:
        raise ValueError(f"width = {width} is not allowed: a head of this lane must be at most {widest} wide")
    return shape


def plan_head(job, size, mode):
    """The :class:`HeadProgram` of a job on a lane of ``size``.

    Parameters: ``job`` a ``HeadJob``, or any object with its integer attributes; ``size`` a
    :class:`~golden.dota.program.LaneSize`; ``mode`` one of :data:`MODES`.

    Raises ``ValueError`` for values out of range, and when the memory is too small: it names ``tokens`` and the
    greatest number that fits.
    """
    shape = _checked_shape(job, size, mode)
    try:
        blocks = _blocks(shape, size)
    except _DoesNotFit:
        greatest = _greatest(shape, size)
        allowed = f"at most {greatest}" if greatest else "served by a lane with more memory: even one does not fit"
        raise ValueError(f"tokens = {shape.tokens} is not allowed: on this lane, a head with {shape.inputs} inputs and "
                         f"width {shape.width} must have tokens {allowed}") from None
    builder = _Builder(job, shape, size, blocks)
    (builder.dense if mode == "dense" else builder.detect)()
    program = HeadProgram(mode, builder.writes, builder.stages,
                          {name: block.region() for name, block in blocks.items()})
    for command in program.commands:
        command.check(size)
    return program


def _greatest(shape, size):
    for tokens in range(min(shape.tokens - 1, size.max_keys), 0, -1):
        try:
            _blocks(dataclasses.replace(shape, tokens=tokens), size)
        except _DoesNotFit:
            continue
        return tokens
    return 0


class _Builder:
    """Collects host writes and stages."""

    def __init__(self, job, shape, size, blocks):
        self.job, self.shape, self.size, self.blocks = job, shape, size, blocks
        self.writes, self.stages = [], []

    def matrix(self, name, values, precision):
        """Host write of a matrix at the start of block ``name``; the rest of the block becomes zeros."""
        block = self.blocks[name]
        values = np.asarray(values)
        data = np.zeros((block.rows, block.words, self.size.word_bytes), np.uint8)
        packed = pack(values, precision, self.size.word_bytes, name)
        data[:len(values), :packed.shape[1]] = packed
        self.writes.append((block.base, data.reshape(-1, self.size.word_bytes)))

    def zeros(self, name, row=0):
        """Host write of zeros from ``row`` of block ``name``; nothing when there are no such rows."""
        region = self.blocks[name].region(row=row)
        if region.rows:
            data = np.zeros((region.rows * region.words, self.size.word_bytes), np.uint8)
            self.writes.append((region.base, data))

    def stage(self, name, written, columns, region=None, **fields):
        """A command whose result, in precision ``written``, goes to ``region`` (default: block ``name``)."""
        region = region or self.blocks[name].region(rows=self.shape.tokens)
        command = Command(m=self.shape.tokens, c_base=region.base, c_stride=region.stride, **fields)
        self.stages.append(Stage(name, command, region, written, columns))

    def gemm(self, name, a, b, inner, columns, shift, phase, precision=Precision.FX16, out=Precision.FX16, **fields):
        a, b = (self.blocks[block].region() if isinstance(block, str) else block for block in (a, b))
        self.stage(name, out, columns, op=LaneOp.GEMM, phase=phase, precision=precision, out=out, shift=int(shift),
                   a_base=a.base, a_stride=a.stride, b_base=b.base, b_stride=b.stride,
                   n_tiles=-(-columns // self.size.tile(precision)), k_chunks=-(-inner // self.size.chunk(precision)),
                   **fields)

    def linear(self, name, **fields):
        """Q, K or V = X W^T."""
        self.gemm(name, "x", f"w{name}", self.shape.inputs, self.shape.width, getattr(self.job, f"shift_{name}"),
                  Phase.LINEAR, **fields)

    def inputs(self):
        self.matrix("x", self.job.x, Precision.FX16)
        for name in ("wq", "wk", "wv"):
            self.matrix(name, getattr(self.job, name), Precision.FX16)

    def dense(self):
        job, n, width = self.job, self.shape.tokens, self.shape.width
        self.inputs()
        for name in "kv":
            self.zeros(name, n)
        for name in "qkv":
            self.linear(name)
        self.gemm("scores", "q", "k", width, n, job.shift_s, Phase.SCORE)
        scale, scale_shift = mfu.softmax_scale(job.softmax_scale)
        scores = self.blocks["scores"].region()
        self.stage("weights", Precision.FX16, n, op=LaneOp.SOFTMAX, phase=Phase.SOFTMAX, a_base=scores.base,
                   a_stride=scores.stride, keys=n, scale=scale, scale_shift=scale_shift)
        self.gemm("z", "weights", "v", n, width, job.shift_z, Phase.OUTPUT, transposed=True)

    def detect(self):
        job, shape, size, low = self.job, self.shape, self.size, self.shape.precision
        n, width = shape.tokens, shape.width
        self.inputs()
        # Results that do not fill their words are operands of the next product: zeros fill them up.
        for name in sorted(_partial(shape, size)):
            self.zeros(name)
        x = self.blocks["x"].region()
        self.stage("x_low", low, shape.inputs, op=LaneOp.CONVERT, phase=Phase.CONVERT, out=low, shift=int(job.shift_x),
                   a_base=x.base, a_stride=x.stride, k_chunks=-(-shape.inputs // size.cols))
        keys, values, copies = self._keys_and_values()
        self.linear("q")
        self.linear("k", region=keys, **copies)
        self.linear("v", region=values, **copies)
        source, inner = "x_low", shape.inputs
        if job.p is not None:
            self.matrix("p", job.p, low)
            self.gemm("xp", "x_low", "p", inner, shape.projected, job.shift_p, Phase.DETECT, low, low)
            source, inner = "xp", shape.projected
        for name in "qk":
            self.matrix(f"w{name}_low", getattr(job, f"w{name}_low"), low)
            self.gemm(f"{name}_low", source, f"w{name}_low", inner, shape.rank, getattr(job, f"shift_{name}_low"),
                      Phase.DETECT, low, low)
        self.gemm("scores_low", "q_low", "k_low", shape.rank, n, job.shift_d, Phase.DETECT, low, Precision.INT8)
        q, scores = self.blocks["q"].region(), self.blocks["scores_low"].region()
        scale, scale_shift = mfu.softmax_scale(job.softmax_scale)
        self.stage("z", Precision.FX16, width, op=LaneOp.ATTEND, phase=Phase.SPARSE, a_base=q.base, a_stride=q.stride,
                   b_base=keys.base, b_stride=keys.stride, v_base=values.base, v_stride=values.stride,
                   s_base=scores.base, s_stride=scores.stride, keys=n, words=keys.words, shift=int(job.shift_s),
                   out_shift=int(job.shift_z), scale=scale, scale_shift=scale_shift,
                   copy_stride=copies.get("copy_stride", 0), count=min(int(job.count), n),
                   mode=Mode.BALANCED if shape.mode == "balanced" else Mode.THRESHOLD, threshold=int(job.threshold))

    def _keys_and_values(self):
        """Regions of K and V, and the fields of the commands that write their copies."""
        n, streams = self.shape.tokens, self.size.vectors_per_cycle
        if streams == 1:
            return self.blocks["k"].region(), self.blocks["v"].region(), {}
        block = self.blocks["kv"]
        return (block.region("k", 0, n), block.region("v", n, n),
                dict(copies=streams, copy_stride=block.copy_stride(self.size)))
