"""Recurrent cells as programs of the DUET accelerator: everything accurate, and with thresholds."""

import dataclasses

import numpy as np

from golden.arith.activation import Y_FRACTION
from golden.arith.fixed import saturate
from golden.duet.cell_unit import gru, lstm
from golden.duet.command import CopyOp, Engine
from golden.duet.gates import GateRecorder
from golden.duet.mode import Mode
from golden.duet.rnn_cell import RnnCell
from golden.duet.rnn_program import rnn_program
from golden.workloads.layers import Cell, run_cell
from resilin.duet.program_run import Mismatch, golden_runs, run_programs
from resilin.duet.rnn_networks import calibrated_cell
from resilin.duet_machine import sizes_of

__all__ = ["CellRun", "cell_run", "cut_cell", "integers_of", "make_cell", "run_cells", "summed", "waits"]

_ONE = 1 << Y_FRACTION


def cut_cell(cell, inputs, width):
    """The first ``inputs`` inputs and ``width`` neurons of an LSTM: another network, with the same kind of numbers."""
    def rows(array):
        return np.concatenate([array[cell.rows(gate)][:width] for gate in cell.gates])

    return Cell(cell.name, cell.kind, rows(cell.input_weight)[:, :inputs], rows(cell.hidden_weight)[:, :width],
                rows(cell.input_bias), rows(cell.hidden_bias))


def make_cell(cell, x, config):
    """The ``DuetCell`` of a cell, calibrated on inputs ``x`` (steps, inputs); ``config``: of the accelerator."""
    recorder = GateRecorder()
    run_cell(cell, x, recorder)
    return calibrated_cell(cell, *recorder.arrays(cell.name), config)


def _states(duet, x, state, c_fraction, switched):
    """h (steps, width) and the mean share of insensitive outputs, by plain numpy, for INT16 ``x`` and ``state``."""
    (h, *c), states, ratios = state, [], []

    def gate(name, inputs):
        if not switched:
            return duet.accurate(name, inputs[None], h[None])[0]
        values, mask = duet.run(name, inputs[None], h[None])
        ratios.append(1 - mask.mean())
        return values[0]

    for inputs in x:
        if duet.kind == "lstm":
            h, *c = lstm(*(gate(name, inputs) for name in "ifgo"), *c, c_fraction=c_fraction)
        else:
            nx, nh = (part.outputs(vector[None])[0] for part, vector in zip(duet.executions["n"], (inputs, h)))
            h = gru(gate("r", inputs), gate("z", inputs), nx, nh, h)
            ratios.append(0)  # n, which is accurate
        states.append(h)
    return np.array(states), float(np.mean(ratios)) if switched else 0.0


@dataclasses.dataclass(frozen=True)
class CellRun:
    """A program's figures. ``wanted`` and ``ratio``: share of insensitive gate outputs, asked for on calibration data
    and found; ``cycles`` (the model's without RTL); ``weight_bytes`` of the accurate weights that came from the DRAM,
    ``little_bytes`` of the Speculator's, once; ``dram_cycles``: beats on the DRAM's port, ``mac_cycles``:
    multiplications by elements, which no program can be faster than; ``waits``: cycles in which the DMA does not move
    lines, see :func:`waits`; ``macs``; ``error`` of h, relative L2, against float."""

    name: str
    wanted: float
    ratio: float
    cycles: int
    weight_bytes: int
    little_bytes: int
    macs: int
    dram_cycles: int
    mac_cycles: int
    waits: dict[str, int]
    error: float


def integers_of(state, duet, c_fraction):
    """INT16 (h, c) of a float state; only h of a GRU's."""
    h, c = state
    parts = h * _ONE, *(() if c is None or duet.kind == "gru" else (c * 2.0 ** c_fraction,))
    return tuple(saturate(np.round(part).astype(np.int64), 16) for part in parts)


