"""FPGA families: how Yosys maps a unit, what its cells use of a device, and the devices.

Resources, in every family:

``lut``    look-up tables, those that serve as memory or shift register included
``carry``  bits of carry chains
``ff``     flip-flops
``dsp``    multiplier blocks
``bram``   memory blocks of the family's own size, in blocks (half a block counts .5)

A cell that a family's table does not know is an error, never left out.
"""

import dataclasses
import fnmatch
import json
import pathlib
import string

from synth import yosys
from synth.yosys import SynthesisError

__all__ = ["FAMILIES", "RESOURCES", "Device", "Family", "constraints", "count", "family", "lacking", "unit"]

RESOURCES = ("lut", "carry", "ff", "dsp", "bram")

_CONSTRAINTS = pathlib.Path(__file__).resolve().parents[1] / "constraints"


@dataclasses.dataclass(frozen=True)
class Device:
    """One device: its order name and how much of each resource it has (a resource left out is not a limit)."""

    name: str
    part: str
    has: dict


@dataclasses.dataclass(frozen=True)
class Family:
    """One FPGA family.

    Attributes
    ----------
    name, summary: for the command line
    script: the Yosys command that maps a design, without ``-top``
    cells: cell name (``*`` allowed) -> dict of resource -> how many the cell uses; ``{}`` uses none
    devices: the devices, smallest first
    constraints: path of the constraint template, see :func:`constraints`
    """

    name: str
    summary: str
    script: str
    cells: dict
    devices: tuple
    constraints: pathlib.Path


FAMILIES = {family.name: family for family in (
    Family(
        "ecp5", "Lattice ECP5: Yosys; place and route by nextpnr",
        # Without LUTs widened by multiplexers: 32 % fewer of them in the multi-precision element, 2 to 5 % slower.
        "synth_ecp5 -nowidelut",
        {
            "LUT4": {"lut": 1},
            "CCU2C": {"lut": 2, "carry": 2},                 # two LUTs in carry mode
            "TRELLIS_DPR16X4": {"lut": 6},                   # three slices: two with the bits, one for the write port
            "TRELLIS_FF": {"ff": 1},
            "MULT18X18D": {"dsp": 1},
            "DP16KD": {"bram": 1}, "PDPW16KD": {"bram": 1},  # 18 kbit
        },
        # ECP5 family data sheet, device selection. The 12F is a 25F with a part of it marked as not for use.
        (Device("25k", "LFE5U-25F", {"lut": 24288, "ff": 24288, "dsp": 28, "bram": 56}),
         Device("45k", "LFE5U-45F", {"lut": 43848, "ff": 43848, "dsp": 72, "bram": 108}),
         Device("85k", "LFE5U-85F", {"lut": 83640, "ff": 83640, "dsp": 156, "bram": 208})),
        _CONSTRAINTS / "ecp5" / "clock.lpf"),
    Family(
        "ice40", "Lattice iCE40: Yosys, resources only", "synth_ice40 -dsp -device u",
        {
            "SB_LUT4": {"lut": 1}, "SB_CARRY": {"carry": 1},
            "SB_DFF*": {"ff": 1},
            "SB_MAC16": {"dsp": 1},
            "SB_RAM40_4K*": {"bram": 1},                     # 4 kbit
        },
        # iCE40 LP/HX and UltraPlus data sheets. A logic cell is one LUT, one carry bit and one flip-flop.
        (Device("hx1k", "iCE40HX1K", {"lut": 1280, "carry": 1280, "ff": 1280, "dsp": 0, "bram": 16}),
         Device("up5k", "iCE40UP5K", {"lut": 5280, "carry": 5280, "ff": 5280, "dsp": 8, "bram": 30}),
         Device("hx8k", "iCE40HX8K", {"lut": 7680, "carry": 7680, "ff": 7680, "dsp": 0, "bram": 32})),
        _CONSTRAINTS / "ice40" / "clock.pcf"),
    Family(
        "xc7", "AMD/Xilinx 7 series: Yosys, resources only", "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf",
        {
            **{f"LUT{inputs}": {"lut": 1} for inputs in range(1, 7)}, "INV": {"lut": 1},
            "MUXF7": {}, "MUXF8": {},                        # behind the LUTs
            "CARRY4": {"carry": 4},
            "FD[RSCP]E": {"ff": 1}, "FD[RSCP]E_1": {"ff": 1},
            "SRL16E": {"lut": 1}, "SRLC32E": {"lut": 1},
            # Distributed RAM, in LUTs of 64 bits: UG474, table of RAM configurations.
            "RAM32M": {"lut": 4}, "RAM64M": {"lut": 4}, "RAM64X1S": {"lut": 1}, "RAM128X1S": {"lut": 2},
            "RAM256X1S": {"lut": 4}, "RAM64X1D": {"lut": 2}, "RAM128X1D": {"lut": 4},
            "DSP48E1": {"dsp": 1},
            "RAMB18E1": {"bram": .5}, "RAMB36E1": {"bram": 1},  # 36 kbit
        },
        # DS180 (7 series overview) and DS190 (Zynq-7000).
        (Device("a35t", "XC7A35T", {"lut": 20800, "ff": 41600, "dsp": 90, "bram": 50}),
         Device("z020", "XC7Z020", {"lut": 53200, "ff": 106400, "dsp": 220, "bram": 140}),
         Device("a100t", "XC7A100T", {"lut": 63400, "ff": 126800, "dsp": 240, "bram": 135}),
         Device("a200t", "XC7A200T", {"lut": 134600, "ff": 269200, "dsp": 740, "bram": 365}),
         Device("k325t", "XC7K325T", {"lut": 203800, "ff": 407600, "dsp": 840, "bram": 445})),
        _CONSTRAINTS / "xc7" / "clock.xdc"),
)}


