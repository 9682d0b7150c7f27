"""Recurrent cells on DUET's integers: gates calibrated one by one, and the function that puts them into a network.

A gate's vector is v = [x, h], INT16: x at a step of its own, h in Q0.15. The accurate gate is the Executor's
pre-activation in Q4.11 and the activation table; the approximate one is the Speculator's dequantized code; both are
Q0.15. The GRU's gate n = tanh(nx + r * nh) has two parts in the Executor, nx and nh. The Speculator estimates
nx + r * nh at once from x and h, by least squares like any other gate, so it needs no r and skips both rows of weights.
"""

import dataclasses

import numpy as np

from golden.arith.activation import X_FRACTION, Y_FRACTION, sigmoid, tanh
from golden.arith.fixed import requantize, saturate
from golden.duet.calibrate import (Execution, Speculation, SpeculatorFormat, calibrate_execution, calibrate_speculation,
                                   quantized_inputs, ratio_threshold, vector_rows)
from golden.duet.networks import SHARE, projection_rows
from golden.duet.speculator_mfu import Function
from golden.duet.switching_map import assemble
from golden.workloads.layers import dense_gate

__all__ = ["DuetCell", "GateRecorder", "calibrate_cell", "gate_function"]

_ONE = 1 << Y_FRACTION


class GateRecorder:
    """A gate function for a network that computes gates as usual and keeps the inputs of each cell.

    ``inputs[name]``: list of (x, h) in the order of the steps.
    """

    def __init__(self):
        self.inputs = {}

    def __call__(self, cell, gate, x, h, reset=None):
        if gate == cell.gates[0]:
            self.inputs.setdefault(cell.name, []).append((x, h))
        return dense_gate(cell, gate, x, h, reset)

    def arrays(self, name):
        """(x (steps, inputs), h (steps, width)) of a cell."""
        x, h = zip(*self.inputs[name])
        return np.array(x), np.array(h)


@dataclasses.dataclass(frozen=True)
class DuetCell:
    """A cell in integers. ``x_step``: the real value of one step of x; ``cols``, ``segment``: C and S of the hardware.

    ``speculations``: by gate, of those that may be approximate; all have the same P and p_shift. ``executions``: by
    gate a tuple of one, for the GRU's n two (nx, nh) for x and for h. ``pre``: by gate, the Speculator's
    pre-activations on calibration data.
    """

    name: str
    kind: str
    x_step: float
    cols: int
    segment: int
    speculations: dict[str, Speculation]
    executions: dict[str, tuple[Execution, ...]]
    pre: dict[str, np.ndarray]
    formats: SpeculatorFormat

    def quantize(self, x, h):
        """INT16 (x, h) of real ones, any shape; h is Q0.15."""
        return (saturate(np.round(x / self.x_step).astype(np.int64), 16),
                saturate(np.round(h * _ONE).astype(np.int64), 16))

    def speculator_rows(self, x, h):
        """The Speculator's INT4 rows (samples, 1, lanes) of INT16 ``x`` and ``h`` (samples, ...)."""
        joined = quantized_inputs(np.concatenate([x, h], -1), self.formats)
        return vector_rows(joined, self.cols, self.segment)

    def accurate(self, gate, x, h, reset=None):
        """The gate (samples, width) in Q0.15 of INT16 inputs; ``reset``: the gate r in Q0.15, for n."""
        parts = self.executions[gate]
        if len(parts) == 1:
            pre = parts[0].outputs(np.concatenate([x, h], -1))
        else:
            nx, nh = parts[0].outputs(x), parts[1].outputs(h)
            pre = saturate(nx + requantize(reset * nh, Y_FRACTION, 16), 16)
        return tanh(pre) if gate in "gn" else sigmoid(pre)

    def projected(self, x, h):
        """The projected inputs (samples, k), which all gates share, of INT16 inputs."""
        return next(iter(self.speculations.values())).projected(self.speculator_rows(x, h))

    def run(self, gate, x, h, reset=None, z=None):
        """(gate in Q0.15, switching map), both (samples, width), of INT16 inputs (Eq. 5.1); ``z``: their projection."""
        values = self.accurate(gate, x, h, reset)
        if gate not in self.speculations:
            return values, np.ones(values.shape, bool)
        speculation = self.speculations[gate]
        pre = speculation.pre_of(self.projected(x, h) if z is None else z)
        mask = speculation.mask(pre)
        return assemble(values, speculation.approximation(pre), mask), mask

    def at_ratio(self, ratio):
        """The same with one threshold for all gates, at which a share ``ratio`` of calibration outputs is approximate.

        Gates without speculation do not count. A ratio of 0 computes nearly everything.
        """
        bits = self.formats.pre_bits
        if ratio == 0:  # the least number is beyond every threshold: where it occurs, it stays approximate
            threshold = (1 << bits - 1) - 1
        else:
            threshold = ratio_threshold(np.concatenate(list(self.pre.values())), ratio, bits)
        speculations = {gate: speculation.at(threshold) for gate, speculation in self.speculations.items()}
        return dataclasses.replace(self, speculations=speculations)

    def without(self, gates):
        """The same where ``gates`` (names) are always accurate; thresholds stay."""
        def kept(by_gate):
            return {gate: value for gate, value in by_gate.items() if gate not in gates}

        unknown = set(gates) - set(self.executions)
        if unknown:
            raise ValueError(f"gates {', '.join(sorted(unknown))} are not allowed: the cell has "
                             f"{', '.join(self.executions)}")
        if not kept(self.speculations):
            raise ValueError("at least one gate must be left to the Speculator")
        return dataclasses.replace(self, speculations=kept(self.speculations), pre=kept(self.pre))

    @property
    def weight_bytes(self):
        """Bytes of the accurate weights, read at every step but for rows skipped, and of all little modules."""
        return (sum(2 * part.layer.weights.size for parts in self.executions.values() for part in parts),
                sum(speculation.weight_bytes for speculation in self.speculations.values()))


