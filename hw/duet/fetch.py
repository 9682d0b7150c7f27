"""What an address generator asks for each cycle: words and maps of the GlobalBuffer, and the bus item made of them."""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum
from amaranth.utils import ceil_log2

__all__ = ["Fetch", "Seen", "Target"]


class Target(enum.Enum, shape=2):
    """Who gets what was fetched: the Executor's rows, the Speculator, or the address generator itself."""

    ROWS = 0
    SPECULATOR = 1
    IDS = 2
    MAP = 3


class Fetch(data.StructLayout):
    """A fetch from the GlobalBuffer and the bus item that is made of it.

    Fields
    ------
    target: :class:`Target`; ``IDS`` takes ``segment`` of the data, ``MAP`` the map: no item
    read, line: a line of data, else zeros
    read_map, map_line: a map line; else ones where ``ones``, else zeros
    select, segment, valid: with ``select``, the item's map is that segment of the map line, and ``valid``
    row, all_rows, kind, slot, weight_line, mask, last, parity, address: fields of the item (docs/duet/executor.md)
    """

    def __init__(self, config):
        super().__init__({
            "target": Target, "read": 1, "line": unsigned(16), "read_map": 1, "ones": 1, "map_line": unsigned(16),
            "select": 1, "segment": ceil_log2(config.cols), "valid": config.segment,
            "row": ceil_log2(config.rows + 1), "all_rows": 1, "kind": 2, "slot": 2,
            "weight_line": ceil_log2(config.weight_lines), "mask": config.segment, "last": 1, "parity": 2,
            "address": config.address_bits,
        })


class Seen(data.StructLayout):
    """What an address generator sees of its own fetches, in the first cycle in which their data is there.

    ``valid``; ``target``, ``row``, ``select`` as fetched; ``any``: the item's map has a bit; ``ids``: the segment of
    the data; ``map``: the map line.
    """

    def __init__(self, config):
        super().__init__({
            "valid": 1, "target": Target, "row": ceil_log2(config.rows + 1), "select": 1, "any": 1,
            "ids": 16 * config.segment, "map": config.cols * config.segment,
        })
