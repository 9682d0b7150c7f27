"""Reconfigurable Matrix Multiplication Unit (thesis 7.6.2, Fig. 7.13a).

A two-dimensional array of multi-precision processing elements (PEs). Every row has its own precision and operation on
every beat, so rows of different precision run side by side in the same cycle. A row sums the dot products of its PEs
in an adder tree and accumulates over chunks of the contraction dimension in the partial-sum memory.
"""

import dataclasses

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.arith.multi_precision_pe import MultiPrecisionPe, PeOp
from hw.arith.pipeline import delay, tree_latency
from hw.arith.precision import Precision
from hw.arith.segmented import SegmentedAdder, widen_segments
from hw.config import Config, ConfigError, field

__all__ = ["BeatLayout", "LoadKind", "LoadLayout", "ResultLayout", "Rmmu", "RmmuConfig", "RowControl", "driver_ports"]

ACC_WIDTH = 44
DOT_WIDTH = 48
PSUM_WIDTH = 64


class LoadKind(enum.Enum, shape=2):
    """Which PEs a loaded word goes to."""

    WORD = 0
    HALF = 1
    PAIR = 2
    COLUMN = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class RmmuConfig(Config):
    """Size of the array."""

    rows: int = field(32, "rows of processing elements", min=2, max=64, multiple=2)
    cols: int = field(16, "processing elements a row", min=2, max=16, power_of_two=True)
    streams: int = field(1, "operand words that enter the array each cycle; a row takes any one of them", min=1, max=4,
                         power_of_two=True)
    psum_depth: int = field(128, "partial sums kept for each row", unit="entries", min=4, max=1024, power_of_two=True)

    PRESETS = {
        "paper": {},
        "small": {"rows": 8, "cols": 4, "streams": 2, "psum_depth": 16},
        "fpga": {"rows": 4, "cols": 4, "psum_depth": 64},
    }

    def check(self):
        if self.rows > 2 * self.cols:
            raise ConfigError("rows", self.rows, f"at most 2 x cols = {2 * self.cols}, so that a word feeds a column")

    @property
    def word_bits(self):
        """Width of an operand word: 32 bits for each column."""
        return 32 * self.cols

    @property
    def drain_layout(self):
        """Accumulators of one row, column 0 first."""
        return data.ArrayLayout(signed(ACC_WIDTH), self.cols)

    @property
    def tree_latency(self):
        """Pipeline stages of a row's adder tree: one for every two levels."""
        return tree_latency(self.cols, 2)

    @property
    def result_latency(self):
        """Cycles from a beat to its ``result``: PE, adder tree, partial-sum accumulation."""
        return MultiPrecisionPe.latency + self.tree_latency + 1


TAG_BITS = 24


class LoadLayout(data.StructLayout):
    """A word for the stationary shadow registers."""

    def __init__(self, config):
        super().__init__({
            "data": unsigned(config.word_bits),
            "kind": LoadKind,
            "row": unsigned(ceil_log2(config.rows)),
            "lane": unsigned(2),
            "half": unsigned(1),
            "col": unsigned(ceil_log2(config.cols)),
        })


class RowControl(data.StructLayout):
    """What one row does in a beat."""

    def __init__(self, config):
        super().__init__({
            "op": PeOp,
            "mode": Precision,
            "first": unsigned(1),
            "swap": unsigned(1),
            "half": unsigned(1),
            "select": unsigned(max(1, ceil_log2(config.streams))),
        })


class BeatLayout(data.StructLayout):
    """One cycle of work for the whole array."""

    def __init__(self, config):
        super().__init__({
            "cols": data.ArrayLayout(unsigned(config.word_bits), config.streams),
            "rows": data.ArrayLayout(unsigned(16), config.rows),
            "control": data.ArrayLayout(RowControl(config), config.rows),
            "index": unsigned(ceil_log2(config.psum_depth)),
            "first": unsigned(1),
            "last": unsigned(1),
            "tag": unsigned(TAG_BITS),
        })


class ResultLayout(data.StructLayout):
    """Accumulated row sums: one 64-bit field a row, split in 4 x 16 (INT2), 2 x 32 (INT4) or 1 x 64 bits."""

    def __init__(self, config):
        super().__init__({
            "rows": data.ArrayLayout(unsigned(PSUM_WIDTH), config.rows),
            "tag": unsigned(TAG_BITS),
        })


def _spread(word, config):
    """What the columns take of a word: column c gets its 16-bit pieces c (low) and C + c (high).

    So the halves of an FX16 word lie in the halves of the columns; to dot products of integers the order is the same
    to both operands and does not matter.
    """
    return Cat(word[16 * (c + half * config.cols):][:16] for c in range(config.cols) for half in range(2))


def driver_ports(config):
    """Ports, by name, of a component that drives an RMMU of this :class:`RmmuConfig`."""
    return {
        "load": Out(stream.Signature(LoadLayout(config), always_ready=True)),
        "beat": Out(stream.Signature(BeatLayout(config), always_ready=True)),
    }


