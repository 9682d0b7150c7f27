"""A Verilog design as units that are synthesized one by one.

The design is elaborated once (processes, memories, constants through the hierarchy); then every module that is large
enough becomes a *unit*: an RTLIL text of its own in which smaller modules below it are kept to be flattened, and
larger ones are black boxes. Names that depend on where a module was met are made neutral, so that the same module
gives the same text in every design, and its result can be kept by content.
"""

import dataclasses
import re

from synth import yosys
from synth.yosys import SynthesisError

__all__ = ["Design", "Memory", "Unit", "elaborate"]

#: Modules below this weight (about a gate equivalent) are flattened into what contains them.
UNIT_WEIGHT = 1500
#: Memories of fewer bits become registers, on a target with memory macros.
MACRO_BITS = 1024

_ELABORATE = """
    read_verilog design.v
    hierarchy -check -top {top}
    proc
    opt_hier
    opt
    memory -nomap
    opt
    {transform}
    write_rtlil design.il
"""
#: Gate equivalents a bit of common cells, only to decide what becomes a unit.
_WEIGHTS = {"$dff": 6, "$dffe": 8, "$sdff": 7, "$sdffe": 9, "$sdffce": 9, "$add": 8, "$sub": 9, "$alu": 9, "$mux": 2.5,
            "$eq": 2, "$ne": 2, "$lt": 4, "$le": 4, "$gt": 4, "$ge": 4, "$shl": 10, "$shr": 10, "$shift": 12,
            "$shiftx": 12, "$neg": 5}
_DROPPED = re.compile(r"\s*attribute \\(src|top|dynports|cells_not_processed|module_not_derived|hdlname|always_comb) ")
_AUTO = re.compile(r'\$[^\s"]+')
_MEMORY_PORTS = ("RD_CLK", "RD_EN", "RD_ARST", "RD_SRST", "RD_ADDR", "RD_DATA", "WR_CLK", "WR_EN", "WR_ADDR", "WR_DATA")


@dataclasses.dataclass(frozen=True)
class Memory:
    """A memory of a module: instance ``name``, ``words`` of ``width`` bits, numbers of read and write ports."""

    name: str
    words: int
    width: int
    reads: int
    writes: int

    @property
    def bits(self):
        return self.words * self.width

    @property
    def ports(self):
        """Numbers of ports, as ``"1r1w"``."""
        return f"{self.reads}r{self.writes}w"

    @property
    def macro(self):
        """Name of the macro: words x width, and its ports."""
        return f"memory_{self.words}x{self.width}_{self.ports}"


@dataclasses.dataclass(frozen=True)
class Unit:
    """What is synthesized in one call.

    Attributes
    ----------
    module: its name in the Verilog
    rtlil: text whose module ``unit`` is the unit; equal for equal modules of any design
    boxes: black box in the text -> module, or the :class:`Memory` of a macro
    children: module that is a unit below this one -> names of its instances
    memories: those directly in the unit, macros or not
    instances: how many of the unit there are in the design
    """

    module: str
    rtlil: str
    boxes: dict
    children: dict
    memories: tuple
    instances: int


@dataclasses.dataclass(frozen=True)
class Design:
    """Units by module name, every one after those it contains; the last one is ``top``."""

    top: str
    units: dict

    def to_json(self):
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value):
        units = {}
        for name, unit in value["units"].items():
            boxes = {box: Memory(**what) if isinstance(what, dict) else what for box, what in unit["boxes"].items()}
            memories = tuple(Memory(**memory) for memory in unit["memories"])
            units[name] = Unit(**{**unit, "boxes": boxes, "memories": memories})
        return cls(value["top"], units)


