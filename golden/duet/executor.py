"""Golden model of the Executor: one step of R output channels, and the machine that takes items of the bus.

Thesis 5.1.2, 5.2.1; docs/duet/executor.md. :func:`run_step` computes a step from whole arrays, :class:`Executor` from
the items that its bus carries, with multicast, configuration words and results as the hardware has them. What the
hardware leaves unspecified (words that were not written in a chunk, sums that leave their width) is refused.
"""

import dataclasses
import enum

import numpy as np

from golden.arith import activation
from golden.arith.fixed import as_flags, as_integers, check_range, requantize
from golden.duet.executor_config import PARITIES, Configuration, Region
from golden.duet.executor_pe import SLOTS, macs, tags
from golden.duet.multicast_bus import deliver
from golden.duet.speculator_mfu import Function

__all__ = ["Executor", "Item", "Kind", "Result", "outputs", "run_step"]


def outputs(configuration, sums, omap, channels, parity):
    """The result segments of a step: bias, requantization, activation, placement and pooling.

    Parameters: ``sums`` (R, S) exact row sums; ``omap`` (R, S) bool; ``channels`` (R,); ``parity`` 0 to 3. Returns
    int64 (R, S): INT16, zero where no output went. The corrected map is where it is not zero. Raises ``ValueError``
    for shapes that do not fit, a parity or a channel that there is not.
    """
    omap, channels = as_flags("omap", omap), as_integers("channels", channels)
    if not 0 <= parity < PARITIES:
        raise ValueError(f"parity = {parity} is not allowed: parity must be from 0 to {PARITIES - 1}")
    if not sums.shape == omap.shape == (len(channels), omap.shape[-1]):
        raise ValueError(f"sums has shape {sums.shape}, omap {omap.shape}, channels {channels.shape}: they must be "
                         "(rows, S), (rows, S) and (rows,)")
    if channels.min() < 0 or channels.max() >= len(configuration.bias):
        raise ValueError(f"channels from {channels.min()} to {channels.max()} are not allowed: there are "
                         f"{len(configuration.bias)} biases")
    place = np.asarray(configuration.place)[parity]
    bias = np.asarray(configuration.bias)[channels] << configuration.bias_shift
    x = requantize(sums + bias[:, None], configuration.shift, 16)
    function = Function(configuration.function)
    if function == Function.RELU:
        x = np.maximum(x, 0)
    results = np.zeros_like(x)
    for output, word in enumerate(place):
        value = np.maximum(results[:, word], x[:, output]) if configuration.pool else x[:, output]
        results[:, word] = np.where(omap[:, output], value, results[:, word])
    if function in (Function.SIGMOID, Function.TANH):
        curve = activation.sigmoid if function == Function.SIGMOID else activation.tanh
        results[:, 0] = np.where(omap[:, 0], curve(results[:, 0]), results[:, 0])
    return results


def run_step(configuration, chunks, omap, channels, parity=0, *, acc_bits=44):
    """Results and MACs of a step.

    Parameters: ``chunks`` of (inputs, imap, weights): INT16 (C, 4 S), bool (C, 4 S), INT16 (R, C, L S); ``omap`` (R, S)
    bool; ``channels`` (R,) output channel of each row; ``parity`` of the tile, 0 to 3. Returns (results int64 (R, S),
    MACs of each element int64 (chunks, R, C)). Raises ``ValueError`` for a value out of range or a sum that leaves
    ``acc_bits``.
    """
    omap, psums, counts = as_flags("omap", omap), None, []
    if not len(chunks):
        raise ValueError("chunks is empty: there must be at least one")
    for inputs, imap, weights in chunks:
        used = as_flags("imap", imap) if configuration.use_imap else np.ones(np.shape(imap), dtype=bool)
        tag = tags(configuration.program, omap[:, None], used)
        psums = macs(inputs, weights, configuration.program, tag, psums, acc_bits=acc_bits)
        counts.append(tag.sum(axis=-1))
    return outputs(configuration, psums.sum(axis=1), omap, channels, parity), np.array(counts)


