"""Golden model of a compute lane: executes commands on a memory image, bit for bit what ``hw.dota.lane`` leaves there.

Integer arithmetic on whole matrices. The model knows which bits were ever written, and refuses to read others: a
result never depends on what the memory held at power-up. What commands mean stands in :mod:`golden.dota.program`.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import requantize, signed_range
from golden.arith.precision import Precision
from golden.dota import detector, mfu, scheduler
from golden.dota.program import LaneOp, LaneSize, pack, regions, unpack

__all__ = ["Lane", "Statistics"]


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What the lane's counters add up for a command, or a program.

    ``rmmu_beats``: beats that the array takes; a group without connections takes those of one round. ``key_reads``,
    ``value_reads``: key and value vectors fetched (one fetched for several query rows counts once). ``rounds``: rounds
    of the Scheduler that issue a key (the empty round of a group without connections does not count).
    ``connections``: pairs of query row and key. ``mask``: connections of ATTEND, bool (m, keys), else None.
    """

    rmmu_beats: int = 0
    key_reads: int = 0
    value_reads: int = 0
    rounds: int = 0
    connections: int = 0
    mask: np.ndarray | None = dataclasses.field(default=None, compare=False, repr=False)

    def __add__(self, other):
        names = ("rmmu_beats", "key_reads", "value_reads", "rounds", "connections")
        return Statistics(**{name: getattr(self, name) + getattr(other, name) for name in names})


