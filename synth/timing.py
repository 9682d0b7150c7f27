"""Static timing of a mapped netlist from a cell library: an estimate without wires.

Every net carries its slowest slew; loads are pin capacitances; inputs are driven and outputs loaded as in the
constraint file of :mod:`synth.asic`. A netlist may contain boxes: units that were analysed before, of which the
:class:`Abstract` stands for the inside, and memory macros. The access time of a macro is not known: paths from and to
macros are a class of their own, counted without it.
"""

import dataclasses

import numpy as np

from synth.timing_graph import NEVER, Graph

__all__ = ["Abstract", "CLOCK_SLEW_PS", "INPUT_SLEW_PS", "Timing", "analyse", "macro"]

INPUT_SLEW_PS = 20.0
CLOCK_SLEW_PS = 20.0
#: What a path can start and end at, besides ports.
INNER = ("register", "memory")
#: Class of a path -> (where it starts, where it ends).
CLASSES = {"register": [("register", "register")], "input": [("port", "register")], "output": [("register", "port")],
           "through": [("port", "port")],
           "memory": [("memory", "register"), ("register", "memory"), ("memory", "memory"), ("port", "memory"),
                      ("memory", "port")]}


@dataclasses.dataclass
class Abstract:
    """The inside of a box as seen from its ports; port bits are ``"port[3]"``.

    Attributes
    ----------
    inputs: bit -> {"ff": capacitance, "register": [ps to the slowest register, its name], "memory": likewise;
        "once": pins of this kind on one net load it once}
    outputs: bit -> {"register": [delay row, slew row, name of the register], "memory": likewise}
    arcs: [input bit or inner node, output bit or inner node, delay row, slew row] of combinational ways through
    worst: class of CLASSES -> slowest path inside, as in :class:`Timing`; only those that no port takes part in
    """

    inputs: dict
    outputs: dict
    arcs: list
    worst: dict


@dataclasses.dataclass(frozen=True)
class Timing:
    """Slowest path of each class (of ``CLASSES``), or ``None``: a dict of ``ps`` (clock to output and setup included),
    ``mhz`` (frequency it allows), ``start``, ``end`` (names) and ``path`` ([cell type, output net, arrival ps] from
    the start on). ``abstract``: what is left to know about the netlist when it is a box in another."""

    paths: dict
    abstract: Abstract

    @property
    def fmax_mhz(self):
        """Clock frequency that the register to register paths allow."""
        path = self.paths["register"]
        return path["mhz"] if path else float("inf")


def macro(memory, library):
    """The abstract of a memory macro (:class:`synth.design.Memory`): drives and loads like the library's buffer."""
    slope = library.buffer_slope
    bits = (max(memory.words - 1, 1)).bit_length()
    reads, writes, width = memory.reads, memory.writes, memory.width
    sizes = {"RD_EN": reads, "RD_ARST": reads, "RD_SRST": reads, "RD_ADDR": reads * bits, "WR_EN": writes * width,
             "WR_ADDR": writes * bits, "WR_DATA": writes * width}
    pin = {"ff": library.buffer_load, "memory": [0.0, memory.name]}
    inputs = {f"{port}[{bit}]": pin for port, size in sizes.items() for bit in range(size)}
    # Yosys gives every bit its write enable; a macro has a pin for each that is a signal of its own.
    inputs.update({f"WR_EN[{bit}]": {**pin, "once": True} for bit in range(sizes["WR_EN"])})
    out = {"memory": [[0.0, 0.0, slope, 0.0], [INPUT_SLEW_PS, 0.0, 0.0, 0.0], memory.name]}
    return Abstract(inputs, {f"RD_DATA[{bit}]": out for bit in range(reads * width)}, [], {})


