"""Figures of the papers that our machines come from, and how areas of one technology scale to another."""

import dataclasses
import decimal
import math

__all__ = ["AREA", "AREA_SOURCE", "MACHINES", "Machine", "Match", "Row", "area_factor"]

#: Node in nm -> area of the same logic, relative to 45 nm.
AREA = {65: 1.5, 45: 1.0, 32: 0.46, 20: 0.21, 16: 0.19, 7: 0.059}
AREA_SOURCE = "Stillmaker and Baas 2017, Scaling equations for CMOS device performance from 180 nm to 7 nm"


def area_factor(node_nm):
    """``(factor, how)``: area of logic at a node relative to 45 nm, and where that figure comes from.

    Between the nodes of ``AREA`` it is interpolated, linear in the logarithms of node and factor; outside of them
    there is none: ``ValueError``.
    """
    if node_nm in AREA:
        return AREA[node_nm], "table"
    below, above = (pick((node for node in AREA if (node < node_nm) == (pick is max)), default=None)
                    for pick in (max, min))
    if below is None or above is None:
        raise ValueError(f"node_nm = {node_nm} is not allowed: areas are scaled between {min(AREA)} and {max(AREA)} nm")
    share = math.log(node_nm / below) / math.log(above / below)
    return AREA[below] * (AREA[above] / AREA[below]) ** share, (
        f"log-log interpolation between {below} nm ({AREA[below]:g}) and {above} nm ({AREA[above]:g})")


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of a paper's table as it is printed there: area in mm2 (kept as text for its digits), power in mW."""

    module: str
    configuration: str
    area_mm2: str
    power_mw: float | None = None

    @property
    def area(self):
        """Area in mm2, and the bounds that its digits leave."""
        value = decimal.Decimal(self.area_mm2)
        half = decimal.Decimal(5).scaleb(value.as_tuple().exponent - 1)
        return float(value), (float(value - half), float(value + half))


@dataclasses.dataclass(frozen=True)
class Match:
    """Which of our blocks stand beside a line of the table.

    Attributes
    ----------
    label: what is compared
    row: the line's module; ``None``: the paper has no figure of its own for it
    blocks: our blocks that do this work together, each in its preset ``paper``
    kind: ``logic`` or ``memory``: which of the areas of our blocks counts, never both in one figure
    theirs, ours: the share of the line, and how often our blocks are meant
    part: path of the instance in each block whose areas count; all of the block when empty
    """

    label: str
    row: str | None
    blocks: tuple
    kind: str = "logic"
    theirs: float = 1.0
    ours: float = 1.0
    part: str = ""


@dataclasses.dataclass(frozen=True)
class Machine:
    """A paper's table: where it stands, its technology, its lines, and what of ours goes beside them.

    ``reference``: label of the match that all others are put in relation to, which needs no scaling.
    """

    name: str
    source: str
    node_nm: int
    flow: str
    rows: tuple
    matches: tuple
    reference: str

    def row(self, module):
        """The line of a module."""
        return next(row for row in self.rows if row.module == module)


