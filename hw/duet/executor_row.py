"""A row of the Executor: elements that go from chunk to chunk by themselves, and the sum over them."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.pipeline import reduce_tree, tree_latency
from hw.duet.executor_pe import ExecutorPe, Load, ProgramWrite
from hw.duet.executor_types import BusBody, BusKind
from hw.duet.multicast_bus import XBus, XItem
from hw.shared import shared

__all__ = ["ExecutorNode", "ExecutorRow"]

#: Additions of the row's sum in a cycle.
LEVELS = 2


@shared
class ExecutorNode(wiring.Component):
    """An element that begins the next chunk as soon as that is released and its own last one is being finished.

    Chunks are numbered modulo 4 in Gray code, bit b of which changes with each chunk on bank b; chunks go to banks in
    turn. So ``released`` and ``finished`` tell of each bank whether its last chunk is released, and finished.

    Members: of the element ``program_write``, ``load``, ``psum_read``, ``psum_index``, ``psum``, ``issuing``;
    ``released`` In(2); ``finished`` Out(2); ``first`` In(2), the chunk on a bank is the first one of its step;
    ``row_tags``, ``column_tags`` In.
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "program_write": In(ProgramWrite(config.element)), "load": In(Load(config.element)),
            "released": In(2), "first": In(2), "finished": Out(2),
            "row_tags": In(config.lut_entries), "column_tags": In(data.ArrayLayout(config.lut_entries, 2)),
            "issuing": Out(1), "psum_read": In(1), "psum_index": In(config.word_bits),
            "psum": Out(signed(config.acc_bits)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.pe = pe = ExecutorPe(self.config.element, self.assertions)
        begun, bank = Signal(2), Signal()
        m.d.comb += [
            pe.program_write.eq(self.program_write), pe.load.eq(self.load),
            bank.eq(begun[0] ^ begun[1]),
            pe.start.eq(pe.ready & Mux(bank, begun[1] ^ self.released[1], begun[0] ^ self.released[0])),
            pe.start_bank.eq(bank), pe.clear.eq(self.first.bit_select(bank, 1)),
            pe.tags.eq(self.row_tags & self.column_tags[bank]),
            self.issuing.eq(pe.issuing), pe.psum_read.eq(self.psum_read), pe.psum_index.eq(self.psum_index),
            self.psum.eq(pe.psum),
        ]
        with m.If(pe.start):
            m.d.sync += begun.bit_select(bank, 1).eq(~begun.bit_select(bank, 1))
        with m.If(pe.done):
            m.d.sync += self.finished.bit_select(pe.done_bank, 1).eq(~self.finished.bit_select(pe.done_bank, 1))
        return m


@shared
class ExecutorRow(wiring.Component):
    """``cols`` elements of one output channel behind their X-bus, the sum over them, and what they report.

    A row has registers of its own for what goes to all of its elements, so that nothing is broadcast to all R x C.

    Members
    -------
    program_write: In; it reaches the elements in the next cycle
    x: In(:class:`~hw.duet.multicast_bus.XItem`); swap: In, from the next cycle on the other bank is loaded
    meets: Out(cols), the elements that take the item in this cycle
    grant, grant_first: In, the next chunk, the first one of its step, may be begun from the next cycle on
    row_tags, column_tags: In
    psum_read, psum_index: In; sum: Out(signed(sum_bits)), the sum of all partial sums, :meth:`sum_latency` cycles later
    all_finished, any_finished: Out(2), and of the elements' ``finished``, or of them; a cycle later
    issued: Out, instructions issued in the cycle before
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "program_write": In(ProgramWrite(config.element)), "x": In(XItem(config.bus)), "swap": In(1),
            "meets": Out(config.cols), "grant": In(1), "grant_first": In(1),
            "row_tags": In(config.lut_entries),
            "column_tags": In(data.ArrayLayout(data.ArrayLayout(config.lut_entries, 2), config.cols)),
            "psum_read": In(1), "psum_index": In(config.word_bits), "sum": Out(signed(config.sum_bits)),
            "all_finished": Out(2), "any_finished": Out(2), "issued": Out(range(config.cols + 1)),
        })

    @staticmethod
    def sum_latency(config):
        """Cycles from ``psum_read`` to ``sum``."""
        return 2 + tree_latency(config.cols, LEVELS)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.x_bus = bus = XBus(config.bus)
        item = data.View(BusBody(config), bus.o.body)
        inputs, weights = Signal(config.cols), Signal(config.cols)
        m.d.comb += [
            bus.i.eq(self.x), self.meets.eq(bus.o.enable),
            inputs.eq(Mux(item.kind == BusKind.INPUT, bus.o.enable, 0)),
            weights.eq(Mux(item.kind == BusKind.WEIGHT, bus.o.enable, 0)),
        ]
        program, bank, released, first = Signal.like(self.program_write), Signal(), Signal(2), Signal(2)
        psum_read, psum_index, oldest = Signal(), Signal.like(self.psum_index, name="index", reset_less=True), Signal()
        m.d.comb += oldest.eq(released[0] ^ released[1])
        m.d.sync += [program.eq(self.program_write), psum_read.eq(self.psum_read), psum_index.eq(self.psum_index),
                     bank.eq(bank ^ self.swap)]
        with m.If(self.grant):
            m.d.sync += [released.bit_select(oldest, 1).eq(~released.bit_select(oldest, 1)),
                         first.bit_select(oldest, 1).eq(self.grant_first)]

        nodes = []
        for c in range(config.cols):
            node = m.submodules[f"node_{c}"] = ExecutorNode(config, self.assertions)
            m.d.comb += [
                node.program_write.eq(program),
                node.load.input_enable.eq(inputs[c]), node.load.weight_enable.eq(weights[c]),
                node.load.bank.eq(bank), node.load.slot.eq(item.slot), node.load.line.eq(item.line),
                node.load.mask.eq(item.mask), node.load.data.eq(bus.o.data.word_select(c, 16 * config.segment)),
                node.released.eq(released), node.first.eq(first),
                node.row_tags.eq(self.row_tags), node.column_tags.eq(self.column_tags[c]),
                node.psum_read.eq(psum_read), node.psum_index.eq(psum_index),
            ]
            nodes.append(node)
        m.d.comb += self.sum.eq(reduce_tree(m, [node.psum for node in nodes], lambda a, b: a + b, LEVELS, name="sum"))
        count = reduce_tree(m, [Cat(node.issuing) for node in nodes], lambda a, b: a + b, 0, name="issued")
        m.d.sync += self.issued.eq(count)
        for bank in range(2):
            flags = Cat(node.finished[bank] for node in nodes)
            m.d.sync += [self.all_finished[bank].eq(flags.all()), self.any_finished[bank].eq(flags.any())]
        return m
