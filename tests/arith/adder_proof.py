"""Proof of adder networks by linear algebra over the gates: it reaches products that are out of a SAT solver's reach.

Every gate-level adder is an equation between bits, 2 carry + sum = a + b + c. They are found in the netlist (of one
mode, made by Yosys) by the truth tables of small cuts, whatever the nets are called. Replacing sums and carries by
their inputs, from the outputs back, leaves the result as a sum of weighted partial products, each of them a function
of one streamed and one stationary bit, and that is compared with the expansion of the reference, term by term.

A carry that the design drops is proven to be zero in the same way: twice the carry is at most the sum of what goes
in, expanded to partial products, each of which is at most 1.
"""

import json
import re
from collections import defaultdict
from fractions import Fraction
from itertools import combinations

from amaranth.back import rtlil

from hw.generate import yosys

__all__ = ["AdderNetwork", "NotProven", "latency"]

GATES = {"$_AND_": lambda a, b: a & b, "$_OR_": lambda a, b: a | b, "$_XOR_": lambda a, b: a ^ b,
         "$_NOT_": lambda a: 1 - a, "$_MUX_": lambda a, b, s: b & s | a & (1 - s)}
ONE = "1"

#: Takes the registers out of a netlist.
WIRES = """
module \\$dff (CLK, D, Q); parameter WIDTH = 1; parameter CLK_POLARITY = 1;
  input CLK; input [WIDTH-1:0] D; output [WIDTH-1:0] Q; assign Q = D;
endmodule
"""


class NotProven(AssertionError):
    """The result is not, or could not be shown to be, what it should be."""


def latency(component):
    """Cycles from any input of a pipeline to any net, equal on all ways, as :class:`NotProven` tells otherwise.

    With that, the pipeline gives what its logic without the registers gives, so many cycles later.
    """
    top = _netlist(component, "simplemap")
    drivers = {}
    for cell in top["cells"].values():
        pins = cell["connections"]
        held = cell["type"] == "$_DFF_P_"
        if "Q" in pins and not held:
            raise NotProven(f"a register {cell['type']}, with more than a clock")
        sources = pins["D"] if held else [bit for pin, bits in pins.items() if pin != "Y" for bit in bits]
        for bit in pins["Q" if held else "Y"]:
            drivers[bit] = held, [source for source in sources if not isinstance(source, str)]
    inputs = {bit for port in top["ports"].values() if port["direction"] == "input" for bit in port["bits"]}
    depths = dict.fromkeys(inputs, 0)

    def depth(net):
        if net not in depths:
            held, sources = drivers[net]
            found = {depth(source) for source in sources} - {None}
            if len(found) > 1:
                raise NotProven(f"values of different cycles, {sorted(found)} after the input, meet")
            depths[net] = found.pop() + held if found else None
        return depths[net]

    found = {depth(bit) for bit in top["ports"]["result"]["bits"] if not isinstance(bit, str)} - {None}
    if len(found) != 1:
        raise NotProven(f"bits of the result come {sorted(found)} cycles after the input")
    return found.pop()


def _netlist(component, script):
    """The flat netlist of ``component`` after a Yosys script, without reset."""
    text = rtlil.convert(component, name="top")
    no_reset = "cd top; connect -set rst 1'0; cd;" if re.search(r"^  wire .*\\rst$", text, re.MULTILINE) else ""
    script = f"read_rtlil in.il; hierarchy -top top; proc; flatten -noscopeinfo; opt_clean; {no_reset} {script}"
    done = yosys(f"{script}; write_json out.json", {"in.il": text, "wires.v": WIRES})
    return json.loads(done["out.json"])["modules"]["top"]


