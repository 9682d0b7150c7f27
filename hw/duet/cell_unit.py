"""CellUnit: state update of LSTM and GRU cells, element by element, after the gates (thesis 5.2.2)."""

import dataclasses
import typing

from amaranth.hdl import Assert, Cat, Module, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config, field
from hw.duet.cell_lane import CellLane
from hw.stream.hold import assert_hold

__all__ = ["Cell", "CellOperands", "CellUnit", "CellUnitConfig", "CellState", "GRU_FIELDS"]

#: Field of :class:`CellOperands` that carries each operand of a GRU.
GRU_FIELDS = {"h": "i", "r": "f", "nx": "g", "z": "o", "nh": "c"}


class Cell(enum.Enum, shape=1):
    """Kind of a recurrent cell."""

    LSTM = 0
    GRU = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellUnitConfig(Config):
    """Sizes of the CellUnit."""

    lanes: int = field(4, "elements updated in a cycle", unit="elements", min=1, max=64)
    c_fraction: int = field(8, "fraction bits of the cell state of an LSTM", unit="bits", min=4, max=11)

    PRESETS: typing.ClassVar[dict[str, dict]] = {"paper": {}, "small": {"lanes": 2}, "fpga": {"lanes": 2}}


class CellOperands(data.StructLayout):
    """What the update of ``lanes`` elements needs: five vectors, lane k at bits ``16 * k`` and up.

    LSTM: gates ``i``, ``f``, ``o`` (Q0.15, 0..32767), candidate ``g`` (signed Q0.15), state ``c``. GRU: in the same
    places (:data:`GRU_FIELDS`) ``h`` (signed Q0.15), ``r``, ``nx`` (signed Q4.11), ``z``, ``nh`` (signed Q4.11).
    ``last`` marks a vector's last item.
    """

    def __init__(self, lanes):
        super().__init__({**{name: 16 * lanes for name in "ifgoc"}, "last": 1})


class CellState(data.StructLayout):
    """The new ``h`` (signed Q0.15) and ``c``, lane k at bits ``16 * k`` and up; GRU: ``c`` is the old ``h``."""

    def __init__(self, lanes):
        super().__init__({"h": 16 * lanes, "c": 16 * lanes, "last": 1})


class CellUnit(wiring.Component):
    """Vectors pass ``lanes`` elements at a time; in the last item, lanes past the last element carry anything.

    Latency: :attr:`latency` = 9 cycles. Throughput: one item a cycle. Back-pressure: while an item waits on ``o``, the
    whole pipeline stands still; gaps between items stay. ``o`` comes from registers; ``i.ready`` depends in the same
    cycle on ``o.ready`` (put a ``SkidBuffer`` behind ``o`` to cut this).
    Formulas and number formats: ``golden/duet/cell_unit.py``. Source: thesis 5.2.2 (the gates are DUET's work; the
    thesis does not tell where the cell's state is updated).

    Parameters
    ----------
    config: :class:`CellUnitConfig`
    assertions: add checks that gates are not negative and items stay until they are taken (simulation)

    Members
    -------
    kind: In(:class:`Cell`), stable while anything is inside
    i: In(stream of :class:`CellOperands`)
    o: Out(stream of :class:`CellState`)
    """

    latency = CellLane.latency

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "kind": In(Cell),
            "i": In(stream.Signature(CellOperands(config.lanes))),
            "o": Out(stream.Signature(CellState(config.lanes))),
        })

    def elaborate(self, platform):
        m = Module()
        moves, gru = Signal(), self.kind == Cell.GRU
        valid, last = Signal(self.latency), Signal(self.latency)
        lanes = [CellLane(self.config.c_fraction) for _ in range(self.config.lanes)]
        m.d.comb += [
            moves.eq(~self.o.valid | self.o.ready), self.i.ready.eq(moves),
            self.o.valid.eq(valid[-1]), self.o.p.last.eq(last[-1]),
            self.o.p.h.eq(Cat(lane.h for lane in lanes)), self.o.p.c.eq(Cat(lane.state for lane in lanes)),
        ]
        with m.If(moves):
            m.d.sync += [valid.eq(Cat(self.i.valid, valid)), last.eq(Cat(self.i.p.last, last))]
        for index, lane in enumerate(lanes):
            m.submodules[f"lane_{index}"] = lane
            m.d.comb += [lane.enable.eq(moves), lane.gru.eq(gru)]
            for name in "ifgoc":
                m.d.comb += getattr(lane, name).eq(self.i.p[name].word_select(index, 16))

        if self.assertions:
            assert_hold(m, self.o)
            with m.If(self.i.valid):
                for index in range(len(lanes)):
                    signs = Cat(self.i.p[name].word_select(index, 16)[-1] for name in "ifo")
                    m.d.sync += Assert((signs & Cat(~gru, 1, 1)) == 0, "a gate is negative")
        return m
