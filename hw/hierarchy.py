"""Netlists with one module a distinct sub-component, from Amaranth designs.

Amaranth's own back end writes a module for every *instance*, specialised to its surroundings: an array of 512 equal
elements comes out as 512 modules whose ports carry the names of whatever signal met them. Here every sub-component
is converted on its own, with the ports its signature declares; equal results are one module with many instances.
The netlist means the same (``tests/test_generate.py`` proves it on samples); what is lost is only the propagation of
constants from a parent into its children, which synthesis does anyway.
"""

import re

from amaranth.back import rtlil
from amaranth.hdl import Fragment, Instance, Module, Signal, Value
from amaranth.hdl._ast import SignalDict
from amaranth.hdl._ir import Design, PortDirection
from amaranth.hdl._mem import MemoryInstance
from amaranth.hdl._xfrm import LHSMaskCollector
from amaranth.lib import wiring

from hw.fingerprint import fingerprint
from hw.shared import sharing

__all__ = ["convert"]


def convert(component, name):
    """The RTLIL text of a component, one module a distinct sub-component.

    Parameters: ``component`` an ``amaranth.lib.wiring.Component``, ``name`` of its module. Sub-modules are called
    ``<name>_<class in snake case>``, with ``_2``, ``_3`` ... where one class comes out in several forms.

    Ports are the clock, the reset, then the signature's members in their order, names joined with ``__``. A
    sub-component that takes or drives a signal outside its signature gets a further port for it.
    """
    return _Hierarchy(component, name).text()


def _signature_ports(component):
    """Port name -> (signal, direction) of all members of a component's signature that are signals with bits."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        signal = Value.cast(value)
        if isinstance(signal, Signal) and len(signal) > 0:
            direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
            ports["__".join(map(str, path))] = signal, direction
    return ports


def _snake_case(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class _Hierarchy:
    def __init__(self, component, name):
        self.name = name
        self.ports = _signature_ports(component)
        # The design as a whole, clocks and resets resolved: it knows which signals cross which boundary.
        with sharing() as self.elaborated:
            fragment = Fragment.get(component, None)
        self.design = fragment.prepare(ports=self.ports, hierarchy=(name,))
        self.originals = {}  # key of a shared component -> name of its module, ports it has besides the declared
        self.names = {}  # body of a module -> name of the module
        self.bodies = {}  # fingerprint of a fragment -> body of its module
        self.taken = {name}

    def text(self):
        declared = SignalDict((signal, None) for signal, _ in self.ports.values())
        clocks = {name: (signal, direction) for name, signal, direction in self.design.ports if signal not in declared}
        body = self.body(self.design.fragment, {**clocks, **self.ports})
        modules = [(self.name, body), *((name, body) for body, name in self.names.items())]
        return "\n".join(f"module \\{name}\n{body}end\n" for name, body in modules)

    def body(self, fragment, ports):
        """What stands between ``module`` and ``end`` in RTLIL for a fragment converted with the given ports."""
        flat = Fragment()
        flat.domains = fragment.domains
        flat.statements = fragment.statements
        names, inputs = SignalDict(), SignalDict()
        for index, (child, name, src_loc) in enumerate(fragment.subfragments):
            name = name or f"u{index}"
            if type(child) is Fragment:
                declared, added, module = self.child(child, name, fragment)
                if module:
                    child = Instance(module, *(
                        ("i" if direction is PortDirection.Input else "o", port, signal)
                        for port, (signal, direction) in {**added, **declared}.items()), src_loc=src_loc)
                    for port, (signal, direction) in declared.items():
                        names[signal] = f"{name}__{port}"
                        if direction is PortDirection.Input:
                            inputs[signal] = None
            elif isinstance(child, MemoryInstance):
                for kind, memory_ports in (("r", child._read_ports), ("w", child._write_ports)):
                    for number, port in enumerate(memory_ports):
                        for part in ("addr", "data", "en"):
                            if isinstance(signal := getattr(port, f"_{part}"), Signal):
                                names[signal] = f"{name}__{kind}{number}__{part}"
                                if kind == "w" or part != "data":
                                    inputs[signal] = None
            flat.add_subfragment(child, name)
        key = fingerprint(flat, ports, names)
        if key is None:
            return self.convert(flat, ports, names, inputs)
        if key not in self.bodies:
            self.bodies[key] = self.convert(flat, ports, names, inputs)
        return self.bodies[key]

    def convert(self, flat, ports, names, inputs):
        """The body of a fragment whose children are only instances and memories.

        Parameters: ``names`` the names of the signals at its children's ports, ``inputs`` those that go into a child.
        """
        visible = SignalDict((signal, None) for signal, _ in ports.values())
        design = Design(flat, [(name, signal, direction) for name, (signal, direction) in ports.items()],
                        hierarchy=(self.name,))
        info = design.fragments[flat]
        aliases = set()
        for signal, name in names.items():
            if signal in info.signal_names and signal not in visible:
                while name in info.assigned_names:
                    name += "_"
                info.assigned_names.add(name)
                if signal in inputs:
                    del info.signal_names[signal]  # to the end of the order: a net is called after what drives it
                aliases.add(name)
                info.signal_names[signal] = name
        return _tidy(rtlil.convert_fragment(design, emit_src=False)[0], aliases)

    def child(self, child, instance, parent):
        """Ports and module of a sub-fragment: those declared, those added, the module's name (none: no content)."""
        declared, added = self.child_ports(child, parent)
        key = next((origin._shared_key for origin in child.origins or () if hasattr(origin, "_shared_key")), None)
        if key in self.originals and self.elaborated[key] not in child.origins:
            module, added = self.originals[key]
            return declared, added, module
        assert key is None or self.elaborated[key] in child.origins, "elaborated and converted in different orders"
        body = self.body(child, {**added, **declared})
        module = self.module_name(child, instance, body) if body else None
        if key is not None:
            self.originals[key] = module, added
        return declared, added, module

    def child_ports(self, child, parent):
        """The ports of a sub-fragment: those its component declares, and those it needs besides."""
        declared = {}
        for origin in child.origins or ():
            if isinstance(getattr(origin, "signature", None), wiring.Signature):
                declared = _signature_ports(origin)
        known = SignalDict((signal, None) for signal, _ in declared.values())
        added, driven = {}, None
        outside = self.design.fragments[parent].used_signals
        for signal in self.design.fragments[child].used_signals:
            if signal in outside and signal not in known:
                name = signal.name or "port"
                while name in declared or name in added:
                    name += "_"
                driven = _driven_signals(child) if driven is None else driven
                added[name] = signal, PortDirection.Output if signal in driven else PortDirection.Input
        return declared, added

    def module_name(self, child, instance, body):
        """The name of the module with this body, a new one if it is the first of its kind."""
        if body not in self.names:
            origins = [type(origin).__name__ for origin in child.origins or () if not isinstance(origin, Module)]
            stem = _snake_case(origins[-1]) if origins else instance
            if not stem.startswith(f"{self.name}_"):
                stem = f"{self.name}_{stem}"
            name, count = stem, 1
            while name in self.taken:
                count += 1
                name = f"{stem}_{count}"
            self.taken.add(name)
            self.names[body] = name
        return self.names[body]