class _Cell:
    """A cell of an RTLIL module: type, name, integer parameters, and the lines it stands in."""

    def __init__(self, kind, name, first):
        self.kind, self.name, self.first, self.last, self.numbers = kind, name, first, first, {}

    def number(self, *names):
        return max((self.numbers.get(name, 0) for name in names), default=0)

    @property
    def weight(self):
        width = self.number("WIDTH", "Y_WIDTH", "A_WIDTH") or 1
        if self.kind == "$mul":
            return 6 * self.number("A_WIDTH") * self.number("B_WIDTH")
        if self.kind == "$pmux":
            return 2 * width * self.number("S_WIDTH")
        if self.kind == "$mem_v2":
            return 9 * self.number("WIDTH") * self.number("SIZE")
        return _WEIGHTS.get(self.kind, 1.5) * width


class _Module:
    """One module of an RTLIL text: its lines between ``module`` and ``end``, and what they hold."""

    def __init__(self, name, attributes, lines):
        numbers = {}
        self.name, self.attributes, self.lines, self.ports, self.cells = name, attributes, [], [], []
        cell = None
        for line in lines:
            if line.startswith("  cell "):
                _, kind, label = line.split()
                line = f"  cell {kind} {_AUTO.sub(lambda met: f'${numbers.setdefault(met[0], len(numbers))}', label)}"
                cell = _Cell(kind.removeprefix("\\"), line.split()[2], len(self.lines))
                self.cells.append(cell)
            elif "$" in line:
                line = _AUTO.sub(lambda met: f"${numbers.setdefault(met[0], len(numbers))}", line)
            if line.startswith("    parameter ") and cell is not None:
                *_, key, value = line.split(None, 3) if " signed " in line[:22] else line.split(None, 2)
                if value.isdigit():
                    cell.numbers[key.removeprefix("\\")] = int(value)
            elif line.startswith("  end") and cell is not None:
                cell.last, cell = len(self.lines), None
            elif line.startswith("  wire ") and (" input " in line or " output " in line):
                self.ports.append(line)
            self.lines.append(line)

    @property
    def memories(self):
        """(cell, memory) of each memory."""
        for cell in self.cells:
            if cell.kind == "$mem_v2":
                yield cell, Memory(cell.name.removeprefix("\\"), *(cell.number(name) for name in (
                    "SIZE", "WIDTH", "RD_PORTS", "WR_PORTS")))


def _parse(text):
    """Module name -> :class:`_Module` of an RTLIL text without processes."""
    modules, attributes, start = {}, [], None
    lines = [line for line in text.splitlines() if not _DROPPED.match(line)]
    for number, line in enumerate(lines):
        if line.startswith("module "):
            start = number
        elif line == "end":
            name = lines[start].split()[1].removeprefix("\\")
            modules[name] = _Module(name, attributes, lines[start + 1:number])
            attributes, start = [], None
        elif start is None and line.startswith("attribute "):
            attributes.append(line)
    return modules


def _black_box(name, ports):
    return "\n".join(["attribute \\blackbox 1", f"module \\{name}", *ports, "end\n"])


def _macro_ports(cell):
    """The port lines of the black box that stands for a memory cell."""
    reads, writes, bits, width = (cell.number(name) for name in ("RD_PORTS", "WR_PORTS", "ABITS", "WIDTH"))
    widths = (reads, reads, reads, reads, reads * bits, reads * width, writes, writes * width, writes * bits,
              writes * width)
    return [f"  wire width {size} {'output' if name == 'RD_DATA' else 'input'} {number} \\{name}"
            for number, (name, size) in enumerate(zip(_MEMORY_PORTS, widths), 1)]