class Kind(enum.IntEnum):
    """What an item of the bus carries."""

    OMAP = 0
    INPUT = 1
    WEIGHT = 2
    GO = 3


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """An item of the bus; ``mask`` (S,) and ``map`` (C S,) are bool, ``data`` (C S,) INT16; None stands for zeros."""

    kind: Kind
    row_tag: int = 0
    row_all: bool = False
    col_tag: int = 0
    col_all: bool = False
    slot: int = 0
    line: int = 0
    mask: np.ndarray | None = None
    last: bool = False
    parity: int = 0
    address: int = 0
    map: np.ndarray | None = None
    data: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """A row's segment: ``data`` (S,) INT16, ``nonzero`` (S,) the corrected map, ``mask`` (S,) words to be written."""

    channel: int
    parity: int
    data: np.ndarray
    nonzero: np.ndarray
    mask: np.ndarray
    last: bool


class Executor:
    """The Executor of the given ``Sizes``: :meth:`write` configures it, :meth:`send` gives it an item of the bus.

    ``through``: the items for the Speculator. ``macs``: multiplications done.
    """

    def __init__(self, sizes):
        self.sizes = sizes
        self.through, self.macs = [], 0
        rows, cols = sizes.rows, sizes.cols
        self._words = {(Region.ROW_ID, k): k for k in range(rows + 1)}
        self._words |= {(Region.COLUMN_ID, k): k % cols for k in range(rows * cols)}
        self._next, self._step, self._known = {}, None, {}
        self._empty_bank()

    def write(self, address, data):
        """A word of the configuration: ``address`` of 16 bits, ``data`` of 32."""
        if self._step is not None:
            raise ValueError("a step is inside: the configuration cannot be written")
        sizes, region, index = self.sizes, Region(address >> 12), address & 0xfff
        count = {Region.SETTINGS: 4, Region.PROGRAM: sizes.lut_entries, Region.BIAS: sizes.max_channels,
                 Region.PLACE: PARITIES * sizes.segment, Region.OWNED: PARITIES, Region.ROW_ID: sizes.rows + 1,
                 Region.COLUMN_ID: sizes.rows * sizes.cols}[region]
        bits = {Region.OWNED: sizes.segment, Region.SETTINGS: 4 if index == 1 else 32}.get(region, 32)
        if index >= count:
            raise ValueError(f"address = {address:#x} is not allowed: region {region.name} has indices 0 to "
                             f"{count - 1}")
        self._words[region, index] = int(check_range(f"word {index} of region {region.name}", data, bits, signed=False))
        self._known = {}

    def send(self, item):
        """Take an item of the bus. Returns the results that leave once it has arrived: a list, empty but for ``GO``."""
        buses, elements = self._remembered((item.row_tag, item.col_tag, item.row_all, item.col_all), self._deliver)
        if buses[-1]:
            self.through.append(item)
        if not buses[:-1].any():
            return []
        if item.kind == Kind.GO:
            return self._go(item)
        take = {Kind.OMAP: self._omap, Kind.INPUT: self._input, Kind.WEIGHT: self._weight}[Kind(item.kind)]
        take(item, np.flatnonzero(buses[:-1]) if item.kind == Kind.OMAP else elements)
        return []

    def configuration(self):
        """The layer's :class:`golden.duet.executor_config.Configuration`, as it was written."""
        return self._remembered((), self._configuration)

    def _remembered(self, key, find):
        """``find(*key)``, found once for a configuration."""
        if key not in self._known:
            self._known[key] = find(*key)
        return self._known[key]

    def _deliver(self, *tags):
        sizes = self.sizes
        row_ids = np.array([self._words[Region.ROW_ID, k] for k in range(sizes.rows + 1)])
        col_ids = np.array([self._words[Region.COLUMN_ID, k] for k in range(sizes.rows * sizes.cols)])
        return deliver(row_ids, col_ids.reshape(sizes.rows, sizes.cols), *tags)

    def _empty_bank(self):
        rows, cols, segment = self.sizes.rows, self.sizes.cols, self.sizes.segment
        self._inputs = np.zeros((rows, cols, SLOTS * segment), dtype=np.int64)
        self._imap = np.zeros((cols, SLOTS * segment), dtype=bool)
        self._weights = np.zeros((rows, cols, self.sizes.weight_lines * segment), dtype=np.int64)
        self._written = tuple(np.zeros(x.shape, dtype=bool) for x in (self._inputs, self._imap, self._weights))

    def _omap(self, item, rows):
        bits = self._bits("map", item.map, self.sizes.line_words)[:self.sizes.segment]
        for row in rows:
            if row in self._next:
                raise ValueError(f"row {row} has an OMAP item already in this step")
            self._next[int(row)] = int(item.address), bits

    def _input(self, item, elements):
        segment = self.sizes.segment
        mask = self._bits("mask", item.mask, segment)
        words = item.slot * segment + np.flatnonzero(mask)
        take = elements[..., None] & mask
        for buffer, written, source, where in (
                (self._inputs, self._written[0], self._segments(item.data), take),
                (self._imap, self._written[1], self._bits("map", item.map, self.sizes.line_words).reshape(-1, segment),
                 take.any(axis=0))):
            chosen = where[..., mask]
            buffer[..., words] = np.where(chosen, source[..., mask], buffer[..., words])
            written[..., words] |= chosen

    def _weight(self, item, elements):
        segment = self.sizes.segment
        words = slice(item.line * segment, (item.line + 1) * segment)
        segments = np.broadcast_to(self._segments(item.data), (*elements.shape, segment))
        self._weights[elements, words] = segments[elements]
        self._written[2][elements, words] = True

    def _go(self, item):
        if not item.row_all:
            raise ValueError("row_all = 0 is not allowed in a GO item: row_all must be 1")
        if self._step is None:
            self._step = self._begin()
        configuration, rows, channels, omap, psums = self._step
        i, w, _ = configuration.program.T
        imap = self._imap if configuration.use_imap else np.ones_like(self._imap)
        tag = tags(configuration.program, omap[:, None], imap)
        inputs, maps, weights = self._written
        if np.any(tag & ~(inputs[..., i] & weights[..., w])) or configuration.use_imap and np.any(
                tags(configuration.program, omap[:, None], ~maps)):
            raise ValueError("a word that the program uses was not written in this chunk")
        psums = macs(self._inputs, self._weights, configuration.program, tag, psums, acc_bits=self.sizes.acc_bits)
        self.macs += int(tag.sum())
        self._empty_bank()
        self._step = None if item.last else (configuration, rows, channels, omap, psums)
        if not item.last:
            return []
        data = outputs(configuration, psums.sum(axis=1), omap, channels, item.parity)
        owned = configuration.owned[item.parity]
        return [Result(channel=channels[row], parity=item.parity, data=data[row], nonzero=data[row] != 0, mask=owned,
                       last=row == rows[-1]) for row in rows]

    def _begin(self):
        """The step that the OMAP items so far belong to."""
        configuration = self.configuration()
        omap = np.zeros((self.sizes.rows, self.sizes.segment), dtype=bool)
        channels = np.zeros(self.sizes.rows, dtype=np.int64)
        for row, (channel, bits) in self._next.items():
            omap[row], channels[row] = bits, channel
            if (Region.BIAS, channel) not in self._words:
                raise ValueError(f"channel {channel} has no bias")
        rows, self._next = sorted(self._next), {}
        return configuration, rows, channels, omap, None

    def _configuration(self):
        segment, words = self.sizes.segment, _Words(self._words)
        length, flags, shift, bias_shift = (words[Region.SETTINGS, index] for index in range(4))
        program = [words[Region.PROGRAM, n] for n in range(length)]
        program = np.array([(word & 0xff, word >> 8 & 0xff, word >> 16) for word in program], np.int64).reshape(-1, 3)
        bias = np.array([self._words.get((Region.BIAS, n), 0) for n in range(self.sizes.max_channels)], dtype=np.int64)
        owned = [[words[Region.OWNED, parity] >> p & 1 for p in range(segment)] for parity in range(PARITIES)]
        configuration = Configuration(
            program=program, function=Function(flags & 3), pool=bool(flags & 4), use_imap=bool(flags & 8), shift=shift,
            bias_shift=bias_shift, bias=bias - ((bias >> 31) << 32), owned=np.array(owned, dtype=bool),
            place=np.array([words[Region.PLACE, n] for n in range(PARITIES * segment)]).reshape(PARITIES, segment))
        configuration.check(self.sizes)
        return configuration

    def _segments(self, data):
        data = np.zeros(self.sizes.line_words, dtype=np.int64) if data is None else check_range("data", data, 16)
        return data.reshape(self.sizes.cols, self.sizes.segment)

    def _bits(self, name, bits, count):
        bits = np.zeros(count, dtype=bool) if bits is None else as_flags(name, bits)
        if bits.shape != (count,):
            raise ValueError(f"{name} has shape {bits.shape}: it must be ({count},)")
        return bits


class _Words(dict):
    def __missing__(self, key):
        raise ValueError(f"word {key[1]} of region {key[0].name} was not configured")
