"""Registers of the address generators of SPEC and EXEC, and what they say of a convolution's tiles.

Addresses and meaning: docs/duet/duet_accelerator.md.
"""

import dataclasses

import numpy as np

from golden.duet.command import Engine

__all__ = ["ENTRIES", "FIRST_REGISTER", "REGISTERS", "Load", "Registers", "entry_word"]

FIRST_REGISTER = 0x8000
"""Address of the first register; those below belong to the Speculator and to the Executor."""
ENTRIES = 16
"""Entries of a load table at most."""

_BOTH = {"act_line": 0x8000, "blocks_y": 0x8001, "blocks_x": 0x8002, "groups": 0x8003, "step_y": 0x8004,
         "step_x": 0x8005, "entries": 0x8006, "tiles_y": 0x8007, "tiles_x": 0x8008, "row_mask": 0x8009,
         "col_mask": 0x800a, "omap_line": 0x800b, "out_groups": 0x800c, "order_line": 0x800d, "n": 0x800e,
         "tile_mask": 0x800f}
_BOTH |= {f"entry[{e}]": 0x8020 + e for e in range(ENTRIES)} | {f"mask[{e}]": 0x8040 + e for e in range(ENTRIES)}

REGISTERS = {
    Engine.SPEC: _BOTH | {"function": 0x8010, "threshold": 0x8011, "q_shift": 0x8012, "weight_base": 0x8013,
                          "table_base": 0x8014, "project": 0x8015, "vector_lines": 0x8016},
    Engine.EXEC: _BOTH | {"use_map": 0x8010, "use_order": 0x8011, "imap_line": 0x8012, "chunks": 0x8013,
                          "chunk_groups": 0x8014, "weight_line": 0x8015, "weight_lines": 0x8016, "out_line": 0x8017,
                          "out_map_line": 0x8018, "out_blocks_x": 0x8019, "merge_y": 0x801a, "merge_x": 0x801b},
}
"""Address of each register of an engine, by its name."""

_BITS = dict.fromkeys(("blocks_y", "blocks_x", "groups", "step_y", "step_x", "tiles_y", "tiles_x", "out_groups",
                       "chunks", "out_blocks_x"), 10)
_BITS |= dict.fromkeys(("use_map", "use_order", "project", "merge_y", "merge_x"), 1)
_BITS |= {"entries": 5, "chunk_groups": 4, "vector_lines": 8, "q_shift": 6}
"""Width of a register that has less than 16 bits; masks have S, entries of the load table 24."""


def entry_word(offset, dy, dx, slot):
    """The word of a load table's entry."""
    for name, value, low, high in (("offset", offset, -1 << 15, (1 << 15) - 1), ("dy", dy, -4, 3), ("dx", dx, -4, 3),
                                   ("slot", slot, 0, 3)):
        if not low <= value <= high:
            raise ValueError(f"{name} = {value} is not allowed in a load table: it must be from {low} to {high}")
    return offset & 0xffff | (dy & 7) << 16 | (dx & 7) << 19 | slot << 22


@dataclasses.dataclass(frozen=True, eq=False)
class Load:
    """An entry of the load table for a tile: ``line`` of the first chunk or group (None outside of the image)."""

    line: int | None
    slot: int
    mask: np.ndarray


class Registers:
    """The registers of an engine: ``registers["act_line"]``, which refuses (``ValueError``) one never written."""

    def __init__(self, engine, segment):
        self._names = {address: name for name, address in REGISTERS[engine].items()}
        self._values, self._segment = {}, segment

    def write(self, address, data):
        """A word of the configuration."""
        if address not in self._names:
            raise ValueError(f"address {address:#x} is not allowed: there is no such register")
        name = self._names[address]
        if name.startswith("entry"):
            bits = 24
        else:
            bits = self._segment if "mask" in name else _BITS.get(name, 16)
        if not 0 <= data < 1 << bits:
            raise ValueError(f"{name} = {data:#x} is not allowed: {name} has {bits} bits")
        self._values[name] = data

    def __getitem__(self, name):
        if name not in self._values:
            raise ValueError(f"register {name} was not configured")
        return self._values[name]

    def counts(self, *names):
        """The values of registers that must be at least 1."""
        values = [self[name] for name in names]
        for name, value in zip(names, values):
            if value < 1:
                raise ValueError(f"{name} = {value} is not allowed: {name} must be at least 1")
        return values

    def tile_number(self, y, x):
        """The number of tile (y, x), refused where there is no such tile."""
        tiles = self.counts("tiles_y", "tiles_x")
        for name, value, count in zip("yx", (y, x), tiles):
            if value >= count:
                raise ValueError(f"tile {name} = {value} is not allowed: it must be less than tiles_{name} = {count}")
        return y * tiles[1] + x

    def inside(self, y, x):
        """Outputs that a tile has and that are inside the image, bool (S,)."""
        mask = self["tile_mask"]
        if y == self["tiles_y"] - 1:
            mask &= self["row_mask"]
        if x == self["tiles_x"] - 1:
            mask &= self["col_mask"]
        return self._bits(mask)

    def loads(self, y, x):
        """The :class:`Load` of each entry of the load table for tile (y, x)."""
        blocks_y, blocks_x, groups, step_y, step_x, entries = self.counts("blocks_y", "blocks_x", "groups", "step_y",
                                                                         "step_x", "entries")
        if entries > ENTRIES:
            raise ValueError(f"entries = {entries} is not allowed: it must be from 1 to {ENTRIES}")
        by, bx = y * step_y, x * step_x
        own = self["act_line"] + (by * blocks_x + bx) * groups
        for e in range(entries):
            word = self[f"entry[{e}]"]
            dy, dx = (_signed(word >> shift, 3) for shift in (16, 19))
            there = 0 <= by + dy < blocks_y and 0 <= bx + dx < blocks_x
            yield Load(own + _signed(word, 16) if there else None, word >> 22, self._bits(self[f"mask[{e}]"]))

    def _bits(self, word):
        return (word >> np.arange(self._segment) & 1).astype(bool)


def _signed(word, bits):
    word &= (1 << bits) - 1
    return word - (word >> bits - 1 << bits)
