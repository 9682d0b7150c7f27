"""Static timing of a mapped netlist from the compact cell table: an estimate without wires.

Used instead of ABC's own figure where a netlist holds cells that ABC does not see through, such as full adders.
Every net carries its latest arrival and its slowest slew; loads are pin capacitances, inputs are driven and outputs
loaded as in the constraint file of :mod:`synth.synthesize`.
"""

from synth.liberty import evaluate

__all__ = ["Timing", "analyse"]

INPUT_SLEW_PS = 20.0
CLOCK_SLEW_PS = 20.0
OUTPUT_LOAD_FF = 3.898


class Timing:
    """Result of :func:`analyse`, in ps: ``register`` (flop to flop, clock to output and setup included), ``input``
    (port to flop), ``output`` (flop to port), ``through`` (port to port); 0 where there is no such path. ``path``:
    the cells on the slowest flop to flop path, last first."""

    def __init__(self):
        self.register = self.input = self.output = self.through = 0.0
        self.path = []

    @property
    def fmax_mhz(self):
        """Clock frequency the flop to flop paths allow."""
        return 1e6 / self.register if self.register else float("inf")


def _fan(cells, table):
    """Net loads and the arcs into each net: net -> fF, net -> [(cell name, source net, arc)]."""
    loads, arcs, starts, ends = {}, {}, {}, []
    for name, cell in cells.items():
        facts, nets = table[cell["type"]], cell["connections"]
        for pin, capacitance in facts["in_fF"].items():
            net = nets[pin][0]
            loads[net] = loads.get(net, 0.0) + capacitance
        for pin, out in facts["out"].items():
            for net in nets.get(pin, ()):
                if "ff" in facts:
                    starts[net] = (name, out["arc"][facts["clock"]])
                else:
                    arcs[net] = [(name, nets[source][0], arc) for source, group in out.get("arc", {}).items()
                                 for arc in group]
        if "ff" in facts:
            ends += [(name, nets[pin][0], setup) for pin, setup in facts["setup_ps"].items()]
    return loads, arcs, starts, ends


def _edges(arc, slew, load):
    """(delay, output slew) for the rising and falling output of one arc."""
    k = arc["k"]
    return ((evaluate(k[0], slew, load), evaluate(k[2], slew, load)),
            (evaluate(k[1], slew, load), evaluate(k[3], slew, load)))


def _propagate(order, arcs, loads, at):
    """Arrival and slew, a pair (rise, fall) a net, from the start points ``at``; also each net's worst predecessor."""
    came = {}
    for net in order:
        best = [None, None]
        for name, source, arc in arcs[net]:
            if source not in at:
                continue
            for edge in (0, 1):
                sources = {"pos": (edge,), "neg": (1 - edge,)}.get(arc["sense"], (0, 1))
                for other in sources:
                    if at[source][other] is None:
                        continue
                    time, slew = at[source][other]
                    delay, out_slew = _edges(arc, slew, loads.get(net, 0.0))[edge]
                    if best[edge] is None or time + delay > best[edge][0]:
                        best[edge] = (time + delay, out_slew)
                        came[net, edge] = (name, source, other)
        if best != [None, None]:
            at[net] = tuple(best)
    return came


def _order(arcs):
    """Nets in topological order."""
    order, done = [], set()
    for root in arcs:
        stack = [(root, False)]
        while stack:
            net, ready = stack.pop()
            if ready:
                order.append(net)
            elif net not in done:
                done.add(net)
                stack.append((net, True))
                stack += [(source, False) for _, source, _ in arcs[net] if source in arcs and source not in done]
    return order


def analyse(module, table):
    """Time one flat, mapped module (as in Yosys' JSON) with the cell ``table`` of :func:`synth.liberty.load`."""
    loads, arcs, starts, ends = _fan(module["cells"], table["cells"])
    inputs = [net for port in module["ports"].values() if port["direction"] == "input" for net in port["bits"]]
    outputs = [net for port in module["ports"].values() if port["direction"] == "output" for net in port["bits"]]
    for net in outputs:
        loads[net] = loads.get(net, 0.0) + OUTPUT_LOAD_FF
    order, result = _order(arcs), Timing()
    flops = {net: tuple(max((_edges(arc, CLOCK_SLEW_PS, loads.get(net, 0.0))[edge] for arc in group))
                        for edge in (0, 1)) for net, (_, group) in starts.items()}
    ports = {net: ((0.0, INPUT_SLEW_PS),) * 2 for net in inputs}

    def latest(at, net):
        return max((edge[0] for edge in at.get(net, ()) if edge is not None), default=None)

    for start, into, out in ((flops, "register", "output"), (ports, "input", "through")):
        at = dict(start)
        came = _propagate(order, arcs, loads, at)
        worst = max(((latest(at, net) + setup, net) for _, net, setup in ends if latest(at, net) is not None),
                    default=(0.0, None))
        setattr(result, into, worst[0])
        setattr(result, out, max((latest(at, net) for net in outputs if latest(at, net) is not None), default=0.0))
        if into == "register" and worst[1] is not None:
            net = worst[1]
            edge = max((e for e in (0, 1) if at[net][e]), key=lambda e: at[net][e][0])
            while (net, edge) in came:
                name, source, other = came[net, edge]
                result.path.append((module["cells"][name]["type"], round(at[net][edge][0])))
                net, edge = source, other
    return result