def run_cells(cell, chosen, x, config, *, first=0, rtl=True, **options):
    """The runs of a cell: (list of :class:`CellRun`, dict of name -> ``ProgramRun``).

    ``cell`` as trained; ``chosen``: name -> (wanted ratio, 0 for BASE, else DUET; its integers), as from
    ``rnn_networks.choices``; ``x`` float (steps, inputs), of which the programs take those from ``first`` on, with the
    exact state that those before leave. Raises ``Mismatch`` at any difference of RTL, golden accelerator and plain
    numpy. ``rtl``: on the RTL too; ``options`` are those of ``run_programs``.
    """
    sizes, duet = sizes_of(config), next(iter(chosen.values()))[1]
    _, before = run_cell(cell, x[:first])
    exact, _ = run_cell(cell, x[first:], state=before)
    state, (integers, _) = integers_of(before, duet, sizes.c_fraction), duet.quantize(x[first:], before[0])
    programs = {name: rnn_program([RnnCell.of(switched)], [integers], sizes, Mode.DUET if ratio else Mode.BASE,
                                  states=[state]) for name, (ratio, switched) in chosen.items()}
    runs = run_programs(programs, config, **options) if rtl else golden_runs(programs, config)
    found = []
    for name, (wanted, switched) in chosen.items():
        run = runs[name]
        expected, ratio = _states(switched, integers, state, sizes.c_fraction, wanted > 0)
        states = run.program.states(run.dram, 0)
        if not np.array_equal(states, expected):
            raise Mismatch(f"program {name}: h of the golden accelerator differs from golden.duet.gates")
        found.append(cell_run(name, wanted, ratio, run, switched, states, exact, config))
    return found, runs


def cell_run(name, wanted, ratio, run, duet, states, exact, config):
    """The :class:`CellRun` of a ``ProgramRun`` that left ``states``, where float gives ``exact``."""
    little = sum(speculation.weight_bytes for speculation in duet.speculations.values()) if wanted else 0
    return CellRun(name=name, wanted=wanted, ratio=ratio, cycles=run.cycles, macs=run.macs, little_bytes=round(little),
                   weight_bytes=run.moved["FETCH"] * config.line_bits // 8,
                   dram_cycles=sum(run.moved.values()) * (config.line_bits // config.dram_bits),
                   mac_cycles=-(-run.macs // (config.rows * config.cols)), waits=waits(run, config),
                   error=float(np.linalg.norm(states / _ONE - exact) / np.linalg.norm(exact)))


def waits(run, config):
    """Cycles of a ``ProgramRun`` of one cell in which the DMA does not move lines, by what it waits for.

    ``start``: the first fetch; ``tail``: states of a step, which are ready when the Executor has computed the last gate
    and the CellUnit has worked; ``first``: the map of a step's first gate; ``rest``: room for rows in the
    GlobalBuffer, other maps, writes of results at the same time, the end. With the beats of all lines these are all
    cycles.
    """
    found, before, fetched, new = dict.fromkeys(("start", "tail", "first", "rest"), 0), 0, False, True
    numbers = [number for number, command in enumerate(run.program.commands) if command.engine == Engine.DMA]
    for number, end in zip(numbers, run.ends[Engine.DMA], strict=True):
        command = run.program.commands[number]
        lines, kind = command.c, "rest"
        if command.op == CopyOp.FETCH:
            lines = run.works[number].rows * (command.flags >> 1)
            if new and not command.flags & 1:
                kind, new = "first", False
        elif command.wait >> Engine.CELL & 1:
            kind, new = "tail", True
        if not fetched:
            kind, fetched = "start", command.op == CopyOp.FETCH
        found[kind] += end - before - lines * (config.line_bits // config.dram_bits)
        before = end
    found["rest"] += run.cycles - before
    return found


def summed(runs):
    """The :class:`CellRun` of several cells, one after another, that have the same name; ``error``: the greatest."""
    sums = {name: sum(getattr(run, name) for run in runs)
            for name in ("cycles", "weight_bytes", "little_bytes", "macs", "dram_cycles", "mac_cycles")}
    sums["waits"] = {kind: sum(run.waits[kind] for run in runs) for kind in runs[0].waits}
    return dataclasses.replace(runs[0], **sums, ratio=float(np.mean([run.ratio for run in runs])),
                               error=max(run.error for run in runs))
