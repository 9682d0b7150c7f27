"""Mutants of a netlist: choose them, put them all into one model, prove that one changes nothing.

A netlist here is RTLIL text, as :func:`prepare` gives it. Yosys' ``mutate`` changes one bit at one port of one cell:
inverted, constant, or mixed with another bit. A mutant is a ``mutate`` command that makes such a change.
"""

import re

from synth import yosys

__all__ = ["ancestors", "choose", "combine", "describe", "is_equivalent", "own_modules", "prepare"]

#: Bits of the port that chooses a mutant; 0 is the netlist as it is.
SELECT_BITS = 10


def prepare(verilog, top):
    """The netlist of Verilog, without assertions and without logic of no use, so that no mutant is in them."""
    return yosys.run(f"""
        read_verilog -sv -formal top.v
        hierarchy -top {top}
        proc -norom
        chformal -remove
        opt -full
        wreduce
        memory_collect
        opt_clean
        write_rtlil out.il
    """, {"top.v": verilog})["out.il"]


def _children(netlist):
    """Module -> names of the modules it has instances of."""
    children = {}
    for line in netlist.splitlines():
        if line.startswith("module "):
            inside = children.setdefault(line.split()[1].removeprefix("\\"), set())
        elif line.startswith("  cell \\"):
            inside.add(line.split()[1].removeprefix("\\"))
    return children


def own_modules(netlist, top, others):
    """Names of the modules of ``top`` that are not only part of the modules ``others``."""
    children, found, waiting = _children(netlist), set(), [top]
    while waiting:
        name = waiting.pop()
        if name not in found and name not in others:
            found.add(name)
            waiting += children[name]
    return sorted(found)


def ancestors(netlist, module):
    """``module``, the modules that have instances of it, those that have instances of these, up to the top."""
    children, found = _children(netlist), [module]
    for name in found:
        found += [parent for parent in sorted(children) if name in children[parent] and parent not in found]
    return found


def choose(netlist, modules, count, seed):
    """``count`` mutants in ``modules``, spread evenly by Yosys: a list of commands."""
    listed = yosys.run(f"read_rtlil in.il\nmutate -list {count} -seed {seed} -o out.txt {' '.join(modules)}\n",
                   {"in.il": netlist})["out.txt"].splitlines()
    return [re.sub(r" -(src|wire|wirebit) \S+", "", command) for command in listed]


def describe(mutant):
    """A mutant in words of ``mutate``, without the command's name."""
    return mutant.removeprefix("mutate ").strip()


def _place(mutant):
    return re.search(r"-module (\S+)", mutant)[1]


def combine(netlist, mutants):
    """Verilog with all ``mutants``: the new input ``mutant`` of the top chooses one, from 1; 0 is the original."""
    changes = [mutant.replace("mutate ", f"mutate -ctrl mutant {SELECT_BITS} {number} ")
               for number, mutant in enumerate(mutants, 1)]
    return yosys.run("\n".join(["read_rtlil in.il", *changes, "clean", "write_verilog -noattr out.v"]),
                 {"in.il": netlist})["out.v"]


def is_equivalent(netlist, mutant, seconds=300):
    """Whether Yosys proves that a mutant changes nothing.

    Proven is: from equal contents of all registers and memories, equal inputs give equal outputs and equal next
    contents. That is tried in the module with the change, then, flattened, in each module around it, where more is
    known of the inputs; first for any contents, then for those that some contents lead to in a few clock cycles, which
    leaves out many that are never reached. ``False`` when no proof is found, with ``seconds`` for each attempt; the
    mutant may change nothing all the same.
    """
    change = mutant.replace("mutate ", "mutate -ctrl mutant 1 1 ")
    for module in ancestors(netlist, _place(mutant)):
        try:
            miter = yosys.run(_MITER.format(change=change, module=module), {"in.il": netlist}, timeout_s=seconds)
            if _PROVEN in miter["sat.txt"]:
                return True
            closed = _closed(miter["out.il"])
            for cycles in _CYCLES:
                proof = _STEPS.format(cycles=cycles, steps=cycles + 1)
                if _PROVEN in yosys.run(proof, {"in.il": closed}, timeout_s=seconds)["sat.txt"]:
                    return True
        except yosys.SynthesisError as failure:
            if "took longer" not in str(failure):
                raise
    return False


_PROVEN = "SAT proof finished - no model found: SUCCESS!"
#: Clock cycles before the one in which both sides are compared.
_CYCLES = (1, 4)

# Bits of registers that nothing reads go; the others become ports, so that both sides are combinational (`expose` sees
# named wires alone); what the change does not touch is merged.
_MITER = """
    read_rtlil in.il
    {change}
    hierarchy -top {module}
    flatten
    rename -top original
    memory_map
    dffunmap
    splitcells
    opt -full
    dffunmap
    splitnets -ports
    opt_clean -purge
    rename -enumerate w:*
    expose -evert-dff -dff
    copy original changed
    cd original
    delete -port mutant
    connect -set mutant 1'0
    cd changed
    delete -port mutant
    connect -set mutant 1'1
    cd ..
    miter -equiv -make_outputs original changed miter
    hierarchy -top miter
    flatten
    setundef -zero
    opt -full
    select -assert-none t:$dff t:$sdff t:$mem_v2
    write_rtlil out.il
    tee -o sat.txt sat -prove trigger 0 miter
"""

_STEPS = """
    read_rtlil in.il
    setattr -unset init
    hierarchy -top closed
    flatten
    opt -full
    dffunmap
    tee -o sat.txt sat -seq {steps} -prove-skip {cycles} -prove trigger 0 closed
"""


def _closed(miter):
    """The miter with registers between each step's next contents and the contents of the step after: RTLIL."""
    wires, cells, connections = ["  wire input 1 \\clock", "  wire output 2 \\trigger"], [], []
    for name in re.findall(r"^  wire input \d+ (\S+)$", miter, re.MULTILINE):
        connections.append(f"    connect {name} {name}")
        if not name.endswith(".q"):
            wires.append(f"  wire input {len(wires) + 1} {name}")
            continue
        after = name.replace("\\in_", "\\gold_", 1)[:-1] + "d"
        connections.append(f"    connect {after} {after}")
        wires += [f"  wire {name}", f"  wire {after}"]
        cells += [f"  cell $dff $ff${len(cells)}", "    parameter \\WIDTH 1", "    parameter \\CLK_POLARITY 1'1",
                  "    connect \\CLK \\clock", f"    connect \\D {after}", f"    connect \\Q {name}", "  end"]
    return "\n".join([miter, "module \\closed", *wires, *cells, "  cell \\miter \\step",
                      "    connect \\trigger \\trigger", *connections, "  end", "end", ""])
