"""Rows through the MFU: sequencing of the lane's SOFTMAX and CONVERT commands."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out
from amaranth.utils import ceil_log2

from hw.arith.precision import Precision
from hw.dota.lane_command import LaneOp, engine_ports
from hw.dota.lane_memory import GRAINS, MemoryRead, MemoryWrite
from hw.dota.mfu_types import MfuOp, user_ports

__all__ = ["RowEngine"]

#: Word position in sixteenths: the smallest beat, C elements of two bits, is one sixteenth.
GRAIN_BITS = ceil_log2(GRAINS)


def grains(precision):
    """Sixteenths of a word that C elements of ``precision`` (a run-time signal) take: 8, 4, 2 or 1."""
    return 8 >> precision.as_value()


class RowEngine(wiring.Component):
    """Reads rows beat by beat (C elements), sends them through the MFU, writes the answers.

    Throughput: one beat a cycle as long as the MFU takes one. ``stalled`` while a beat waits for the MFU.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            **engine_ports(config),
            "read": Out(MemoryRead(config.address_bits, config.word_bits)),
            "write": Out(MemoryWrite(config.address_bits, config.word_bits)),
            **user_ports(config.cols),
            "stalled": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, command = self.config, self.command
        softmax = Signal()
        # Beats a row, and elements in the last of them.
        beats = Signal(command.k_chunks.shape())
        tail = Signal(range(config.cols + 1))
        rest = Signal(ceil_log2(config.cols))
        m.d.comb += [
            softmax.eq(command.op == LaneOp.SOFTMAX),
            rest.eq(command.keys),
            tail.eq(Mux(~softmax | (rest == 0), config.cols, rest)),
            beats.eq(Mux(softmax, (command.keys + config.cols - 1) >> ceil_log2(config.cols), command.k_chunks)),
        ]
        self._send(m, softmax, beats, tail)
        self._receive(m, beats)
        return m

    def _walk(self, m, name, base, stride, step, beats, advance):
        """Registers that walk over rows and their beats: (address, position in sixteenths, running, last beat)."""
        config, command = self.config, self.command
        row = Signal(config.address_bits, name=f"{name}_row")
        position = Signal(config.address_bits + GRAIN_BITS, name=f"{name}_position")
        rows_left = Signal(command.m.shape(), name=f"{name}_rows_left")
        beats_left = Signal(beats.shape(), name=f"{name}_beats_left")
        running, last = Signal(name=f"{name}_running"), Signal(name=f"{name}_last")
        m.d.comb += last.eq(beats_left == 1)
        with m.If(self.start):
            m.d.sync += [row.eq(base), position.eq(0), rows_left.eq(command.m), beats_left.eq(beats), running.eq(1)]
        with m.Elif(advance):
            m.d.sync += [position.eq(position + step), beats_left.eq(beats_left - 1)]
            with m.If(last):
                m.d.sync += [position.eq(0), beats_left.eq(beats), row.eq(row + stride),
                             rows_left.eq(rows_left - 1), running.eq(rows_left != 1)]
        return row + (position >> GRAIN_BITS), position[:GRAIN_BITS], running, last

    def _send(self, m, softmax, beats, tail):
        config, command = self.config, self.command
        issue, have = Signal(), Signal()
        address, place, running, last = self._walk(m, "in", command.a_base, command.a_stride,
                                                   grains(command.precision), beats, issue)
        # The SRAM's output register is the one stage of this stream: the next read is issued as it empties.
        m.d.comb += [
            issue.eq(running & (~have | self.to_mfu.ready)),
            self.read.enable.eq(issue),
            self.read.address.eq(address),
            self.to_mfu.valid.eq(have),
            self.stalled.eq(have & ~self.to_mfu.ready),
        ]
        held_place, held_last = Signal(GRAIN_BITS), Signal()
        with m.If(issue):
            m.d.sync += [have.eq(1), held_place.eq(place), held_last.eq(last)]
        with m.Elif(self.to_mfu.ready):
            m.d.sync += have.eq(0)
        payload = self.to_mfu.p
        grain_bits = config.word_bits // GRAINS
        m.d.comb += [
            payload.data.eq(self.read.data >> (held_place * grain_bits)),
            payload.count.eq(Mux(held_last, tail, config.cols)),
            payload.last.eq(held_last),
            payload.precision.eq(Mux(command.precision.as_value() == Precision.FX16.value, command.out.as_value(),
                                     command.precision.as_value())),
            payload.shift.eq(command.shift),
        ]
        with m.If(softmax):
            m.d.comb += payload.op.eq(MfuOp.SOFTMAX)
        with m.Elif(command.precision == Precision.FX16):
            m.d.comb += payload.op.eq(MfuOp.QUANTIZE)
        with m.Else():
            m.d.comb += payload.op.eq(MfuOp.DEQUANTIZE)

    def _receive(self, m, beats):
        config, command = self.config, self.command
        take = Signal()
        address, place, running, last = self._walk(m, "out", command.c_base, command.c_stride,
                                                   grains(command.out), beats, take)
        was_running = Signal()
        m.d.sync += was_running.eq(running)
        m.d.comb += [
            take.eq(self.from_mfu.valid & running),
            self.from_mfu.ready.eq(running),
            self.write.address.eq(address),
            self.finished.eq(was_running & ~running),
        ]
        # The beat is repeated over the word; the mask picks its place.
        answer = self.from_mfu.p.data
        for out in Precision:
            part = answer[:config.cols * out.bits]
            with m.If(command.out == out):
                m.d.comb += self.write.data.eq(part.replicate(config.word_bits // len(part)))
        mask = Signal(8)
        m.d.comb += mask.eq((1 << grains(command.out)) - 1)
        with m.If(take):
            m.d.comb += self.write.mask.eq(mask << place)
