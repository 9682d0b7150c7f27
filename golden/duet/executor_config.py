"""The configuration of a layer in the Executor, and the words ("bitstream") that carry it (docs/duet/executor.md)."""

import dataclasses
import enum

import numpy as np

from golden.arith.fixed import check_range
from golden.duet.executor_pe import check_program
from golden.duet.speculator_mfu import Function

__all__ = ["Configuration", "Region", "address"]

PARITIES = 4


class Region(enum.IntEnum):
    """Regions of the configuration's addresses, 4096 words each."""

    SETTINGS = 0
    PROGRAM = 1
    BIAS = 2
    PLACE = 3
    OWNED = 4
    ROW_ID = 5
    COLUMN_ID = 6


def address(region, index):
    """Address of a word of the configuration."""
    return region * 4096 + index


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Configuration:
    """What the Executor must know of a layer.

    ``program`` (n, 3); ``function``, ``pool``, ``use_imap``; ``shift`` and ``bias_shift`` of the requantization;
    ``bias`` (channels,), 32 bits signed; ``place`` (4, S): word of the result's segment for each output, a row a
    parity; ``owned`` (4, S) bool: words that a tile of this parity writes.
    """

    program: np.ndarray
    function: Function
    pool: bool
    use_imap: bool
    shift: int
    bias_shift: int
    bias: np.ndarray
    place: np.ndarray
    owned: np.ndarray

    def check(self, sizes):
        """Refuse, with a ``ValueError``, what a machine of these ``sizes`` does not take."""
        check_program(self.program, segment=sizes.segment, weight_lines=sizes.weight_lines,
                      lut_entries=sizes.lut_entries)
        greatest = sizes.acc_bits + (sizes.cols - 1).bit_length() - 1
        for name, value, top in (("shift", self.shift, greatest), ("bias_shift", self.bias_shift, 15)):
            if not 0 <= value <= top:
                raise ValueError(f"{name} = {value} is not allowed: {name} must be from 0 to {top}")
        if self.pool and self.function != Function.RELU:
            raise ValueError(f"pool = 1 is not allowed with {Function(self.function).name}: function must be RELU")
        if len(check_range("bias", self.bias, 32)) > sizes.max_channels:
            raise ValueError(f"bias has {len(self.bias)} channels: there are max_channels = {sizes.max_channels}")
        shape = (PARITIES, sizes.segment)
        if np.shape(self.place) != shape or np.shape(self.owned) != shape:
            raise ValueError(f"place has shape {np.shape(self.place)}, owned {np.shape(self.owned)}: both must be "
                             f"{shape}")
        check_range("place", self.place, (sizes.segment - 1).bit_length(), signed=False)
        if Function(self.function) in (Function.SIGMOID, Function.TANH) and (
                np.any(self.program[:, 2]) or np.any(self.place[:, 0])):
            raise ValueError(f"{Function(self.function).name} acts on word 0: output 0 must be the only one, at word 0")

    def words(self):
        """The configuration as a list of (address, data), 16 and 32 bits."""
        settings = (len(self.program), self.function | self.pool << 2 | self.use_imap << 3, self.shift, self.bias_shift)
        regions = (
            (Region.SETTINGS, settings), (Region.PROGRAM, [i | w << 8 | o << 16 for i, w, o in self.program.tolist()]),
            (Region.BIAS, np.asarray(self.bias) & 0xffffffff), (Region.PLACE, np.ravel(self.place)),
            (Region.OWNED, self.owned @ (1 << np.arange(self.owned.shape[1], dtype=np.int64))))
        return [(address(region, index), int(word)) for region, words in regions for index, word in enumerate(words)]