class _Netlist:
    """Arrays of a mapped module (Yosys' JSON): arcs, loads, and where paths start and end."""

    def __init__(self, module, library, boxes):
        self.numbers, self.names = {}, {}
        self.loads, self.arcs, self.arc_cells = {}, [], []
        self.starts = {kind: {} for kind in ("port", *INNER)}  # net -> (delay rows, slew rows) rise, fall
        self.ends = {kind: {} for kind in ("port", *INNER)}  # net -> (ps, name of the end inside a box, or None)
        self.start_names = {}
        self.inputs, self.outputs = {}, {}
        self._name_nets(module)
        for name, cell in module["cells"].items():
            pins = {f"{pin}[{bit}]": net for pin, nets in cell["connections"].items() for bit, net in enumerate(nets)}
            if cell["type"] in boxes:
                self._box(name, boxes[cell["type"]], pins)
            else:
                self._cell(name, cell["type"], library.cells[cell["type"]], pins)
        for port, facts in module["ports"].items():
            for bit, net in enumerate(facts["bits"]):
                number = self._net(net)
                if number is None:
                    continue
                if facts["direction"] == "input":
                    self.inputs[f"{port}[{bit}]"] = number
                    row = [0.0] * 4
                    self.starts["port"][number] = ((row, row), ([INPUT_SLEW_PS, 0, 0, 0],) * 2)
                else:
                    self.outputs[f"{port}[{bit}]"] = number
                    self.ends["port"][number] = (0.0, None)
        self.inner_loads = dict(self.loads)
        for number in self.ends["port"]:
            self.loads[number] = self.loads.get(number, 0.0) + library.output_load

    def _net(self, net):
        return None if isinstance(net, str) else self.numbers.setdefault(net, len(self.numbers))

    def _name_nets(self, module):
        """Every net's best name: not made by a tool, then the shortest."""
        best = {}
        for name, facts in module["netnames"].items():
            rank = _rank(name)
            for bit, net in enumerate(facts["bits"]):
                if not isinstance(net, str) and (net not in best or rank < best[net][0]):
                    best[net] = rank, f"{name}[{bit}]" if len(facts["bits"]) > 1 else name
        self.names = {self._net(net): name for net, (_, name) in best.items()}

    def _load(self, net, capacitance):
        self.loads[net] = self.loads.get(net, 0.0) + capacitance

    def _end(self, kind, net, ps, name):
        if net not in self.ends[kind] or self.ends[kind][net][0] < ps:
            self.ends[kind][net] = ps, name

    def _cell(self, name, kind, facts, pins):
        for pin, capacitance in facts["in_fF"].items():
            if (net := self._net(pins.get(f"{pin}[0]", "x"))) is not None:
                self._load(net, capacitance)
        for pin, out in facts["out"].items():
            net = self._net(pins.get(f"{pin}[0]", "x"))
            if net is None:
                continue
            if "ff" in facts:
                worst = [max((arc["k"] for arc in out["arc"][facts["clock"]]), key=lambda k: k[edge][0])
                         for edge in (0, 1)]
                self.starts["register"][net] = ([k[edge] for edge, k in enumerate(worst)],
                                                [k[edge + 2] for edge, k in enumerate(worst)])
                continue
            for source, group in out.get("arc", {}).items():
                if (origin := self._net(pins.get(f"{source}[0]", "x"))) is None:
                    continue
                for arc in group:
                    for edge in (0, 1):
                        for other in {"pos": (edge,), "neg": (1 - edge,)}.get(arc["sense"], (0, 1)):
                            self._arc(origin, other, net, edge, arc["k"][edge], arc["k"][edge + 2], (kind, name))
        if "ff" in facts:
            for pin, setup in facts["setup_ps"].items():
                if (net := self._net(pins[f"{pin}[0]"])) is not None:
                    self._end("register", net, setup, self._register(facts, pins))

    def _register(self, facts, pins):
        """A register's name: that of the first named net it drives."""
        nets = [self.numbers[net] for pin in facts["out"]
                if not isinstance(net := pins.get(f"{pin}[0]", "x"), str) and net in self.numbers]
        return min((self.names[net] for net in nets if net in self.names), key=_rank, default=None)

    def _arc(self, source, source_edge, target, edge, delay, slew, cell):
        self.arcs.append((2 * source + source_edge, 2 * target + edge, delay, slew))
        self.arc_cells.append(cell)

    def _box(self, name, box, pins):
        loaded = set()
        for bit, facts in box.inputs.items():
            if (net := self._net(pins.get(bit, "x"))) is None:
                continue
            if not (facts.get("once") and net in loaded):
                self._load(net, facts["ff"])
                loaded.add(net)
            for kind in INNER:
                if kind in facts:
                    self._end(kind, net, facts[kind][0], f"{name}.{facts[kind][1]}")
        for bit, facts in box.outputs.items():
            if (net := self._net(pins.get(bit, "x"))) is None:
                continue
            for kind in INNER:
                if kind in facts:
                    delay, slew, start = facts[kind]
                    self.starts[kind][net] = ((delay, delay), (slew, slew))
                    self.start_names[kind, net] = f"{name}.{start}"
        for source, target, delay, slew in box.arcs:
            nets = [self._net(pins[node]) if node in pins else self._net((name, node)) for node in (source, target)]
            if None not in nets:
                for other in (0, 1):
                    for edge in (0, 1):
                        self._arc(nets[0], other, nets[1], edge, delay, slew, ("box", name))