MACHINES = (
    Machine(
        name="DOTA", source="thesis, Table C.1", node_nm=22,
        flow="synthesis (no layout is named) by Synopsys Design Compiler, TSMC 22 nm, 1 GHz; SRAM by CACTI",
        rows=(Row("Lane", "4 lanes per accelerator", "2.701", 2878.33),
              Row("RMMU", "32*16 FX-16", "0.609", 645.98),
              Row("Filter", "token parallelism 4", "0.003", 9.13),
              Row("MFU", "16 exp, 16 div, 16*16 adder tree", "0.060", 60.73),
              Row("Accumulator", "512 accu/cycle", "0.045", 139.21),
              Row("DOTA (w/o SRAM)", "2 TOPS", "2.746", 3017.54),
              Row("SRAM", "2.5 MB", "1.690", 0.51)),
        matches=(Match("RMMU", "RMMU", ("rmmu",)),
                 Match("one PE (RMMU / 512)", "RMMU", ("rmmu",), theirs=1 / 512, ours=1 / 512),
                 Match("Filter (Detector + Scheduler)", "Filter", ("detector", "scheduler")),
                 Match("Detector alone", None, ("detector",)),
                 Match("Scheduler alone", None, ("scheduler",)),
                 Match("MFU", "MFU", ("mfu",)),
                 Match("lane without SRAM", "Lane", ("lane",), theirs=1 / 4),
                 Match("SRAM of a lane (640 KB of 2.5 MB)", "SRAM", ("lane",), "memory", theirs=1 / 4,
                       part="memory")),
        reference="RMMU"),
    Machine(
        name="DUET", source="thesis, Table 5.1", node_nm=45,
        flow="Synopsys Design Compiler, 45 nm; memories by CACTI",
        rows=(Row("Global Buffer", "1 MB", "5.655"),
              Row("Executor", "256 (16-bit)", "4.236"),
              Row("Speculator", "without what follows the systolic array", "0.699"),
              Row("Align. & Adder Trees", "4096 (4-bit)", "0.378"),
              Row("Systolic Array", "16x32 (4-bit)", "0.318"),
              Row("Activation Buffer", "8 KB", "0.023"),
              Row("Projection Buffer", "32 KB", "0.090"),
              Row("QDR Input Buffer", "4 KB", "0.011"),
              Row("QDR Weight Buffer", "128 KB", "0.352"),
              Row("QDR Output Buffer", "4 KB", "0.011"),
              Row("Multi-Func. Unit", "16 (4-bit)", "0.034"),
              Row("Reorder Unit", "16 buckets (32 B)", "0.014")),
        matches=(Match("Executor", "Executor", ("executor",)),
                 Match("one PE (Executor / 256)", "Executor", ("executor_pe",), theirs=1 / 256),
                 Match("Speculator (ours: all of its logic)", "Speculator", ("speculator",)),
                 Match("alignment and adder trees", "Align. & Adder Trees", ("projection",)),
                 Match("systolic array", "Systolic Array", ("systolic_array",)),
                 Match("MFU (ours: with scale and bias of a channel)", "Multi-Func. Unit", ("speculator_mfu",)),
                 Match("switching map and dequantizer", None, ("switching_map",)),
                 Match("Reorder Unit", "Reorder Unit", ("reorder_unit",)),
                 Match("CellUnit", None, ("cell_unit",)),
                 Match("global buffer (ours: with 32 KB of maps)", "Global Buffer", ("global_buffer",), "memory"),
                 Match("activation buffer", "Activation Buffer", ("speculator",), "memory", part="activations"),
                 Match("projection buffer", "Projection Buffer", ("speculator",), "memory", part="matrix"),
                 Match("QDR input buffer", "QDR Input Buffer", ("speculator",), "memory", part="inputs"),
                 Match("QDR weight buffer", "QDR Weight Buffer", ("speculator",), "memory", part="weights"),
                 Match("QDR output buffer (ours: segments of gates)", "QDR Output Buffer", ("speculator",), "memory",
                       part="results.gate_output")),
        reference="Executor"),
    Machine(
        name="ENMC", source="thesis, Table 6.5 (.442 mm2; the text beside it says .388)", node_nm=28,
        flow="Synopsys Design Compiler, TSMC 28 nm, 400 MHz; buffers are register files",
        rows=(Row("INT4 MAC", "128 (Table 6.4; the text of 6.5 says 64)", "0.013", 10.4),
              Row("FP32 MAC", "16", "0.145", 58.0),
              Row("Compute Buffer", "256 B each", "0.061", 56.8),
              Row("Control Buffer", "", "0.053", 49.3),
              Row("ENMC Ctrl", "", "0.035", 32.9),
              Row("DRAM Ctrl", "", "0.135", 78.0),
              Row("Total", "one rank", "0.442", 285.4)),
        matches=(Match("16 FP32 MAC", "FP32 MAC", ("float_fma",), ours=16),
                 Match("128 INT4 MAC", "INT4 MAC", ("screener",), part="array"),
                 Match("Screener", None, ("screener",)),
                 Match("EnmcExecutor", None, ("enmc_executor",)),
                 Match("controller (ours: with the generator)", "ENMC Ctrl",
                       ("enmc_controller", "instruction_generator")),
                 Match("DRAM controller", "DRAM Ctrl", ("dram_controller",)),
                 Match("compute buffers (ours: of Screener, Executor, OutputBuffer)", "Compute Buffer",
                       ("screener", "enmc_executor", "output_buffer"), "memory"),
                 Match("control buffers (ours: of the controllers and the generator)", "Control Buffer",
                       ("enmc_controller", "instruction_generator", "dram_controller"), "memory"),
                 Match("OutputBuffer and ResultWriter", None, ("output_buffer", "result_writer")),
                 Match("rank, logic alone", "Total", ("enmc_rank",)),
                 Match("rank, memory alone", None, ("enmc_rank",), "memory")),
        reference="16 FP32 MAC"),
)
