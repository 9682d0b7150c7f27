"""The compiler's side of the Speculator: a layer's integers as its configuration and the lines that fill its buffers.

Formats: docs/duet/speculator.md. The integers are those of ``golden.duet.calibrate.Speculation``, the geometry that of
``golden.duet.mapping.ConvMapping``. What does not fit is refused with a ``ValueError``.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import check_range
from golden.duet.calibrate import buffer_projection
from golden.duet.mapping import LoadEntry
from golden.duet.projection import encode_ternary
from golden.duet.speculator import ENTRY_BITS, Layer, Speculator

__all__ = ["Part", "SpeculatorMapping", "layer_words", "map_speculation", "map_gate_speculation", "pack_fields"]

_UNUSED, _THRESHOLDS, _TAPS = 14, 32, 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """Outputs that a job computes: ``n`` of them, ``weight_base`` and ``table_base`` of the first, and how."""

    n: int
    weight_base: int
    table_base: int
    function: int
    threshold: int
    q_shift: int


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SpeculatorMapping:
    """A layer on the Speculator.

    ``layer``: its configuration; ``projection``, ``weights``, ``table``: INT16 lines (lines, C S) from line 0 of the
    three buffers on; ``load_table``: of a tile's lines, for one group of channels; ``gates``: a :class:`Part` for each
    speculation, in their order.
    """

    layer: Layer
    projection: np.ndarray
    weights: np.ndarray
    table: np.ndarray
    load_table: tuple[LoadEntry, ...]
    gates: tuple[Part, ...]
    array_cols: int
    trees: int

    def part(self, first, n):
        """The :class:`Part` of ``n`` output channels of a convolution from ``first``, a multiple of A, on."""
        if first % self.array_cols:
            raise ValueError(f"first = {first} is not allowed: first must be a multiple of {self.array_cols}")
        whole = self.gates[0]
        return dataclasses.replace(whole, n=n, table_base=first, weight_base=first // self.array_cols * self._k)

    @property
    def _k(self):
        return self.layer.k_rows * self.trees


def pack_fields(fields, bits, line_words):
    """Lines of 16-bit words (lines, line_words) that hold unsigned ``fields`` of ``bits`` bits without gaps."""
    fields = check_range("fields", np.ravel(fields), bits, signed=False)
    flat = (fields[:, None] >> np.arange(bits) & 1).ravel()
    flat = np.pad(flat, (0, -len(flat) % (16 * line_words)))
    words = flat.reshape(-1, 16) @ (1 << np.arange(16))
    return (words - (words >> 15 << 16)).reshape(-1, line_words)


def layer_words(layer, segment):
    """The configuration of a ``Layer`` as (address, data); a gate's has no words that it does not use."""
    words = [int(layer.gate), layer.groups, layer.passes, layer.group_rows, layer.k_rows, layer.p_shift]
    if not layer.gate:
        words += [layer.block_width, layer.tile_width, layer.stride_y, layer.stride_x, layer.origin_y, layer.origin_x,
                  int(layer.keep_order)]
    words = list(enumerate(words))
    if not layer.gate:
        words.append((_UNUSED, layer.unused))
    words += [(_THRESHOLDS + i, t) for i, t in enumerate(layer.thresholds)]
    bits = 1 << np.arange(segment, dtype=np.int64)
    return words + [(_TAPS + q, int(np.dot(far_y, bits) | np.dot(far_x, bits) << segment))
                    for q, (far_y, far_x) in enumerate(layer.taps)]