class _Splitter:
    """Chooses the units of a parsed design and writes their texts."""

    def __init__(self, modules, top, macro_bits, unit_weight):
        self.modules, self.top, self.macro_bits = modules, top, macro_bits
        self.order, self.counts = [], {}
        self._visit(top)
        self.counts = dict.fromkeys(self.order, 0) | {top: 1}
        for name in reversed(self.order):
            for cell in self._children(name):
                self.counts[cell.kind] += self.counts[name]
        self.own, self.chosen = {}, set()
        for name in self.order:
            self.own[name] = sum(cell.weight for cell in modules[name].cells if not self._is_macro(cell)) + sum(
                self.own[cell.kind] for cell in self._children(name) if cell.kind not in self.chosen)
            if name == top or self.own[name] >= unit_weight:
                self.chosen.add(name)

    def _children(self, name):
        return [cell for cell in self.modules[name].cells if cell.kind in self.modules]

    def _visit(self, name):
        """Modules below ``name`` and then itself, each once, those contained first."""
        if name not in self.order:
            for kind in dict.fromkeys(cell.kind for cell in self._children(name)):
                self._visit(kind)
            self.order.append(name)

    def _is_macro(self, cell):
        if self.macro_bits is None or cell.kind != "$mem_v2":
            return False
        return cell.number("SIZE") * cell.number("WIDTH") >= self.macro_bits

    def unit(self, name):
        parts, texts, boxes, names = [name], [], {}, {name: "unit"}
        for part in parts:  # grows while it is walked
            for kind in dict.fromkeys(cell.kind for cell in self._children(part)):
                if kind in names:
                    continue
                if kind in self.chosen:
                    names[kind] = f"box_{len(boxes)}"
                    boxes[names[kind]] = kind
                    texts.append(_black_box(names[kind], self.modules[kind].ports))
                else:
                    names[kind] = f"part_{len(parts)}"
                    parts.append(kind)
        for part in parts:
            module = self.modules[part]
            lines, gone = list(module.lines), set()
            for cell in self._children(part):
                lines[cell.first] = f"  cell \\{names[cell.kind]} {cell.name}"
            for cell, memory in module.memories:
                if not self._is_macro(cell):
                    continue
                if memory.macro not in boxes:
                    boxes[memory.macro] = dataclasses.replace(memory, name=memory.macro)
                    texts.append(_black_box(memory.macro, _macro_ports(cell)))
                lines[cell.first] = f"  cell \\{memory.macro} {cell.name}"
                gone.update(number for number in range(cell.first, cell.last)
                            if lines[number].startswith("    parameter "))
            kept = [line for number, line in enumerate(lines) if number not in gone]
            texts.append("\n".join([*module.attributes, f"module \\{names[part]}", *kept, "end\n"]))
        children, memories = {}, []
        self._contents(name, "", children, memories)
        return Unit(name, "\n".join(texts), boxes, children, tuple(memories), self.counts[name])

    def _contents(self, name, path, children, memories):
        """Adds the units and memories below module ``name`` at ``path``, through the parts that are flattened."""
        for cell in self.modules[name].cells:
            label = path + cell.name.removeprefix("\\")
            if cell.kind in self.chosen:
                children.setdefault(cell.kind, []).append(label)
            elif cell.kind in self.modules:
                self._contents(cell.kind, f"{label}.", children, memories)
        memories += [dataclasses.replace(memory, name=path + memory.name)
                     for _cell, memory in self.modules[name].memories]


def elaborate(verilog, top, *, macro_bits=MACRO_BITS, unit_weight=UNIT_WEIGHT, transform=""):
    """Split a Verilog text with top module ``top`` into units, as a :class:`Design`.

    Parameters: ``macro_bits`` memories of at least so many bits become black boxes (``None``: all stay in the text);
    ``unit_weight`` modules lighter than so many gate equivalents, roughly counted, are flattened into what contains
    them (0: every module is a unit, infinity: only the top); ``transform`` further Yosys commands.

    Raises :class:`SynthesisError` when Yosys refuses the text.
    """
    found = yosys.run(_ELABORATE.format(top=top, transform=transform), {"design.v": verilog})
    modules = _parse(found["design.il"])
    if top not in modules:
        raise SynthesisError(f"top = {top!r} is not allowed: the design has " + ", ".join(sorted(modules)))
    splitter = _Splitter(modules, top, macro_bits, unit_weight)
    return Design(top, {name: splitter.unit(name) for name in splitter.order if name in splitter.chosen})
