"""StepControl: when items of the bus are taken, chunks are released to the elements, and a step's sums are read."""

from amaranth.hdl import Assert, Cat, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.duet.executor_pe import ExecutorPe
from hw.duet.executor_types import PARITIES, BusKind
from hw.duet.set_bits import SetBits

__all__ = ["StepControl"]

#: Cycles from an element's last instruction to the one in which it is known here that all have finished.
REPORT = 3


class Pass(enum.Enum, shape=2):
    """The tags of the chunk that is loaded: not yet asked for, wait, are formed, are there."""

    NONE = 0
    WAIT = 1
    RUN = 2
    DONE = 3


class StepControl(wiring.Component):
    """The order of things in the Executor; docs/duet/executor.md has it as rules.

    Parameters: ``config`` an :class:`~hw.duet.executor_types.ExecutorConfig`; ``assertions``: check the order of items.

    Members
    -------
    kind, last, parity: In, of the item that waits in the bus; take: Out, it can be taken; taken: In, it is
    bank: Out, the bank that is loaded; swap: Out, from the next cycle on the other one is
    expand: Out, the tags of this bank shall be formed, with expand_rows those of the rows too; expanded: In, done
    grant, grant_first: Out, the next chunk, the first one of its step, is released
    all_finished, any_finished: In, of each row
    move: Out, the next step's maps become the current ones; reading: In, those are in use
    read: Out, the current step's sums shall be read; read_parity: Out, its parity; read_done: In, the last one is read;
        output_free: In, its results have a place
    inside: Out, a chunk is complete, or in work, or a step's sums are not yet read; ending: Out, a step's last chunk is
        released and its sums are not yet read
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        flags = data.ArrayLayout(2, config.rows)
        super().__init__({
            "kind": In(BusKind), "last": In(1), "parity": In(ceil_log2(PARITIES)), "take": Out(1), "taken": In(1),
            "bank": Out(1), "swap": Out(1), "expand": Out(1), "expand_rows": Out(1), "expanded": In(1),
            "grant": Out(1), "grant_first": Out(1), "all_finished": In(flags), "any_finished": In(flags),
            "move": Out(1), "reading": In(1),
            "read": Out(1), "read_parity": Out(ceil_log2(PARITIES)), "read_done": In(1), "output_free": In(1),
            "inside": Out(1), "ending": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        parity = ceil_log2(PARITIES)
        # As in the elements, `released` and `finished` number chunks in Gray code, a bit a bank.
        released, finished, full = Signal(2), Signal(2, init=3), Signal(2)
        for bank in range(2):
            m.d.sync += finished[bank].eq(Mux(
                released[bank], Cat(flags[bank] for flags in self.all_finished).all(),
                ~Cat(flags[bank] for flags in self.any_finished).any()))
        step_open, moving, sealed = Signal(), Signal(), Signal()

        # Loading. `begins`: the chunk is the first one of its step. `going`: all of its items are here.
        bank, begins, going = self.bank, Signal(init=1), Signal()
        state = Signal(Pass)
        going_last, going_parity = Signal(reset_less=True), Signal(parity, reset_less=True)
        lasts, parities = Signal(2), Signal(data.ArrayLayout(parity, 2), reset_less=True)
        closes, full_here, finished_here = Signal(), Signal(), Signal()
        m.d.comb += [
            full_here.eq(full.bit_select(bank, 1)), finished_here.eq(finished.bit_select(bank, 1)),
            # The first of them that is no input ends the inputs, and with those the maps of the step.
            closes.eq((state == Pass.NONE) & ((self.kind == BusKind.WEIGHT) | (self.kind == BusKind.GO))),
            self.take.eq(Mux(self.kind == BusKind.OMAP, ~sealed,
                             finished_here & ~full_here & ~going & ~(closes & begins & sealed))),
            self.expand_rows.eq(begins),
            # The row tags are in use until all elements have begun the chunk before, that is, until it is released:
            # the one before that has been finished by all, since this bank was free.
            self.expand.eq((state == Pass.WAIT) & ~(begins & full.any())),
            self.swap.eq(going & ((state == Pass.DONE) | ((state == Pass.RUN) & self.expanded))),
        ]
        with m.If(self.taken):
            with m.If(closes):
                m.d.sync += state.eq(Pass.WAIT)
                with m.If(begins):
                    m.d.sync += sealed.eq(1)
            with m.If(self.kind == BusKind.GO):
                m.d.sync += [going.eq(1), going_last.eq(self.last), going_parity.eq(self.parity)]
        with m.If(self.expand):
            m.d.sync += state.eq(Pass.RUN)
        with m.If(self.expanded):
            m.d.sync += state.eq(Pass.DONE)

        # Release, in order: a step's first chunk once the sums of the step before were read.
        firsts, oldest = Signal(2), Signal()
        m.d.comb += [
            oldest.eq(released[0] ^ released[1]), self.grant_first.eq(firsts.bit_select(oldest, 1)),
            self.grant.eq(full.bit_select(oldest, 1) & ~(self.grant_first & step_open)),
            self.move.eq(moving & ~self.reading),
        ]
        with m.If(self.move):
            m.d.sync += [moving.eq(0), sealed.eq(0)]
        with m.If(self.grant):
            m.d.sync += [full.bit_select(oldest, 1).eq(0), finished.bit_select(oldest, 1).eq(0),
                         released.bit_select(oldest, 1).eq(~released.bit_select(oldest, 1))]
            with m.If(self.grant_first):
                m.d.sync += [step_open.eq(1), moving.eq(1)]
            with m.If(lasts.bit_select(oldest, 1)):
                m.d.sync += [self.ending.eq(1), self.read_parity.eq(parities[oldest])]
        with m.If(self.swap):
            m.d.sync += [
                full.bit_select(bank, 1).eq(1), firsts.bit_select(bank, 1).eq(begins),
                lasts.bit_select(bank, 1).eq(going_last), parities[bank].eq(going_parity),
                going.eq(0), state.eq(Pass.NONE), begins.eq(going_last), bank.eq(~bank),
            ]

        # The end of a step. The last sums are formed while the end is reported, while the first output to read is
        # searched, and in the cycle that brings its number to the rows.
        assert ExecutorPe.latency == REPORT + SetBits.latency + 1, "the sums would be read too early or too late"
        being_read = Signal()
        m.d.comb += self.read.eq(self.ending & finished.all() & ~being_read & self.output_free & ~moving)
        with m.If(self.read):
            m.d.sync += being_read.eq(1)
        with m.If(self.read_done):
            m.d.sync += [being_read.eq(0), step_open.eq(0), self.ending.eq(0)]
        m.d.comb += self.inside.eq(step_open | full.any() | (state != Pass.NONE))

        if self.assertions:
            with m.If(self.taken & (self.kind == BusKind.INPUT)):
                m.d.sync += Assert(state == Pass.NONE, "an input after a weight of its chunk")
            with m.If(self.expanded):
                m.d.sync += Assert(state == Pass.RUN, "tags that nobody asked for")
        return m