class AdderNetwork:
    """The gates of ``component``, registers taken out; one word-level adder drives its output ``result``."""

    def __init__(self, component):
        top = _netlist(component, "techmap -map wires.v; opt; simplemap; opt; clean")
        self.inputs = {name: port["bits"] for name, port in top["ports"].items() if port["direction"] == "input"}
        self.result = top["ports"]["result"]["bits"]
        self._free = {bit for bits in self.inputs.values() for bit in bits}
        self._gates, self._add = {}, None
        for cell in top["cells"].values():
            pins = cell["connections"]
            if cell["type"] == "$add" and self._add is None:
                if any(int(sign, 2) for name, sign in cell["parameters"].items() if name.endswith("SIGNED")):
                    raise NotProven("the word-level adder is a signed one")
                self._add = pins
            elif cell["type"] in GATES:
                self._gates[pins["Y"][0]] = (cell["type"], [pins[pin][0] for pin in "ABS" if pin in pins])
            else:
                raise NotProven(f"a cell {cell['type']} that has no place here")
        if self._add is None or self._add["Y"][:len(self.result)] != self.result:
            raise NotProven("the result is not that of a word-level adder")
        self._analyze()

    def _analyze(self):
        self._zero, self._depths = {}, {}
        self._order()
        self._cuts()
        self._adders()

    def mutants(self):
        """The network with one gate replaced by another kind, every one in turn."""
        kinds = "$_AND_", "$_OR_", "$_XOR_"
        for net, (kind, pins) in list(self._gates.items()):
            for other in kinds if kind in kinds else ():
                if other != kind:
                    self._gates[net] = other, pins
                    self._analyze()
                    yield self
            self._gates[net] = kind, pins
        self._analyze()

    def value(self, inputs):
        """The result for ``inputs``, a dict of net -> integer array of 0 and 1."""
        values = {"0": 0, "1": 1, **inputs}
        for net in sorted(self._gates, key=self._level.get):
            kind, pins = self._gates[net]
            values[net] = GATES[kind](*(values[pin] for pin in pins))
        total = sum(sum(values[net] << weight for weight, net in enumerate(self._add[pin])) for pin in "AB")
        return total & (1 << len(self.result)) - 1

    def _order(self):
        """Level of every net: 0 for inputs, that of a gate's last input plus 1."""
        self._level = dict.fromkeys(self._free, 0)

        def level(net):
            if isinstance(net, str):
                return 0
            if net not in self._level:
                self._level[net] = 1 + max(map(level, self._gates[net][1]))
            return self._level[net]

        for net in self._gates:
            level(net)

    def _cuts(self):
        """Sets of at most three nets that determine a net -> its truth table over them (first one changes fastest)."""
        self.cuts = {net: {(net,): (0, 1)} for net in self._free}
        for net in sorted(self._gates, key=self._level.get):
            kind, pins = self._gates[net]
            found = {}
            choices = [[()]]
            for pin in pins:
                options = [()] if isinstance(pin, str) else list(self.cuts[pin])
                choices = [[*chosen, cut] for chosen in choices for cut in options]
            for chosen in choices:
                leaves = tuple(sorted(set().union(*chosen[1:])))
                if len(leaves) > 3:
                    continue
                table = []
                for row in range(1 << len(leaves)):
                    value = {leaf: row >> i & 1 for i, leaf in enumerate(leaves)}
                    values = [int(pin) if isinstance(pin, str) else
                              self.cuts[pin][cut][sum(value[leaf] << i for i, leaf in enumerate(cut))]
                              for pin, cut in zip(pins, chosen[1:])]
                    table.append(GATES[kind](*values))
                found[leaves] = tuple(table)
            found[net,] = (0, 1)
            self.cuts[net] = found

    def product(self, net):
        """A net that depends on one or two inputs, as {set of inputs: coefficient}, or ``None`` if on more."""
        for leaves, table in self.cuts[net].items():
            if len(leaves) <= 2 and self._free.issuperset(leaves):
                terms = defaultdict(int)
                for size in range(len(leaves) + 1):
                    for chosen in combinations(range(len(leaves)), size):
                        terms[frozenset(leaves[i] for i in chosen)] = sum(
                            (-1) ** (size - sub.bit_count()) * table[sub] for sub in range(1 << len(leaves))
                            if all(i in chosen for i in range(len(leaves)) if sub >> i & 1))
                return {key: value for key, value in terms.items() if value}
        return None

    def _adders(self):
        """``self._adder``: sum or carry net -> (sum, carry, inputs, constant), 2 carry + sum = inputs + constant.

        A carry that is no net has the name ("dropped", sum).
        """
        shapes = {}
        for inputs in (2, 3):
            for constant in (0, 1):
                totals = [row.bit_count() + constant for row in range(1 << inputs)]
                if max(totals) <= 3:
                    shapes[tuple(total & 1 for total in totals)] = (
                        tuple(total >> 1 for total in totals), constant)
        carries = {(leaves, table): net for net, cuts in self.cuts.items() for leaves, table in cuts.items()}
        found = {}
        for net in sorted(self._gates, key=self._level.get):
            if self.product(net) is not None:
                continue
            best = None
            for leaves, table in self.cuts[net].items():
                if table in shapes:
                    carry_table, constant = shapes[table]
                    carry = carries.get((leaves, carry_table))
                    # Two half adders in a row look like a full adder, too; a full adder has no AND of two of two.
                    rank = (carry is not None, -len(leaves))
                    if best is None or rank > best[0]:
                        best = rank, (net, carry if carry is not None else ("dropped", net), leaves, constant)
            if best is not None:
                found[net] = best[1]
        self._adder = dict(found)
        for adder in found.values():
            self._adder.setdefault(adder[1], adder)

    def _inverse(self, net):
        """The net that ``net`` is the inverse of, if that is an adder's sum or carry; else ``None``."""
        kind, pins = self._gates.get(net, (None, None))
        return pins[0] if kind == "$_NOT_" and net not in self._adder and pins[0] in self._adder else None

    def _depth(self, net):
        """Adders on the way from the inputs to ``net``: the larger, the earlier it is replaced."""
        if net not in self._depths:
            inputs = self._adder[net][2] if net in self._adder else [self._inverse(net)] if self._inverse(net) else []
            self._depths[net] = 1 + max(map(self._depth, inputs), default=-1)
        return self._depths[net]

    def _expand(self, poly, bound):
        """Replace adders in ``poly`` (net -> coefficient) until only partial products are left, and dropped carries.

        ``bound``: the result is only an upper bound, negative terms of sums and carries left out.
        """
        poly = defaultdict(Fraction, poly)
        left = defaultdict(Fraction)
        while poly:
            net = max(poly, key=self._depth)
            if net == ONE or (net not in self._adder and self.product(net) is not None):
                left[net] += poly.pop(net)
                continue
            if self._inverse(net) is not None:
                value = poly.pop(net)
                poly[ONE] += value
                poly[self._inverse(net)] -= value
                continue
            if net not in self._adder:
                raise NotProven(f"net {net} is neither an adder's nor a partial product")
            total, carry, inputs, constant = self._adder[net]
            a, b = poly.pop(total, Fraction(0)), poly.pop(carry, Fraction(0))
            times = max(a, b / 2, Fraction(0)) if bound else a
            if not bound and b != 2 * a:
                left[carry] += b - 2 * a
            for leaf in inputs:
                poly[leaf] += times
            poly[ONE] += times * constant
            for leaf in [*inputs, ONE]:
                if not poly[leaf]:
                    del poly[leaf]
        return left

    def _is_zero(self, carry):
        """Whether a carry is always zero: twice it is less than 2, by the bound of what goes in."""
        if carry not in self._zero:
            left = self._expand({carry: 1}, True)
            most = sum(max(value, 0) for value in left.values())
            self._zero[carry] = most < 1
        return self._zero[carry]

    def terms(self):
        """The result as [(partial product, coefficient from 0 up)], equal modulo 2 ** (its bits).

        A partial product is a polynomial {set of inputs: coefficient} with values 0 and 1.
        """
        modulus = 1 << len(self.result)
        poly = defaultdict(int)
        for pin in "AB":
            for weight, net in enumerate(self._add[pin]):
                if net != "0":
                    poly[net] += 1 << weight
        terms = []
        for net, value in self._expand(poly, False).items():
            if value.denominator != 1:
                raise NotProven("a fraction of a bit")
            if value % modulus == 0:
                continue
            if net == ONE or net not in self._adder:
                terms.append(({frozenset(): 1} if net == ONE else self.product(net), int(value % modulus)))
            elif not self._is_zero(net):
                raise NotProven(f"a carry that may be 1 is lost, {value} of it")
        return terms

    def check(self, fields):
        """Check the result's equal fields, each given as (reference polynomial, how many of its low bits count)."""
        size = len(self.result) // len(fields)
        sums, most = [defaultdict(int) for _ in fields], [0] * len(fields)
        for polynomial, value in self.terms():
            if polynomial == {frozenset(): 1}:
                parts = [(index, value >> size * index & (1 << size) - 1) for index in range(len(fields))]
            else:
                index = ((value & -value).bit_length() - 1) // size
                parts = [(index, value >> size * index)]
            for index, part in parts:
                most[index] += part
                for inputs, coefficient in polynomial.items():
                    sums[index][inputs] += coefficient * part
        for index, (reference, bits) in enumerate(fields):
            if len(fields) > 1 and most[index] >= 1 << size:
                raise NotProven(f"field {index} of the result may carry into the next")
            for inputs in {*reference, *sums[index]}:
                if (reference.get(inputs, 0) - sums[index][inputs]) % (1 << bits):
                    raise NotProven(f"field {index} of the result differs from the reference")
