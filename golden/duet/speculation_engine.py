"""SPEC: the Speculator's tiles and gates, from lines of the GlobalBuffer and back (docs/duet/duet_accelerator.md)."""

import numpy as np

from golden.duet.command import Engine, WorkOp
from golden.duet.engine_registers import FIRST_REGISTER, Registers
from golden.duet.speculator import ENTRY_BITS, Job, Layer, Speculator
from golden.duet.speculator_mfu import Function

__all__ = ["SpeculationEngine"]

_LAYER = ("gate", "groups", "passes", "group_rows", "k_rows", "p_shift", "block_width", "tile_width", "stride_y",
          "stride_x", "origin_y", "origin_x", "keep_order", None, "unused")
_CLEAR_COUNTERS, _THRESHOLDS, _TAPS = 13, 32, 64


class SpeculationEngine:
    """Carries out ``CONFIG``, ``FILL``, ``TILE``, ``GATE``.

    An order's segment of R channels is written where it holds IDs; its other words keep what they were.
    """

    def __init__(self, sizes, memory):
        self._sizes, self._memory = sizes, memory
        self._speculator = Speculator(sizes.speculator)
        self._registers = Registers(Engine.SPEC, sizes.segment)
        self._words, self._layer = {}, None

    def run(self, command):
        """Carry out a command."""
        if command.op == WorkOp.CONFIG:
            self._write(command.b, command.a)
        elif command.op == WorkOp.FILL:
            self._fill(command)
        elif command.op == WorkOp.TILE:
            self._tile(command)
        else:
            self._gate(command)

    def _write(self, address, data):
        if address >= FIRST_REGISTER:
            self._registers.write(address, data)
            return
        known = (*range(len(_LAYER)), *range(_THRESHOLDS, _THRESHOLDS + self._sizes.buckets - 1),
                 *range(_TAPS, _TAPS + self._sizes.max_passes))
        if address not in known:
            raise ValueError(f"address {address:#x} is not allowed: the Speculator has no such word")
        if address != _CLEAR_COUNTERS:
            self._words[address] = data
            self._layer = None

    def _configured(self, gate):
        """The layer that the words say; the Speculator begins anew where they were written since the last job."""
        if self._layer is None:
            word = {name: self._words.get(address, 0) for address, name in enumerate(_LAYER) if name}
            if word.pop("k_rows") != word["groups"] * word["group_rows"]:
                raise ValueError("k_rows is not groups * group_rows")
            self._check(word)
            taps = [self._words.get(_TAPS + q, 0) for q in range(word["passes"])]
            bits = np.arange(self._sizes.segment)
            taps = tuple((word >> bits & 1, word >> self._sizes.segment + bits & 1) for word in taps)
            thresholds = tuple(self._words.get(_THRESHOLDS + i, 0) for i in range(self._sizes.buckets - 1))
            layer = Layer(**word | dict(gate=bool(word["gate"]), keep_order=bool(word["keep_order"]), taps=taps,
                                        thresholds=thresholds))
            self._speculator.configure(layer)
            self._layer = layer
        if self._layer.gate != gate:
            raise ValueError(f"gate = {int(self._layer.gate)} is not allowed: this command needs gate = {int(gate)}")
        return self._layer

    def _check(self, word):
        """Ranges that the Speculator's page gives; its golden model refuses what does not fit in a buffer."""
        sizes, log = self._sizes, self._sizes.segment.bit_length() - 1
        sum_bits = (sizes.line_words * sizes.max_passes - 1).bit_length() + sizes.speculator.bits
        ranges = {"gate": (0, 1), "passes": (1, sizes.max_passes), "p_shift": (0, sum_bits - 1)}
        if not word["gate"]:
            height, width = sizes.segment >> word["block_width"], 1 << word["block_width"]
            ranges |= {"keep_order": (0, 1), "block_width": (0, log), "tile_width": (0, log), "stride_y": (1, 7),
                       "stride_x": (1, 7), "origin_y": (0, 2 * height - 1), "origin_x": (0, 2 * width - 1)}
        for name, (least, most) in ranges.items():
            if not least <= word[name] <= most:
                raise ValueError(f"{name} = {word[name]} is not allowed: {name} must be from {least} to {most}")

    def _fill(self, command):
        if not 1 <= command.flags & 3 <= 3:
            raise ValueError("flags[1:0] = 0 is not allowed: the kind must be from 1 to 3")
        if command.c < 1:
            raise ValueError("c = 0 is not allowed: c must be at least 1 line")
        buffer = Speculator.BUFFERS[(command.flags & 3) - 1]
        for k, line in enumerate(self._memory.read("data", command.b + np.arange(command.c))):
            self._speculator.fill(buffer, command.d + k, line)
            self._memory.fill(buffer, command.d + k)

    def _job(self, valid=()):
        registers = self._registers
        n, = registers.counts("n")
        if n > self._sizes.executor.max_channels:
            raise ValueError(f"n = {n} is not allowed: n must be from 1 to {self._sizes.executor.max_channels}")
        top = 1 << self._sizes.speculator.pre_bits
        threshold = registers["threshold"]
        if threshold >= top:
            raise ValueError(f"threshold = {threshold:#x} is not allowed: it has {top.bit_length() - 1} bits")
        job = Job(n=n, project=bool(registers["project"]), function=Function(registers["function"]),
                  threshold=threshold - top * (threshold >= top // 2), q_shift=registers["q_shift"],
                  weight_base=registers["weight_base"], table_base=registers["table_base"], valid=valid)
        self._hold(job)
        return job

    def _hold(self, job):
        """The lines of the Speculator's buffers that the job reads."""
        size, layer = self._sizes.speculator, self._layer
        blocks = -(-job.n // size.array_cols) * layer.k_rows * size.trees
        for name, first, rows, bits in (
                ("projection", 0, layer.k_rows * layer.passes * job.project, 2 * size.trees * self._sizes.line_words),
                ("weight", job.weight_base, blocks, size.bits * size.array_cols),
                ("channel", job.table_base, job.n, ENTRY_BITS)):
            line = 16 * self._sizes.line_words
            self._memory.hold(name, np.arange(first * bits // line, -(-(first + rows) * bits // line)))

    def _tile(self, command):
        layer, registers = self._configured(gate=False), self._registers
        tile = registers.tile_number(command.b, command.c)
        job = self._job(registers.inside(command.b, command.c))
        if job.project:
            loads = list(registers.loads(command.b, command.c))
            if registers["groups"] != layer.groups:
                raise ValueError(f"groups = {registers['groups']} is not allowed: the Speculator has {layer.groups}")
            for group in range(layer.groups):
                for load in loads:
                    last = group == layer.groups - 1 and load is loads[-1]
                    self._send(group * 4 + load.slot, None if load.line is None else load.line + group, load.mask, last)
        result = self._speculator.run(job)
        cols, rows, segment = self._sizes.cols, self._sizes.executor.rows, self._sizes.segment
        first = registers["omap_line"] + tile * registers.counts("out_groups")[0]
        for channel, bits in enumerate(result.map):
            at = channel % cols * segment
            self._memory.write("maps", first + channel // cols, bits, slice(at, at + segment))
        first = registers["order_line"] + tile * -(-job.n // (cols * rows))
        for i, channel in enumerate(result.order.tolist()):
            self._memory.write("data", first + i // (cols * rows), channel, i // rows % cols * segment + i % rows)

    def _gate(self, command):
        layer, registers, words = self._configured(gate=True), self._registers, self._sizes.line_words
        job = self._job()
        if job.project:
            lines = registers["vector_lines"]
            if lines != layer.passes:
                raise ValueError(f"vector_lines = {lines} is not allowed: the Speculator has passes = {layer.passes}")
            for chunk in range(lines):
                self._send(chunk, command.b + chunk, None, chunk == lines - 1)
        result = self._speculator.run(job)
        segments = -(-job.n // self._sizes.segment) * self._sizes.segment
        for name, first, values in (("maps", command.c, result.map), ("data", command.d, result.z)):
            values = np.pad(values[:, 0], (0, segments - job.n))
            for k, begin in enumerate(range(0, segments, words)):
                part = values[begin:begin + words]
                self._memory.write(name, first + k, part, slice(0, len(part)))

    def _send(self, address, line, mask, last):
        words = np.zeros(self._sizes.line_words, np.int64) if line is None else self._memory.read("data", line)
        self._speculator.activation(address, words, mask, last)
