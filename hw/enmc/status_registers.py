"""StatusRegisters: what INIT writes and QUERY reads (thesis 6.4.2, ENMC Controller)."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.enmc_types import ITEMS, CandidateSettings, ResultSettings, ScreenerSettings
from hw.enmc.error_log import ErrorRegister
from hw.enmc.isa_table import TABLE, Register, register_row

__all__ = ["MaximumWrite", "RegisterWrite", "Status", "StatusRegisters", "SumWrite"]

_VALUE_BITS = 64
_CYCLE_BITS = 48
_MAXIMA = [f"MAX{item}" for item in range(ITEMS)]
#: Low bits of a byte address that a burst address does not have.
_BURST_BYTES_BITS = 6


class RegisterWrite(data.Struct):
    """INIT of a ``register``, when ``valid``."""

    valid: 1
    register: Register
    value: _VALUE_BITS


class SumWrite(data.Struct):
    """SUM becomes ``data``, when ``enable``."""

    enable: 1
    data: 32


class MaximumWrite(data.Struct):
    """MAX of ``item`` becomes ``data``, when ``enable``."""

    enable: 1
    item: 2
    data: 32


class Status(data.Struct):
    """The register STATUS without ``error``."""

    busy: 1
    owner: 1
    returned: 1
    waiting: 8


class StatusRegisters(wiring.Component):
    """Registers by their numbers, and counters.

    A write shows in the next cycle; :class:`hw.enmc.enmc_controller.EnmcController` has checked it. ``value`` comes a
    cycle after ``query``, as of the cycle of ``query``. MAX, SUM and the numbers of candidates are where they are made
    (OutputBuffer, Executor, ResultWriter); INIT of them goes there. Throughput: one of each a cycle.
    Source: thesis 6.4.2; the registers are those of ``docs/enmc/isa.toml``.

    Members
    -------
    write: In(:class:`RegisterWrite`), of those that INIT writes but ERROR
    clear: In(1): all as after reset, but those with a lock
    query: In(:class:`hw.enmc.isa_table.Register`), of a register but OUTPUT; value: Out(64)
    screener, candidates, results: Out(settings of :mod:`hw.enmc.enmc_types`)
    maxima: In(4 x 32), MAX of the items; maximum_write: Out(:class:`MaximumWrite`)
    sum: In(32), SUM; sum_write: Out(:class:`SumWrite`)
    counts: In(4 x 32), candidates computed, an item each
    status: In(:class:`Status`); error: In(:class:`hw.enmc.error_log.ErrorRegister`); instructions: In(32)
    screener_works, executor_works, burst_read, burst_written: In(1), counted
    """

    def __init__(self):
        super().__init__({
            "write": In(RegisterWrite), "clear": In(1), "query": In(Register), "value": Out(_VALUE_BITS),
            "screener": Out(ScreenerSettings), "candidates": Out(CandidateSettings), "results": Out(ResultSettings),
            "maxima": In(data.ArrayLayout(32, ITEMS)), "maximum_write": Out(MaximumWrite),
            "sum": In(32), "sum_write": Out(SumWrite), "counts": In(data.ArrayLayout(32, ITEMS)),
            "status": In(Status), "error": In(ErrorRegister()), "instructions": In(32),
            "screener_works": In(1), "executor_works": In(1), "burst_read": In(1), "burst_written": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        values = {}
        for row in TABLE["registers"]:
            if row["access"] == "write" and row["name"] not in ("ERROR", "SUM", *_MAXIMA):
                register = Signal(row["bits"], name=row["name"].lower(), init=row.get("reset", 0))
                values[row["name"]] = register
                with m.If(self.write.valid & (self.write.register == Register[row["name"]])):
                    m.d.sync += register.eq(self.write.value)
        self._pass_on(m)
        counters = self._count(m)
        with m.If(self.clear):
            for name, register in values.items():
                if not register_row(name).get("lock"):
                    m.d.sync += register.eq(register.init)
            m.d.sync += [counter.eq(0) for counter in counters.values()]

        status = self.status
        values |= {
            "STATUS": Cat(status.busy, status.owner, self.error.code.as_value().any(), status.returned, Const(0, 4),
                          status.waiting),
            "ERROR": self.error.as_value(), "SUM": self.sum, "INSTRUCTIONS": self.instructions,
            **{name: self.maxima[item] for item, name in enumerate(_MAXIMA)},
            "CANDIDATES01": Cat(self.counts[0], self.counts[1]), "CANDIDATES23": Cat(self.counts[2], self.counts[3]),
            "SCREENER_CYCLES": counters["screener"], "EXECUTOR_CYCLES": counters["executor"],
            "OVERLAP_CYCLES": counters["overlap"], "BURSTS": Cat(counters["read"], counters["written"]),
            "CYCLES": counters["cycles"],
        }
        with m.Switch(self.query):
            for name, value in values.items():
                with m.Case(Register[name]):
                    m.d.sync += self.value.eq(value)
            with m.Default():
                m.d.sync += self.value.eq(0)
        self._settings(m, values)
        return m

    def _pass_on(self, m):
        """INIT of registers that are elsewhere; the outputs are zero else, known after reset."""
        write = self.write
        with m.If(write.valid & (write.register == Register.SUM)):
            m.d.comb += [self.sum_write.enable.eq(1), self.sum_write.data.eq(write.value)]
        for item, name in enumerate(_MAXIMA):
            with m.If(write.valid & (write.register == Register[name])):
                m.d.comb += [self.maximum_write.enable.eq(1), self.maximum_write.item.eq(item),
                             self.maximum_write.data.eq(write.value)]

    def _count(self, m):
        """Counters, by name."""
        events = {"read": self.burst_read, "written": self.burst_written}
        cycles = {"screener": self.screener_works, "executor": self.executor_works,
                  "overlap": self.screener_works & self.executor_works, "cycles": 1}
        counters = {}
        for width, group in ((32, events), (_CYCLE_BITS, cycles)):
            for name, event in group.items():
                counters[name] = counter = Signal(width, name=f"count_{name}")
                m.d.sync += counter.eq(counter + event)
        return counters

    def _settings(self, m, values):
        """Settings of the units, burst addresses in place of those of bytes."""
        def bursts(name):
            return values[name][_BURST_BYTES_BITS:]
        m.d.comb += [
            self.screener.classes.eq(values["CLASSES"]), self.screener.items.eq(values["ITEMS"]),
            self.screener.chunks.eq(values["CHUNKS"]), self.screener.shift.eq(values["SHIFT"]),
            self.screener.threshold.eq(values["THRESHOLD"].as_signed()),
            self.screener.scale.as_value().eq(values["SCALE"]),
            self.candidates.row_base.eq(bursts("ROW_BASE")), self.candidates.row_bursts.eq(values["ROW_BURSTS"]),
            self.candidates.feature_base.eq(bursts("FEATURE_BASE")),
            self.results.result_base.eq(bursts("RESULT_BASE")), self.results.result_stride.eq(bursts("RESULT_STRIDE")),
            self.results.log_base.eq(bursts("LOG_BASE")), self.results.log_stride.eq(bursts("LOG_STRIDE")),
            self.results.write_low.eq(bursts("WRITE_LOW")), self.results.write_high.eq(bursts("WRITE_HIGH")),
        ]
