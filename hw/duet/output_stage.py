"""OutputStage: reads a step's sums, makes results of them, sends a row a cycle."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.arith.activation import Activation, ActivationFunction
from hw.arith.pipeline import delay
from hw.duet.executor_row import ExecutorRow
from hw.duet.executor_settings import LayerSettings
from hw.duet.executor_types import PARITIES, RESULT_BITS, Results
from hw.duet.function import Function
from hw.duet.output_lane import OutputLane
from hw.duet.set_bits import SetBits
from hw.duet.step_maps import RowStep
from hw.stream.hold import assert_hold

__all__ = ["OutputStage"]


class OutputStage(wiring.Component):
    """One :class:`OutputLane` a row, the reading of sums, one activation unit, and the results stream.

    From ``start`` on the outputs that a row needs are read, one a cycle, lowest first (at least one cycle). The last
    result is in its segment :attr:`latency` cycles after its sum was asked for. With SIGMOID and TANH, word 0 of each
    row then goes through the activation unit, one row a cycle. Then the rows leave, one a cycle.

    Parameters: ``config`` an :class:`~hw.duet.executor_types.ExecutorConfig`; ``assertions``: check that results stay
    until they are taken.

    Members
    -------
    settings: In(:class:`~hw.duet.executor_settings.LayerSettings`)
    start, parity: In, only while ``free``; needed: In, rows: In(array of :class:`~hw.duet.step_maps.RowStep`), stable
        while ``reading``
    psum_read, psum_index: Out, a sum is asked for; sums: In(array of rows), :meth:`ExecutorRow.sum_latency` cycles
        later
    read_done: Out, the last sum is asked for in this cycle
    reading: Out, from the cycle after ``start`` to the one that writes the last result
    free: Out, no result is inside
    results: Out(stream of :class:`~hw.duet.executor_types.Results`), registered
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "settings": In(LayerSettings(config)),
            "start": In(1), "parity": In(ceil_log2(PARITIES)), "needed": In(config.segment),
            "rows": In(data.ArrayLayout(RowStep(config), config.rows)),
            "psum_read": Out(1), "psum_index": Out(config.word_bits),
            "sums": In(data.ArrayLayout(signed(config.sum_bits), config.rows)),
            "read_done": Out(1), "reading": Out(1), "free": Out(1),
            "results": Out(stream.Signature(Results(config))),
        })

    @staticmethod
    def latency(config):
        """Cycles from the one that asks for a sum to the one in whose end its result is written."""
        return ExecutorRow.sum_latency(config) + OutputLane.latency

    def elaborate(self, platform):
        m = Module()
        config, settings = self.config, self.settings
        parity = Signal.like(self.parity, reset_less=True)
        channels = [Signal(config.channel_bits, name=f"channel_{r}", reset_less=True) for r in range(config.rows)]
        with m.If(self.start):
            m.d.sync += [parity.eq(self.parity), self.reading.eq(1),
                         [channel.eq(row.channel) for channel, row in zip(channels, self.rows)]]

        # Which outputs are read, and which rows leave: both vectors are given at the start.
        m.submodules.outputs = outputs = SetBits(config.segment, marker=True)
        m.submodules.leaving = leaving = SetBits(config.rows, marker=True)
        m.d.comb += [
            outputs.i.valid.eq(self.start), outputs.i.p.bits.eq(self.needed), outputs.o.ready.eq(1),
            leaving.i.valid.eq(self.start), leaving.i.p.bits.eq(Cat(row.present for row in self.rows)),
            self.psum_index.eq(outputs.o.p.index), self.psum_read.eq(outputs.o.valid & ~outputs.o.p.none),
            self.read_done.eq(outputs.o.valid & outputs.o.p.last),
        ]

        place = Signal(config.word_bits)
        wanted = Signal(config.rows)
        m.d.comb += [
            place.eq(settings.place.as_value().word_select(Cat(self.psum_index, parity), config.word_bits)),
            wanted.eq(Cat(row.omap.bit_select(self.psum_index, 1) for row in self.rows)
                      & self.psum_read.replicate(config.rows)),
        ]
        cycles = self.latency(config)
        place = delay(m, place, cycles, name="place")
        wanted = delay(m, wanted, cycles, name="wanted", control=True)
        written = delay(m, self.read_done, cycles, name="written", control=True)

        m.submodules.activation = activation = Activation()
        counter = Signal(range(config.rows))
        feeding, curved = Signal(), Signal()
        m.d.comb += curved.eq((settings.function == Function.SIGMOID) | (settings.function == Function.TANH))
        word = Signal(RESULT_BITS, reset_less=True)
        cycles = 1 + activation.latency
        fed = delay(m, feeding, cycles, name="fed", control=True)
        fed_row = delay(m, counter, cycles, name="fed_row")
        lanes = []
        for r in range(config.rows):
            lane = m.submodules[f"lane_{r}"] = OutputLane(config)
            m.d.comb += [
                lane.sum.eq(self.sums[r]), lane.bias.eq(self.rows[r].bias), lane.shift.eq(settings.shift),
                lane.relu.eq(settings.function == Function.RELU), lane.pool.eq(settings.pool),
                lane.clear.eq(self.start), lane.write.eq(wanted[r]), lane.word.eq(place),
                lane.replace.eq(fed & (fed_row == r)), lane.value.eq(activation.y),
            ]
            lanes.append(lane)
        m.d.sync += word.eq(Array(lane.data[:RESULT_BITS] for lane in lanes)[counter])
        m.d.comb += [
            activation.x.eq(word), activation.enable.eq(1),
            activation.function.eq(Mux(settings.function == Function.TANH, ActivationFunction.TANH,
                                       ActivationFunction.SIGMOID)),
        ]

        result = Signal(Results(config), reset_less=True)
        row, owned = leaving.o.p.index, Signal(config.segment)
        m.d.comb += [self.results.payload.eq(result), owned.eq(settings.owned[parity])]
        with m.If(self.results.ready):
            m.d.sync += self.results.valid.eq(0)
        with m.FSM():
            with m.State("FREE"):
                m.d.comb += self.free.eq(1)
                with m.If(self.start):
                    m.next = "FILL"
            with m.State("FILL"):
                with m.If(written):
                    m.d.sync += self.reading.eq(0)
                    with m.If(curved):
                        m.next = "FEED"
                    with m.Else():
                        m.next = "LEAVE"
            with m.State("FEED"):
                m.d.comb += feeding.eq(1)
                m.d.sync += counter.eq(counter + 1)
                with m.If(counter == config.rows - 1):
                    m.d.sync += counter.eq(0)
                    m.next = "CURVE"
            with m.State("CURVE"):
                with m.If(fed & (fed_row == config.rows - 1)):
                    m.next = "LEAVE"
            with m.State("LEAVE"):
                m.d.comb += leaving.o.ready.eq(~self.results.valid | self.results.ready)
                with m.If(leaving.o.ready):
                    m.d.sync += [
                        self.results.valid.eq(~leaving.o.p.none),
                        result.channel.eq(Array(channels)[row]), result.parity.eq(parity),
                        result.data.eq(Array(lane.data for lane in lanes)[row]),
                        result.nonzero.eq(Array(lane.nonzero for lane in lanes)[row]),
                        result.mask.eq(owned), result.last.eq(leaving.o.p.last),
                    ]
                    with m.If(leaving.o.p.last):
                        m.next = "FREE"
        if self.assertions:
            assert_hold(m, self.results)
        return m
