"""GlobalBuffer: lines of activations and weights, and their map bits (thesis 5.1, Figure 5.1)."""

import dataclasses
import typing

from amaranth.hdl import Assert, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config, field
from hw.memory.sram import SramBank

__all__ = ["GlobalBuffer", "GlobalBufferConfig", "LineWrite", "ReadRequest", "SegmentWrite"]

WORD = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class GlobalBufferConfig(Config):
    """Sizes of the GlobalBuffer."""

    cols: int = field(16, "C, segments of a line: columns of the Executor", unit="segments", min=2, max=64)
    segment: int = field(16, "S, words of a segment", unit="words", min=2, max=64, power_of_two=True)
    lines: int = field(2048, "lines", unit="lines", min=2, max=65536)
    map_lines: int = field(1024, "lines of map bits", unit="lines", min=2, max=65536)
    readers: int = field(3, "ports that read", min=1, max=8)
    writers: int = field(2, "ports that write segments, besides the one that writes lines", min=1, max=8)

    PRESETS: typing.ClassVar[dict[str, dict]] = {
        "paper": {},
        "small": {"cols": 2, "segment": 4, "lines": 64, "map_lines": 64},
        "fpga": {"cols": 4, "lines": 256, "map_lines": 128},
    }

    @property
    def line_words(self):
        """Words of a line, bits of a map line."""
        return self.cols * self.segment

    @property
    def memory_bits(self):
        """Bits of both memories."""
        return self.line_words * (self.lines * WORD + self.map_lines)


class _Request(data.StructLayout):
    """What all requests begin with: which memories are used, and where."""

    def __init__(self, config, **fields):
        super().__init__({"data_enable": 1, "data_address": range(config.lines),
                          "map_enable": 1, "map_address": range(config.map_lines), **fields})


class ReadRequest(_Request):
    """Read a line (``data_enable``), a map line (``map_enable``) or both."""


class SegmentWrite(_Request):
    """Write one segment: of words (``data_enable``), of map bits (``map_enable``) or both, where ``mask`` is set.

    Word p of ``data`` is at bit ``16 * p``; bit p of ``mask`` and ``map`` belongs to it.
    """

    def __init__(self, config):
        super().__init__(config, column=range(config.cols), mask=config.segment, data=config.segment * WORD,
                         map=config.segment)


class LineWrite(_Request):
    """Write a whole line (``data_enable``), a whole map line (``map_enable``) or both."""

    def __init__(self, config):
        super().__init__(config, data=config.line_words * WORD, map=config.line_words)


