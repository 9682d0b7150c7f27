"""An LSTM of a trained network as programs of the DUET accelerator: everything accurate, and with thresholds."""

import dataclasses

import numpy as np

from golden.arith.activation import Y_FRACTION
from golden.duet.calibrate import SpeculatorFormat
from golden.duet.cell_unit import lstm
from golden.duet.gates import GateRecorder, calibrate_cell
from golden.duet.mode import Mode
from golden.duet.rnn_program import RnnCell, rnn_program
from golden.workloads.layers import Cell, run_cell
from resilin.duet.program_run import Mismatch, golden_runs, run_programs
from resilin.duet_machine import sizes_of

__all__ = ["CellRun", "cell_run", "cut_cell", "make_cell", "run_cells"]

_ONE = 1 << Y_FRACTION


def cut_cell(cell, inputs, width):
    """The first ``inputs`` inputs and ``width`` neurons of an LSTM: another network, with the same kind of numbers."""
    def rows(array):
        return np.concatenate([array[cell.rows(gate)][:width] for gate in cell.gates])

    return Cell(cell.name, cell.kind, rows(cell.input_weight)[:, :inputs], rows(cell.hidden_weight)[:, :width],
                rows(cell.input_bias), rows(cell.hidden_bias))


def make_cell(cell, x, config):
    """The ``DuetCell`` of an LSTM, calibrated on inputs ``x`` (steps, inputs); ``config``: of the accelerator."""
    recorder = GateRecorder()
    run_cell(cell, x, recorder)
    return calibrate_cell(cell, *recorder.arrays(cell.name), cols=config.cols, segment=config.segment,
                          trees=config.trees,
                          formats=SpeculatorFormat(pre_bits=config.pre_bits, code_bits=config.code_bits,
                                                   max_k=config.max_k))


def _states(duet, x, c_fraction, switched):
    """h (steps, width) and the mean share of insensitive outputs, by plain numpy, for INT16 ``x``."""
    width = duet.executions["i"][0].layer.weights.shape[0]
    h, c, states, ratios = np.zeros(width, np.int64), np.zeros(width, np.int64), [], []
    for inputs in x:
        gates = {}
        for gate in "ifgo":
            if switched:
                values, mask = duet.run(gate, inputs[None], h[None])
                ratios.append(1 - mask.mean())
            else:
                values = duet.accurate(gate, inputs[None], h[None])
            gates[gate] = values[0]
        h, c = lstm(*(gates[gate] for gate in "ifgo"), c, c_fraction=c_fraction)
        states.append(h)
    return np.array(states), float(np.mean(ratios)) if ratios else 0.0


@dataclasses.dataclass(frozen=True)
class CellRun:
    """A program's figures. ``wanted`` and ``ratio``: share of insensitive gate outputs, asked for on calibration data
    and found; ``cycles`` (the model's without RTL); ``weight_bytes`` of the accurate weights that came from the DRAM,
    ``little_bytes`` of the Speculator's, once; ``macs``; ``error`` of h, relative L2, against float."""

    name: str
    wanted: float
    ratio: float
    cycles: int
    weight_bytes: int
    little_bytes: int
    macs: int
    error: float


def run_cells(cell, duet, x, ratios, config, *, rtl=True, **options):
    """BASE, and DUET at each of ``ratios``: (list of :class:`CellRun`, dict of name -> ``ProgramRun``).

    ``cell`` as trained, ``duet`` its integers, ``x`` float (steps, inputs). Raises ``Mismatch`` at any difference of
    RTL, golden accelerator and plain numpy. ``rtl``: on the RTL too; ``options`` are those of ``run_programs``.
    """
    sizes, width = sizes_of(config), cell.width
    integers, _ = duet.quantize(x, np.zeros((1, width)))
    chosen = {"BASE": (0.0, duet)} | {f"DUET {100 * ratio:.0f}%": (ratio, duet.at_ratio(ratio)) for ratio in ratios}
    programs = {name: rnn_program([RnnCell.of(switched)], [integers], sizes, Mode.DUET if ratio else Mode.BASE)
                for name, (ratio, switched) in chosen.items()}
    runs = run_programs(programs, config, **options) if rtl else golden_runs(programs, config)
    exact, _ = run_cell(cell, x)
    found = []
    for name, (wanted, switched) in chosen.items():
        run = runs[name]
        expected, ratio = _states(switched, integers, sizes.c_fraction, wanted > 0)
        states = run.program.states(run.dram, 0)
        if not np.array_equal(states, expected):
            raise Mismatch(f"program {name}: h of the golden accelerator differs from golden.duet.gates")
        found.append(cell_run(name, wanted, ratio, run, switched, states, exact, sizes))
    return found, runs


def cell_run(name, wanted, ratio, run, duet, states, exact, sizes):
    """The :class:`CellRun` of a ``ProgramRun`` that left ``states``, where float gives ``exact``."""
    little = sum(speculation.weight_bytes for speculation in duet.speculations.values()) if wanted else 0
    return CellRun(name=name, wanted=wanted, ratio=ratio, cycles=run.cycles, macs=run.macs, little_bytes=round(little),
                   weight_bytes=run.moved["FETCH"] * sizes.line_words * 2,
                   error=float(np.linalg.norm(states / _ONE - exact) / np.linalg.norm(exact)))
