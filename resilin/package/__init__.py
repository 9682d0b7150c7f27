"""Packages of blocks for hand-over: everything another project needs to use and check a block, without this one.

``resilin generate BLOCK --package DIR`` writes them; docs/package.md describes the files.
"""

import importlib
import json
import pathlib
import re
import string

import jinja2

from resilin import verilog
from resilin.files import check_folder, write_files
from sim.hierarchy import blocks
from synth import fpga

from .header import header
from .vectors import record

__all__ = ["ASIC_PERIOD_NS", "FPGA_MHZ", "write_package"]

#: Clock of the constraint files as they are written: somewhere to start from, not a promise.
ASIC_PERIOD_NS, FPGA_MHZ = 2.5, 50

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_CONSTRAINTS = _ROOT / "constraints"
_TEMPLATES = pathlib.Path(__file__).parent / "templates"
#: Template -> name of the file in the package.
_FILES = {
    "README.md.j2": "README.md", "Makefile.j2": "Makefile", "block.core.j2": "{}.core", "testbench.v.j2": "{}_tb.v",
}


def _meanings(page):
    """Name of a port -> its meaning, from the table of ports of a block's page, links taken out."""
    section = re.search(r"^## Ports\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)[1]
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in section.splitlines()
            if line.startswith("| `")]
    return {row[0].strip("`"): re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", row[-1]) for row in rows}


def _describe(block, text):
    """The description in ``BLOCK.json``, with what the templates need besides."""
    description = json.loads(text)
    meanings = _meanings((_ROOT / block.page).read_text(encoding="utf-8"))
    meanings |= {"clk": "clock, rising edge", "rst": "reset, synchronous, active high"}
    streams = {port["name"].removesuffix("valid") for port in description["ports"] if port["name"].endswith("__valid")}
    for port in description["ports"]:
        port.setdefault("fields", [])
        member = port["name"].split("__")[0]
        part = port["name"].rpartition("__")[2]
        stream = port["name"].removesuffix(part) in streams
        words = {"valid": "payload is offered", "ready": "payload is taken in a cycle with valid and ready"}
        port["meaning"] = words[part] if stream and part in words else meanings.get(member, "")
    return description


def _constraints(block, ports):
    """The constraint files: name -> text."""
    names = {direction: " ".join(port["name"] + ("[*]" if port["width"] > 1 else "") for port in ports
                                 if port["direction"] == direction and port["name"] != "clk")
             for direction in ("input", "output")}
    sdc = string.Template((_CONSTRAINTS / "asic" / "block.sdc").read_text(encoding="utf-8"))
    files = {f"{block.name}.sdc": sdc.substitute(period_ns=ASIC_PERIOD_NS, inputs=names["input"],
                                                 outputs=names["output"])}
    for name, family in fpga.FAMILIES.items():
        files[block.name + family.constraints.suffix] = fpga.constraints(name, FPGA_MHZ)
    return files


def write_package(block, config, folder, *, seed=1, tell=lambda line: None):
    """Write the package of a block to ``folder/<block>`` and return the paths of its files.

    Parameters: ``block`` a :class:`resilin.registry.Block`, ``config`` its configuration, ``seed`` of the tests whose
    run is recorded, ``tell`` a function that is told about long work.

    Each file is whole or not there. Raises ``ValueError`` when the folder is something else, ``AssertionError`` when
    the block's tests fail.
    """
    folder = pathlib.Path(folder) / block.name
    check_folder(folder.parent)
    check_folder(folder)
    files = verilog.block_files(block, config)
    text = files[f"{block.name}.v"]
    description = _describe(block, files[f"{block.name}.json"])
    tell("runs its tests and records them (golden vectors)")
    recording = record(block, config, text, description["ports"], seed)
    apart = blocks(text, block.name)
    constraints = _constraints(block, description["ports"])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    values = dict(description, recording=recording, apart=apart, system=block.system, isa=block.isa, page=block.page,
                  constraint_files=", ".join(f"`{name}`" for name in constraints if not name.endswith(".sdc")))
    for template, name in _FILES.items():
        files[name.format(block.name)] = environment.get_template(template).render(values)
    files |= constraints
    files[f"{block.name}.h"] = header(description)
    if block.isa:
        files[f"{block.system}_isa.h"] = importlib.import_module(block.isa).header()
    files[f"{block.name}_vectors.hex"] = recording.text
    files["lint.vlt"] = (_CONSTRAINTS / "lint.vlt").read_text(encoding="utf-8")
    files["LICENSE"] = (_ROOT / "LICENSE").read_text(encoding="utf-8")
    if apart:
        files["hierarchy.vlt"] = "`verilator_config\n" + "".join(f'hier_block -module "{name}"\n' for name in apart)
    return write_files(folder, files)
