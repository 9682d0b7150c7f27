"""Address generator of the engine SPEC: lines and jobs for the Speculator."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.command import CommandLayout, WorkOp
from hw.duet.config_registers import ConfigRegisters
from hw.duet.exec_feeder import REGISTER_BASE
from hw.duet.fetch import Fetch, Target
from hw.duet.function import Function
from hw.duet.load_table import ENTRIES, LoadTable, TileBlock, load_fields
from hw.duet.speculator_types import SLOTS, LineKind

__all__ = ["JobContext", "SpecFeeder", "spec_fields"]


def spec_fields(config):
    """Registers of the engine, as :class:`ConfigRegisters` takes them."""
    base = REGISTER_BASE + 0x10
    return {
        **load_fields(config.segment, REGISTER_BASE),
        "function": (base + 0, Function), "threshold": (base + 1, signed(config.pre_bits)),
        "q_shift": (base + 2, unsigned(6)), "weight_base": (base + 3, range(config.weight_rows)),
        "table_base": (base + 4, range(config.table_entries)), "project": (base + 5, unsigned(1)),
        "vector_lines": (base + 6, unsigned(8)),
    }


class JobContext(data.StructLayout):
    """What the writer must know of a job: where its map and its order (or activations) go.

    ``empty``: no results follow; ``gate``; ``signal``: tokens to give when it has ended.
    """

    def __init__(self):
        super().__init__({"empty": 1, "gate": 1, "signal": 4, "map_line": 16, "line": 16})


class SpecFeeder(wiring.Component):
    """Turns commands ``FILL``, ``TILE`` and ``GATE`` into fetches of lines and jobs, and writes the configuration.

    Order: docs/duet/duet_accelerator.md. A tile's lines are fetched when the activation buffer has room for all of
    them, so that they never hold up the bus; its job is offered after them. Throughput: a line a cycle.

    Members
    -------
    commands: In(stream of :class:`CommandLayout`)
    fetch: Out(stream of :class:`Fetch`); on_way: In, a line of ours has not reached the Speculator
    released: In, the Speculator has given back the room of a tile
    jobs: Out(stream of the Speculator's :class:`Job`)
    context: Out(stream of :class:`JobContext`), one a command, in order
    drained: In, every job that was taken has ended
    config_write: Out(stream of the Speculator's configuration words)
    """

    def __init__(self, config, speculator):
        self.config = config
        members = speculator.signature.members
        super().__init__({
            "commands": In(stream.Signature(CommandLayout())),
            "fetch": Out(stream.Signature(Fetch(config))), "on_way": In(1),
            "released": In(1),
            "jobs": In(members["jobs"].signature),
            "context": Out(stream.Signature(JobContext())),
            "drained": In(1),
            "config_write": In(members["config"].signature),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.registers = registers = ConfigRegisters(spec_fields(config))
        r, layout = registers.values, registers.values.shape()
        m.submodules.block = block = TileBlock(layout, config.segment)
        m.submodules.table = table = LoadTable(layout, config.segment)
        command, fetch, context = self.commands, self.fetch, self.context

        c = Signal(CommandLayout(), reset_less=True)
        gate = c.op == WorkOp.GATE
        entry, group, offset = Signal(range(ENTRIES)), Signal(10), Signal(16)
        held, takes = Signal(2), Signal()  # tiles whose room is in use
        rows = Signal(16)
        last_group = group == r.groups - 1
        tile_lines = (r.n + (config.cols * config.rows - 1)) >> (config.cols * config.rows).bit_length() - 1
        m.d.comb += [
            registers.data.eq(c.a), registers.address.eq(c.b),
            block.registers.eq(r), block.ty.eq(c.b), block.tx.eq(c.c),
            table.registers.eq(r), table.by.eq(block.by), table.bx.eq(block.bx), table.index.eq(entry),
            rows.eq(Mux(gate, r.vector_lines, r.groups << (SLOTS.bit_length() - 1))),
            self.config_write.p.address.eq(c.b), self.config_write.p.data.eq(c.a),
        ]
        room = Mux(rows > config.activation_rows // 2, held == 0, held < 2)
        m.d.sync += held.eq(held + takes - self.released)

        m.d.comb += [
            self.jobs.p.project.eq(r.project), self.jobs.p.function.eq(r.function),
            self.jobs.p.threshold.eq(r.threshold), self.jobs.p.q_shift.eq(r.q_shift), self.jobs.p.n.eq(r.n),
            self.jobs.p.weight_base.eq(r.weight_base), self.jobs.p.table_base.eq(r.table_base),
            self.jobs.p.valid.eq(block.valid),
            context.p.gate.eq(gate), context.p.signal.eq(c.signal),
            context.p.map_line.eq(Mux(gate, c.c, block.omap_line)),
            context.p.line.eq(Mux(gate, c.d, r.order_line + block.number * tile_lines)),
            fetch.p.target.eq(Target.SPECULATOR), fetch.p.mask.eq(~0),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += command.ready.eq(1)
                m.d.sync += [c.eq(command.payload), entry.eq(0), group.eq(0), offset.eq(0)]
                with m.If(command.valid):
                    with m.Switch(command.p.op):
                        with m.Case(WorkOp.CONFIG):
                            m.next = "CONFIG"
                        with m.Case(WorkOp.FILL):
                            m.next = "FILL"
                        with m.Case(WorkOp.TILE):
                            m.next = "SETUP_1"
                        with m.Default():
                            m.next = "VECTOR"
            with m.State("CONFIG"):
                own = c.b >= REGISTER_BASE
                m.d.comb += [registers.enable.eq(self.drained & own), self.config_write.valid.eq(self.drained & ~own)]
                with m.If(self.drained & (own | self.config_write.ready)):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [context.valid.eq(1), context.p.empty.eq(1)]
                with m.If(context.ready):
                    m.next = "IDLE"
            with m.State("FILL"):
                m.d.comb += [
                    fetch.valid.eq(1), fetch.p.read.eq(1), fetch.p.line.eq(c.b + offset), fetch.p.kind.eq(c.flags),
                    fetch.p.address.eq(c.d + offset),
                ]
                with m.If(fetch.ready):
                    m.d.sync += offset.eq(offset + 1)
                    with m.If(offset + 1 == c.c):
                        m.next = "FILLED"
            with m.State("FILLED"):
                with m.If(~self.on_way):
                    m.next = "END"

            for index in range(TileBlock.latency):
                with m.State(f"SETUP_{index + 1}"):
                    m.next = f"SETUP_{index + 2}" if index + 1 < TileBlock.latency else "ROOM"
            with m.State("ROOM"):
                with m.If(~r.project):
                    m.next = "JOB"
                with m.Elif(room):
                    m.d.comb += takes.eq(1)
                    m.next = "LINES"
            with m.State("LINES"):
                last_entry = entry == r.entries - 1
                m.d.comb += [
                    fetch.valid.eq(1), fetch.p.kind.eq(LineKind.ACTIVATION), fetch.p.read.eq(~table.outside),
                    fetch.p.line.eq(block.line + table.offset + group), fetch.p.mask.eq(table.mask),
                    fetch.p.address.eq(group * SLOTS + table.slot), fetch.p.last.eq(last_entry & last_group),
                ]
                with m.If(fetch.ready):
                    m.d.sync += entry.eq(entry + 1)
                    with m.If(last_entry):
                        m.d.sync += [entry.eq(0), group.eq(group + 1)]
                        with m.If(last_group):
                            m.next = "JOB"

            with m.State("VECTOR"):
                with m.If(~r.project):
                    m.next = "JOB"
                with m.Elif(room):
                    m.d.comb += takes.eq(1)
                    m.next = "VECTOR_LINES"
            with m.State("VECTOR_LINES"):
                last = offset + 1 == r.vector_lines
                m.d.comb += [
                    fetch.valid.eq(1), fetch.p.kind.eq(LineKind.ACTIVATION), fetch.p.read.eq(1),
                    fetch.p.line.eq(c.b + offset), fetch.p.address.eq(offset), fetch.p.last.eq(last),
                ]
                with m.If(fetch.ready):
                    m.d.sync += offset.eq(offset + 1)
                    with m.If(last):
                        m.next = "JOB"

            with m.State("JOB"):
                # The writer knows of the job before its results can come.
                m.d.comb += context.valid.eq(1)
                with m.If(context.ready):
                    m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += self.jobs.valid.eq(1)
                with m.If(self.jobs.ready):
                    m.next = "IDLE"
        return m
