"""DramController: bursts of a rank's DRAM, in order, with rows opened ahead (thesis 6.4.2, DRAM Controller)."""

import dataclasses
import typing

from amaranth.hdl import Array, Assert, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import field
from hw.enmc import ddr4
from hw.enmc.ddr4 import BURST_BITS, BURST_BYTES, PHASES, BurstAddress, ChipPort
from hw.enmc.ddr_timing import DdrTimingConfig
from hw.enmc.dram_bank import DramBank
from hw.enmc.rank_timers import RankTimers
from hw.enmc.refresh_debt import RefreshDebt
from hw.stream.fifo import Fifo

__all__ = ["BurstData", "DramController", "DramControllerConfig", "DramCounters", "DramRequest", "DramResponse"]

BANKS = 16
#: Bursts of write data that wait for their WRITE; it is decided before its data is driven.
WRITE_DEPTH = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class DramControllerConfig(DdrTimingConfig):
    """Sizes of the DramController, timing of its chips."""

    row_bits: int = field(16, "bits of a row address", unit="bits", min=1, max=18)
    tag_bits: int = field(4, "bits of a request's tag", unit="bits", min=1, max=16)
    queue: int = field(64, "requests that wait, besides those in the lookahead", unit="requests", min=2, max=1024)
    lookahead: int = field(16, "requests whose rows are opened ahead", unit="requests", min=2, max=64,
                           power_of_two=True)

    PRESETS: typing.ClassVar[dict[str, dict]] = {
        "paper": {},
        "small": {"row_bits": 4, "queue": 8, "lookahead": 8, "trefi": 2000, "trfc": 120},
        "fpga": {"row_bits": 14, "queue": 16},
    }

    @property
    def address_bits(self):
        """Bits of a burst address."""
        return self.row_bits + 11

    @property
    def latency(self):
        """Cycles from the transfer of a READ of an open row to its response, everything else at rest."""
        return 2 + self.cl // PHASES

    @property
    def takeover(self):
        """Cycles after which any command of the host lets all banks be precharged."""
        return -(-max(self.tras, self.trc, self.write_to_precharge, self.trtp, self.cl + 4, self.tfaw) // PHASES) + 1


class DramRequest(data.StructLayout):
    """Read or write (``write``) the burst at ``address`` (:class:`hw.enmc.ddr4.BurstAddress`); ``tag`` comes back."""

    def __init__(self, config):
        super().__init__({"write": 1, "address": config.address_bits, "tag": config.tag_bits})


class DramResponse(data.StructLayout):
    """The burst of a READ and its tag."""

    def __init__(self, config):
        super().__init__({"tag": config.tag_bits, "data": BURST_BITS})


class BurstData(data.StructLayout):
    """Data of a WRITE; bit i of ``mask``: byte i is written."""

    def __init__(self):
        super().__init__({"data": BURST_BITS, "mask": BURST_BYTES})


class DramCounters(data.StructLayout):
    """Events since reset, 32 bits each, wrapping."""

    def __init__(self):
        super().__init__({name: 32 for name in ("reads", "writes", "activates", "precharges", "refreshes", "busy")})


class DramController(wiring.Component):
    """Serves reads and writes of bursts in the order of their requests, on DDR4 chips at a quarter of their clock.

    Open page: rows stay open until another one of their bank is asked for, or a REFRESH is due. Up to ``lookahead``
    requests are planned ahead of the one that is sent: their banks are precharged, when no earlier request needs the
    open row any more, and activated, in any order. READ and WRITE go at phase 0, in order; PRECHARGE and ACTIVATE at
    the earliest of phases 1 to 3, all distances kept to the DRAM clock.

    Throughput: one burst a cycle on open rows in different bank groups. Latency: :attr:`DramControllerConfig.latency`
    cycles from a request's transfer to its response, on an open row at rest.
    Back-pressure: on ``requests`` and ``write_data`` only, from registers. **Responses have none**: who sends a read
    has room for its burst.
    Source: thesis 6.4.2; lookahead, refresh and change of the owner are ours. Rules: docs/enmc/dram_controller.md.

    Parameters: ``config`` a :class:`DramControllerConfig`; ``assertions``.

    Members
    -------
    enable: In(1), the logic may own the chips. The controller then waits :attr:`DramControllerConfig.takeover` cycles,
        precharges all banks, and works. When it falls, requests taken by then are finished, all banks precharged.
    idle: Out(1), the chips are not owned: all banks are precharged, tRP ago, and no command will come
    host_refresh: In(1), while ``idle``: the host's REFRESH is on the chips' pins in this cycle
    requests: In(stream of :class:`DramRequest`), taken while ``enable`` was high in the cycle before
    write_data: In(stream of :class:`BurstData`), one a write request, in their order, also before them
    responses: Out(stream of :class:`DramResponse`, always ready), the reads in their order; data straight from
        ``chips.dq_in``
    counters: Out(:class:`DramCounters`): READ, WRITE, ACTIVATE, PRECHARGE (and PRECHARGE ALL), REFRESH commands, cycles
        in which the data bus is busy
    chips: Out(:class:`hw.enmc.ddr4.ChipPort`), commands from registers
    """

    def __init__(self, config, assertions=False):
        self.config, self.assertions = config, assertions
        super().__init__({
            "enable": In(1), "idle": Out(1), "host_refresh": In(1),
            "requests": In(stream.Signature(DramRequest(config))),
            "write_data": In(stream.Signature(BurstData())),
            "responses": Out(stream.Signature(DramResponse(config), always_ready=True)),
            "counters": Out(DramCounters()),
            "chips": Out(ChipPort()),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.queue = queue = Fifo(DramRequest(config), config.queue, bypass=True,
                                          assertions=self.assertions)
        m.submodules.timers = timers = RankTimers(config)
        m.submodules.debt = debt = RefreshDebt(config.trefi)
        banks = [DramBank(config, config.row_bits, config.lookahead, assertions=self.assertions)
                 for _ in range(BANKS)]
        for index, bank in enumerate(banks):
            m.submodules[f"bank_{index}"] = bank

        def of(number, member):
            """A member of the bank with this number."""
            return Array(getattr(bank, member) for bank in banks)[number]

        active, run, close, refresh = Signal(), Signal(), Signal(), Signal()
        m.d.sync += active.eq(self.enable)
        m.d.comb += [
            self.requests.ready.eq(queue.i.ready & active), queue.i.valid.eq(self.requests.valid & active),
            queue.i.payload.eq(self.requests.payload),
        ]

        # Requests in the lookahead; the pointers' top bit tells a full window from an empty one.
        entry = data.StructLayout({"write": 1, "tag": config.tag_bits, "column": 7, "bank": range(BANKS)})
        m.submodules.window = window = Memory(shape=entry, depth=config.lookahead, init=[])
        put, get = window.write_port(), window.read_port(domain="comb")
        plan_at, issue_at = (Signal(range(2 * config.lookahead), name=f"{name}_at") for name in ("plan", "issue"))
        empty = Signal()
        m.d.comb += [put.addr.eq(plan_at[:-1]), get.addr.eq(issue_at[:-1]), empty.eq(plan_at == issue_at)]

        # Plan: the first request joins its bank, unless it is sent at once.
        address = data.View(BurstAddress(config.row_bits), queue.o.p.address)
        first, planned, sent = Signal(entry), Signal(), Signal()
        m.d.comb += [
            first.write.eq(queue.o.p.write), first.tag.eq(queue.o.p.tag), first.column.eq(address.column),
            first.bank.eq(Cat(address.bg, address.bank)), put.data.eq(first), put.en.eq(planned),
            planned.eq(run & queue.o.valid & ~(empty & sent) & (plan_at ^ issue_at != config.lookahead)
                       & of(first.bank, "accepts")),
            queue.o.ready.eq(planned | empty & sent),
        ]
        with m.If(planned):
            m.d.sync += plan_at.eq(plan_at + 1)

        # Issue: READ or WRITE of the oldest request at phase 0; of the queue's first one when none is planned.
        head, column, read, write, data_waits = Signal(entry), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [head.eq(get.data), column.eq(run & of(head.bank, "wants_column"))]
        with m.If(empty):
            m.d.comb += [head.eq(first), column.eq(run & queue.o.valid & of(first.bank, "hits"))]
        m.d.comb += [
            timers.column_group.eq(head.bank[:2]), sent.eq(read | write),
            read.eq(column & ~head.write & timers.read_ready), timers.read.eq(read),
            write.eq(column & head.write & timers.write_ready & data_waits), timers.write.eq(write),
        ]
        with m.If(sent & ~empty):
            m.d.sync += issue_at.eq(issue_at + 1)

        bank, row, activate, closing, precharge = self._rows(m, banks, of, timers, run, empty, get.data.bank)
        for index, part in enumerate(banks):
            issued = head.bank == index
            m.d.comb += [
                part.join_row.eq(address.row), part.join.eq(planned & (first.bank == index)),
                part.done.eq(sent & ~empty & issued),
                part.read.eq(read & issued), part.write.eq(write & issued), part.close.eq(close),
                part.activate.eq(Mux(bank == index, activate, 0)),
                part.precharge.eq(Mux(closing == index, precharge, 0)),
            ]

        reads_in_flight = self._answer(m, read, head.tag)
        writes_in_flight = self._write(m, write, data_waits)
        drained = Signal()
        m.d.comb += drained.eq(~active & ~queue.o.valid & empty & ~reads_in_flight & ~writes_in_flight)
        quiet = Cat(part.can_close for part in banks).all()
        self._own(m, active, drained, quiet, debt, run, close, refresh)
        self._send(m, head, read, write, row, bank, activate, closing, precharge, close, refresh)
        self._count(m, read, write, activate, precharge.any() | close, refresh)
        return m

    def _rows(self, m, banks, of, timers, run, empty, oldest):
        """Which bank is activated, which closed, and at which phases (bits): (bank, row, phase, bank, phase)."""
        # Activate: the oldest request's bank, else the first that can; at the earliest phase.
        last = PHASES - 1
        can_activate = Cat(part.wants_activate & part.ready[last] & timers.activate_ready[index % 4][last]
                           for index, part in enumerate(banks))
        bank, activate, allowed = Signal(range(BANKS)), Signal(PHASES), Signal(PHASES)
        row = Signal(self.config.row_bits)
        m.d.comb += [
            bank.eq(self._first(can_activate)), row.eq(of(bank, "row")),
            timers.activate_group.eq(bank[:2]), timers.activate.eq(activate),
            allowed.eq(of(bank, "ready") & Array(timers.activate_ready)[bank[:2]]),
        ]
        with m.If(~empty & can_activate.bit_select(oldest, 1)):
            m.d.comb += bank.eq(oldest)
        with m.If(run & can_activate.any()):
            m.d.comb += activate.eq(self._earliest(allowed))

        # Precharge: the first bank that can, at the earliest phase that ACTIVATE leaves free.
        can_precharge = Cat(part.wants_precharge & part.ready[last] for part in banks)
        closing, precharge = Signal(range(BANKS)), Signal(PHASES)
        m.d.comb += closing.eq(self._first(can_precharge))
        with m.If(run & can_precharge.any()):
            m.d.comb += precharge.eq(self._earliest(of(closing, "ready") & ~activate))
        return bank, row, activate, closing, precharge

    @staticmethod
    def _first(bits):
        """The number of the lowest bit that is 1, of 16."""
        number = len(bits) - 1
        for index in reversed(range(len(bits) - 1)):
            number = Mux(bits[index], index, number)
        return number

    @staticmethod
    def _earliest(allowed):
        """The lowest bit that is 1 of bits 1 to 3, alone."""
        return Cat(Const(0, 1), allowed[1], *(allowed[phase] & ~allowed[1:phase].any() for phase in range(2, PHASES)))

    def _own(self, m, active, drained, quiet, debt, run, close, refresh):
        """Who owns the chips; PRECHARGE ALL, then REFRESH, both at the last phase."""
        config = self.config
        cycles = -(-config.trfc // PHASES)
        timer = Signal(range(max(cycles, -(-config.trp // PHASES)) + 1))
        settle = Signal(range(config.takeover + 1))
        over = Signal()
        m.d.comb += [over.eq(timer == 0), debt.refreshed.eq(refresh)]
        with m.If(~over):
            m.d.sync += timer.eq(timer - 1)
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += [self.idle.eq(1), debt.refreshed.eq(self.host_refresh)]
                m.d.sync += settle.eq(config.takeover)
                with m.If(self.host_refresh):
                    m.d.sync += timer.eq(cycles)
                with m.If(active):
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                with m.If(settle != 0):
                    m.d.sync += settle.eq(settle - 1)
                with m.Elif(over):
                    m.next = "CLOSE"
            with m.State("CLOSE"):
                with m.If(quiet):
                    m.d.comb += close.eq(1)
                    m.d.sync += timer.eq(-(-config.trp // PHASES) - 1)
                    m.next = "CLOSED"
            with m.State("CLOSED"):
                with m.If(over):
                    with m.If(debt.owed != 0):
                        m.d.comb += refresh.eq(1)
                        m.d.sync += timer.eq(cycles - 1)
                    with m.Elif(drained):
                        m.next = "IDLE"
                    with m.Else():
                        m.next = "RUN"
            with m.State("RUN"):
                with m.If((debt.owed != 0) | drained):
                    m.next = "CLOSE"
                with m.Else():
                    m.d.comb += run.eq(1)
        if self.assertions:
            m.d.sync += Assert(~self.host_refresh | fsm.ongoing("IDLE"), "host_refresh while the chips are owned")

    def _answer(self, m, read, tag):
        """Responses, CL after their READ; whether any is to come."""
        stages = 1 + self.config.cl // PHASES
        coming = Signal(stages)
        m.d.sync += coming.eq(Cat(read, coming[:-1]))
        for stage in range(stages):
            late = Signal.like(tag, name=f"tag_{stage}", reset_less=True)
            m.d.sync += late.eq(tag)
            tag = late
        m.d.comb += [self.responses.valid.eq(coming[-1]), self.responses.p.tag.eq(tag),
                     self.responses.p.data.eq(self.chips.dq_in)]
        return coming.any()

    def _write(self, m, write, data_waits):
        """Data of the WRITEs, CWL after them; whether any is to come. ``data_waits``: there is some for one more."""
        m.submodules.write_queue = queue = Fifo(BurstData(), WRITE_DEPTH, assertions=self.assertions)
        coming = Signal(1 + self.config.cwl // PHASES)
        unclaimed = Signal(range(WRITE_DEPTH + 1))
        m.d.sync += [coming.eq(Cat(write, coming[:-1])),
                     unclaimed.eq(unclaimed + (queue.i.valid & queue.i.ready) - write)]
        wiring.connect(m, wiring.flipped(self.write_data), queue.i)
        m.d.comb += [
            data_waits.eq(unclaimed != 0), queue.o.ready.eq(coming[-1]),
            self.chips.dq_out.eq(queue.o.p.data), self.chips.dm.eq(~queue.o.p.mask),
            self.chips.dq_out_enable.eq(coming[-1].replicate(PHASES)),
        ]
        if self.assertions:
            m.d.sync += Assert(queue.o.valid | ~coming[-1], "a WRITE without data")
        return coming.any()

    def _send(self, m, head, read, write, row, bank, activate, closing, precharge, close, refresh):
        """The command slots, from registers."""
        slots = self.chips.command
        for slot in slots:
            m.d.sync += slot.cs_n.eq(1)
        for wanted, make in ((read, ddr4.read), (write, ddr4.write)):
            with m.If(wanted):
                m.d.sync += make(slots[0], head.bank[:2], head.bank[2:], head.column)
        for phase in range(1, PHASES):
            with m.If(activate[phase]):
                m.d.sync += ddr4.activate(slots[phase], bank[:2], bank[2:], row)
            with m.If(precharge[phase]):
                m.d.sync += ddr4.precharge(slots[phase], closing[:2], closing[2:])
        with m.If(close):
            m.d.sync += ddr4.precharge_all(slots[-1])
        with m.If(refresh):
            m.d.sync += ddr4.refresh(slots[-1])

    def _count(self, m, read, write, activate, precharge, refresh):
        """The counters."""
        for name, event in (("reads", read), ("writes", write), ("activates", activate.any()),
                            ("precharges", precharge), ("refreshes", refresh),
                            ("busy", self.responses.valid | self.chips.dq_out_enable.any())):
            with m.If(event):
                m.d.sync += self.counters[name].eq(self.counters[name] + 1)
