"""Sizes of the Speculator: machines that differ in nothing else, the area of what differs, cycles of real layers.

Thesis 5.3.6, Figure 5.10(a): "when modifying the systolic array size, other components in the Speculator are scaled
accordingly".
"""

import dataclasses

import numpy as np

from golden.duet.cnn_program import CnnLayer, cnn_program
from golden.duet.mode import Mode
from golden.duet.rnn_cell import RnnCell
from golden.duet.rnn_program import rnn_program
from resilin.duet.program_run import golden_runs
from resilin.duet_machine import sizes_of

__all__ = ["SIZES", "MOST_TREES", "SpeculatorShape", "area", "cell_cycles", "chain_cycles", "sized", "stack_cycles"]


@dataclasses.dataclass(frozen=True)
class SpeculatorShape:
    """Systolic array of ``rows`` x ``cols`` elements, adder trees for ``trees`` projected inputs a cycle."""

    rows: int
    cols: int
    trees: int

    def __str__(self):
        return f"{self.rows} x {self.cols}"


#: The sizes of the thesis.
SIZES = (SpeculatorShape(8, 8, 4), SpeculatorShape(8, 16, 8), SpeculatorShape(16, 16, 8), SpeculatorShape(16, 32, 16),
         SpeculatorShape(32, 32, 32))
#: Calibration of all sizes: k is a multiple of this, so that all work with the same integers.
MOST_TREES = max(shape.trees for shape in SIZES)


def sized(config, shape, gates=False):
    """The accelerator ``config`` with a Speculator of ``shape``; the bits of its buffers stay.

    A tile has S positions, and no array of the machine has more rows. More elements than that stand as columns, which
    is at least as fast: S x (rows * cols / S) does the work of two tiles one after another in the time in which rows x
    cols does both at once. ``gates``: a gate has one position and uses one row, so other rows are left out instead.
    """
    rows = min(shape.rows, config.segment)
    cols = shape.cols if gates else shape.cols * shape.rows // rows
    line = config.line_bits // (cols * config.bits)
    return dataclasses.replace(
        config, array_rows=rows, array_cols=cols, trees=shape.trees,
        projection_rows=config.projection_rows * config.trees // shape.trees,
        input_rows=config.input_rows * config.trees // shape.trees,
        weight_rows=config.weight_rows * config.array_cols // cols, weight_banks=min(config.weight_banks, line))


def area(config, shape, tell=None):
    """Logic in um2 (nangate45, least area) of what ``shape`` changes: array, adder trees, MFU. By synthesis."""
    from hw.duet.projection import ProjectionConfig
    from hw.duet.speculator_mfu import SpeculatorMfuConfig
    from hw.duet.systolic_array import SystolicArrayConfig
    from resilin.registry import find
    from resilin.synthesis import synthesis_record
    from synth.synthesize import Options

    array = SystolicArrayConfig(rows=shape.rows, cols=shape.cols, bits=config.bits, max_k=config.max_k)
    parts = {"systolic_array": array,
             "projection": ProjectionConfig(inputs=config.lanes, trees=shape.trees, bits=config.bits,
                                            max_inputs=config.lanes * config.max_passes),
             "speculator_mfu": SpeculatorMfuConfig(lanes=shape.rows, acc_bits=array.acc_bits,
                                                   pre_bits=config.pre_bits, code_bits=config.code_bits)}
    # Small banks are macros too, whose area is that of their bits and left out here.
    return {name: float(synthesis_record(find(name), part, "nangate45", Options(macro_bits=256), tell)["total"]
                        ["logic_um2"]) for name, part in parts.items()}


def cell_cycles(duet, x, state, config, shapes=SIZES):
    """Cycles of a cell for INT16 ``x`` (steps, inputs) and ``state``: "BASE" and, for DUET, each shape."""
    def program(machine, mode):
        return rnn_program([RnnCell.of(duet)], [x], sizes_of(machine), mode, states=[state])

    return _cycles(program, config, [(shape, sized(config, shape, gates=True)) for shape in shapes])


def stack_cycles(layers, image, config, shapes=SIZES):
    """Cycles of convolutions (``DuetConvolution``) one after another for an INT16 ``image``, likewise."""
    chain, size = [], image.shape[1:]
    for duet in layers:
        chain.append(CnnLayer.of(duet, *size))
        size = chain[-1].layer.out_size
    return chain_cycles(chain, image, config, shapes)


def chain_cycles(layers, image, config, shapes=SIZES):
    """The same of ``CnnLayer``."""
    return _cycles(lambda machine, mode: cnn_program(layers, image, sizes_of(machine), mode), config,
                   [(shape, sized(config, shape)) for shape in shapes])


def _cycles(program, config, machines):
    """Runs ``program`` of (machine, mode): BASE on ``config``, DUET on each of ``machines``; the results are the same
    where the program ends, or the run is refused."""
    found, drams = {}, []
    for name, machine, mode in (("BASE", config, Mode.BASE), *((str(shape), machine, Mode.DUET)
                                                                for shape, machine in machines)):
        made = program(machine, mode)
        run = golden_runs({name: made}, machine)[name]
        found[name] = run.cycles
        if mode == Mode.DUET:
            drams.append([made.result(run.dram, result) for result in made.results])
    for results in drams[1:]:
        if not all(map(np.array_equal, drams[0], results)):
            raise AssertionError("the size of the Speculator changes a result")
    return found
