"""Order of the windows of a tile and how their pixels come together, for the Projection."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.duet.speculator_types import SLOTS, Settings
from hw.duet.torus_rotate import TorusRotate
from hw.stream.hold import assert_hold

__all__ = ["Window", "WindowFeed"]


class Window(data.StructLayout):
    """A pass of a window: input ``t * C + c`` of ``x``, the rows of P for it."""

    def __init__(self, config):
        super().__init__({"x": config.lanes * config.bits, "p": config.trees * config.lanes * 2, "first": 1, "last": 1})


class WindowFeed(wiring.Component):
    """For each group, row of P, position and pass: one window a cycle from the activation buffer, its rows of P beside.

    Pixel (y, x) of the torus of 2 x 2 blocks is word (y % th, x % tw) of slot 2 (y // th) + x // tw. Tap t of a pass is
    at the window's (t // tw + th * far_y[t], t % tw + tw * far_x[t]), so each bank is read once: at the slot that is
    worked out for it, and :class:`TorusRotate` brings banks to taps. A vector's lines are read as they are.

    Latency: :attr:`latency` = 4 cycles from the cycle in which a window is issued to its offer on ``work``.
    Throughput: a window a cycle. Rows of P are read when they change only.

    Members
    -------
    settings: In(:class:`Settings`), stable while at work
    start: In; free: Out: a job can be started in this cycle (with its last window, or idle)
    loaded, half: In; finish, free_room, read_enable, rows: Out; pixels: In: of :class:`ActivationBuffer`
    p_enable, p_row: Out; p: In: of the projection buffer
    active: Out, a job is at work; issue: Out, a window is issued
    work: Out(stream of :class:`Window`)
    """

    latency = 4

    def __init__(self, config, shift_shape, assertions=False):
        self.config = config
        self.assertions = assertions
        row_bits = ceil_log2(config.activation_rows)
        super().__init__({
            "settings": In(Settings(config, shift_shape)),
            "start": In(1), "free": Out(1), "active": Out(1), "issue": Out(1),
            "loaded": In(1), "half": In(1), "finish": Out(1), "free_room": Out(1),
            "read_enable": Out(1),
            "rows": Out(data.ArrayLayout(row_bits, config.segment)),
            "pixels": In(data.ArrayLayout(config.cols * config.bits, config.segment)),
            "p_enable": Out(1), "p_row": Out(range(config.projection_rows)),
            "p": In(config.trees * config.lanes * 2),
            "work": Out(stream.Signature(Window(config))),
        })

    def elaborate(self, platform):
        m = Module()
        config, settings = self.config, self.settings
        places = config.segment
        place_bits = ceil_log2(places)
        go = Signal()
        m.d.comb += go.eq(~self.work.valid | self.work.ready)

        # The window that is issued: counters of the four loops, its origin in the torus and its row of P.
        pass_, place = Signal(range(config.max_passes)), Signal(place_bits)
        row, group = Signal.like(settings.group_rows), Signal.like(settings.groups)
        base, p_row = (Signal.like(self.p_row, name=name) for name in ("base", "p_row"))
        y, x = Signal(place_bits + 1), Signal(place_bits + 1)
        last_pass, last_place, last_row, last = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.issue.eq(go & self.active & self.loaded),
            self.finish.eq(self.issue & last),
            self.free.eq(~self.active | self.finish),
            last_pass.eq(pass_ + 1 == settings.passes),
            last_place.eq(last_pass & (settings.gate | (place == ~settings.unused))),
            last_row.eq(last_place & (row + 1 == settings.group_rows)),
            last.eq(last_row & (group + 1 == settings.groups)),
        ]
        after = Signal.like(base)
        with m.If(self.issue):
            m.d.sync += [pass_.eq(pass_ + 1), p_row.eq(p_row + settings.group_rows)]
            with m.If(last_pass):
                m.d.sync += [pass_.eq(0), place.eq(place + 1), p_row.eq(base), x.eq(x + settings.stride_x)]
                with m.If((place | (~0 << settings.tile_width)[:place_bits]).all()):
                    m.d.sync += [x.eq(settings.origin_x), y.eq(y + settings.stride_y)]
            with m.If(last_place):
                m.d.comb += after.eq(Mux(last_row, p_row, base) + 1)
                m.d.sync += [place.eq(0), row.eq(row + 1), base.eq(after), p_row.eq(after),
                             y.eq(settings.origin_y), x.eq(settings.origin_x)]
            with m.If(last_row):
                m.d.sync += [row.eq(0), group.eq(group + 1)]
            with m.If(last):
                m.d.sync += [group.eq(0), base.eq(0), p_row.eq(0), self.active.eq(0)]
        with m.If(self.start):
            m.d.sync += [self.active.eq(1), y.eq(settings.origin_y), x.eq(settings.origin_x)]

        # Stage 1: the taps of the pass. Stage 2: a slot a bank. Stage 3: the pixels leave the buffer.
        stage = data.StructLayout({"valid": 1, "first": 1, "last": 1, "final": 1, "fresh": 1,
                                   "p_row": p_row.shape(), "dy": place_bits, "dx": place_bits})
        one, two, three = (Signal(stage, name=f"stage_{number}") for number in (1, 2, 3))
        far = Signal(settings.taps[0].shape(), reset_less=True)
        torus_y, torus_x = (Signal(place_bits + 1, name=name, reset_less=True) for name in ("torus_y", "torus_x"))
        address = Signal(ceil_log2(config.activation_rows), reset_less=True)
        in_tile = Mux(settings.gate, pass_, group << SLOTS.bit_length() - 1)
        with m.If(go):
            m.d.sync += [
                one.eq(0), one.valid.eq(self.issue), one.first.eq(pass_ == 0), one.last.eq(last_pass),
                one.final.eq(self.finish), one.p_row.eq(p_row),
                # P stays while positions go by, where a window is one pass.
                one.fresh.eq((place == 0) | (settings.passes != 1)),
                far.eq(settings.taps[pass_]), torus_y.eq(y), torus_x.eq(x),
                address.eq(in_tile | (self.half << len(address) - 1)),
                two.eq(one), three.eq(two),
            ]
        height_bits = Signal(range(place_bits + 1))
        dy, dx = Signal(place_bits), Signal(place_bits)
        slot_y, slot_x = Signal(), Signal()
        y_mask, x_mask = Signal(place_bits), Signal(place_bits)
        m.d.comb += [
            height_bits.eq(place_bits - settings.block_width),
            y_mask.eq(places - 1 >> settings.block_width), x_mask.eq(~(~0 << settings.block_width)),
            slot_y.eq((torus_y >> height_bits)[0]), slot_x.eq((torus_x >> settings.block_width)[0]),
            dy.eq(torus_y & y_mask), dx.eq(torus_x & x_mask),
        ]
        with m.If(settings.gate):
            m.d.comb += [dy.eq(0), dx.eq(0)]
        m.submodules.to_banks = to_banks = TorusRotate(places, 2)
        m.d.comb += [to_banks.block_width.eq(settings.block_width),
                     to_banks.dy.eq(-dy & y_mask), to_banks.dx.eq(-dx & x_mask)]
        rows = Signal(data.ArrayLayout(len(address), places), reset_less=True)
        m.d.comb += self.rows.eq(rows)
        for bank in range(places):
            m.d.comb += to_banks.i[bank].eq(Cat(far.far_x[bank], far.far_y[bank]))
            bank_y, bank_x = Signal(place_bits, name=f"y_{bank}"), Signal(place_bits, name=f"x_{bank}")
            slot = Signal(2, name=f"slot_{bank}")
            m.d.comb += [
                bank_y.eq(bank >> settings.block_width), bank_x.eq(bank & x_mask),
                # A window that begins at (dy, dx) of a block is in the next block where it is above or left of that.
                slot.eq(to_banks.o[bank] ^ Cat(slot_x ^ (bank_x < dx), slot_y ^ (bank_y < dy))),
            ]
            with m.If(go):
                m.d.sync += rows[bank].eq(address | Mux(settings.gate, 0, slot))
        with m.If(go):
            m.d.sync += [two.dy.eq(dy), two.dx.eq(dx)]
        m.d.comb += [self.read_enable.eq(go & two.valid), self.free_room.eq(go & two.valid & two.final)]

        m.submodules.to_taps = to_taps = TorusRotate(places, config.cols * config.bits)
        m.d.comb += [to_taps.block_width.eq(settings.block_width), to_taps.dy.eq(three.dy), to_taps.dx.eq(three.dx),
                     to_taps.i.eq(self.pixels), self.p_enable.eq(go & three.valid & three.fresh),
                     self.p_row.eq(three.p_row)]
        window = Signal(config.lanes * config.bits, reset_less=True)
        with m.If(go):
            m.d.sync += [window.eq(to_taps.o), self.work.valid.eq(three.valid),
                         self.work.p.first.eq(three.first), self.work.p.last.eq(three.last)]
        m.d.comb += [self.work.p.x.eq(window), self.work.p.p.eq(self.p)]
        if self.assertions:
            assert_hold(m, self.work)
        return m
