"""Sizes of a whole DUET accelerator."""

import dataclasses

from golden.duet.sizes import Sizes
from golden.duet.speculator import SpeculatorSize

__all__ = ["AcceleratorSizes"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AcceleratorSizes:
    """A machine; the defaults are the preset ``paper``.

    ``executor``: its ``Sizes``; ``speculator``: its ``SpeculatorSize``; ``lines``, ``map_lines`` of the GlobalBuffer;
    ``buckets`` of the Reorder Unit; ``max_passes`` of the Speculator; ``c_fraction`` of the CellUnit; ``queue_depth``:
    commands that an engine's queue holds. Raises ``ValueError`` for sizes that do not go together.
    """

    executor: Sizes = Sizes()
    speculator: SpeculatorSize = SpeculatorSize()
    lines: int = 2048
    map_lines: int = 1024
    buckets: int = 16
    max_passes: int = 16
    c_fraction: int = 8
    queue_depth: int = 8

    def __post_init__(self):
        for name in ("cols", "segment"):
            ours, theirs = getattr(self.executor, name), getattr(self.speculator, name)
            if ours != theirs:
                raise ValueError(f"{name} = {theirs} of the Speculator is not allowed: it must be {ours}, the "
                                 "Executor's")
        if self.executor.rows > self.executor.segment:
            raise ValueError(f"rows = {self.executor.rows} is not allowed: rows must be at most segment = "
                             f"{self.executor.segment}, a segment holds the channels of a step")
        for name in ("lines", "map_lines", "buckets", "max_passes", "queue_depth"):
            if not 1 <= getattr(self, name) <= 1 << 16:
                raise ValueError(f"{name} = {getattr(self, name)} is not allowed: {name} must be from 1 to {1 << 16}")

    @property
    def cols(self):
        """C."""
        return self.executor.cols

    @property
    def segment(self):
        """S."""
        return self.executor.segment

    @property
    def line_words(self):
        """Words of a line, C x S."""
        return self.executor.line_words

    @classmethod
    def preset(cls, name):
        """The sizes of ``paper``, ``small`` or ``fpga``."""
        return cls(executor=Sizes.preset(name), **_PRESETS[name])


_PRESETS = {
    "paper": {},
    "small": dict(speculator=SpeculatorSize(cols=2, segment=4, trees=4, array_cols=8, weight_rows=512,
                                            table_entries=128),
                  lines=512, map_lines=256, buckets=4, max_passes=8),
    "fpga": dict(speculator=SpeculatorSize(cols=4, trees=4, array_cols=8, weight_rows=1024, table_entries=256),
                 lines=256, map_lines=128),
}
