"""ResultWriter: accurate results as masked writes into the DRAM, within the range that may be written."""

import dataclasses
import typing

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.enmc.candidate_step import AccurateResult
from hw.enmc.enmc_types import ADDRESS_BITS, ITEMS, WORD_BITS, ResultSettings
from hw.stream.hold import assert_hold

__all__ = ["BurstWrite", "ResultWriter", "ResultWriterConfig"]

#: Results and entries of the log in a burst.
RESULTS, ENTRIES = WORD_BITS // 32, WORD_BITS // 64


class BurstWrite(data.Struct):
    """Bytes of ``data`` whose bit in ``mask`` is 1 are written to the burst at ``address``."""

    address: ADDRESS_BITS
    data: WORD_BITS
    mask: WORD_BITS // 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResultWriterConfig(Config):
    """The ResultWriter has no parameters."""

    PRESETS: typing.ClassVar[dict[str, dict]] = {"paper": {}, "small": {}, "fpga": {}}

    @property
    def memory_bits(self):
        """It has no memory."""
        return 0


class ResultWriter(wiring.Component):
    """A write of 4 bytes for each result, and with a log one of 8 bytes: its class and the result.

    Result of class c, item b: burst ``result_base`` + b * ``result_stride`` + c / 16, bytes 4 (c % 16) and up; entry n
    of the item's log: burst ``log_base`` + b * ``log_stride`` + n / 8, bytes 8 (n % 8) and up. A write outside
    ``write_low`` to ``write_high`` - 1 is dropped, with ``error``.

    Latency: 3 cycles from a result to its first write. Throughput: a write a cycle: a result a cycle without a log, one
    every two cycles with one. Back-pressure: full.
    Errors: ``error``. Source: docs/enmc/machine.md (the thesis leaves open how results get to the memory).

    Parameters: ``config``, :class:`ResultWriterConfig`; ``assertions``: checks that writes stay until they are taken.

    Members
    -------
    settings: In(:class:`hw.enmc.enmc_types.ResultSettings`), stable while ``busy``
    results: In(stream of :class:`hw.enmc.candidate_step.AccurateResult`)
    writes: Out(stream of :class:`BurstWrite`), registered
    error: Out, for a cycle: a write was dropped
    counts: Out(array of 32 bits), results of each item; clear: In: they become 0, while not ``busy``
    busy: Out, a result or write is inside
    """

    def __init__(self, config, assertions=False):
        self.config, self.assertions = config, assertions
        super().__init__({
            "settings": In(ResultSettings), "results": In(stream.Signature(AccurateResult)),
            "writes": Out(stream.Signature(BurstWrite)), "error": Out(1),
            "counts": Out(data.ArrayLayout(32, ITEMS)), "clear": In(1), "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        settings, results = self.settings, self.results
        # A result in hand and its number; its writes one after the other: where to; checked and offered.
        held, result, number, logs = Signal(), Signal(AccurateResult, reset_less=True), Signal(32), Signal()
        placed, free, moves, last = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            free.eq(~self.writes.valid | self.writes.ready), moves.eq(~placed | free),
            last.eq(logs | (settings.log_base == 0)), results.ready.eq(~held | moves & last),
            self.busy.eq(held | placed | self.writes.valid),
        ]
        with m.If(held & moves):
            m.d.sync += [logs.eq(~last), held.eq(~last)]
        counts = self.counts
        with m.If(results.valid & results.ready):
            m.d.sync += [held.eq(1), result.eq(results.p), number.eq(counts[results.p.item]),
                         counts[results.p.item].eq(counts[results.p.item] + 1)]
        with m.If(self.clear):
            m.d.sync += counts.eq(0)

        place = Signal(data.StructLayout({"address": ADDRESS_BITS + 2, "logs": 1, "byte": 4, "class": 32, "value": 32}),
                       reset_less=True)
        stride = Mux(logs, settings.log_stride, settings.result_stride)
        offset = Mux(result.item[0], stride, 0) + (Mux(result.item[1], stride, 0) << 1)
        base = Mux(logs, settings.log_base, settings.result_base)
        burst = Mux(logs, number[3:], result.class_index[4:])
        with m.If(moves):
            m.d.sync += [placed.eq(held), place.address.eq(base + offset + burst), place.logs.eq(logs),
                         place.byte.eq(Mux(logs, number[:3] << 1, result.class_index[:4])),
                         place["class"].eq(result.class_index), place.value.eq(result.value)]

        allowed = Signal()
        write = Signal(BurstWrite, reset_less=True)
        value, entry = place.value, Cat(place["class"], place.value)
        m.d.comb += [
            allowed.eq((place.address >= settings.write_low) & (place.address < settings.write_high)),
            self.error.eq(placed & free & ~allowed), self.writes.payload.eq(write),
        ]
        with m.If(free):
            m.d.sync += [
                self.writes.valid.eq(placed & allowed), write.address.eq(place.address),
                write.data.eq(Mux(place.logs, entry.replicate(ENTRIES), value.replicate(RESULTS))),
                write.mask.eq(Mux(place.logs, 0xFF, 0xF) << (place.byte << 2)),
            ]
        if self.assertions:
            assert_hold(m, self.writes)
        return m