class RmmuRow(wiring.Component):
    """One row: ``cols`` PEs and the adder tree over their dot products.

    ``dot`` is valid ``MultiPrecisionPe.latency + tree_latency`` cycles after the beat.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "cols": In(data.ArrayLayout(unsigned(config.word_bits), config.streams)),
            "operand": In(unsigned(16)),
            "control": In(RowControl(config)),
            "load": In(4),
            "load_columns": In(config.cols),
            "load_data": In(config.word_bits),
            "load_element": In(16),
            "load_is_column": In(1),
            "load_high": In(1),
            "dot": Out(DOT_WIDTH),
            "acc": Out(config.drain_layout),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        word = Signal(config.word_bits)
        m.d.comb += word.eq(Array(self.cols[s] for s in range(config.streams))[self.control.select])
        dots = []
        for c in range(config.cols):
            pe = m.submodules[f"pe_{c}"] = MultiPrecisionPe()
            low = self.load_data[32 * c:32 * c + 16]
            high = self.load_data[32 * c + 16:32 * c + 32]
            with m.If(self.load_is_column):
                m.d.comb += pe.load_data.eq(Cat(self.load_element, high))
            with m.Elif(self.load_high):
                m.d.comb += pe.load_data.eq(Cat(high, high))
            with m.Else():
                m.d.comb += pe.load_data.eq(Cat(low, high))
            m.d.comb += [
                pe.load.eq(self.load & self.load_columns[c].replicate(4)),
                pe.mode.eq(self.control.mode),
                pe.op.eq(self.control.op),
                pe.first.eq(self.control.first),
                pe.swap.eq(self.control.swap),
                pe.half.eq(self.control.half),
                pe.col.eq(word[32 * c:32 * c + 32]),
                pe.row.eq(self.operand),
                self.acc[c].eq(pe.acc),
            ]
            dots.append(pe.dot)
        # mode travels with the beat: one register for the PE's latency, then along the tree's stages.
        mode = delay(m, self.control.mode.as_value(), MultiPrecisionPe.latency, name="mode")
        level = 0
        while len(dots) > 1:
            sums = []
            for k in range(0, len(dots), 2):
                adder = m.submodules[f"add_{level}_{k // 2}"] = SegmentedAdder(DOT_WIDTH)
                m.d.comb += [adder.mode.eq(mode), adder.a.eq(dots[k]), adder.b.eq(dots[k + 1])]
                sums.append(adder.y)
            level += 1
            if level % 2 == 0 or len(sums) == 1:
                dots = []
                for k, value in enumerate(sums):
                    register = Signal(DOT_WIDTH, name=f"sum_{level}_{k}", reset_less=True)
                    m.d.sync += register.eq(value)
                    dots.append(register)
                mode = delay(m, mode, 1, name=f"mode_tree_{level}")
            else:
                dots = sums
        m.d.comb += self.dot.eq(dots[0])
        return m


class RowAccumulator(wiring.Component):
    """Adds a row's dot products to its partial sum: widen 48 to 64 bits, segmented addition. One cycle."""

    def __init__(self):
        super().__init__({
            "mode": In(Precision),
            "enable": In(1),
            "first": In(1),
            "dot": In(DOT_WIDTH),
            "psum": In(PSUM_WIDTH),
            "total": Out(PSUM_WIDTH),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.adder = adder = SegmentedAdder(PSUM_WIDTH)
        wide = Signal(PSUM_WIDTH)
        m.d.comb += [
            wide.eq(widen_segments(self.mode, self.dot, PSUM_WIDTH)),
            adder.mode.eq(self.mode),
            adder.a.eq(wide & self.enable.replicate(PSUM_WIDTH)),
            adder.b.eq(self.psum & (~self.first & self.enable).replicate(PSUM_WIDTH)),
        ]
        total = Signal(PSUM_WIDTH, reset_less=True)
        m.d.sync += total.eq(adder.y)
        m.d.comb += self.total.eq(total)
        return m


class Rmmu(wiring.Component):
    """The array with its partial-sum memory.

    Throughput: one beat and one load a cycle; never stalls, so every port is always ready. ``result`` comes exactly
    ``config.result_latency`` cycles after a beat with ``last`` set. A partial sum's ``index`` must not recur within
    four cycles unless ``first`` is set (read-modify-write of the memory). ``drain`` shows the accumulators of
    ``drain_row`` one cycle later; they hold the last product ``MultiPrecisionPe.mac_latency`` cycles after its beat.

    Every mode's operands are signed; FX16 is an INT16 with its scale held outside. Sums are exact: 48-bit row sums,
    64-bit partial sums (4 x 16 in INT2, 2 x 32 in INT4), 44-bit accumulators, for K up to 4096.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "load": In(stream.Signature(LoadLayout(config), always_ready=True)),
            "beat": In(stream.Signature(BeatLayout(config), always_ready=True)),
            "result": Out(stream.Signature(ResultLayout(config), always_ready=True)),
            "drain_row": In(ceil_log2(config.rows)),
            "drain": Out(config.drain_layout),
        })

    @property
    def result_latency(self):
        """Cycles from a beat to its result."""
        return self.config.result_latency

    def elaborate(self, platform):
        m = Module()
        config = self.config
        beat, load = self.beat.p, self.load.p

        load_word = _spread(load.data, config)
        columns = Signal(config.cols)
        m.d.comb += columns.eq(-1)
        with m.If(load.kind == LoadKind.COLUMN):
            m.d.comb += columns.eq(1 << load.col)
        load_lane = Signal(4)
        m.d.comb += load_lane.eq(1)
        with m.If(load.kind == LoadKind.WORD):
            m.d.comb += load_lane.eq(1 << load.lane)

        words = [_spread(beat.cols[s], config) for s in range(config.streams)]
        rows, dot_stage = [], []
        for r in range(config.rows):
            row = m.submodules[f"row_{r}"] = RmmuRow(config)
            chosen = Signal(name=f"load_row_{r}")
            with m.Switch(load.kind):
                with m.Case(LoadKind.COLUMN):
                    m.d.comb += chosen.eq(1)
                with m.Case(LoadKind.PAIR):
                    m.d.comb += chosen.eq(load.row[1:] == r // 2)
                with m.Default():
                    m.d.comb += chosen.eq(load.row == r)
            control = Signal(RowControl(config), name=f"control_{r}")
            m.d.comb += control.eq(beat.control[r])
            with m.If(~self.beat.valid):
                m.d.comb += [control.op.eq(PeOp.NOP), control.swap.eq(0)]
            m.d.comb += [
                [row.cols[s].eq(word) for s, word in enumerate(words)],
                row.operand.eq(beat.rows[r]),
                row.control.eq(control),
                row.load.eq(load_lane & (chosen & self.load.valid).replicate(4)),
                row.load_columns.eq(columns),
                row.load_data.eq(load_word),
                row.load_element.eq(load.data[16 * r:16 * r + 16]),
                row.load_is_column.eq(load.kind == LoadKind.COLUMN),
                row.load_high.eq(Mux(load.kind == LoadKind.PAIR, r % 2, load.half) & (load.kind != LoadKind.WORD)),
            ]
            rows.append(row)
            dot_stage.append((control.op == PeOp.DOT, control.mode.as_value()))

        # Controls follow the beat through the PEs and the tree: one packed vector, a register a stage.
        depth = MultiPrecisionPe.latency + config.tree_latency
        dots = delay(m, Cat(is_dot for is_dot, _ in dot_stage), depth, name="dots", control=True)
        modes = delay(m, Cat(mode for _, mode in dot_stage), depth, name="modes")
        common = data.StructLayout({"index": beat.index.shape(), "first": 1, "last": 1, "tag": TAG_BITS})
        entry = Signal(common)
        m.d.comb += [entry.index.eq(beat.index), entry.first.eq(beat.first), entry.last.eq(beat.last),
                     entry.tag.eq(beat.tag)]
        valid_early = delay(m, self.beat.valid, depth - 1, name="valid", control=True)
        early = data.View(common, delay(m, entry.as_value(), depth - 1, name="entry"))
        valid = Signal()
        late = Signal(common, reset_less=True)
        m.d.sync += [valid.eq(valid_early), late.eq(early)]

        m.submodules.psum = psum = memory.Memory(shape=unsigned(PSUM_WIDTH * config.rows), depth=config.psum_depth,
                                                 init=[])
        read = psum.read_port()
        write = psum.write_port(granularity=PSUM_WIDTH)
        m.d.comb += [read.addr.eq(early.index), read.en.eq(valid_early)]
        done = Signal()
        done_index = Signal(beat.index.shape(), reset_less=True)
        done_rows = Signal(config.rows)
        m.d.sync += [
            done.eq(valid & late.last),
            done_index.eq(late.index),
            done_rows.eq(dots & valid.replicate(config.rows)),
        ]
        tag = Signal(TAG_BITS, reset_less=True)
        m.d.sync += tag.eq(late.tag)
        totals = []
        for r, row in enumerate(rows):
            accumulator = m.submodules[f"accumulator_{r}"] = RowAccumulator()
            m.d.comb += [
                accumulator.mode.eq(Precision(modes[2 * r:2 * r + 2])),
                accumulator.enable.eq(dots[r]),
                accumulator.first.eq(late.first),
                accumulator.dot.eq(row.dot),
                accumulator.psum.eq(read.data[PSUM_WIDTH * r:PSUM_WIDTH * (r + 1)]),
            ]
            totals.append(accumulator.total)
        m.d.comb += [
            write.addr.eq(done_index),
            write.data.eq(Cat(totals)),
            write.en.eq(done_rows),
        ]
        m.d.comb += [self.result.valid.eq(done), self.result.p.rows.eq(Cat(totals)), self.result.p.tag.eq(tag)]

        drained = Array(row.acc for row in rows)[self.drain_row]
        drain = Signal(self.drain.shape(), reset_less=True)
        m.d.sync += drain.eq(drained)
        m.d.comb += self.drain.eq(drain)
        return m