def family(name):
    """The family called ``name``; ``ValueError`` when there is none."""
    if name not in FAMILIES:
        raise ValueError(f"family = {name!r} is not allowed: family must be one of " + ", ".join(FAMILIES))
    return FAMILIES[name]


def count(cells, family, where):
    """What mapped ``cells`` (name -> number) use: a dict of :data:`RESOURCES`, and the cells as ``"cells"``.

    Raises :class:`SynthesisError`, with ``where`` in it, when the family's table does not know a cell.
    """
    used = dict.fromkeys(RESOURCES, 0)
    for name, number in cells.items():
        uses = next((uses for kind, uses in family.cells.items() if fnmatch.fnmatchcase(name, kind)), None)
        if uses is None:
            raise SynthesisError(f"{where}: Yosys left {number} cells {name}, which {family.name} does not have")
        for resource, weight in uses.items():
            used[resource] += weight * number
    return {**used, "cells": dict(sorted(cells.items()))}


def unit(rtlil, top, family, *, timeout_s=None):
    """Map one unit to a family, a name in :data:`FAMILIES`.

    Parameters: ``rtlil`` the unit as RTLIL text, with black boxes (``attribute \\blackbox 1``) for what lies below it
    and its memories as ``$mem_v2`` cells, which become block or distributed RAM where the family can.

    Returns what the unit itself uses, without its black boxes, as :func:`count` does. No buffers are put at its ports.
    Raises :class:`SynthesisError`.
    """
    return mapped("read_rtlil unit.il", {"unit.il": rtlil}, top, family, timeout_s=timeout_s)[0]


def mapped(read, files, top, name, *, write="", timeout_s=None):
    """What a design uses (as :func:`unit`), and the files of the Yosys run.

    ``read`` is the Yosys command that reads the design from ``files``, ``write`` one that runs after mapping.
    """
    target = family(name)
    found = yosys.run(f"""
        {read}
        tee -q -o boxes.txt select -list-mod =A:blackbox
        {target.script} -top {top}
        delete t:$scopeinfo
        tee -q -o stat.json stat -json {top}
        {write}
    """, files, timeout_s=timeout_s)
    cells = json.loads(found["stat.json"])["modules"][f"\\{top}"].get("num_cells_by_type", {})
    boxes = set(found["boxes.txt"].split())
    return count({name: number for name, number in cells.items() if name not in boxes}, target, top), found


def lacking(used, device):
    """The resources of which ``used`` takes more than a device has, as (resource, used, available)."""
    return [(resource, used[resource], available) for resource, available in device.has.items()
            if used[resource] > available]


def constraints(family, frequency_mhz):
    """The text of a family's constraint file for a clock of ``frequency_mhz``: its template with the fields
    ``$frequency_mhz`` and ``$period_ns`` filled in."""
    template = string.Template(FAMILIES[family].constraints.read_text())
    return template.substitute(frequency_mhz=f"{frequency_mhz:g}", period_ns=f"{1e3 / frequency_mhz:.3f}")
