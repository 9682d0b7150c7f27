"""From the sums of the systolic array to switching maps, the order of channels and approximate activations."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.duet.channel_feed import ChannelFeed
from hw.duet.function import Function
from hw.duet.gate_output import GateOutput, GateSegment
from hw.duet.map_assembly import MapAssembly
from hw.duet.reorder_unit import ReorderUnit, ReorderUnitConfig
from hw.duet.speculator_mfu import SpeculatorMfu, SpeculatorMfuConfig, Sums
from hw.duet.speculator_types import TileMap
from hw.duet.switching_map import SwitchingMap, SwitchingMapConfig
from hw.stream.connect import connect
from hw.stream.hold import assert_hold
from hw.stream.skid_buffer import SkidBuffer

__all__ = ["ResultJob", "ResultPath"]


class ResultJob(data.StructLayout):
    """What becomes of a job's sums; fields as in :class:`hw.duet.speculator_types.Job`."""

    def __init__(self, config, shift_shape):
        super().__init__({
            "function": Function, "threshold": signed(config.pre_bits), "q_shift": shift_shape,
            "n": range(config.max_channels + 1), "table_base": range(config.table_entries), "valid": config.segment,
        })


class ResultPath(wiring.Component):
    """MFU, switching map, Reorder Unit and QDR output buffer behind the systolic array.

    A job's sums enter the MFU once the results of the job before have left the switching map, so that function,
    shift, threshold and valid positions hold for all that is inside. Throughput: a channel a cycle.
    Latency: see docs/duet/speculator.md#timing.

    Members
    -------
    gate, keep_order, thresholds: In, stable while at work
    jobs: In(stream of :class:`ResultJob`); finish: Out: the last result of the oldest job leaves in this cycle
    ordering: Out: a tile's maps have left and its order has not
    table_enable, table_entry: Out; entry: In: of the channel table
    results: In(stream of :class:`hw.duet.systolic_array.Results`)
    maps: Out(stream of :class:`TileMap`); order: Out(stream of the Reorder Unit); gates: Out(stream of
        :class:`GateSegment`)
    """

    def __init__(self, config, results, acc_bits, assertions=False):
        self.config = config
        self.assertions = assertions
        lanes = config.array_rows
        self.mfu = SpeculatorMfu(SpeculatorMfuConfig(
            lanes=lanes, acc_bits=acc_bits, scale_bits=config.scale_bits, bias_bits=config.bias_bits,
            pre_bits=config.pre_bits, code_bits=config.code_bits), assertions)
        self.switch = SwitchingMap(SwitchingMapConfig(
            lanes=lanes, pre_bits=config.pre_bits, code_bits=config.code_bits), assertions)
        self.reorder = ReorderUnit(ReorderUnitConfig(
            lanes=config.segment, buckets=config.buckets, max_channels=config.max_channels), assertions)
        self.feed = ChannelFeed(config, results, Sums(self.mfu.config), assertions)
        self.output = GateOutput(config)
        feed = self.feed.signature.members
        super().__init__({
            "gate": In(1), "keep_order": In(1), "thresholds": In(self.reorder.signature.members["thresholds"].shape),
            "jobs": In(stream.Signature(ResultJob(config, self.mfu.signature.members["q_shift"].shape))),
            "finish": Out(1), "ordering": Out(1),
            **{name: feed[name] for name in ("table_enable", "table_entry", "entry", "results")},
            "maps": Out(stream.Signature(TileMap(config))),
            "order": self.reorder.signature.members["order"],
            "gates": Out(stream.Signature(GateSegment(config))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.feed, m.submodules.mfu, m.submodules.switch = feed, mfu, switch = self.feed, self.mfu, self.switch
        m.submodules.reorder, m.submodules.gate_output = reorder, output = self.reorder, self.output

        job, busy, done, start = Signal(self.jobs.p.shape(), reset_less=True), Signal(), Signal(), Signal()
        m.d.comb += [
            self.jobs.ready.eq(~busy | (done & feed.idle)), start.eq(self.jobs.ready & self.jobs.valid),
            feed.start.eq(start), feed.n.eq(self.jobs.p.n), feed.table_base.eq(self.jobs.p.table_base),
            feed.one_part.eq(self.gate), feed.entry.eq(self.entry),
            self.table_enable.eq(feed.table_enable), self.table_entry.eq(feed.table_entry),
            mfu.curve.eq(job.function), mfu.q_shift.eq(job.q_shift),
            switch.curve.eq(job.function), switch.threshold.eq(job.threshold),
        ]
        with m.If(self.jobs.ready):
            m.d.sync += [busy.eq(self.jobs.valid), done.eq(0)]
        with m.Elif(self.finish):
            m.d.sync += done.eq(1)
        with m.If(start):
            m.d.sync += job.eq(self.jobs.payload)
        connect(m, wiring.flipped(self.results), feed.results)
        connect(m, feed.o, mfu.i)
        m.d.comb += [
            switch.i.valid.eq(mfu.o.valid), mfu.o.ready.eq(switch.i.ready),
            switch.i.p.pre.eq(mfu.o.p.pre), switch.i.p.code.eq(mfu.o.p.code),
            switch.i.p.valid.eq(~0),  # positions outside of the image are taken out below, when all parts are there
        ]

        # Cuts the path from the outputs' ready signals back to the array.
        m.submodules.switched = register = SkidBuffer(data.StructLayout({"map": config.array_rows, "z": 16}))
        switched = register.o
        m.d.comb += [
            register.i.valid.eq(switch.o.valid), switch.o.ready.eq(register.i.ready),
            register.i.p.map.eq(switch.o.p.map), register.i.p.z.eq(switch.o.p.z[:16]),  # a gate has position 0 only
        ]

        # A tile's maps: put together, sent out and to the Reorder Unit, each as soon as it takes them.
        whole = stream.Signature(config.segment).create(path=("whole",))
        left, last = Signal(range(config.max_channels + 1)), Signal()
        map_sent, order_sent = Signal(), Signal()
        if config.parts > 1:
            m.submodules.assembly = assembly = MapAssembly(config)
            m.d.comb += [
                assembly.start.eq(start), assembly.n.eq(self.jobs.p.n),
                assembly.i.valid.eq(switched.valid & ~self.gate), assembly.i.payload.eq(switched.p.map),
                whole.valid.eq(assembly.o.valid), whole.payload.eq(assembly.o.payload),
                assembly.o.ready.eq(whole.ready),
            ]
            map_ready = assembly.i.ready
        else:
            m.d.comb += [whole.valid.eq(switched.valid & ~self.gate), whole.payload.eq(switched.p.map)]
            map_ready = whole.ready
        image_map = Signal(config.segment)
        m.d.comb += [
            image_map.eq(whole.payload & job.valid), last.eq(left == 1),
            whole.ready.eq((self.maps.ready | map_sent) & (reorder.maps.ready | order_sent)),
            self.maps.valid.eq(whole.valid & ~map_sent), reorder.maps.valid.eq(whole.valid & ~order_sent),
            self.maps.p.map.eq(image_map), self.maps.p.last.eq(last),
            # Channels with equal maps keep their order.
            reorder.maps.p.map.eq(Mux(self.keep_order, 0, image_map)), reorder.maps.p.last.eq(last),
            reorder.thresholds.eq(self.thresholds),
        ]
        m.d.sync += [map_sent.eq(whole.valid & ~whole.ready & (self.maps.ready | map_sent)),
                     order_sent.eq(whole.valid & ~whole.ready & (reorder.maps.ready | order_sent))]
        # A gate's results, of position 0.
        m.d.comb += [
            output.i.valid.eq(switched.valid & self.gate), output.i.p.z.eq(switched.p.z),
            output.i.p.map.eq(switched.p.map[0]), output.i.p.last.eq(last),
            switched.ready.eq(Mux(self.gate, output.i.ready, map_ready)),
        ]
        leaves = Signal()
        m.d.comb += [leaves.eq(Mux(self.gate, switched.valid & switched.ready, whole.valid & whole.ready)),
                     self.finish.eq(leaves & last)]
        with m.If(leaves):
            m.d.sync += [left.eq(left - 1), self.maps.p.channel.eq(self.maps.p.channel + 1)]
        with m.If(start):
            m.d.sync += [left.eq(self.jobs.p.n), self.maps.p.channel.eq(0)]
        orders = Signal(3)
        ordered = reorder.order.valid & reorder.order.ready & reorder.order.p.last
        m.d.sync += orders.eq(orders + (self.finish & ~self.gate) - ordered)
        m.d.comb += self.ordering.eq(orders.any())
        connect(m, reorder.order, wiring.flipped(self.order))
        connect(m, output.o, wiring.flipped(self.gates))
        if self.assertions:
            assert_hold(m, self.maps)
        return m
