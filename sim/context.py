"""What a cocotb test knows of the run it is in: configuration, preset, seed, payload layouts."""

import dataclasses
import functools
import json
import os
import random

import numpy as np

__all__ = ["Context", "context"]


@dataclasses.dataclass(frozen=True)
class Context:
    """The run a cocotb test is in.

    Attributes
    ----------
    block: name of the block, also of the top module
    preset: name of the preset the configuration started from, or ``None``
    config: the block's configuration, a dict of plain values
    options: plain values the test run was given besides the configuration
    seed: seed of every random choice; printed at the start, given again to replay
    simulator: ``"verilator"`` or ``"icarus"``
    inputs: names of the top's input ports, without clock and reset
    layouts: port or stream name -> its payload's layout, see :meth:`layout`
    """

    block: str
    preset: str | None
    config: dict
    options: dict
    seed: int
    simulator: str
    inputs: list
    layouts: dict

    @functools.cached_property
    def rng(self):
        """The numpy Generator of this run, made from the seed; one for all tests of the run."""
        return np.random.default_rng(self.seed)

    @functools.cached_property
    def random(self):
        """A ``random.Random`` made from the seed: faster than numpy for single draws and wide integers."""
        return random.Random(self.seed)

    def layout(self, name):
        """The fields of a stream's (or a plain port's) payload: field -> (offset, width, signed), in bits.

        A nested field's name is joined with dots (``picks.0.id``). Raises ``ValueError`` when the port has no fields.
        """
        if name not in self.layouts:
            raise ValueError(f"name = {name!r} is not a port with fields: these are " + ", ".join(self.layouts))
        return {field: tuple(place) for field, place in self.layouts[name].items()}


@functools.cache
def context():
    """The :class:`Context` of this simulation."""
    path = os.environ.get("RESILIN_CONTEXT")
    if path is None:
        raise RuntimeError("context() works inside a simulation only: start it with resilin.simulate.simulate()")
    with open(path) as handle:
        return Context(**json.load(handle))
