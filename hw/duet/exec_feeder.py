"""Address generator of the engine EXEC: the maps, inputs and weights of a tile or a gate, step by step."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.command import CommandLayout, WorkOp
from hw.duet.config_registers import ConfigRegisters
from hw.duet.executor_types import BusKind, ConfigWord
from hw.duet.fetch import Fetch, Seen, Target
from hw.duet.load_table import ENTRIES, LoadTable, TileBlock, load_fields
from hw.duet.set_bits import SetBits

__all__ = ["REGISTER_BASE", "ExecFeeder", "StepContext", "exec_fields"]

#: First address of an engine's own registers.
REGISTER_BASE = 0x8000


def exec_fields(config):
    """Registers of the engine, as :class:`ConfigRegisters` takes them."""
    base = REGISTER_BASE + 0x10
    return {
        **load_fields(config.segment, REGISTER_BASE),
        "use_map": (base + 0, unsigned(1)), "use_order": (base + 1, unsigned(1)),
        "imap_line": (base + 2, unsigned(16)), "chunks": (base + 3, unsigned(10)),
        "chunk_groups": (base + 4, unsigned(4)), "weight_line": (base + 5, unsigned(16)),
        "weight_lines": (base + 6, range(config.weight_lines + 1)), "out_line": (base + 7, unsigned(16)),
        "out_map_line": (base + 8, unsigned(16)), "out_blocks_x": (base + 9, unsigned(10)),
        "merge_y": (base + 10, unsigned(1)), "merge_x": (base + 11, unsigned(1)),
    }


class StepContext(data.StructLayout):
    """What the result writer must know of a step.

    ``empty``: no results follow; ``final``: the command ends with it, and gives ``signal``; ``gate``: results are
    words; ``line``, ``map_line``: of the result block's channel group 0 (gate: of the command's first neuron).
    """

    def __init__(self):
        super().__init__({"empty": 1, "final": 1, "gate": 1, "signal": 4, "line": 16, "map_line": 16})


class ExecFeeder(wiring.Component):
    """Turns commands ``TILE`` and ``GATE`` into fetches, and writes the configuration.

    Order of the fetches: docs/duet/duet_accelerator.md. Throughput: a fetch a cycle inside of a chunk. Besides, a tile
    costs :data:`SETUP` cycles, a step the wait for its order (where it is used) and for its last map. The fetches of a
    step, and of the next command, do not wait for results.

    Members
    -------
    commands: In(stream of :class:`CommandLayout`)
    fetch: Out(stream of :class:`Fetch`); seen: In(:class:`Seen`)
    context: Out(stream of :class:`StepContext`), one a step, in the order of the steps
    drained: In, every context that was taken has ended
    config_write: Out(stream of the Executor's configuration words)
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "commands": In(stream.Signature(CommandLayout())),
            "fetch": Out(stream.Signature(Fetch(config))),
            "seen": In(Seen(config)),
            "context": Out(stream.Signature(StepContext())),
            "drained": In(1),
            "config_write": Out(stream.Signature(ConfigWord())),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        rows, cols, words = config.rows, config.cols, config.cols * config.segment
        m.submodules.registers = registers = ConfigRegisters(exec_fields(config))
        r, layout = registers.values, registers.values.shape()
        m.submodules.block = block = TileBlock(layout, config.segment)
        m.submodules.table = table = LoadTable(layout, config.segment)
        m.submodules.neurons = neurons = SetBits(words, marker=True)
        command, fetch, seen, context = self.commands, self.fetch, self.seen, self.context

        c = Signal(CommandLayout(), reset_less=True)
        gate = c.op == WorkOp.GATE
        ids = Signal(data.ArrayLayout(config.channel_bits, rows), reset_less=True)
        bases = Signal(data.ArrayLayout(16, rows), reset_less=True)
        active, left = Signal(rows), Signal(rows)
        row, count, pending = Signal(range(rows + 1)), Signal(range(rows + 1)), Signal(range(rows + 1))
        done = Signal(16, reset_less=True)  # channels of the steps before
        entry, line = Signal(range(ENTRIES)), Signal(range(config.weight_lines + 1))
        chunk = Signal(10)
        in_offset, weight_offset = Signal(16), Signal(16)
        weights = Signal(16, reset_less=True)  # line of the next compact row
        final = Signal()
        stride, out_block = Signal(16, reset_less=True), Signal(16, reset_less=True)
        out_offset = Signal(16, reset_less=True)
        m.d.sync += [
            stride.eq(r.chunks * r.weight_lines),
            out_block.eq((c.b[:10] >> r.merge_y) * r.out_blocks_x + (c.c[:10] >> r.merge_x)),
            out_offset.eq(out_block * r.out_groups),
        ]
        remaining = Signal(16)
        tile_rows = Signal.like(count, name="tile_rows")
        first_row = Signal(range(rows))
        m.d.comb += [
            registers.data.eq(c.a), registers.address.eq(c.b),
            block.registers.eq(r), block.ty.eq(c.b), block.tx.eq(c.c),
            table.registers.eq(r), table.by.eq(block.by), table.bx.eq(block.bx), table.index.eq(entry),
            remaining.eq(r.n - done), tile_rows.eq(Mux(remaining > rows, rows, remaining)),
            self.config_write.p.address.eq(c.b), self.config_write.p.data.eq(c.a),
        ]
        for index in reversed(range(rows)):
            with m.If(left[index]):
                m.d.comb += first_row.eq(index)
        row_id = ids[row]
        group_bits, order_bits = cols.bit_length() - 1, (cols * rows).bit_length() - 1
        row_bits, word_bits = rows.bit_length() - 1, words.bit_length() - 1

        # What was fetched for this generator.
        with m.If(seen.valid & (seen.target == Target.ROWS) & seen.select):
            m.d.sync += [active.bit_select(seen.row, 1).eq(seen.any), pending.eq(pending - 1)]
        with m.If(seen.valid & (seen.target == Target.IDS)):
            m.d.sync += [ids[index].eq(seen.ids.word_select(index, 16)) for index in range(rows)]
        limit = Signal(words)
        m.d.comb += [limit[index].eq(c.a[16:] > index) for index in range(words)]
        m.d.comb += [neurons.i.valid.eq(seen.valid & (seen.target == Target.MAP)),
                     neurons.i.p.bits.eq(seen.map & limit)]

        m.d.comb += [fetch.p.mask.eq(~0), fetch.p.row.eq(row)]
        context_line = Mux(gate, r.out_line + (c.d >> word_bits), r.out_line + out_offset)
        m.d.comb += [
            context.p.final.eq(final), context.p.gate.eq(gate), context.p.signal.eq(c.signal),
            context.p.line.eq(context_line), context.p.map_line.eq(r.out_map_line + out_offset),
        ]
        parity = Cat(c.c[0] & r.merge_x, c.b[0] & r.merge_y)

        def begin_chunks():
            m.d.sync += [chunk.eq(0), in_offset.eq(0), weight_offset.eq(0), entry.eq(0), line.eq(0),
                         row.eq(0)]

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += command.ready.eq(1)
                m.d.sync += [c.eq(command.payload), done.eq(0), final.eq(0), row.eq(0), weights.eq(command.p.c)]
                with m.If(command.valid):
                    with m.Switch(command.p.op):
                        with m.Case(WorkOp.CONFIG):
                            m.next = "CONFIG"
                        with m.Case(WorkOp.TILE):
                            m.next = "SETUP_1"
                        with m.Default():
                            m.next = "MAP"
            with m.State("CONFIG"):
                own = c.b >= REGISTER_BASE
                m.d.comb += [
                    registers.enable.eq(self.drained & own),
                    self.config_write.valid.eq(self.drained & ~own),
                ]
                with m.If(self.drained & (own | self.config_write.ready)):
                    m.next = "END"
            with m.State("END"):
                # A command without results.
                m.d.comb += [context.valid.eq(1), context.p.empty.eq(1), context.p.final.eq(1)]
                with m.If(context.ready):
                    m.next = "IDLE"

            # ---- a tile
            for index in range(TileBlock.latency):
                with m.State(f"SETUP_{index + 1}"):
                    m.next = f"SETUP_{index + 2}" if index + 1 < TileBlock.latency else "STEP"
            with m.State("STEP"):
                m.d.sync += [count.eq(tile_rows), active.eq(0), row.eq(0), pending.eq(tile_rows),
                             final.eq(remaining <= rows)]
                m.d.sync += [ids[index].eq(done + index) for index in range(rows)]
                m.next = "OMAP"
                with m.If(r.use_order):
                    tile_lines = (r.n + (cols * rows - 1)) >> order_bits
                    m.d.comb += [
                        fetch.valid.eq(1), fetch.p.target.eq(Target.IDS), fetch.p.read.eq(1),
                        fetch.p.line.eq(r.order_line + block.number * tile_lines + (done >> order_bits)),
                        fetch.p.segment.eq(done >> row_bits),
                    ]
                    with m.If(fetch.ready):
                        m.next = "IDS"
                    with m.Else():
                        m.next = "STEP"
            with m.State("IDS"):
                with m.If(seen.valid & (seen.target == Target.IDS)):
                    m.next = "OMAP"
            with m.State("OMAP"):
                m.d.comb += [
                    fetch.valid.eq(1), fetch.p.target.eq(Target.ROWS), fetch.p.kind.eq(BusKind.OMAP),
                    fetch.p.read_map.eq(r.use_map), fetch.p.ones.eq(1), fetch.p.select.eq(1),
                    fetch.p.map_line.eq(block.omap_line + (row_id >> group_bits)), fetch.p.segment.eq(row_id),
                    fetch.p.valid.eq(block.valid), fetch.p.address.eq(row_id),
                ]
                with m.If(fetch.ready):
                    m.d.sync += [bases[row].eq(row_id * stride), row.eq(row + 1)]
                    with m.If(row + 1 == count):
                        m.next = "MAPS"
            with m.State("MAPS"):
                with m.If(pending == 0):
                    begin_chunks()
                    m.d.sync += left.eq(active)
                    m.next = "INPUT"
                    with m.If(~active.any()):
                        m.d.sync += chunk.eq(r.chunks - 1)
                        m.next = "GO"

            # ---- a gate
            with m.State("MAP"):
                m.d.comb += [
                    fetch.valid.eq(neurons.i.ready), fetch.p.target.eq(Target.MAP), fetch.p.read_map.eq(~c.flags[0]),
                    fetch.p.ones.eq(1), fetch.p.map_line.eq(c.a),
                ]
                with m.If(fetch.valid & fetch.ready):
                    m.next = "NEURONS"
            with m.State("NEURONS"):
                m.d.comb += [
                    fetch.valid.eq(neurons.o.valid & ~neurons.o.p.none), fetch.p.target.eq(Target.ROWS),
                    fetch.p.kind.eq(BusKind.OMAP), fetch.p.ones.eq(1), fetch.p.select.eq(1), fetch.p.valid.eq(1),
                    fetch.p.address.eq(c.d + neurons.o.p.index),
                    neurons.o.ready.eq(neurons.o.p.none | fetch.ready),
                ]
                with m.If(neurons.o.valid & neurons.o.p.none):
                    m.next = "END"
                with m.Elif(neurons.o.valid & fetch.ready):
                    m.d.sync += [bases[row].eq(weights), weights.eq(weights + stride), row.eq(row + 1),
                                 final.eq(neurons.o.p.last)]
                    with m.If(neurons.o.p.last | (row == rows - 1)):
                        begin_chunks()
                        m.d.sync += [left.eq((2 << row) - 1), active.eq((2 << row) - 1)]
                        m.next = "INPUT"

            # ---- chunks
            with m.State("INPUT"):
                own_line, last_entry, outside = Signal(16), Signal(range(ENTRIES)), Signal()
                m.d.comb += [
                    last_entry.eq(Mux(gate, r.chunk_groups, r.entries) - 1), outside.eq(~gate & table.outside),
                    own_line.eq(Mux(gate, c.b + entry, block.line + table.offset) + in_offset),
                    fetch.valid.eq(1), fetch.p.target.eq(Target.ROWS), fetch.p.kind.eq(BusKind.INPUT),
                    fetch.p.all_rows.eq(1), fetch.p.read.eq(~outside), fetch.p.line.eq(own_line),
                    fetch.p.read_map.eq(~outside & ~gate), fetch.p.ones.eq(gate),
                    fetch.p.map_line.eq(own_line - r.act_line + r.imap_line),
                    fetch.p.slot.eq(Mux(gate, entry, table.slot)), fetch.p.mask.eq(Mux(gate, ~0, table.mask)),
                ]
                with m.If(fetch.ready):
                    m.d.sync += entry.eq(entry + 1)
                    with m.If(entry == last_entry):
                        m.d.sync += entry.eq(0)
                        m.next = "WEIGHT"
            with m.State("WEIGHT"):
                others = Signal(rows)
                m.d.comb += [
                    others.eq(left & (left - 1)),
                    fetch.valid.eq(1), fetch.p.target.eq(Target.ROWS), fetch.p.kind.eq(BusKind.WEIGHT),
                    fetch.p.row.eq(first_row), fetch.p.read.eq(1), fetch.p.weight_line.eq(line),
                    fetch.p.line.eq(Mux(gate, 0, r.weight_line) + bases[first_row] + weight_offset + line),
                ]
                with m.If(fetch.ready):
                    m.d.sync += line.eq(line + 1)
                    with m.If(line + 1 == r.weight_lines):
                        m.d.sync += [line.eq(0), left.eq(others)]
                        with m.If(~others.any()):
                            m.next = "GO"
            with m.State("GO"):
                last = chunk == r.chunks - 1
                m.d.comb += [
                    # The writer knows of the step before its results can come.
                    context.valid.eq(last & fetch.ready),
                    fetch.valid.eq(~last | context.ready), fetch.p.target.eq(Target.ROWS),
                    fetch.p.kind.eq(BusKind.GO), fetch.p.all_rows.eq(1), fetch.p.last.eq(last),
                    fetch.p.parity.eq(Mux(gate, 0, parity)),
                ]
                with m.If(fetch.valid & fetch.ready):
                    m.d.sync += [
                        chunk.eq(chunk + 1), left.eq(active), in_offset.eq(in_offset + r.chunk_groups),
                        weight_offset.eq(weight_offset + r.weight_lines),
                    ]
                    m.next = "INPUT"
                    with m.If(last):
                        m.d.sync += [done.eq(done + rows), row.eq(0)]
                        m.next = "STEP"
                        with m.If(gate):
                            m.next = "NEURONS"
                        with m.If(final):
                            m.next = "IDLE"
        return m