def calibrate_cell(cell, x, h, *, cols=16, segment=16, trees=16, share=SHARE, ratio=0.5, clipping=1.0,
                   speculate=None, formats=SpeculatorFormat(), seed=0):
    """The :class:`DuetCell` of ``cell`` for its inputs ``x`` (steps, inputs) and ``h`` (steps, width), float.

    ``cols``, ``segment``, ``trees``: C, S and M of the hardware. ``share``: k / d, about. ``ratio``: the
    insensitive ratio, from which the threshold comes. ``clipping``: greatest x that INT16
    holds, as a share of the greatest here. ``speculate``: gates that may be approximate, all by default.
    """
    x_step = clipping * float(np.abs(x).max()) / 32767
    draft = DuetCell(cell.name, cell.kind, x_step, cols, segment, {}, {}, {}, formats)
    steps = np.concatenate([np.full(x.shape[1], x_step), np.full(cell.width, 1 / _ONE)])
    rows = draft.speculator_rows(*draft.quantize(x, h))
    # P of all lines has to fit in the projection buffer, as the blocks of a convolution have to.
    lines = rows.shape[-1] // (cols * segment)
    k_group = projection_rows(x.shape[1] + cell.width, lines, trees, share)
    reset = None
    speculations, executions, pre = {}, {}, {}
    for gate in cell.gates:
        part = cell.rows(gate)
        weights, biases = (cell.input_weight[part], cell.hidden_weight[part]), (cell.input_bias[part],
                                                                                 cell.hidden_bias[part])
        from_x, from_h = x @ weights[0].T + biases[0], h @ weights[1].T + biases[1]
        if gate == "n":
            y = from_x + reset * from_h
            executions[gate] = tuple(calibrate_execution(weight, bias, step, 2.0 ** -X_FRACTION) for
                                     weight, bias, step in zip(weights, biases, (x_step, 1 / _ONE)))
        else:
            y = from_x + from_h
            executions[gate] = (calibrate_execution(np.concatenate(weights, 1), sum(biases), steps,
                                                    2.0 ** -X_FRACTION),)
        if gate == "r":
            reset = 1 / (1 + np.exp(-y))
        if speculate is not None and gate not in speculate:
            continue
        function = Function.TANH if gate in "gn" else Function.SIGMOID
        speculations[gate] = calibrate_speculation(rows, y, function, k_group, formats=formats, seed=seed)
        pre[gate] = speculations[gate].pre(rows)
    return dataclasses.replace(draft, speculations=speculations, executions=executions, pre=pre).at_ratio(ratio)


def gate_function(cells, record=None):
    """A function for the networks' ``gate`` that computes gates as DUET does, approximate where the map says so.

    ``cells``: dict of name -> :class:`DuetCell`. ``record(cell name, gate, map)`` is called for each gate that is run.
    """
    step = None, None, ()  # x, h and what all gates of the step share

    def gate(cell, name, x, h, reset=None):
        nonlocal step
        duet = cells[cell.name]
        if step[0] is not x or step[1] is not h:
            inputs = duet.quantize(x[None], h[None])
            step = x, h, (*inputs, duet.projected(*inputs))
        if reset is not None:
            reset = np.round(reset[None] * _ONE).astype(np.int64)
        *inputs, z = step[2]
        values, mask = duet.run(name, *inputs, reset, z)
        if record is not None:
            record(cell.name, name, mask[0])
        return (values[0] / _ONE).astype(np.float32)

    return gate
