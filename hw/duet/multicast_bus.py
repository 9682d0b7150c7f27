"""MulticastBus: from the GlobalBuffer to rows and elements by comparing tags with IDs (thesis 5.1, Figure 5.1)."""

import dataclasses

from amaranth.hdl import Assert, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.config import Config, field
from hw.shared import shared
from hw.stream.connect import connect
from hw.stream.hold import assert_hold

__all__ = ["IdWrite", "MulticastBus", "MulticastBusConfig", "RowItem", "ThroughItem", "XBus", "XItem", "YBus", "YItem"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MulticastBusConfig(Config):
    """Sizes of the MulticastBus."""

    rows: int = field(16, "X-buses with elements", min=1, max=32)
    cols: int = field(16, "elements of an X-bus", min=2, max=32)
    body_bits: int = field(300, "bits of an item besides tags and data", min=1, max=2048)
    data_bits: int = field(4096, "bits of a line", min=1, max=16384)

    PRESETS = {
        "paper": {},
        "small": {"rows": 4, "cols": 2, "body_bits": 40, "data_bits": 128},
        "fpga": {"rows": 4, "cols": 4, "body_bits": 100, "data_bits": 1024},
    }

    @property
    def row_id_bits(self):
        """Width of an X-bus' ID; there is one X-bus more than rows."""
        return ceil_log2(self.rows + 1)

    @property
    def col_id_bits(self):
        """Width of an element's ID."""
        return ceil_log2(self.cols)


class YItem(data.StructLayout):
    """An item with the tags of those that it is for."""

    def __init__(self, config):
        super().__init__({"row_tag": config.row_id_bits, "row_all": 1, "col_tag": config.col_id_bits, "col_all": 1,
                          "body": config.body_bits, "data": config.data_bits})


class IdWrite(data.StructLayout):
    """Sets an ID: ``index`` 0..rows is an X-bus, rows + 1 + r * cols + c an element."""

    def __init__(self, config):
        super().__init__({"index": range(config.rows + 1 + config.rows * config.cols),
                          "value": max(config.row_id_bits, config.col_id_bits)})


class RowItem(data.StructLayout):
    """What an X-bus gives: ``hit``, the item is for it; ``enable``: the elements that take it now; zeros elsewhere."""

    def __init__(self, config):
        super().__init__({"hit": 1, "enable": config.cols, "body": config.body_bits, "data": config.data_bits})


class ThroughItem(data.StructLayout):
    """What the further X-bus gives."""

    def __init__(self, config):
        super().__init__({"body": config.body_bits, "data": config.data_bits})


class XItem(data.StructLayout):
    """What comes to an X-bus: ``hit``, the item is for it; ``taken``, elements take it now; the item; new IDs."""

    def __init__(self, config):
        super().__init__({
            "hit": 1, "taken": 1, "col_tag": config.col_id_bits, "col_all": 1, "body": config.body_bits,
            "data": config.data_bits, "id_write": config.cols, "id_value": config.col_id_bits,
        })


@shared
class XBus(wiring.Component):
    """One X-bus: gates the item, compares the column tag with its elements' IDs. Combinational but for the IDs.

    Members: ``i``, an :class:`XItem`, whose ``id_write`` sets IDs of elements; ``o``, a :class:`RowItem`.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({"i": In(XItem(config)), "o": Out(RowItem(config))})

    def elaborate(self, platform):
        m = Module()
        config, item = self.config, self.i
        enable = []
        for c in range(config.cols):
            own = Signal(config.col_id_bits, name=f"id_{c}", init=c)
            with m.If(item.id_write[c]):
                m.d.sync += own.eq(item.id_value)
            enable.append(item.hit & item.taken & (item.col_all | (item.col_tag == own)))
        m.d.comb += [
            self.o.hit.eq(item.hit), self.o.enable.eq(Cat(enable)),
            self.o.body.eq(Mux(item.hit, item.body, 0)), self.o.data.eq(Mux(item.hit, item.data, 0)),
        ]
        return m


class YBus(wiring.Component):
    """The register of the Y-bus, and which X-buses its item is for.

    Members: ``ids``, ``y``, ``offer``, ``body``, ``take``, ``taken``, ``through`` as of :class:`MulticastBus`;
    ``item``, the item that waits; ``hits``, the rows it is for.
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "ids": In(stream.Signature(IdWrite(config), always_ready=True)),
            "y": In(stream.Signature(YItem(config))),
            "offer": Out(1), "body": Out(config.body_bits), "take": In(1), "taken": Out(1),
            "hits": Out(config.rows), "item": Out(YItem(config)),
            "through": Out(stream.Signature(ThroughItem(config))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        valid, item = Signal(), Signal(YItem(config), reset_less=True)
        hits = Signal(config.rows + 1, reset_less=True)
        further, moves = Signal(), Signal()
        m.d.comb += [
            self.item.eq(item), self.hits.eq(hits & valid.replicate(config.rows)),
            self.offer.eq(self.hits.any()), self.body.eq(item.body),
            further.eq(valid & hits[-1]),
            self.taken.eq(self.offer & self.take & (~further | self.through.ready)),
            self.through.valid.eq(further & (~self.offer | self.take)),
            self.through.p.body.eq(Mux(further, item.body, 0)), self.through.p.data.eq(Mux(further, item.data, 0)),
            moves.eq((~self.offer | self.take) & (~further | self.through.ready)),
            self.y.ready.eq(~valid | moves),
        ]
        with m.If(self.y.ready):
            m.d.sync += valid.eq(self.y.valid)
        arrives = self.y.ready & self.y.valid
        with m.If(arrives):
            m.d.sync += item.eq(self.y.payload)

        for k in range(config.rows + 1):
            own = Signal(config.row_id_bits, name=f"row_id_{k}", init=k)
            with m.If(self.ids.valid & (self.ids.p.index == k)):
                m.d.sync += own.eq(self.ids.p.value)
            named, everywhere = self.y.p.row_tag == own, self.y.p.row_all
            with m.If(arrives):
                m.d.sync += hits[k].eq(named | everywhere if k < config.rows else named & ~everywhere)
        if self.assertions:
            assert_hold(m, self.through)
            taking = Signal()
            m.d.sync += taking.eq(self.offer & self.take & ~moves)
            with m.If(taking):
                m.d.sync += Assert(self.take, "take fell before the item moved")
        return m

    def x_item(self, r):
        """What row ``r``'s X-bus is connected to: a dict of the fields of its :class:`XItem`."""
        first = self.config.rows + 1 + r * self.config.cols
        ids = self.ids
        return {
            "hit": self.hits[r], "taken": self.taken, "col_tag": self.item.col_tag, "col_all": self.item.col_all,
            "body": self.item.body, "data": self.item.data, "id_value": ids.p.value,
            "id_write": Cat(ids.valid & (ids.p.index == first + c) for c in range(self.config.cols)),
        }


class MulticastBus(wiring.Component):
    """A Y-bus to ``rows`` X-buses and one further X-bus, with reconfigurable IDs.

    An item goes to all X-buses whose ID equals its row tag (or to all of ``rows``), and there to all elements whose ID
    equals its column tag (or to all). Equal IDs receive the same item in the same cycle. X-buses that do not match see
    zeros, elements that do not match are not enabled.

    Latency: :attr:`latency` = 1 cycle, the register that an item waits in. Throughput: one item a cycle.
    Back-pressure: ``y.ready`` depends in the same cycle on ``take`` and ``through.ready``. An item for rows and for the
    further X-bus moves in the one cycle in which both take it: ``through.valid`` waits for ``take`` then.
    Source: thesis 5.1, Figure 5.1 (network on chip with (row, column) tags).

    Parameters: ``config`` a :class:`MulticastBusConfig`; ``assertions``: check the rules of streams and of ``take``.

    Members
    -------
    ids: In(stream of :class:`IdWrite`, always ready), while no item is inside; after reset X-bus k has ID k, element
        (r, c) has ID c
    y: In(stream of :class:`YItem`)
    offer: Out, an item that at least one of the rows' X-buses matches waits; body: Out, its body, not gated
    take: In, the rows take it in this cycle; once 1, it stays until the item has moved. Must not depend on ``taken``
    taken: Out, they do, together with the further X-bus if the item is for that too
    x: Out(array of ``rows`` :class:`RowItem`); ``enable`` is set in the cycle of ``taken``
    through: Out(stream of :class:`ThroughItem`), the further X-bus

    An item that matches nothing is dropped.
    """

    latency = 1

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "ids": In(stream.Signature(IdWrite(config), always_ready=True)),
            "y": In(stream.Signature(YItem(config))),
            "offer": Out(1),
            "body": Out(config.body_bits),
            "take": In(1),
            "taken": Out(1),
            "x": Out(RowItem(config)).array(config.rows),
            "through": Out(stream.Signature(ThroughItem(config))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.y_bus = bus = YBus(self.config, self.assertions)
        connect(m, wiring.flipped(self.ids), bus.ids)
        connect(m, wiring.flipped(self.y), bus.y)
        connect(m, bus.through, wiring.flipped(self.through))
        m.d.comb += [self.offer.eq(bus.offer), self.body.eq(bus.body), bus.take.eq(self.take),
                     self.taken.eq(bus.taken)]
        for r in range(self.config.rows):
            x = m.submodules[f"x_{r}"] = XBus(self.config)
            m.d.comb += [x.i[name].eq(value) for name, value in bus.x_item(r).items()]
            m.d.comb += self.x[r].eq(x.o)
        return m
