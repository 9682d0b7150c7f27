"""The load table: which blocks of a feature map the window of a tile touches, and where their lines are."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ENTRIES", "LoadTable", "TileBlock", "load_fields"]

#: Entries of a load table.
ENTRIES = 16


class Entry(data.StructLayout):
    """A block that the window touches: its distance from the tile's own one, and its slot."""

    def __init__(self):
        super().__init__({"offset": signed(16), "dy": signed(3), "dx": signed(3), "slot": unsigned(2)})


def load_fields(segment, base):
    """The registers of a feature map and its load table, as :class:`ConfigRegisters` takes them."""
    names = ("act_line", "blocks_y", "blocks_x", "groups", "step_y", "step_x", "entries", "tiles_y", "tiles_x")
    fields = {name: (base + index, unsigned(16 if name == "act_line" else 5 if name == "entries" else 10))
              for index, name in enumerate(names)}
    return {
        **fields,
        "row_mask": (base + 0x09, unsigned(segment)), "col_mask": (base + 0x0A, unsigned(segment)),
        "omap_line": (base + 0x0B, unsigned(16)), "out_groups": (base + 0x0C, unsigned(10)),
        "order_line": (base + 0x0D, unsigned(16)), "n": (base + 0x0E, unsigned(16)),
        "tile_mask": (base + 0x0F, unsigned(segment)),
        "entry": (base + 0x20, data.ArrayLayout(Entry(), ENTRIES)),
        "mask": (base + 0x40, data.ArrayLayout(unsigned(segment), ENTRIES)),
    }


class TileBlock(wiring.Component):
    """Where a tile is: its own block and line, its number, the outputs that it has and that are inside the image.

    Latency: :attr:`latency` cycles from a change of ``ty``, ``tx`` to the outputs; they stay as long as the inputs do.

    Members: ``registers`` In, structure with the fields of :func:`load_fields`; ``ty``, ``tx`` In(10 bits);
    ``by``, ``bx`` Out(10 bits), own block; ``line`` Out, its line of group 0; ``omap_line`` Out, the tile's map line
    of output group 0; ``number`` Out(16 bits); ``valid`` Out(S bits).
    """

    latency = 3

    def __init__(self, layout, segment):
        super().__init__({
            "registers": In(layout), "ty": In(10), "tx": In(10),
            "by": Out(10), "bx": Out(10), "line": Out(16), "omap_line": Out(16), "number": Out(16),
            "valid": Out(segment),
        })

    def elaborate(self, platform):
        m = Module()
        r = self.registers
        block, in_block = Signal(16, reset_less=True), Signal(16, reset_less=True)
        valid = Signal.like(self.valid, reset_less=True)
        by, bx, number = (Signal.like(port, name=f"{port.name}_register", reset_less=True)
                          for port in (self.by, self.bx, self.number))
        in_tile = Signal(16, reset_less=True)
        last_y, last_x = self.ty == r.tiles_y - 1, self.tx == r.tiles_x - 1
        m.d.sync += [
            valid.eq(r.tile_mask & (r.row_mask | ~last_y.replicate(len(valid)))
                     & (r.col_mask | ~last_x.replicate(len(valid)))),
            by.eq(self.ty * r.step_y), bx.eq(self.tx * r.step_x), number.eq(self.ty * r.tiles_x + self.tx),
            block.eq(by * r.blocks_x + bx), in_tile.eq(number * r.out_groups),
            in_block.eq(block * r.groups),
        ]
        m.d.comb += [
            self.by.eq(by), self.bx.eq(bx), self.number.eq(number), self.valid.eq(valid),
            self.line.eq(r.act_line + in_block), self.omap_line.eq(r.omap_line + in_tile),
        ]
        return m


class LoadTable(wiring.Component):
    """An entry of the table for a tile: combinational.

    Members: ``registers`` as above; ``by``, ``bx`` the tile's own block; ``index`` In, of the entry; ``outside`` Out:
    the block does not exist; ``offset`` Out(16 bits): the line's distance from the own block's; ``slot``, ``mask`` Out.
    """

    def __init__(self, layout, segment):
        super().__init__({
            "registers": In(layout), "by": In(10), "bx": In(10), "index": In(range(ENTRIES)),
            "outside": Out(1), "offset": Out(16), "slot": Out(2), "mask": Out(segment),
        })

    def elaborate(self, platform):
        m = Module()
        r = self.registers
        entry = Signal(Entry())
        y, x = Signal(signed(12)), Signal(signed(12))
        m.d.comb += [
            entry.eq(r.entry[self.index]), self.mask.eq(r.mask[self.index]),
            y.eq(self.by + entry.dy), x.eq(self.bx + entry.dx),
            self.outside.eq((y < 0) | (y >= r.blocks_y) | (x < 0) | (x >= r.blocks_x)),
            self.offset.eq(entry.offset), self.slot.eq(entry.slot),
        ]
        return m
