"""Golden model of the Speculator: a layer's switching maps, order of channels and approximate gates.

Thesis 5.1.1, Figure 5.2. Lines, configuration, jobs: docs/duet/speculator.md; formats: docs/duet/machine.md.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import as_integers, check_range
from golden.duet import reorder_unit
from golden.duet.projection import decode_ternary, project
from golden.duet.quantizer import quantize
from golden.duet.speculator_mfu import Function, activate, pre_activation
from golden.duet.switching_map import dequantize, switching_map
from golden.duet.systolic_array import matmul

__all__ = ["Job", "Layer", "Result", "Speculator", "SpeculatorSize"]

SLOTS = 4
ENTRY_BITS = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeculatorSize:
    """The sizes of a Speculator, named as the hardware's parameters; defaults: the paper's."""

    cols: int = 16
    segment: int = 16
    bits: int = 4
    trees: int = 16
    array_cols: int = 32
    activation_rows: int = 64
    projection_rows: int = 32
    input_rows: int = 32
    weight_rows: int = 8192
    table_entries: int = 2048
    scale_bits: int = 8
    bias_bits: int = 12
    pre_bits: int = 8
    code_bits: int = 4

    @property
    def max_shift(self):
        """The greatest ``q_shift``: the greatest product of sum and scale then fills ``pre_bits``."""
        max_k = self.input_rows * self.trees
        return 2 * self.bits + (max_k - 1).bit_length() + self.scale_bits - self.pre_bits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """The configuration of a layer, fields as in the page's table.

    ``taps``: for each pass (far_y, far_x), S flags each. ``thresholds``: of the Reorder Unit.
    """

    gate: bool = False
    groups: int = 1
    passes: int = 1
    group_rows: int = 1
    p_shift: int = 0
    block_width: int = 0
    tile_width: int = 0
    stride_y: int = 1
    stride_x: int = 1
    origin_y: int = 0
    origin_x: int = 0
    keep_order: bool = False
    unused: int = 0
    thresholds: tuple = ()
    taps: tuple = ()

    @property
    def k_rows(self):
        """Rows of the QDR input buffer that a job takes: K / M."""
        return self.groups * self.group_rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A tile or a gate, fields as in the page's table; ``valid``: S flags."""

    n: int
    project: bool = True
    function: Function = Function.RELU
    threshold: int = 0
    q_shift: int = 0
    weight_base: int = 0
    table_base: int = 0
    valid: tuple = ()


@dataclasses.dataclass(frozen=True)
class Result:
    """What a job gives. ``map`` bool (n, positions), ``z`` int64 (n, positions), ``order`` int64 (n,) of a tile."""

    map: np.ndarray
    z: np.ndarray
    order: np.ndarray | None


