"""The same netlist timed by OpenSTA (Debian's ``opensta``), to check :mod:`synth.timing` against."""

import pathlib
import re
import shutil
import subprocess
import tempfile

from synth.timing import CLOCK_SLEW_PS, INPUT_SLEW_PS
from synth.yosys import SynthesisError

__all__ = ["available", "slowest"]

_PATHS = {"register": ("[all_registers -clock_pins]", "[all_registers -data_pins]"),
          "input": ("$inputs", "[all_registers -data_pins]"),
          "output": ("[all_registers -clock_pins]", "[all_outputs]"),
          "through": ("$inputs", "[all_outputs]")}


def available():
    """Whether ``sta`` is on the path."""
    return shutil.which("sta") is not None


def _net(net):
    return f"1'b{net if net in ('0', '1') else '0'}" if isinstance(net, str) else f"n{net}"


def _verilog(module):
    """A flat mapped module (Yosys' JSON) as structural Verilog, ports bit by bit."""
    ports = [(f"{name}_{bit}", facts["direction"], net) for name, facts in module["ports"].items()
             for bit, net in enumerate(facts["bits"])]
    lines = [f"module unit({', '.join(name for name, _, _ in ports)});"]
    lines += [f"{direction} {name};" for name, direction, _ in ports]
    lines += [f"assign {_net(net)} = {name};" if direction == "input" else f"assign {name} = {_net(net)};"
              for name, direction, net in ports]
    for number, cell in enumerate(module["cells"].values()):
        pins = ", ".join(f".{pin}({_net(nets[0])})" for pin, nets in cell["connections"].items())
        lines.append(f"{cell['type']} u{number}({pins});")
    return "\n".join([*lines, "endmodule", ""])


def slowest(module, library, clock="clk"):
    """ps of the slowest path of each class (without memory), as :func:`synth.timing.analyse` counts them.

    ``module`` must be one flat netlist without boxes. Raises :class:`SynthesisError` when OpenSTA reports an error.
    """
    reports = "".join(f'puts "class {kind}"\nreport_checks -from {start} -to {end} -digits 3\n'
                      for kind, (start, end) in _PATHS.items())
    inputs = " ".join(f"{name}_{bit}" for name, facts in module["ports"].items() if name != clock
                      and facts["direction"] == "input" for bit in range(len(facts["bits"])))
    script = f"""
        read_liberty cells.lib
        read_verilog unit.v
        link_design unit
        create_clock -name clock -period 100000 [get_ports {clock}_0]
        set_clock_transition {CLOCK_SLEW_PS} [get_clocks clock]
        set inputs [get_ports {{{inputs}}}]
        set_input_delay 0 -clock clock $inputs
        set_output_delay 0 -clock clock [all_outputs]
        set_input_transition {INPUT_SLEW_PS} $inputs
        set_load {library.output_load} [all_outputs]
        {reports}
        exit
    """
    with tempfile.TemporaryDirectory(prefix="resilin-sta-") as folder:
        folder = pathlib.Path(folder)
        for name, text in (("cells.lib", library.text), ("unit.v", _verilog(module)), ("run.tcl", script)):
            (folder / name).write_text(text)
        done = subprocess.run(["sta", "-exit", "run.tcl"], cwd=folder, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode or re.search(r"^Error", done.stdout, re.MULTILINE):
        raise SynthesisError(f"OpenSTA ended with code {done.returncode}:\n{done.stdout[-2000:]}")
    found = {}
    for part in re.split(r"^class ", done.stdout, flags=re.MULTILINE)[1:]:
        kind = part.split(None, 1)[0]
        slack = re.search(r"^\s*(-?[\d.]+)\s+slack", part, re.MULTILINE)
        found[kind] = 100000 - float(slack[1]) if slack else None
    return found