def map_speculation(mapping, speculation, sizes, *, keep_order, thresholds=None):
    """The :class:`SpeculatorMapping` of a mapped convolution.

    ``mapping``: ``ConvMapping``; ``speculation``: ``Speculation`` with a block of P a group of C channels, lane t * C +
    c; ``sizes``: ``AcceleratorSizes``. ``keep_order``: channels stay in their order (modes OS and IOS). ``thresholds``
    of the Reorder Unit: by default a bucket a sum, as far as there are buckets.
    """
    segment, (th, tw), (kh, kw) = sizes.segment, mapping.in_map.block, mapping.layer.kernel
    if mapping.layer.out_channels != len(speculation.weight) or len(speculation.projection) != mapping.in_map.groups:
        raise ValueError(f"the speculation has {len(speculation.weight)} channels and {len(speculation.projection)} "
                         f"blocks: the layer has {mapping.layer.out_channels} and {mapping.in_map.groups} groups")
    if max(mapping.layer.stride) > 7:
        raise ValueError(f"stride = {mapping.layer.stride} is not allowed: stride must be at most 7")
    taps_y, taps_x = (index.ravel() for index in np.indices((kh, kw)))
    place = taps_y % th * tw + taps_x % tw
    turn = np.array([np.sum(place[:tap] == place[tap]) for tap in range(len(place))])  # the pass of each tap
    passes = int(turn.max()) + 1
    far = np.zeros((2, passes, segment), dtype=np.int64)
    far[:, turn, place] = taps_y // th, taps_x // tw
    blocks, k_group, lanes = speculation.projection.shape
    if lanes != kh * kw * sizes.cols:
        raise ValueError(f"the speculation has {lanes} inputs a block: the layer has {kh * kw * sizes.cols}")
    p = np.zeros((blocks, passes, k_group, segment, sizes.cols), dtype=np.int64)
    p[:, turn, :, place] = speculation.projection.reshape(blocks, k_group, kh * kw, sizes.cols).transpose(2, 0, 1, 3)
    if thresholds is None:
        thresholds = tuple(segment * (sizes.buckets - 1 - i) // sizes.buckets for i in range(sizes.buckets - 1))
    layer = Layer(
        groups=blocks, passes=passes, group_rows=_rows(k_group, sizes), p_shift=speculation.p_shift,
        block_width=tw.bit_length() - 1, tile_width=mapping.tile[1].bit_length() - 1, stride_y=mapping.layer.stride[0],
        stride_x=mapping.layer.stride[1], origin_y=-mapping.layer.padding[0] % (2 * th),
        origin_x=-mapping.layer.padding[1] % (2 * tw), keep_order=keep_order, thresholds=thresholds,
        unused=segment - mapping.tile[0] * mapping.tile[1],
        taps=tuple((tuple(y), tuple(x)) for y, x in far.swapaxes(0, 1).tolist()))
    loads = mapping.load_table[:len(mapping.load_table) // mapping.chunk_lines]
    return _mapped(layer, p, [speculation], sizes, load_table=loads)


def map_gate_speculation(speculations, sizes):
    """The :class:`SpeculatorMapping` of the gates of one vector, which share P (and its shift).

    ``speculations``: of each gate, with one block of P, the vector line by line: lane t * C + c of a line is its word
    S c + t.
    """
    p, p_shift = speculations[0].projection, speculations[0].p_shift
    for speculation in speculations:
        if speculation.p_shift != p_shift or not np.array_equal(speculation.projection, p):
            raise ValueError("gates of one vector must have the same projection and p_shift")
    if len(p) != 1 or p.shape[2] % sizes.line_words:
        raise ValueError(f"the projection has shape {p.shape}: it must be (1, k, lines * {sizes.line_words})")
    rows = buffer_projection(p, sizes.line_words)
    layer = Layer(gate=True, passes=rows.shape[1], group_rows=_rows(p.shape[1], sizes), p_shift=p_shift)
    return _mapped(layer, rows, speculations, sizes)


def _rows(k_group, sizes):
    trees = sizes.speculator.trees
    if k_group % trees:
        raise ValueError(f"k_group = {k_group} is not allowed: it must be a multiple of trees = {trees}")
    return k_group // trees


def _mapped(layer, p, speculations, sizes, load_table=()):
    """``p``: entries in the order of the projection buffer."""
    size = sizes.speculator
    if layer.passes > sizes.max_passes:
        raise ValueError(f"passes = {layer.passes} is not allowed: it must be from 1 to {sizes.max_passes}")
    Speculator(size).configure(layer)  # refuses what does not fit
    k, weights, table, gates = layer.k_rows * size.trees, [], [], []
    for speculation in speculations:
        for name, ours, theirs in (("input_bits", size.bits, "bits"), ("weight_bits", size.bits, "bits"),
                                   ("scale_bits", size.scale_bits, None), ("bias_bits", size.bias_bits, None),
                                   ("pre_bits", size.pre_bits, None), ("code_bits", size.code_bits, None),
                                   ("input_shift", 16 - size.bits, None)):
            if getattr(speculation.formats, name) != ours:
                raise ValueError(f"{name} = {getattr(speculation.formats, name)} is not allowed: the Speculator has "
                                 f"{theirs or name} = {ours}")
        n = len(speculation.weight)
        gates.append(Part(n=n, weight_base=sum(map(len, weights)), table_base=sum(map(len, table)),
                          function=int(speculation.function), threshold=speculation.threshold,
                          q_shift=speculation.q_shift))
        columns = np.pad(check_range("weight", speculation.weight, size.bits), ((0, -n % size.array_cols), (0, 0)))
        if columns.shape[1] != k:
            raise ValueError(f"weight has shape {speculation.weight.shape}: it must be ({n}, {k})")
        weights.append(columns.reshape(-1, size.array_cols, k).swapaxes(1, 2).reshape(-1, size.array_cols))
        scale = check_range("scale", speculation.scale, size.scale_bits, signed=False)
        bias = check_range("bias", speculation.bias, size.bias_bits)
        table.append(scale | (bias & (1 << size.bias_bits) - 1) << size.scale_bits)
    weights, table = np.concatenate(weights), np.concatenate(table)
    for name, count, most in (("weight rows", len(weights), size.weight_rows),
                              ("table entries", len(table), size.table_entries)):
        if count > most:
            raise ValueError(f"{count} {name} are not allowed: the Speculator has {most}")
    words = sizes.line_words
    return SpeculatorMapping(
        layer=layer, load_table=load_table, gates=tuple(gates), array_cols=size.array_cols, trees=size.trees,
        projection=pack_fields(encode_ternary(p), 2, words),
        weights=pack_fields(weights & (1 << size.bits) - 1, size.bits, words),
        table=pack_fields(table, ENTRY_BITS, words))