class Speculator:
    """Buffers and arithmetic. Lines are integer arrays (C S,) of 16-bit words, signed; any other is a ``ValueError``.

    Methods: :meth:`configure`, :meth:`activation`, :meth:`fill`, :meth:`run`. A job that reads outside of a buffer, or
    more tiles than were sent, is a ``ValueError``.
    """

    #: Buffers that :meth:`fill` takes lines for.
    BUFFERS = ("projection", "weight", "channel")

    def __init__(self, size):
        self.size = size
        lanes = size.cols * size.segment
        bits = {"projection": size.projection_rows * size.trees * lanes * 2,
                "weight": size.weight_rows * size.array_cols * size.bits,
                "channel": size.table_entries * ENTRY_BITS}
        # Packed as they arrive, a bit an entry: rows and lines need not have the same length.
        self._bits = {name: np.zeros(-(-count // (lanes * 16)) * lanes * 16, bool) for name, count in bits.items()}
        self._activations = np.zeros((size.activation_rows, size.segment, size.cols), np.int64)
        self.layer = None

    def configure(self, layer):
        """Begin a layer: a :class:`Layer`."""
        size = self.size
        rows = layer.passes if layer.gate else SLOTS * layer.groups
        for name, value, most in (("groups", layer.groups, size.activation_rows // SLOTS),
                                  ("activation rows", rows, size.activation_rows),
                                  ("k_rows", layer.k_rows, size.input_rows),
                                  ("projection rows", layer.k_rows * layer.passes, size.projection_rows)):
            if not 1 <= value <= most:
                raise ValueError(f"{name} = {value} is not allowed: it must be from 1 to {most}")
        if not layer.gate and len(layer.taps) != layer.passes:
            raise ValueError(f"taps has {len(layer.taps)} passes: it must have passes = {layer.passes}")
        if not 0 <= layer.unused < size.segment:
            raise ValueError(f"unused = {layer.unused} is not allowed: it must be from 0 to {size.segment - 1}")
        self.layer, self._rows = layer, rows
        self._halves = 2 if 2 * rows <= size.activation_rows else 1
        self._written, self._complete, self._taken, self._x = 0, 0, 0, None

    def activation(self, address, line, mask=None, last=False):
        """An ``ACTIVATION`` line; ``mask``: S flags (all when ``None``), ``last``: the tile or vector is complete."""
        size = self.size
        if not 0 <= address < self._rows:
            raise ValueError(f"address = {address} is not allowed: it must be from 0 to {self._rows - 1}")
        if self._complete - self._taken >= self._halves:
            raise ValueError("the activation buffer is full: a tile more than it has room for")
        words = quantize(self._line(line).reshape(size.cols, size.segment).T, out_bits=size.bits)
        mask = np.ones(size.segment, bool) if mask is None else np.asarray(mask, bool)
        row = self._complete % self._halves * (size.activation_rows // 2) + address
        self._activations[row, mask] = words[mask]
        self._complete += bool(last)

    def fill(self, buffer, address, line):
        """A line for the buffer named ``projection``, ``weight`` or ``channel``."""
        bits = ((self._line(line)[:, None] >> np.arange(16)) & 1).astype(bool).ravel()
        if not 0 <= address < len(self._bits[buffer]) // len(bits):
            raise ValueError(f"address = {address} is not allowed: it must be from 0 to "
                             f"{len(self._bits[buffer]) // len(bits) - 1}")
        self._bits[buffer][address * len(bits):(address + 1) * len(bits)] = bits

    def run(self, job):
        """The :class:`Result` of a job."""
        size, layer = self.size, self.layer
        if job.project:
            if self._taken == self._complete:
                raise ValueError("project = 1 is not allowed: there is no complete tile in the activation buffer")
            self._x = self._project()
            self._taken += 1
        if self._x is None:
            raise ValueError("project = 0 is not allowed: nothing was projected before")
        if not 0 <= job.q_shift <= size.max_shift:
            raise ValueError(f"q_shift = {job.q_shift} is not allowed: q_shift must be from 0 to {size.max_shift}")
        k = layer.k_rows * size.trees
        tiles = -(-job.n // size.array_cols)
        if job.weight_base + tiles * k > size.weight_rows or job.table_base + job.n > size.table_entries:
            raise ValueError(f"weight_base = {job.weight_base}, table_base = {job.table_base} with n = {job.n} are "
                             "outside of the buffers")
        rows = np.arange(job.weight_base, job.weight_base + tiles * k)
        weights = _signed(self._field("weight", size.bits, rows, size.array_cols), size.bits)
        acc = np.concatenate([matmul(self._x, tile, bits=size.bits)
                              for tile in weights.reshape(tiles, k, -1)], axis=1)[:, :job.n].T
        entries = self._field("channel", ENTRY_BITS, np.arange(job.table_base, job.table_base + job.n), 1)[:, 0]
        scale = entries & ((1 << size.scale_bits) - 1)
        bias = _signed((entries >> size.scale_bits) & ((1 << size.bias_bits) - 1), size.bias_bits)
        pre = pre_activation(acc, scale[:, None], bias[:, None], job.q_shift, scale_bits=size.scale_bits,
                             bias_bits=size.bias_bits, pre_bits=size.pre_bits)
        code = activate(pre, job.function, pre_bits=size.pre_bits, code_bits=size.code_bits)
        valid = None
        if not layer.gate:
            valid = np.asarray(job.valid, bool)
            if valid[size.segment - layer.unused:].any():
                raise ValueError(f"unused = {layer.unused} is not allowed: positions at the end of the tile are valid")
        m = switching_map(pre, job.function, job.threshold, valid, pre_bits=size.pre_bits)
        z = dequantize(code, job.function, code_bits=size.code_bits)
        if layer.gate:
            return Result(m, z, None)
        order = np.arange(job.n) if layer.keep_order else reorder_unit.order(m, layer.thresholds)
        return Result(m, z, order)

    def _project(self):
        """Projected inputs (positions, k) of the oldest tile or vector in the activation buffer."""
        size, layer = self.size, self.layer
        first = self._taken % self._halves * (size.activation_rows // 2)
        buffer = self._activations[first:first + self._rows]
        if layer.gate:
            # (positions, groups, passes, inputs): input t * C + c is word t of segment c.
            windows = buffer.reshape(1, 1, layer.passes, -1)
        else:
            windows = self._windows(buffer.reshape(layer.groups, SLOTS, size.segment, size.cols))
        rows = np.arange(layer.groups * layer.passes * layer.group_rows)
        p = decode_ternary(self._field("projection", 2, rows, size.trees * size.cols * size.segment))
        p = p.reshape(layer.groups, layer.passes, layer.group_rows * size.trees, -1).swapaxes(1, 2)
        blocks = [project(windows[:, g].reshape(len(windows), -1), p[g].reshape(len(p[g]), -1), layer.p_shift,
                          bits=size.bits) for g in range(layer.groups)]
        return np.concatenate(blocks, axis=1)

    def _windows(self, buffer):
        """Projection inputs (positions, groups, passes, S C) from a torus of blocks (groups, slots, words, C)."""
        size, layer = self.size, self.layer
        width = 1 << layer.block_width
        height = size.segment // width
        p, t = np.arange(size.segment), np.arange(size.segment)
        far_y, far_x = (np.array([tap[axis] for tap in layer.taps], np.int64).reshape(-1, size.segment)
                        for axis in range(2))
        y = layer.origin_y + (p >> layer.tile_width)[:, None, None] * layer.stride_y + t // width + height * far_y
        x = layer.origin_x + (p % (1 << layer.tile_width))[:, None, None] * layer.stride_x + t % width + width * far_x
        y, x = y % (2 * height), x % (2 * width)
        slot, word = 2 * (y // height) + x // width, y % height * width + x % width
        found = buffer[:, slot, word]  # (groups, positions, passes, taps, C)
        return found.transpose(1, 0, 2, 3, 4).reshape(size.segment, layer.groups, layer.passes, -1)

    def _field(self, buffer, bits, rows, count):
        """Unsigned fields (rows, count) of a packed buffer."""
        taken = self._bits[buffer][:len(self._bits[buffer]) // (bits * count) * bits * count]
        taken = taken.reshape(-1, count, bits)[rows]
        return taken @ (1 << np.arange(bits, dtype=np.int64))

    def _line(self, line):
        line = as_integers("line", line)
        if line.shape != (self.size.cols * self.size.segment,):
            raise ValueError(f"line has shape {line.shape}: it must be ({self.size.cols * self.size.segment},)")
        return check_range("line", line, 16)


def _signed(fields, bits):
    return fields - ((fields >> (bits - 1)) << bits)