class Lane:
    """A lane of a :class:`~golden.dota.program.LaneSize`.

    Attributes
    ----------
    size: the sizes
    memory: the memory image, uint8 (words, 4C)
    known: which bits were written since the start, ones in bytes of the same shape
    """

    def __init__(self, size):
        if not isinstance(size, LaneSize):
            raise TypeError(f"size must be a LaneSize, not {type(size).__name__}")
        self.size = size
        self.memory = np.zeros((size.words, size.word_bytes), np.uint8)
        self.known = np.zeros_like(self.memory)

    def write(self, address, words):
        """Host writes: consecutive words, uint8 (n, 4C), or one unsigned integer."""
        if isinstance(words, int):
            words = np.frombuffer(words.to_bytes(self.size.word_bytes, "little"), np.uint8)[None]
        words = np.asarray(words)
        if words.dtype != np.uint8 or words.ndim != 2 or words.shape[1] != self.size.word_bytes:
            raise ValueError(f"words has dtype {words.dtype} and shape {words.shape}: "
                             f"it must be uint8 (n, {self.size.word_bytes})")
        if address < 0 or address + len(words) > self.size.words:
            raise ValueError(f"address = {address} is not allowed: {len(words)} words must lie within "
                             f"0 to {self.size.words - 1}")
        self.memory[address:address + len(words)] = words
        self.known[address:address + len(words)] = 0xff

    def read(self, region, precision, count):
        """Rows of ``count`` packed elements each from a :class:`~golden.dota.program.Region`: int64 (rows, count)."""
        addresses = region.addresses()
        used = self._bits(count, precision)
        unknown = (used & ~self.known[addresses]).any(axis=(1, 2))
        if unknown.any():
            raise ValueError(f"{region.name} reads memory that was never written, in the row at word "
                             f"{addresses[unknown][0, 0]}")
        return unpack(self.memory[addresses], precision, count)

    def _bits(self, count, precision):
        """The bits that a row of ``count`` packed elements takes: ones in uint8 (words, 4C)."""
        return pack(np.full(count, -1), precision, self.size.word_bytes)

    def _store(self, region, precision, values):
        """Write packed rows; bits of the words past them stay."""
        used = self._bits(values.shape[1], precision)
        addresses = region.addresses()
        self.memory[addresses] = self.memory[addresses] & ~used | pack(values, precision, self.size.word_bytes)
        self.known[addresses] |= used

    def run(self, program):
        """Execute commands in order; returns their :class:`Statistics`, a list."""
        return [self.execute(command) for command in program]

    def execute(self, command):
        """Execute one command and return its :class:`Statistics`. Raises ``ValueError`` for an illegal one."""
        command.check(self.size)
        work = {LaneOp.GEMM: self._gemm, LaneOp.SOFTMAX: self._softmax, LaneOp.CONVERT: self._convert,
                LaneOp.ATTEND: self._attend}[LaneOp(command.op)]
        return work(command, *regions(command, self.size))

    def _gemm(self, command, reads, writes):
        size, precision = self.size, Precision(command.precision)
        inner = command.k_chunks * size.chunk(precision)
        columns = command.n_tiles * size.tile(precision)
        a = self.read(reads[0], precision, inner)
        if command.transposed:
            b = self.read(reads[1], precision, columns).T
        else:
            b = self.read(reads[1], precision, inner)
        total = a @ b.T
        low, high = signed_range(64 // precision.tile[1])
        if total.min() < low or total.max() > high:
            raise ValueError(f"k_chunks = {command.k_chunks}: a {precision.name} sum leaves its partial-sum field")
        result = requantize(total, command.shift, Precision(command.out).bits)
        for region in writes:
            self._store(region, command.out, result)
        return Statistics(rmmu_beats=command.m * command.n_tiles * command.k_chunks)

    def _softmax(self, command, reads, writes):
        scores = self.read(reads[0], Precision.FX16, command.keys)
        weights = mfu.softmax(scores, None, command.scale, command.scale_shift).astype(np.int64)
        filled = np.pad(weights, ((0, 0), (0, -command.keys % self.size.cols)))
        self._store(writes[0], Precision.FX16, filled)
        return Statistics()

    def _convert(self, command, reads, writes):
        values = self.read(reads[0], command.precision, command.k_chunks * self.size.cols)
        if command.precision is Precision.FX16:
            result = mfu.quantize(values, command.shift, command.out)
        else:
            result = mfu.dequantize(values, command.shift, command.precision)
        self._store(writes[0], command.out, result)
        return Statistics()

    def _attend(self, command, reads, writes):
        size = self.size
        by_name = {region.name: region for region in reads}
        elements = command.words * size.per_word(Precision.FX16)
        estimated = self.read(by_name["s"], Precision.INT8, command.keys)
        queries = self.read(by_name["a"], Precision.FX16, elements)
        keys, values = (self._copies(by_name, name, elements) for name in "bv")
        mask = detector.select(estimated, command.mode, command.threshold, command.count)
        statistics, orders = self._schedule(mask, command.words)
        scores = requantize(queries @ keys.T, command.shift, 16)
        result = np.zeros((command.m, elements), np.int64)
        for row, order in enumerate(orders):
            if order:
                # The softmax sees a row's connections in the order of issue.
                weights = mfu.softmax(scores[row, order][None], None, command.scale, command.scale_shift)[0]
                result[row] = weights.astype(np.int64) @ values[order]
        self._store(writes[0], Precision.FX16, requantize(result, command.out_shift, 16))
        return dataclasses.replace(statistics, mask=mask)

    def _copies(self, by_name, name, elements):
        """Key or value vectors; the copies that the other streams read must hold the same."""
        first, *others = [self.read(by_name[f"{name}+{stream}"], Precision.FX16, elements)
                          for stream in range(self.size.vectors_per_cycle)]
        for stream, other in enumerate(others, 1):
            if (first != other).any():
                raise ValueError(f"{name}: copy {stream} differs from the first one")
        return first

    def _schedule(self, mask, words):
        """Statistics of the rounds of all groups, and each row's keys in the order of issue."""
        tokens, streams = self.size.tokens, self.size.vectors_per_cycle
        rows, keys = mask.shape
        orders = [[] for _ in range(rows)]
        reads = rounds = beats = 0
        for first in range(0, rows, tokens):
            group = np.zeros((tokens, keys), bool)
            group[:len(mask[first:first + tokens])] = mask[first:first + tokens]
            for picks in scheduler.schedule(group):
                rounds += bool(picks)
                reads += len(picks)
                beats += 2 * words * max(1, -(-len(picks) // streams))
                for pick in picks:
                    for token in np.flatnonzero(pick.rows):
                        orders[first + token].append(pick.key)
        statistics = Statistics(rmmu_beats=beats, key_reads=reads, value_reads=reads, rounds=rounds,
                                connections=sum(map(len, orders)))
        return statistics, orders