def _driven_signals(fragment):
    """All signals that a fragment or one inside it drives."""
    collector = LHSMaskCollector()
    driven = collector.lhs
    for statements in fragment.statements.values():
        collector.visit_stmt(statements)
    if isinstance(fragment, Instance):
        for value, direction in fragment.ports.values():
            if direction == "o":
                collector.visit_value(value, ~0)
    elif isinstance(fragment, MemoryInstance):
        for port in fragment._read_ports:
            collector.visit_value(port._data, ~0)
    for child, _name, _src_loc in fragment.subfragments:
        driven.update(_driven_signals(child))
    return driven


_WIRE = re.compile(r"  wire width \d+ (?:(input|output) (\d+) )? *(?:signed )?\\([^ ]+)$")
_CONNECT = re.compile(r"^connect \\([^ ]+) ", re.MULTILINE)  # at the margin: of the module, not of a cell


def _tidy(text, aliases):
    """The body of the one module in an RTLIL text, less what only names things.

    Taken away: empty lines, attributes but ``init``, names of instances' ports (``aliases``) and of the fields of
    structures where the net has another name. Port numbers are made to start at 1: Yosys takes 0 for "none".
    """
    gone = {name for name in _CONNECT.findall(text) if name in aliases or "." in name or "[" in name}
    lines, attributes = [], []
    for line in text.splitlines():
        if not line or line == "end" or line.startswith("module "):
            continue
        if line.lstrip().startswith("attribute "):
            if line.startswith("  attribute \\init "):
                attributes.append(line)
            continue
        if wire := _WIRE.match(line):
            direction, number, name = wire.groups()
            if name in gone:
                attributes.clear()
                continue
            if direction:
                line = line.replace(f" {direction} {number} ", f" {direction} {int(number) + 1} ", 1)
        elif (connect := _CONNECT.match(line)) and connect[1] in gone:
            continue
        lines += attributes
        attributes.clear()
        lines.append(line)
    return "".join(f"{line}\n" for line in lines)
