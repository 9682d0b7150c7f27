"""A recurrent cell of DUET in integers: its gates, and what the Executor and the Speculator make of each."""

import dataclasses

from golden.duet.calibrate import Speculation
from golden.duet.cell_unit import Cell
from golden.duet.layer_parameters import QuantizedLayer
from golden.duet.speculator_mfu import Function

__all__ = ["FUNCTIONS", "RnnCell", "RnnGate"]

FUNCTIONS = {
    Cell.LSTM: {"i": Function.SIGMOID, "f": Function.SIGMOID, "g": Function.TANH, "o": Function.SIGMOID},
    Cell.GRU: {"r": Function.SIGMOID, "z": Function.SIGMOID, "nx": Function.NONE, "nh": Function.NONE},
}
"""Gates of a cell and what the Executor applies to them. Those without a function are pre-activations."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RnnGate:
    """A gate's integers: ``parameters`` with weights (width, inputs + width), of [x, h]; of x alone for the GRU's nx,
    of h alone for nh. ``speculation``: None for a gate that is always accurate."""

    parameters: QuantizedLayer
    speculation: Speculation | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RnnCell:
    """A cell of ``width`` for vectors of ``inputs``; ``gates``: name -> :class:`RnnGate`, names as in FUNCTIONS."""

    kind: Cell
    inputs: int
    width: int
    gates: dict[str, RnnGate]

    def __post_init__(self):
        if set(self.gates) != set(FUNCTIONS[self.kind]):
            raise ValueError(f"gates = {sorted(self.gates)} are not allowed: a cell of kind {self.kind.name} has "
                             f"{', '.join(FUNCTIONS[self.kind])}")
        for name, gate in self.gates.items():
            words = {"nx": self.inputs, "nh": self.width}.get(name, self.inputs + self.width)
            if gate.parameters.weights.shape != (self.width, words):
                raise ValueError(f"weights of gate {name} have shape {gate.parameters.weights.shape}: it must be "
                                 f"{(self.width, words)}")
            if gate.speculation is not None and gate.speculation.function != FUNCTIONS[self.kind][name]:
                raise ValueError(f"gate {name} cannot be speculated with {gate.speculation.function.name}: it is "
                                 f"{FUNCTIONS[self.kind][name].name}")

    @classmethod
    def of(cls, cell):
        """The cell of a calibrated ``golden.duet.gates.DuetCell``; the GRU's n is accurate, in its two parts."""
        kind, gates = Cell[cell.kind.upper()], {}
        for name, executions in cell.executions.items():
            if len(executions) == 1:
                gates[name] = RnnGate(parameters=executions[0].layer, speculation=cell.speculations.get(name))
            else:
                gates |= {part: RnnGate(parameters=execution.layer)
                          for part, execution in zip(("nx", "nh"), executions)}
        width, words = next(iter(gates.values())).parameters.weights.shape
        return cls(kind=kind, inputs=words - width, width=width, gates=gates)