def _rank(name):
    """Order of preference among names of a net: those a tool made last, then the shortest."""
    return "$" in name, len(name), name


def _per_node(count, values, fill):
    array = np.full(count, fill)
    for node, value in values:
        array[node] = max(array[node], value)
    return array


class _Analysis:
    def __init__(self, netlist):
        self.netlist, count = netlist, 2 * len(netlist.numbers)
        loads = np.zeros(count)
        for net, load in netlist.loads.items():
            loads[2 * net:2 * net + 2] = load
        self.loads = loads
        arcs = netlist.arcs
        rows = np.array([arc[2] for arc in arcs], dtype=float).reshape(-1, 4)
        slew_rows = np.array([arc[3] for arc in arcs], dtype=float).reshape(-1, 4)
        self.rows, self.slew_rows = rows, slew_rows
        start_values, slews = {}, []
        for kind, nets in netlist.starts.items():
            values = []
            for net, (delays, out) in nets.items():
                for edge in (0, 1):
                    node = 2 * net + edge
                    load = loads[node]
                    at = CLOCK_SLEW_PS if kind == "register" else INPUT_SLEW_PS
                    k, s = delays[edge], out[edge]
                    values.append((node, k[0] + k[1] * at + (k[2] + k[3] * at) * load))
                    slews.append((node, s[0] + s[1] * at + (s[2] + s[3] * at) * load))
            start_values[kind] = _per_node(count, values, NEVER)
        self.graph = Graph(count, np.array([arc[0] for arc in arcs], dtype=np.int64),
                           np.array([arc[1] for arc in arcs], dtype=np.int64), rows, slew_rows, loads,
                           _per_node(count, slews, NEVER))
        self.ends = {kind: _per_node(count, [(2 * net + edge, ps) for net, (ps, _) in nets.items()
                                             for edge in (0, 1)], NEVER)
                     for kind, nets in netlist.ends.items()}
        self.times = {kind: self.graph.arrivals(values) for kind, values in start_values.items()}

    def start_name(self, kind, node):
        net = node // 2
        return self.netlist.start_names.get((kind, net)) or self.netlist.names.get(net, "?")

    def end_name(self, kind, node):
        net = node // 2
        inner = self.netlist.ends[kind][net][1]
        return inner or self.netlist.names.get(net, "?")

    def slowest(self, start, end):
        times, origins = self.times[start]
        total = times + self.ends[end]
        if not len(total) or total.max() == NEVER:
            return None
        node = int(total.argmax())
        steps = []
        for at, arc in self.graph.path(times, node):
            kind, name = self.netlist.arc_cells[arc] if arc is not None else ("start", "")
            steps.append([kind, name if kind == "box" else self.netlist.names.get(at // 2, name),
                          round(float(times[at]), 1)])
        ps = float(total[node])
        return {"ps": round(ps, 1), "mhz": round(1e6 / ps, 1) if ps > 0 else None,
                "start": self.start_name(start, int(origins[node])), "end": self.end_name(end, node),
                "path": steps[::-1]}

    def abstract(self, worst):
        netlist, graph = self.netlist, self.graph
        inputs = {bit: {"ff": round(netlist.inner_loads.get(net, 0.0), 4)} for bit, net in netlist.inputs.items()}
        for kind in INNER:
            times, goals = graph.departures(self.ends[kind])
            for bit, net in netlist.inputs.items():
                edge = 2 * net + int(times[2 * net + 1] > times[2 * net])
                if times[edge] > NEVER:
                    inputs[bit][kind] = [round(float(times[edge]), 1), self.end_name(kind, int(goals[edge]))]
        outputs = {}
        for bit, net in netlist.outputs.items():
            outputs[bit] = {}
            for kind in INNER:
                times, origins = self.times[kind]
                edge = 2 * net + int(times[2 * net + 1] > times[2 * net])
                if times[edge] > NEVER:
                    delay, slew = self._driver(edge, times)
                    outputs[bit][kind] = [delay, slew, self.start_name(kind, int(origins[edge]))]
        return Abstract(inputs, outputs, self._ways_through(), worst)

    def _driver(self, node, times):
        """Delay and slew rows of an output node as functions of the load outside."""
        inside = self.netlist.inner_loads.get(node // 2, 0.0)
        last = self.graph.last_arc(times, node)
        if last is None:
            starts = next(kinds for kind, kinds in self.netlist.starts.items() if node // 2 in kinds and kind != "port")
            row, slew, at = starts[node // 2][0][node % 2], starts[node // 2][1][node % 2], CLOCK_SLEW_PS
        else:
            arc = self.graph.arcs[last]
            row, slew = self.rows[arc], self.slew_rows[arc]
            at = self.graph.slews[self.graph.sources[last]]
        slope = row[2] + row[3] * at
        base = times[node] - slope * (self.loads[node] - inside)
        slew_slope = slew[2] + slew[3] * at
        return ([round(float(base), 2), 0.0, round(float(slope), 4), 0.0],
                [round(float(slew[0] + slew[1] * at + slew_slope * inside), 2), 0.0, round(float(slew_slope), 4), 0.0])

    def _ways_through(self):
        """Arcs on combinational ways from an input to an output, edges merged, delays fixed."""
        netlist, graph = self.netlist, self.graph
        from_port = self.times["port"][0] > NEVER
        to_port = graph.departures(self.ends["port"])[0] > NEVER
        names = {net: bit for bit, net in netlist.inputs.items()}
        outs = {}
        for bit, net in netlist.outputs.items():
            outs.setdefault(net, []).append(bit)
        merged = {}
        for arc, (source, target, row, slew) in enumerate(netlist.arcs):
            if not (from_port[source] and to_port[target]):
                continue
            at = graph.slews[source]
            inside = netlist.inner_loads.get(target // 2, 0.0)
            slope, slew_slope = row[2] + row[3] * at, slew[2] + slew[3] * at
            base = row[0] + row[1] * at + slope * inside
            slew_base = slew[0] + slew[1] * at + slew_slope * inside
            key = source // 2, target // 2
            if key not in merged or merged[key][0] < base:
                merged[key] = base, slope, slew_base, slew_slope
        ways = []
        for (source, target), (base, slope, slew_base, slew_slope) in merged.items():
            for goal in outs.get(target, ()) or (f"#{target}",):
                ways.append([names.get(source, f"#{source}"), goal, [round(base, 2), 0, round(slope, 4), 0],
                             [round(slew_base, 2), 0, round(slew_slope, 4), 0]])
            if target in outs and any(source == target for source, _ in merged):
                ways.append([outs[target][0], f"#{target}", [0, 0, 0, 0], [INPUT_SLEW_PS, 0, 0, 0]])
        for net, bits in outs.items():
            if net in names:
                ways += [[names[net], bit, [0, 0, 0, 0], [INPUT_SLEW_PS, 0, 0, 0]] for bit in bits]
        return ways


def analyse(module, library, boxes=None):
    """Time one mapped module (as in Yosys' JSON).

    Parameters: ``library`` the :class:`synth.library.Library` of its cells, ``boxes`` cell type -> :class:`Abstract`.
    Raises ``KeyError`` for a cell that is in neither, ``ValueError`` for a combinational loop.
    """
    boxes = boxes or {}
    analysis = _Analysis(_Netlist(module, library, boxes))

    def slowest(kind, pairs):
        found = [path for pair in pairs if (path := analysis.slowest(*pair))]
        for name, cell in module["cells"].items():
            if path := boxes[cell["type"]].worst.get(kind) if cell["type"] in boxes else None:
                found.append({**path, "start": f"{name}.{path['start']}", "end": f"{name}.{path['end']}"})
        return max(found, key=lambda path: path["ps"], default=None)

    paths = {kind: slowest(kind, pairs) for kind, pairs in CLASSES.items()}
    between = [pair for pair in CLASSES["memory"] if "port" not in pair]
    return Timing(paths, analysis.abstract({"register": paths["register"], "memory": slowest("memory", between)}))
