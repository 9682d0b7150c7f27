"""Dense matrix multiplication on the RMMU: sequencing of loads, beats and results of the lane's GEMM command."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arith.precision import Precision
from hw.arith.multi_precision_pe import PeOp
from hw.dota.lane_command import engine_ports
from hw.dota.lane_memory import MemoryRead
from hw.dota.rmmu import LoadKind, driver_ports
from hw.dota.tile_writer import TileTag

__all__ = ["GemmEngine"]


class GemmEngine(wiring.Component):
    """Runs C = A . B^T: rows of B stationary in the PEs, rows of A streamed, one chunk of K a pass.

    Loop order: tiles of ``psum_depth`` rows of A, tiles of N, chunks of K, rows of A. A *step* is one (N tile, chunk):
    the loader fills the shadow registers for the next step while the streamer runs this one, so steps follow each
    other without a bubble when a step has more rows than loads: R (FX16, INT8), 2R (INT4), 4R (INT2), or C for a
    transposed B (with as many, a step loses one cycle). Throughput then: one beat a cycle; in the last chunk of a tile
    one in as many cycles as a result has words (1, 2 or 4). Cycles of a command: docs/dota/lane.md.

    Results leave through the RMMU's tag (see :class:`TileTag`) to the lane's tile writer.
    """

    def __init__(self, config):
        self.config = config
        port = MemoryRead(config.address_bits, config.word_bits)
        super().__init__({
            **engine_ports(config),
            "a": Out(port),
            "b": Out(port),
            **driver_ports(config.rmmu),
            "writer_idle": In(1),
            "stalled": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, command = self.config, self.command
        is_fx16 = Signal()
        m.d.comb += is_fx16.eq(command.precision == Precision.FX16)
        loads = Signal(range(4 * config.rows + 1))
        with m.Switch(command.precision):
            with m.Case(Precision.INT4):
                m.d.comb += loads.eq(2 * config.rows)
            with m.Case(Precision.INT2):
                m.d.comb += loads.eq(4 * config.rows)
            with m.Default():
                m.d.comb += loads.eq(Mux(command.transposed, config.cols, config.rows))
        full = Signal()
        streaming_start = Signal()
        with m.If(streaming_start):
            m.d.sync += full.eq(0)
        self._loader(m, is_fx16, loads, full)
        running = self._streamer(m, is_fx16, full, streaming_start)

        # The last beat's results are still in the pipeline when the streamer stops.
        latency = config.rmmu.result_latency + 2
        drain = Signal(range(latency + 1))
        draining = Signal()
        was_running = Signal()
        m.d.sync += was_running.eq(running)
        with m.If(was_running & ~running):
            m.d.sync += [draining.eq(1), drain.eq(latency)]
        with m.If(draining):
            with m.If(drain != 0):
                m.d.sync += drain.eq(drain - 1)
            with m.Elif(self.writer_idle):
                m.d.sync += draining.eq(0)
                m.d.comb += self.finished.eq(1)
        return m

    def _loader(self, m, is_fx16, loads, full):
        config, command = self.config, self.command
        tile_row, row = Signal(config.address_bits), Signal(config.address_bits)
        offset, half = Signal(config.address_bits), Signal()
        n_left, k_left = Signal(command.n_tiles.shape()), Signal(command.k_chunks.shape())
        m_left = Signal(command.m.shape())
        lane_row, lane = Signal(range(config.rows)), Signal(2)
        count = Signal(loads.shape())
        active = Signal()
        issue = Signal()
        m.d.comb += [
            issue.eq(active & ~full),
            self.b.enable.eq(issue),
            self.b.address.eq(row + offset),
        ]
        lanes = Mux(command.precision == Precision.INT2, 3, Mux(command.precision == Precision.INT4, 1, 0))
        next_row = Signal(config.address_bits)
        m.d.comb += next_row.eq(row + command.b_stride)
        with m.If(self.start):
            m.d.sync += [active.eq(1), row.eq(command.b_base), tile_row.eq(command.b_base), offset.eq(0), half.eq(0),
                         n_left.eq(command.n_tiles), k_left.eq(command.k_chunks), m_left.eq(command.m),
                         lane_row.eq(0), lane.eq(0), count.eq(loads)]
        with m.Elif(issue):
            m.d.sync += [row.eq(next_row), count.eq(count - 1)]
            with m.If(command.transposed | (lane == lanes)):
                m.d.sync += [lane.eq(0), lane_row.eq(lane_row + 1)]
            with m.Else():
                m.d.sync += lane.eq(lane + 1)
            with m.If(count == 1):
                m.d.sync += [full.eq(1), count.eq(loads), lane_row.eq(0), k_left.eq(k_left - 1)]
                with m.If(command.transposed):
                    with m.If(k_left == 1):
                        m.d.sync += [row.eq(command.b_base), offset.eq(offset + 1)]
                with m.Else():
                    m.d.sync += [row.eq(tile_row), half.eq(~half & is_fx16)]
                    with m.If(half | ~is_fx16):
                        m.d.sync += offset.eq(offset + 1)
                    with m.If(k_left == 1):
                        m.d.sync += [row.eq(next_row), tile_row.eq(next_row), offset.eq(0), half.eq(0)]
                with m.If(k_left == 1):
                    m.d.sync += [k_left.eq(command.k_chunks), n_left.eq(n_left - 1)]
                    with m.If(n_left == 1):
                        m.d.sync += [n_left.eq(command.n_tiles), row.eq(command.b_base), tile_row.eq(command.b_base),
                                     offset.eq(0), m_left.eq(m_left - config.psum_depth)]
                        with m.If(m_left <= config.psum_depth):
                            m.d.sync += active.eq(0)
        # Where the word that is read now goes when it arrives, one cycle later.
        load = self.load.p
        landing = Signal(data.StructLayout({"valid": 1, "row": load.row.shape(), "lane": 2, "half": 1}))
        m.d.sync += [landing.valid.eq(issue), landing.row.eq(lane_row), landing.lane.eq(lane), landing.half.eq(half)]
        m.d.comb += [
            self.load.valid.eq(landing.valid),
            load.row.eq(landing.row),
            load.lane.eq(landing.lane),
            load.half.eq(landing.half),
            load.col.eq(landing.row),
            load.data.eq(self.b.data),
        ]
        with m.If(command.transposed):
            m.d.comb += load.kind.eq(LoadKind.COLUMN)
        with m.Elif(is_fx16):
            m.d.comb += load.kind.eq(LoadKind.HALF)
        with m.Else():
            m.d.comb += load.kind.eq(LoadKind.WORD)

    def _streamer(self, m, is_fx16, full, streaming_start):
        config, command = self.config, self.command
        tile = Signal(range(config.psum_depth + 1))
        i = Signal(range(config.psum_depth))
        m_left = Signal(command.m.shape())
        n_left, k_left = Signal(command.n_tiles.shape()), Signal(command.k_chunks.shape())
        a_tile, a_row = Signal(config.address_bits), Signal(config.address_bits)
        c_tile, c_row = Signal(config.address_bits), Signal(config.address_bits)
        kword, half = Signal(config.address_bits), Signal()
        # Position of the result tile in its row, in eighths of a word; a tile is L x out.bits / 2 of them.
        position = Signal(config.address_bits + 3)
        tile_eighths = Signal(range(33))
        lanes_log = Mux(command.precision == Precision.INT2, 2, Mux(command.precision == Precision.INT4, 1, 0))
        bits_log = ~command.out.as_value()
        m.d.comb += tile_eighths.eq(1 << (lanes_log + bits_log))
        beats_a_result = Mux(tile_eighths[5], 4, Mux(tile_eighths[4], 2, 1))

        running, pause = Signal(), Signal(2)
        first_chunk, last_chunk, first_row, last_row = Signal(), Signal(), Signal(), Signal()
        issue = Signal()
        m.d.comb += [
            tile.eq(Mux(m_left > config.psum_depth, config.psum_depth, m_left)),
            first_chunk.eq(k_left == command.k_chunks),
            last_chunk.eq(k_left == 1),
            first_row.eq(i == 0),
            last_row.eq(i + 1 == tile),
            issue.eq(running & (pause == 0) & (full | ~first_row)),
            streaming_start.eq(issue & first_row),
            self.stalled.eq(running & (pause == 0) & first_row & ~full),
            self.a.enable.eq(issue),
            self.a.address.eq(a_row + kword),
        ]
        with m.If(self.start):
            m.d.sync += [running.eq(1), pause.eq(0), i.eq(0), m_left.eq(command.m), n_left.eq(command.n_tiles),
                         k_left.eq(command.k_chunks), a_tile.eq(command.a_base), a_row.eq(command.a_base),
                         c_tile.eq(command.c_base), c_row.eq(command.c_base), kword.eq(0), half.eq(0), position.eq(0)]
        with m.Elif(running & (pause != 0)):
            m.d.sync += pause.eq(pause - 1)
        with m.Elif(issue):
            a_next, c_next = Signal(config.address_bits), Signal(config.address_bits)
            m.d.comb += [a_next.eq(a_row + command.a_stride), c_next.eq(c_row + command.c_stride)]
            m.d.sync += [i.eq(i + 1), a_row.eq(a_next), c_row.eq(c_next)]
            with m.If(last_chunk):
                m.d.sync += pause.eq(beats_a_result - 1)
            with m.If(last_row):
                m.d.sync += [i.eq(0), a_row.eq(a_tile), c_row.eq(c_tile), k_left.eq(k_left - 1),
                             half.eq(~half & is_fx16)]
                with m.If(half | ~is_fx16):
                    m.d.sync += kword.eq(kword + 1)
                with m.If(last_chunk):
                    m.d.sync += [k_left.eq(command.k_chunks), kword.eq(0), half.eq(0), n_left.eq(n_left - 1),
                                 position.eq(position + tile_eighths)]
                    with m.If(n_left == 1):
                        m.d.sync += [n_left.eq(command.n_tiles), position.eq(0), m_left.eq(m_left - tile),
                                     a_tile.eq(a_next), a_row.eq(a_next), c_tile.eq(c_next), c_row.eq(c_next)]
                        with m.If(m_left == tile):
                            m.d.sync += running.eq(0)

        tag = Signal(TileTag(config))
        m.d.comb += [tag.address.eq(c_row + position[3:]), tag.eighth.eq(position[:3])]
        beat = self.beat.p
        arriving = Signal(data.StructLayout({"valid": 1, "swap": 1, "half": 1, "index": beat.index.shape(), "first": 1,
                                             "last": 1, "tag": TileTag(config)}))
        m.d.sync += [
            arriving.valid.eq(issue), arriving.swap.eq(first_row), arriving.half.eq(half), arriving.index.eq(i),
            arriving.first.eq(first_chunk), arriving.last.eq(last_chunk), arriving.tag.eq(tag),
        ]
        m.d.comb += [
            self.beat.valid.eq(arriving.valid), beat.cols[0].eq(self.a.data), beat.index.eq(arriving.index),
            beat.first.eq(arriving.first), beat.last.eq(arriving.last), beat.tag.eq(arriving.tag),
        ]
        for r in range(config.rows):
            control = beat.control[r]
            m.d.comb += [control.op.eq(PeOp.DOT), control.mode.eq(command.precision), control.swap.eq(arriving.swap),
                         control.half.eq(arriving.half)]
        return running
