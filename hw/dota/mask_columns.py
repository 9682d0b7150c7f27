"""Takes beats of masks apart into the keys that at least one row needs (thesis 7.6.3, Figure 7.16)."""

import dataclasses
import typing

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config, ConfigError, field

__all__ = ["Column", "MaskColumns", "MaskConfig", "Masks"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskConfig(Config):
    """Sizes of the masks between Detector and Scheduler, which both have."""

    tokens: int = field(4, "query rows in a group: they are processed in parallel", unit="rows", min=2, max=6)
    max_keys: int = field(512, "keys of a group at most", unit="keys", min=4, max=65536, power_of_two=True)
    key_lanes: int = field(64, "keys in a beat of masks, and scores in a word", unit="keys", min=1, max=1024,
                           power_of_two=True)

    PRESETS: typing.ClassVar[dict[str, dict]] = {
        "paper": {},
        "small": {"tokens": 3, "max_keys": 32, "key_lanes": 8},
        "fpga": {"max_keys": 64, "key_lanes": 16},
    }

    def check(self):
        if self.key_lanes > self.max_keys:
            raise ConfigError("key_lanes", self.key_lanes, f"at most max_keys = {self.max_keys}")


class Masks(data.StructLayout):
    """A beat of masks: row t's bit for key lane k at ``bits[t * key_lanes + k]``; ``last`` ends the group."""

    def __init__(self, tokens, key_lanes):
        super().__init__({"bits": tokens * key_lanes, "last": 1})


class Column(data.StructLayout):
    """A key: its index in the group, and the rows that need it (bit t: row t; none only beside ``last``)."""

    def __init__(self, tokens, id_bits):
        super().__init__({"id": id_bits, "rows": tokens, "last": 1})


class MaskColumns(wiring.Component):
    """A stream of beats becomes a stream of needed keys, lowest first.

    Throughput: one column a cycle; a beat without any costs one cycle, and gives a column only when it ends the
    group. Latency: a beat's first column is valid two cycles after its transfer; the output is registered.

    Parameters
    ----------
    tokens, key_lanes: rows in a group, and keys in a beat (a power of two)
    beats: beats in a group at most (a power of two)

    Members
    -------
    masks: In(stream of :class:`Masks`)
    columns: Out(stream of :class:`Column`)
    """

    def __init__(self, tokens, key_lanes, beats):
        self.tokens, self.key_lanes, self.beats = tokens, key_lanes, beats
        self.id_bits = (key_lanes * beats - 1).bit_length()
        super().__init__({
            "masks": In(stream.Signature(Masks(tokens, key_lanes))),
            "columns": Out(stream.Signature(Column(tokens, self.id_bits))),
        })

    def elaborate(self, platform):
        m = Module()
        lanes = self.key_lanes
        beat = Signal(data.ArrayLayout(lanes, self.tokens), reset_less=True)
        todo = Signal(lanes, reset_less=True)  # lanes of the beat that are needed and not yet sent
        held, ends, index = Signal(), Signal(), Signal(range(self.beats))
        lane, rest = Signal(lanes), Signal(lanes)
        move, done = Signal(), Signal()
        m.d.comb += [
            rest.eq(todo & (todo - 1)), lane.eq(todo & ~rest), done.eq(held & ~rest.any()),
            move.eq(~self.columns.valid | self.columns.ready), self.masks.ready.eq(~held | done & move),
        ]

        column = Signal.like(self.columns.payload, reset_less=True)
        m.d.comb += self.columns.payload.eq(column)
        with m.If(move):
            number = Cat(Cat(lane[k] for k in range(lanes) if k >> bit & 1).any()
                         for bit in range(lanes.bit_length() - 1))
            m.d.sync += [
                todo.eq(rest), self.columns.valid.eq(held & (todo.any() | ends)),
                column.id.eq(Cat(number, index)), column.rows.eq(Cat((row & lane).any() for row in beat)),
                column.last.eq(ends & done),
            ]
            with m.If(done):
                m.d.sync += [held.eq(0), index.eq(Mux(ends, 0, index + 1))]
        with m.If(self.masks.valid & self.masks.ready):
            arriving = data.View(beat.shape(), self.masks.p.bits)
            m.d.sync += [held.eq(1), ends.eq(self.masks.p.last), beat.eq(arriving)]
            m.d.sync += todo.eq(_or(arriving))
        return m


def _or(rows):
    """Bitwise OR of ``rows``."""
    total = 0
    for row in rows:
        total = total | row
    return total