class GlobalBuffer(wiring.Component):
    """Two memories with a read and a write port each: ``lines`` of C x S words, and ``map_lines`` of C x S bits.

    The words are in C banks, one a column, so that a segment is written into one bank. In each cycle each memory serves
    one read and one write. A request may use both memories; then it is served when both are free. Priorities are
    fixed: the lower number first, ``fill`` after all of ``write``. A request is passed by in a cycle only when one
    before it is served and uses the same memory; so the first of each sort never waits, and **the others wait for as
    long as those before them keep coming**.

    Throughput: a read and a write of each memory a cycle. Latency: :attr:`latency` = 1 cycle from a read's transfer to
    its answer, which comes without back-pressure; the payloads of ``data`` and ``map`` stay until the next read of that
    memory. A read of the line that is written in the same cycle gives the old words. ``ready`` of a port depends in
    the same cycle on the requests of those before it. The content is not reset.
    Source: thesis 5.1; its sizes: 1 MB, 512 bytes a cycle.

    Parameters
    ----------
    config: :class:`GlobalBufferConfig`
    assertions: add checks that addresses and columns exist (simulation)

    Members
    -------
    read: In(stream of :class:`ReadRequest`), an array of ``readers``
    write: In(stream of :class:`SegmentWrite`), an array of ``writers``
    fill: In(stream of :class:`LineWrite`)
    answer: Out(readers), from registers: bit k: what ``read[k]`` asked for in the cycle before is at ``data``, ``map``
    data: Out(stream of C x S x 16, always ready), payload from the memory: word p of segment c is at bit
        ``16 * (S * c + p)``; valid in the cycle after a line was read
    map: Out(stream of C x S, always ready), payload from the memory: the bit of word p of segment c is bit
        ``S * c + p``; valid in the cycle after a map line was read
    """

    latency = 1

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "read": In(stream.Signature(ReadRequest(config))).array(config.readers),
            "write": In(stream.Signature(SegmentWrite(config))).array(config.writers),
            "fill": In(stream.Signature(LineWrite(config))),
            "answer": Out(config.readers),
            "data": Out(stream.Signature(config.line_words * WORD, always_ready=True)),
            "map": Out(stream.Signature(config.line_words, always_ready=True)),
        })

    def elaborate(self, platform):
        m = Module()
        config, size = self.config, self.config.segment
        m.submodules.map = map_bank = SramBank(config.line_words, config.map_lines, granularity=1)
        banks = [SramBank(size * WORD, config.lines, granularity=WORD) for _ in range(config.cols)]
        for index, bank in enumerate(banks):
            m.submodules[f"column_{index}"] = bank

        # Reads.
        served, for_data, for_map = self._serve(m, self.read)
        data_address = _chosen(for_data, [port.p.data_address for port in self.read])
        read_data, read_map = Cat(for_data).any(), Cat(for_map).any()
        m.d.sync += [self.answer.eq(Cat(served)), self.data.valid.eq(read_data), self.map.valid.eq(read_map)]
        m.d.comb += [
            map_bank.read_enable.eq(read_map),
            map_bank.read_address.eq(_chosen(for_map, [port.p.map_address for port in self.read])),
            self.map.payload.eq(map_bank.read_data), self.data.payload.eq(Cat(bank.read_data for bank in banks)),
        ]
        for bank in banks:
            m.d.comb += [bank.read_enable.eq(read_data), bank.read_address.eq(data_address)]

        # Writes: the segment that is chosen goes to all columns, its mask to one.
        served, for_data, for_map = self._serve(m, [*self.write, self.fill])
        ports = [port.p for port in self.write]
        data_address = _chosen(for_data, [port.data_address for port in [*ports, self.fill.p]])
        words = Signal(size * WORD)
        columns, map_columns = Signal(config.cols), Signal(config.cols)
        mask, map_mask, bits = Signal(size), Signal(size), Signal(size)
        m.d.comb += [
            words.eq(_chosen(for_data[:-1], [port.data for port in ports])),
            mask.eq(_chosen(for_data[:-1], [port.mask for port in ports])),
            columns.eq(1 << _chosen(for_data[:-1], [port.column for port in ports])),
            bits.eq(_chosen(for_map[:-1], [port.map for port in ports])),
            map_mask.eq(_chosen(for_map[:-1], [port.mask for port in ports])),
            map_columns.eq(1 << _chosen(for_map[:-1], [port.column for port in ports])),
            map_bank.write_address.eq(_chosen(for_map, [port.map_address for port in [*ports, self.fill.p]])),
            map_bank.write_data.eq(Mux(for_map[-1], self.fill.p.map, bits.replicate(config.cols))),
            map_bank.write_mask.eq(Cat(Mux(chosen, map_mask, 0) for chosen in map_columns)
                                   | for_map[-1].replicate(config.line_words)),
        ]
        for index, bank in enumerate(banks):
            m.d.comb += [
                bank.write_address.eq(data_address),
                bank.write_data.eq(Mux(for_data[-1], self.fill.p.data.word_select(index, size * WORD), words)),
                bank.write_mask.eq(Mux(columns[index], mask, 0) | for_data[-1].replicate(size)),
            ]
        return m

    def _serve(self, m, ports):
        """Of each port: whether its request is served, and whether that uses the words, and the map bits."""
        served, for_data, for_map = [], [], []
        data_free = map_free = 1
        for port in ports:
            go, uses_data, uses_map = Signal(), Signal(), Signal()
            request = port.p
            m.d.comb += [
                port.ready.eq((data_free | ~request.data_enable) & (map_free | ~request.map_enable)),
                go.eq(port.valid & port.ready), uses_data.eq(go & request.data_enable),
                uses_map.eq(go & request.map_enable),
            ]
            data_free, map_free = data_free & ~uses_data, map_free & ~uses_map
            served.append(go)
            for_data.append(uses_data)
            for_map.append(uses_map)
            if self.assertions:
                with m.If(uses_data):
                    m.d.sync += Assert(request.data_address < self.config.lines, "a line that does not exist")
                with m.If(uses_map):
                    m.d.sync += Assert(request.map_address < self.config.map_lines, "a map line that does not exist")
                if "column" in dict(port.payload.shape()):
                    with m.If(go):
                        m.d.sync += Assert(request.column < self.config.cols, "a column that does not exist")
        return served, for_data, for_map


def _chosen(selects, values):
    """The value whose select is set; 0 when none is."""
    result = 0
    for select, value in zip(selects, values):
        result = result | Mux(select, value, 0)
    return result
