"""Gate-level simulation of a mapped netlist, all clock cycles at once.

The value of a net over time is a row of bits, one a clock cycle, 64 cycles to a word; several instances of the same
netlist are rows of one array. Registers are cut: what they and black boxes put out is given, as recorded in a
simulation of the RTL, so that no cycle has to wait for the one before it. What a register would hold next is computed
and can be compared with what was recorded; where it is the same in every cycle, and the outputs too, the netlist does
what the RTL does, by induction over the cycles.

Delays are zero: a net changes at most once a cycle.
"""

import dataclasses
import functools
import re

import numpy as np

from synth.library import expression

__all__ = ["Flop", "GateNetlist", "MOST_INSTANCES", "earlier", "first_marked", "later", "mask", "marked", "toggles"]

#: So many instances can be simulated together.
MOST_INSTANCES = 62
_CONSTANT = {"0": np.uint64(0), "1": ~np.uint64(0)}


@dataclasses.dataclass(frozen=True)
class Flop:
    """A flip-flop: its cell's name and type, the nets of its outputs and whether each is inverted, its clock's net."""

    name: str
    kind: str
    outputs: dict
    clock: object


class GateNetlist:
    """A mapped unit (``netlist`` of :class:`synth.asic.Mapped`) that can be evaluated.

    Attributes: ``load_fF`` net -> capacitance of the cells' input pins on it, clock pins left out; ``clock_fF`` sum of
    the clock pins; ``flops`` a list of :class:`Flop`; ``names`` net -> list of (public name, bit); ``boxes`` black
    boxes' names -> (type, pin -> nets); ``ports`` as in the netlist. A net is an integer, or a constant "0", "1", "x".

    Raises ``ValueError`` for a cell that is neither in the library nor one of ``boxes`` (their types), for one whose
    function cannot be read, for latches, registers with asynchronous set or reset or of the falling edge, and for
    combinational loops.
    """

    def __init__(self, netlist, library, boxes=()):
        self.ports, self.flops, self.boxes, self.load_fF, self.clock_fF = netlist["ports"], [], {}, {}, 0.0
        self.names, self._next, gates = {}, {}, []
        for name, net in netlist["netnames"].items():
            if not name.startswith("$"):
                for place, bit in enumerate(net["bits"]):
                    self.names.setdefault(bit, []).append((name.removeprefix("\\"), place))
        for name, cell in netlist["cells"].items():
            kind, pins = cell["type"], cell["connections"]
            if kind in boxes:
                self.boxes[name] = kind, pins
            elif kind not in library.cells:
                raise ValueError(f"cell {name}: {library.name} has no {kind}")
            else:
                self._add(name, kind, library.cells[kind], {pin: nets[0] for pin, nets in pins.items()}, gates)
        self._gates = _in_order(gates)

    def _add(self, name, kind, cell, pins, gates):
        flop = cell.get("ff")
        for pin, load in cell["in_fF"].items():
            if flop and pin == cell["clock"]:
                self.clock_fF += load
            elif pin in pins:
                self.load_fF[pins[pin]] = self.load_fF.get(pins[pin], 0.0) + load
        inputs = list(cell["in_fF"])
        if not flop:
            if "latch" in cell or not cell["out"]:
                raise ValueError(f"cell {name}: {kind} cannot be simulated")
            for pin, out in cell["out"].items():
                if pin in pins:
                    gates.append(_Gate(out["function"], tuple(inputs), kind, pins, pins[pin]))
            return
        if "clear" in flop or "preset" in flop or flop["clocked_on"] != cell["clock"]:
            raise ValueError(f"cell {name}: {kind} has an asynchronous set or reset, or the other clock edge")
        state = flop["state"]
        outputs = {pins[pin]: out["function"] == state[1] for pin, out in cell["out"].items() if pins.get(pin)}
        self._next[name] = _Gate(flop["next_state"], (*inputs, state[0]), kind, pins | {state[0]: name}, None)
        self.flops.append(Flop(name, kind, outputs, pins[cell["clock"]]))

    def evaluate(self, given):
        """The value of every net in every cycle.

        Parameters: ``given`` net -> uint64 array, of every net that no gate drives: inputs, outputs of flip-flops and
        boxes. Those that gates drive too are ignored. Raises ``KeyError`` for a net without a value.
        """
        values = {**given, **_CONSTANT, "x": _CONSTANT["0"]}
        for gate in self._gates:
            values[gate.output] = gate.function(*[values[net] for net in gate.inputs])
        return values

    def next_state(self, flop, values, state):
        """What a flip-flop holds one cycle later, from :meth:`evaluate` and what it holds now."""
        gate = self._next[flop.name]
        return gate.function(*[state if net == flop.name else values[net] for net in gate.inputs])

    def follow(self, given, flops, instances, cycles):
        """What flip-flops hold in every cycle, simulated one cycle after the other from 0: a list of uint64 rows.

        Parameters: ``given`` net -> uint64 (instances, words), all that no gate drives but the outputs of ``flops``;
        at most :data:`MOST_INSTANCES`.
        """
        if not flops:
            return []
        words = -(-cycles // 64)
        unknown = {net for flop in flops for net in flop.outputs}
        zeros = np.zeros((instances, words), np.uint64)
        values = self.evaluate({**given, **dict.fromkeys(unknown, zeros)})
        reached, loop, needed = set(unknown), [], {net for flop in flops for net in self._next[flop.name].inputs}
        for gate in self._gates:
            if not reached.isdisjoint(gate.inputs):
                reached.add(gate.output)
                loop.append(gate)
        kept = []
        for gate in reversed(loop):
            if gate.output in needed:
                kept.append(gate)
                needed.update(gate.inputs)
        own = {flop.name for flop in flops}
        outside = sorted(needed - reached - own - {"0", "1", "x"})
        step = _step(outside, flops, kept[::-1], self._next)
        columns = (_by_cycle(np.broadcast_to(values[net], zeros.shape), cycles) for net in outside)
        state, history = (0,) * len(flops), []
        for inputs in zip(*columns) if outside else ((),) * cycles:
            history.append(state)
            state = step(inputs, state)
        return [_by_instance(column, instances, words) for column in zip(*history)]

    def switched_fF(self, given, masks):
        """Capacitance that changes its voltage, fF summed over nets, instances and cycles: two arrays (phases,).

        The first with zero delays. The second with the same delay in every gate, no matter how short a pulse is: the
        nets that cells drive then change more often than once where paths differ in length (glitches). All of ``given``
        changes at the beginning of a cycle.

        Parameters: ``given`` as for :meth:`evaluate`, ``masks`` as for :func:`toggles`.
        """
        everything = self.evaluate(given)
        values = {net: rows for net, rows in everything.items() if np.ndim(rows)}  # without what is constant
        loads = {net: load for net, load in self.load_fF.items() if net in values}
        settled = sum((load * toggles(values[net], masks) for net, load in loads.items()), np.zeros(len(masks)))
        readers, driven = {}, set()
        for gate in self._gates:
            if gate.output in values:
                driven.add(gate.output)
                for net in gate.inputs:
                    readers.setdefault(net, []).append(gate)
        changed = {net: values[net] for net in values.keys() - driven}
        now = everything | {net: later(rows) for net, rows in values.items() if net not in changed}
        transient = sum((load * toggles(values[net], masks) for net, load in loads.items() if net in changed),
                        np.zeros(len(masks)))
        while changed:
            due = {gate.output: gate for net in changed for gate in readers.get(net, ())}
            found = {net: gate.function(*[now[source] for source in gate.inputs]) for net, gate in due.items()}
            changed = {net: rows for net, rows in found.items() if not np.array_equal(rows, now[net])}
            for net, rows in changed.items():
                if net in loads:
                    transient += loads[net] * _count(rows ^ now[net], masks)
            now |= changed
        return settled, transient

    def sources(self):
        """Nets that are needed and that no gate drives, constants left out."""
        needed = {net for gate in self._gates for net in gate.inputs}
        needed |= {net for name, gate in self._next.items() for net in gate.inputs if net != name}
        needed |= {net for port in self.ports.values() for net in port["bits"]}
        needed |= {net for _, pins in self.boxes.values() for nets in pins.values() for net in nets}
        return needed - {gate.output for gate in self._gates} - {"0", "1", "x"}


class _Gate:
    """An output of a cell: its ``function`` of the values of ``inputs``; ``text`` is the same with pins as names."""

    def __init__(self, function, pins, kind, nets, output):
        self.text, self.function, self.pins = _compiled(function, pins, kind)
        self.inputs, self.output = [nets[pin] for pin in self.pins], output

    def source(self, variables):
        """The function as Python, of variables: net -> name."""
        names = {pin: variables[net] for pin, net in zip(self.pins, self.inputs)}
        return re.sub(r"[A-Za-z_]\w*", lambda found: names[found[0]], self.text)


@functools.cache
def _compiled(function, pins, kind):
    """(text, function of bit arrays, the pins it takes in order) of a Liberty function."""
    text = expression(function, pins)
    if text is None:
        raise ValueError(f"the function of {kind} cannot be read: {function}")
    used = [pin for pin in pins if pin in compile(text, kind, "eval").co_names]
    return text, eval(f"lambda {', '.join(used)}: {text}", {"__builtins__": {}}), used


def _step(outside, flops, gates, following):
    """The function (values of ``outside``, states) -> next states; a value has a bit for each instance."""
    variables = {"0": "0", "1": "(-1)", "x": "0"}

    def new(net):
        return variables.setdefault(net, f"v{len(variables)}")

    lines = ["def step(inputs, state):"]
    if outside:
        lines.append(f"    {', '.join(map(new, outside))}, = inputs")
    lines.append(f"    {', '.join(new(flop.name) for flop in flops)}, = state")
    lines += [f"    {new(net)} = {'~' if inverted else ''}{variables[flop.name]}"
              for flop in flops for net, inverted in flop.outputs.items()]
    lines += [f"    {new(gate.output)} = {gate.source(variables)}" for gate in gates]
    lines.append("    return " + ", ".join(f"{following[flop.name].source(variables)}" for flop in flops) + ",")
    found = {}
    exec("\n".join(lines), {"__builtins__": {}}, found)
    return found["step"]


def _by_cycle(rows, cycles):
    """An integer a cycle, with a bit for each instance, of rows (instances, words)."""
    bits = np.unpackbits(np.ascontiguousarray(rows).view(np.uint8), axis=1, bitorder="little")[:, :cycles]
    return (bits.astype(np.int64) << np.arange(len(rows))[:, None]).sum(axis=0).tolist()


def _by_instance(column, instances, words):
    """The opposite of :func:`_by_cycle`: uint64 (instances, words)."""
    values = np.array([value & ((1 << instances) - 1) for value in column])
    bits = (values[None] >> np.arange(instances)[:, None] & 1).astype(np.uint8)
    packed = np.zeros((instances, 8 * words), np.uint8)
    rows = np.packbits(bits, axis=1, bitorder="little")
    packed[:, :rows.shape[1]] = rows
    return packed.view(np.uint64)


def _in_order(gates):
    """The gates, each after those that drive its inputs."""
    drivers = {gate.output: gate for gate in gates}
    order, state = [], {}
    for first in drivers:
        stack = [first]
        while stack:
            net = stack[-1]
            if state.get(net) == "done" or net not in drivers:
                stack.pop()
            elif state.get(net) == "open":
                stack.pop()
                state[net] = "done"
                order.append(drivers[net])
            else:
                state[net] = "open"
                for source in drivers[net].inputs:
                    if source in drivers and state.get(source) != "done":
                        if state.get(source) == "open":
                            raise ValueError(f"the netlist has a combinational loop through net {source}")
                        stack.append(source)
    return order


def later(rows):
    """Rows of cycles moved by one: cycle c of the result is cycle c - 1 of ``rows``, cycle 0 is 0."""
    moved = rows << np.uint64(1)
    moved[..., 1:] |= rows[..., :-1] >> np.uint64(63)
    return moved


def earlier(rows):
    """The opposite: cycle c of the result is cycle c + 1 of ``rows``, the last cycle is 0."""
    moved = rows >> np.uint64(1)
    moved[..., :-1] |= rows[..., 1:] << np.uint64(63)
    return moved


def toggles(rows, masks):
    """How often nets change in the cycles of each mask.

    Parameters: ``rows`` uint64 (..., words); ``masks`` uint64 (phases, words), a bit a cycle. The change into cycle c
    counts for cycle c; nothing changes into cycle 0. Returns int64 (phases,), summed over all rows.
    """
    return _count(rows ^ later(rows), masks)


def _count(changed, masks):
    """Bits set in the cycles of each mask, cycle 0 left out: int64 (phases,)."""
    changed = changed.reshape(-1, changed.shape[-1]).copy()
    changed[:, 0] &= ~np.uint64(1)
    return np.bitwise_count(changed[None] & masks[:, None]).sum(axis=(1, 2), dtype=np.int64)


def marked(row, cycles):
    """How many of the first ``cycles`` cycles are marked in a row."""
    return int(np.bitwise_count(row & mask(0, cycles, len(row))).sum())


def first_marked(row):
    """The first cycle that is marked in a row that has one."""
    return int(np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little"))[0])


def mask(start, end, words):
    """Row in which the cycles from ``start`` up to, not including, ``end`` are marked."""
    bits = np.zeros(64 * words, np.uint8)
    bits[start:end] = 1
    return np.packbits(bits, bitorder="little").view(np.uint64)
