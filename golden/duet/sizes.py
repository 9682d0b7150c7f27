"""Sizes of a DUET machine, as docs/duet/machine.md lists them."""

import dataclasses

__all__ = ["Sizes"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the compiler of a layer must know of the hardware; the defaults are the preset ``paper``.

    ``rows`` and ``cols`` of the Executor, ``segment`` S (words an element takes from a line, pixels of a block; a
    power of two), ``weight_lines`` L (segments in a bank of an element's weight buffer), ``lut_entries`` N
    (micro-instructions of a chunk at most), ``acc_bits`` of a partial sum, ``max_channels`` of a layer. Raises
    ``ValueError`` for a size that is not allowed.
    """

    rows: int = 16
    cols: int = 16
    segment: int = 16
    weight_lines: int = 2
    lut_entries: int = 144
    acc_bits: int = 44
    max_channels: int = 512

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{field.name} = {value} is not allowed: {field.name} must be at least 1")
        if self.segment & (self.segment - 1):
            raise ValueError(f"segment = {self.segment} is not allowed: segment must be a power of two")

    @property
    def line_words(self):
        """Words of a line, C x S."""
        return self.cols * self.segment

    @classmethod
    def preset(cls, name):
        """The sizes of ``paper``, ``small`` or ``fpga``."""
        if name not in _PRESETS:
            raise ValueError(f"preset {name!r} is not allowed: it must be one of {', '.join(_PRESETS)}")
        return cls(**_PRESETS[name])


_PRESETS = {
    "paper": {},
    "small": dict(rows=4, cols=2, segment=4, weight_lines=3, lut_entries=36, max_channels=32),
    "fpga": dict(rows=4, cols=4, segment=16, max_channels=64),
}
