"""Sizes of a FiGS engine and of its two rivals, and the widths that follow from them."""

import dataclasses

import numpy as np

__all__ = ["ARRAYS", "PRESETS", "Sizes"]

#: The three arrays that the engine's frame takes.
ARRAYS = ("figs", "dense", "mux")

#: The presets of the RTL's configurations (hw/figs/figs_engine.py); tests hold the two against each other.
PRESETS = {
    "small": dict(rows=4, columns=2, beta=2, alpha=1, depth=2, groups=4, words=64),
    "paper": dict(rows=16, columns=4, beta=4, alpha=3, depth=6, groups=4, words=512),
    "fpga": dict(rows=8, columns=2, beta=4, alpha=3, depth=3, groups=4, words=256),
}


def _between(low, high):
    return range(low, high + 1), f"an integer from {low} to {high}"


def _powers(most):
    return tuple(1 << bit for bit in range(most.bit_length())), f"a power of two from 1 to {most}"


def _choice(*values):
    return values, "one of " + ", ".join(map(str, values))


#: Values that a field takes, and how they are called.
_ALLOWED = {"rows": _powers(64), "columns": _between(1, 64), "beta": _between(1, 16), "alpha": _choice(0, 1, 3, 7, 15),
            "depth": _between(1, 16), "groups": _powers(32), "weight_bits": _choice(8, 16),
            "activation_bits": _choice(8), "sum_bits": _between(16, 48), "words": _between(2, 1 << 16),
            "window": _powers(32)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of an engine, integers; a value that is not allowed is a ``ValueError`` with the field's name.

    Allowed is what the RTL allows, and two smaller sizes for models of a part: one row, and ``alpha`` 0 at ``depth`` 1.

    ``rows`` and ``columns`` of elements with ``beta`` multipliers each; ``alpha`` swap registers beside its own that an
    element sees in the vertical direction, each for ``depth`` cycles; ``groups`` the largest M/N at full rate (Gmax).
    ``weight_bits``, ``activation_bits``, ``sum_bits``: two's complement. ``words`` of program memory. ``array``: which
    array; ``dense`` and ``mux`` have no use for ``alpha``, ``depth`` and ``groups``, and only ``mux`` has one for
    ``window``, the values that its multiplexers choose from.
    """

    rows: int = 4
    columns: int = 2
    beta: int = 2
    alpha: int = 1
    depth: int = 2
    groups: int = 4
    weight_bits: int = 8
    activation_bits: int = 8
    sum_bits: int = 32
    words: int = 512
    array: str = "figs"
    window: int = 1

    def __post_init__(self):
        for name in _ALLOWED:
            if isinstance(getattr(self, name), np.integer):
                object.__setattr__(self, name, int(getattr(self, name)))
        for name, allowed, good in self._rules():
            if not good:
                raise ValueError(f"{name} = {getattr(self, name)!r} is not allowed: {name} must be {allowed}")

    def _rules(self):
        for name, (values, phrase) in _ALLOWED.items():
            value = getattr(self, name)
            yield name, phrase, type(value) is int and value in values
        yield "array", "one of " + ", ".join(ARRAYS), self.array in ARRAYS
        least = self.weight_bits + self.activation_bits
        yield "sum_bits", f"at least weight_bits + activation_bits = {least}", self.sum_bits >= least
        if self.array == "mux":
            yield "window", "at least 4 where array is mux", self.window >= 4
        if self.array == "figs":
            unit = max(self.groups, self.alpha + 1)
            yield "rows", f"a multiple of {unit} (of groups and of alpha + 1)", self.rows % unit == 0

    @classmethod
    def of(cls, config):
        """The sizes that ``config``, any object with some of the fields as attributes, has."""
        return cls(**{field.name: getattr(config, field.name) for field in dataclasses.fields(cls)
                      if hasattr(config, field.name)})

    @classmethod
    def preset(cls, name, **changes):
        """The sizes of a preset, with ``changes``."""
        if name not in PRESETS:
            raise ValueError(f"preset = {name!r} is not allowed: it must be one of " + ", ".join(PRESETS))
        return cls(**{**PRESETS[name], **changes})

    @property
    def macs(self):
        """Multipliers of the array."""
        return self.rows * self.columns * self.beta

    @property
    def slots(self):
        """Slots of a memory word: Gmax, 1 for the rivals."""
        return self.groups if self.array == "figs" else 1

    @property
    def reach(self):
        """Rows that an element sees: alpha + 1."""
        return self.alpha + 1

    @property
    def taps(self):
        """Registers that an element chooses its operand from."""
        return self.reach * self.depth

    @property
    def select_bits(self):
        return (self.taps - 1).bit_length()

    @property
    def exchange_bits(self):
        """Bits of the exchange in a slot; 0 where no group is larger than what an element sees."""
        return (self.slots - 1).bit_length() if self.slots > self.reach else 0

    @property
    def index_bits(self):
        return (self.window - 1).bit_length()

    @property
    def entry_bits(self):
        """Bits of one element's controls and weights in one cycle."""
        if self.array == "figs":
            return 1 + self.select_bits + self.beta * self.weight_bits
        return self.beta * (self.weight_bits + (self.index_bits if self.array == "mux" else 0))

    @property
    def slot_bits(self):
        return 1 + (self.exchange_bits if self.array == "figs" else 0) + self.columns * self.entry_bits

    @property
    def word_bits(self):
        """Bits of a word of the program memory."""
        return self.slots * self.slot_bits

    @property
    def beat_values(self):
        """Activations of a beat of x."""
        return self.rows * (self.window if self.array == "mux" else 1)

    def group(self, pattern):
        """G: rows of a group when weights of the pattern (its ``n`` and ``m``) run: M / N, at most Gmax."""
        return min(pattern.m // pattern.n, self.slots)

    def check_group(self, group):
        """Refuse with a ``ValueError`` a ``group`` that no program can have."""
        if type(group) is not int or group not in _ALLOWED["groups"][0] or group > self.slots:
            raise ValueError(f"group = {group!r} is not allowed: group must be a power of two, at most {self.slots}")

    def tile_outputs(self, group):
        """Rows of W in a tile."""
        return group * self.columns * self.beta

    def tile_batch(self, group):
        """Columns of X in a tile."""
        return self.rows // group
