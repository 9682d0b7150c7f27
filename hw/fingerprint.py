"""Fingerprints of elaborated fragments: equal ones convert to equal netlists.

Converting a fragment costs ten times what walking over it does, so an array of equal elements is converted once.
"""

from amaranth.hdl import _ast, _ir
from amaranth.hdl._mem import MemoryInstance

__all__ = ["fingerprint"]


def fingerprint(fragment, ports, names):
    """A hashable value that two fragments share only when they convert to the same module.

    Parameters: ``fragment`` lowered (no clock or reset left to resolve), its children only instances and memories;
    ``ports`` name -> (signal, direction), ``names`` the names given to signals (a ``SignalDict``). Signals count by the
    order they are met in, never by identity. ``None`` when there is something in the fragment this walk does not know.
    """
    walk = _Walk()
    try:
        for name, (signal, direction) in ports.items():
            walk.items += name, direction
            walk.value(signal)
        for domain, statements in fragment.statements.items():
            walk.domain(fragment, domain)
            walk.statements(statements)
        for child, name, _src_loc in fragment.subfragments:
            walk.items.append(name)
            walk.child(child)
        for signal, name in names.items():
            walk.items.append(name)
            walk.value(signal)
    except _Unknown:
        return None
    return tuple(walk.items)


class _Unknown(Exception):
    pass


class _Walk:
    def __init__(self):
        self.items = []
        self.met = {}  # id of a value -> (its number, the value: kept alive so that the id stays its own)

    def domain(self, fragment, name):
        self.items.append(name)
        if name != "comb":
            domain = fragment.domains[name]
            self.items += domain.clk_edge, domain.async_reset, domain.rst is None
            self.value(domain.clk)
            if domain.rst is not None:
                self.value(domain.rst)

    def value(self, value):
        if id(value) in self.met:
            self.items.append(self.met[id(value)][0])
            return
        self.met[id(value)] = len(self.met), value
        kind = type(value)
        self.items.append(kind)
        if kind is _ast.Signal:
            self.items += (value.name, value._width, value._signed, value._init, value._reset_less,
                           tuple(value._attrs.items()))
        elif kind is _ast.Const:
            self.items += value.value, value.shape().width, value.shape().signed
        elif kind is _ast.Operator:
            self.items += value.operator, len(value.operands)
            for operand in value.operands:
                self.value(operand)
        elif kind is _ast.Slice:
            self.items += value.start, value.stop
            self.value(value.value)
        elif kind is _ast.Part:
            self.items += value.width, value.stride
            self.value(value.value)
            self.value(value.offset)
        elif kind is _ast.Concat:
            self.items.append(len(value.parts))
            for part in value.parts:
                self.value(part)
        elif kind is _ast.SwitchValue:
            self.value(value.test)
            self.items.append(len(value.cases))
            for patterns, case in value.cases:
                self.items.append(patterns)
                self.value(case)
        else:
            raise _Unknown

    def statements(self, statements):
        self.items.append(len(statements))
        for statement in statements:
            kind = type(statement)
            self.items.append(kind)
            if kind is _ast.Assign:
                self.value(statement.lhs)
                self.value(statement.rhs)
            elif kind is _ast.Switch:
                self.value(statement.test)
                self.items.append(len(statement.cases))
                for patterns, inner, _src_loc in statement.cases:
                    self.items.append(patterns)
                    self.statements(inner)
            elif kind is _ast.Property:
                self.items.append(statement.kind)
                self.value(statement.test)
                self.format(statement.message)
            else:
                raise _Unknown

    def format(self, message):
        for chunk in message._chunks if message is not None else ():
            if isinstance(chunk, str):
                self.items.append(chunk)
            else:
                self.items.append(chunk[1])
                self.value(chunk[0])
        self.items.append(None)

    def child(self, child):
        self.items.append(type(child))
        if type(child) is _ir.Instance:
            self.items += child.type, *child.parameters.items(), *child.attrs.items()
            for name, (value, direction) in child.ports.items():
                self.items += name, direction
                self.value(value)
        elif type(child) is MemoryInstance:
            self.items += _ast.Shape.cast(child._data.shape).width, tuple(child._data._init._raw), *child._attrs.items()
            for port in child._read_ports:
                self.items += "read", tuple(port._transparent_for)
                self.domain(child, port._domain)
                for value in (port._addr, port._data, port._en):
                    self.value(value)
            for port in child._write_ports:
                self.items.append("write")
                self.domain(child, port._domain)
                for value in (port._addr, port._data, port._en):
                    self.value(value)
        else:
            raise _Unknown
