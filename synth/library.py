"""Standard-cell libraries: the ones in ``constraints/asic``, and any Liberty file."""

import dataclasses
import functools
import hashlib
import pathlib
import re

from synth import liberty, liberty_reader

__all__ = ["LIBRARIES", "Library", "expression", "from_liberty", "load"]

_FOLDER = pathlib.Path(__file__).parent.parent / "constraints" / "asic"
#: Name -> (file of the cell table, node in nm, area of a memory bit in um2, where that figure comes from).
LIBRARIES = {
    "nangate45": ("nangate45_cells.toml", 45, 0.674, "1 MB of buffer is 5.655 mm2 at 45 nm (thesis, Table 5.1, CACTI)"),
    "sg13g2": ("sg13g2_cells.toml", 130, 5.6, "the 45 nm figure times (130/45)^2: a guess, there is no published one"),
    "asap7": ("asap7_cells.toml", 7, 0.040, "the 45 nm figure times .059 (Stillmaker and Baas 2017): a guess"),
}
#: Used for a Liberty file, whose node is not known.
MEMORY_BIT = 0.674


@dataclasses.dataclass(frozen=True)
class Library:
    """Cells of one library.

    Attributes: ``name``; ``node_nm`` or ``None``; ``cells`` as in the compact tables; ``text`` its Liberty text;
    ``bit_um2`` and ``bit_source`` area of a memory bit and where it comes from.
    """

    name: str
    node_nm: int | None
    cells: dict
    text: str
    bit_um2: float
    bit_source: str

    @functools.cached_property
    def digest(self):
        """Hash of the cells and the Liberty text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def _smallest(self, outputs):
        """(area, name, input pins, output pins) of the smallest cell that has these truth tables at its outputs."""
        found = []
        for name, cell in self.cells.items():
            if "ff" in cell or cell.get("dont_use") or len(cell["out"]) != len(outputs):
                continue
            pins = list(cell["in_fF"])
            tables = {_truth_table(out["function"], pins): pin for pin, out in cell["out"].items()}
            if set(tables) == set(outputs):
                found.append((cell["area_um2"], name, pins, [tables[table] for table in outputs]))
        return min(found, default=None)

    def _needed(self, what, outputs):
        found = self._smallest(outputs)
        if found is None:
            raise ValueError(f"library = {self.name!r} is not allowed: it has no {what}")
        return found

    @functools.cached_property
    def gate_um2(self):
        """Area of the smallest NAND2: one gate equivalent."""
        return self._needed("two-input NAND", [(2, 0b0111)])[0]

    @functools.cached_property
    def buffer(self):
        """Name of the smallest buffer, which is taken to drive inputs."""
        return self._needed("buffer", [(1, 0b10)])[1]

    @functools.cached_property
    def buffer_load(self):
        """Input capacitance of the smallest buffer in fF."""
        return max(self.cells[self.buffer]["in_fF"].values())

    @property
    def output_load(self):
        """What an output port is taken to drive, in fF: four of the smallest buffers."""
        return 4 * self.buffer_load

    @functools.cached_property
    def buffer_slope(self):
        """Delay of the smallest buffer a load, ps/fF."""
        (out,) = self.cells[self.buffer]["out"].values()
        return max(row[2] for arcs in out["arc"].values() for arc in arcs for row in arc["k"][:2])

    @functools.cached_property
    def full_adder(self):
        """(cell, its three inputs, sum pin, carry pin, whether both are inverted), or ``None``."""
        straight, turned = [(3, 0b10010110), (3, 0b11101000)], [(3, 0b01101001), (3, 0b00010111)]
        for inverted, tables in ((False, straight), (True, turned)):
            if found := self._smallest(tables):
                _area, name, pins, (total, carry) = found
                return name, pins, total, carry, inverted
        return None

    def is_flop(self, kind):
        return "ff" in self.cells.get(kind, ())


def expression(function, pins):
    """A Liberty function of ``pins`` as a Python expression of bitwise operators, ``None`` where it cannot be read."""
    text = re.sub(r"(\w+)'", r"(~\1)", function.strip('"')).replace("!", "~").replace("*", "&").replace("+", "|")
    if not re.fullmatch(r"[\w\s~&|^()]+", text) or set(re.findall(r"[A-Za-z_]\w*", text)) - set(pins):
        return None
    return text


def _truth_table(function, pins):
    """(number of inputs, outputs as a bit vector) of a Liberty function, or ``None`` where it cannot be read."""
    size = 1 << len(pins)
    text = expression(function, pins)
    if len(pins) > 6 or text is None:
        return None
    mask = (1 << size) - 1
    values = {pin: sum(1 << row for row in range(size) if row >> place & 1) for place, pin in enumerate(pins)}
    try:
        return len(pins), eval(text, {"__builtins__": {}}, values) & mask
    except (SyntaxError, TypeError):
        return None


def load(name):
    """The library called ``name``; a ``ValueError`` lists what there is."""
    if name not in LIBRARIES:
        raise ValueError(f"library = {name!r} is not known: the libraries are " + ", ".join(LIBRARIES))
    file, node, bit, source = LIBRARIES[name]
    table = liberty.load(_FOLDER / file)
    return Library(name, node, table["cells"], liberty.emit(table), bit, source)


def from_liberty(path):
    """The library in a Liberty file. Raises ``ValueError``, ``OSError``."""
    table, text = liberty_reader.read(path)
    library = Library(table["library"]["name"], None, table["cells"], text, MEMORY_BIT,
                      "the figure for 45 nm: give the library's own")
    library.gate_um2, library.buffer  # what the flow cannot do without
    return library
