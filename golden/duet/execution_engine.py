"""EXEC: the Executor's tiles and gates, from lines of the GlobalBuffer and back (docs/duet/duet_accelerator.md)."""

import numpy as np

from golden.duet.command import Engine, WorkOp
from golden.duet.engine_registers import FIRST_REGISTER, Registers
from golden.duet.executor import Executor, Item, Kind
from golden.duet.executor_pe import SLOTS

__all__ = ["ExecutionEngine"]


class ExecutionEngine:
    """Carries out ``CONFIG``, ``TILE``, ``GATE``; ``executor``: the golden model that takes the items."""

    def __init__(self, sizes, memory):
        self._sizes, self._memory = sizes, memory
        self.executor = Executor(sizes.executor)
        self._registers = Registers(Engine.EXEC, sizes.segment)

    def run(self, command):
        """Carry out a command."""
        if command.op == WorkOp.CONFIG:
            target = self._registers if command.b >= FIRST_REGISTER else self.executor
            target.write(command.b, command.a)
        elif command.op == WorkOp.TILE:
            self._tile(command.b, command.c)
        else:
            self._gate(command)

    def _tile(self, y, x):
        registers, rows = self._registers, self._sizes.executor.rows
        number, inside = registers.tile_number(y, x), registers.inside(y, x)
        loads, imap_offset = list(registers.loads(y, x)), registers["imap_line"] - registers["act_line"]
        merge = [int(bool(registers[name])) for name in ("merge_y", "merge_x")]
        parity = 2 * (y & merge[0]) + (x & merge[1])
        ids, chunk_groups = self._order(number), registers.counts("chunk_groups")[0]
        for first in range(0, len(ids), rows):
            channels = ids[first:first + rows]
            omaps = [self._omap(number, channel) & inside for channel in channels]

            def inputs(chunk):
                for load in loads:
                    line = None if load.line is None else load.line + chunk * chunk_groups
                    yield Item(kind=Kind.INPUT, row_all=True, col_all=True, slot=load.slot, mask=load.mask,
                               data=None if line is None else self._memory.read("data", line),
                               map=None if line is None else self._memory.read("maps", line + imap_offset))

            weight_lines = registers["weight_line"] + np.array(channels) * self._row_lines()
            for result in self._step(channels, omaps, inputs, weight_lines, parity):
                self._store(result, y >> merge[0], x >> merge[1])

    def _order(self, tile):
        """Output channels of a tile, in the order in which they are computed."""
        n, = self._registers.counts("n")
        if not self._registers["use_order"]:
            return list(range(n))
        cols, rows = self._sizes.cols, self._sizes.executor.rows
        lines = -(-n // (cols * rows))
        order = self._memory.read("data", self._registers["order_line"] + tile * lines + np.arange(lines))
        ids = order.reshape(lines, cols, -1)[:, :, :rows].ravel()[:n].tolist()
        if not set(ids) <= set(range(n)):
            raise ValueError(f"the order {ids} is not allowed: its channels must be from 0 to {n - 1}")
        return ids

    def _omap(self, tile, channel):
        registers, segment = self._registers, self._sizes.segment
        if not registers["use_map"]:
            return np.ones(segment, dtype=bool)
        line = registers["omap_line"] + tile * registers.counts("out_groups")[0] + channel // self._sizes.cols
        return self._memory.read("maps", line).reshape(-1, segment)[channel % self._sizes.cols]

    def _store(self, result, block_y, block_x):
        registers, segment = self._registers, self._sizes.segment
        out_groups, out_blocks_x = registers.counts("out_groups", "out_blocks_x")
        line = (block_y * out_blocks_x + block_x) * out_groups + result.channel // self._sizes.cols
        words = result.channel % self._sizes.cols * segment + np.flatnonzero(result.mask)
        self._memory.write("data", registers["out_line"] + line, result.data[result.mask], words)
        self._memory.write("maps", registers["out_map_line"] + line, result.nonzero[result.mask], words)

    def _gate(self, command):
        registers, words = self._registers, self._sizes.line_words
        count, first, map_line = command.a >> 16, command.d, command.a & 0xffff
        if not 1 <= count <= words:
            raise ValueError(f"a[31:16] = {count} is not allowed: it must be from 1 to {words} neurons")
        if first % words:
            raise ValueError(f"d = {first} is not allowed: d must be a multiple of {words}")
        neurons = np.arange(count)
        if not command.flags & 1:
            neurons = np.flatnonzero(self._memory.read("maps", map_line)[:count])
        chunk_groups, = registers.counts("chunk_groups")
        if chunk_groups > SLOTS:
            raise ValueError(f"chunk_groups = {chunk_groups} is not allowed: a gate's chunk has at most {SLOTS} lines")

        def inputs(chunk):
            for slot in range(chunk_groups):
                yield Item(kind=Kind.INPUT, row_all=True, col_all=True, slot=slot,
                           mask=np.ones(self._sizes.segment, dtype=bool), map=np.ones(words, dtype=bool),
                           data=self._memory.read("data", command.b + chunk * chunk_groups + slot))

        rows, only = self._sizes.executor.rows, np.arange(self._sizes.segment) == 0
        for begin in range(0, len(neurons), rows):
            channels = (first + neurons[begin:begin + rows]).tolist()
            weight_lines = command.c + (begin + np.arange(len(channels))) * self._row_lines()
            for result in self._step(channels, [only] * len(channels), inputs, weight_lines, 0):
                line = registers["out_line"] + result.channel // words
                self._memory.write("data", line, result.data[0], result.channel % words)

    def _row_lines(self):
        chunks, weight_lines = self._registers.counts("chunks", "weight_lines")
        if weight_lines > self._sizes.executor.weight_lines:
            raise ValueError(f"weight_lines = {weight_lines} is not allowed: it must be from 1 to "
                             f"{self._sizes.executor.weight_lines}")
        return chunks * weight_lines

    def _step(self, channels, omaps, inputs, weight_lines, parity):
        """A step's results. ``inputs(chunk)``: items; ``weight_lines`` (rows,): first line of each row's weights."""
        for row, (channel, omap) in enumerate(zip(channels, omaps)):
            if channel >= self._sizes.executor.max_channels:
                raise ValueError(f"channel {channel} is not allowed: it must be less than max_channels = "
                                 f"{self._sizes.executor.max_channels}")
            bits = np.pad(omap, (0, self._sizes.line_words - len(omap)))
            self.executor.send(Item(kind=Kind.OMAP, row_tag=row, address=channel, map=bits))
        busy = [row for row, omap in enumerate(omaps) if omap.any()]
        chunks = self._registers["chunks"] if busy else 0
        lines = self._registers["weight_lines"]
        for chunk in range(chunks):
            for item in inputs(chunk):
                self.executor.send(item)
            for row in busy:
                for segment in range(lines):
                    line = weight_lines[row] + chunk * lines + segment
                    self.executor.send(Item(kind=Kind.WEIGHT, row_tag=row, col_all=True, line=segment,
                                            data=self._memory.read("data", line)))
            if chunk < chunks - 1:
                self.executor.send(Item(kind=Kind.GO, row_all=True))
        return self.executor.send(Item(kind=Kind.GO, row_all=True, last=True, parity=parity))
