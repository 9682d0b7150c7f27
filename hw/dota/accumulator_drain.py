"""Reads the RMMU's accumulators after an AV pass and writes the output rows."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.arith.fixed import Requantize
from hw.arith.multi_precision_pe import MultiPrecisionPe
from hw.dota.attention_pass import group_count
from hw.dota.lane_command import CommandLayout
from hw.dota.lane_memory import GRAINS, MemoryWrite
from hw.dota.rmmu import ACC_WIDTH
from hw.dota.tile_writer import MAX_SHIFT

__all__ = ["AccumulatorDrain"]


class AccumulatorDrain(wiring.Component):
    """After ``go`` (pulse, in the cycle of an AV pass's last beat) writes the group's rows, half a word a cycle.

    A row is requantized by the command's ``out_shift``; a token that is not in ``nonempty`` (of this group, valid
    with ``go``) gives zeros. ``groups`` counts groups whose accumulators have been read; ``done`` pulses when the
    command's last row is written. Latency: the first half word is written ``MultiPrecisionPe.mac_latency`` + 3 cycles
    after ``go``, then one each cycle.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "command": In(CommandLayout(config)),
            "start": In(1),
            "go": In(1),
            "nonempty": In(data.ArrayLayout(config.tokens, 2)),
            "drain_row": Out(ceil_log2(config.rows)),
            "drain": In(config.rmmu.drain_layout),
            "write": Out(MemoryWrite(config.address_bits, config.word_bits)),
            "groups": Out(group_count(config)),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, command = self.config, self.command
        wait = Signal(range(MultiPrecisionPe.mac_latency + 1))
        waiting, reading = Signal(), Signal()
        nonempty = Signal(config.tokens)
        token, word, half = Signal(range(config.tokens)), Signal(range(config.max_words)), Signal()
        row = Signal(config.address_bits)
        rows_left = Signal(command.m.shape())
        with m.If(self.start):
            m.d.sync += [self.groups.eq(0), row.eq(command.c_base), rows_left.eq(command.m)]
        with m.If(self.go):
            m.d.sync += [waiting.eq(1), wait.eq(MultiPrecisionPe.mac_latency - 1),
                         nonempty.eq(Mux(self.groups[0], self.nonempty[1], self.nonempty[0]))]
        with m.If(waiting):
            m.d.sync += wait.eq(wait - 1)
            with m.If(wait == 0):
                m.d.sync += [waiting.eq(0), reading.eq(1)]

        # Three stages: choose a row of PEs, requantize its accumulators, write.
        place = data.StructLayout({"valid": 1, "zero": 1, "half": 1, "final": 1, "address": config.address_bits})
        chosen, ready = Signal(place), Signal(place)
        last_word = word + 1 == command.words
        m.d.comb += self.drain_row.eq(token * config.token_rows + 2 * word + half)
        m.d.sync += [
            chosen.valid.eq(reading), chosen.zero.eq(~nonempty.bit_select(token, 1)), chosen.half.eq(half),
            chosen.final.eq(half & last_word & (rows_left == 1)), chosen.address.eq(row + word), ready.eq(chosen),
        ]
        with m.If(reading):
            m.d.sync += half.eq(~half)
            with m.If(half):
                m.d.sync += word.eq(word + 1)
                with m.If(last_word):
                    m.d.sync += [word.eq(0), token.eq(token + 1), row.eq(row + command.c_stride),
                                 rows_left.eq(rows_left - 1)]
                    with m.If((token == config.tokens - 1) | (rows_left == 1)):
                        m.d.sync += [token.eq(0), reading.eq(0), self.groups.eq(self.groups + 1)]

        values = Signal(data.ArrayLayout(signed(16), config.cols), reset_less=True)
        for c in range(config.cols):
            requantize = m.submodules[f"requantize_{c}"] = Requantize(ACC_WIDTH, 16, MAX_SHIFT)
            m.d.comb += [requantize.x.eq(self.drain[c]), requantize.shift.eq(command.out_shift)]
            m.d.sync += values[c].eq(Mux(chosen.zero, 0, requantize.y))
        m.d.comb += [
            self.write.address.eq(ready.address),
            self.write.data.eq(values.as_value().replicate(2)),
            self.done.eq(ready.valid & ready.final),
        ]
        with m.If(ready.valid):
            m.d.comb += self.write.mask.eq(Mux(ready.half, 0xff << GRAINS // 2, 0xff))
        return m
