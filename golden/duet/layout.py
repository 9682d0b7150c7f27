"""Where activations are in the GlobalBuffer: feature maps and vectors as lines (docs/duet/machine.md).

Lines are arrays (lines, cols * segment) of INT16, word p of segment c at index ``segment * c + p``; map lines are bool
arrays of the same shape.
"""

import dataclasses

import numpy as np

from golden.arith.fixed import check_range

__all__ = ["FeatureMap", "block_shape", "pack_vector", "unpack_vector", "vector_lines"]


def block_shape(segment):
    """The default block of ``segment`` pixels: square, or twice as wide as high."""
    height = 1 << ((segment.bit_length() - 1) // 2)
    return height, segment // height


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureMap:
    """The layout of a feature map of ``channels`` x ``height`` x ``width`` in blocks of ``block`` = (th, tw) pixels.

    Pixel (y, x) of channel n is word (y % th) * tw + x % tw of segment n % C of line
    ((y // th) * blocks_x + x // tw) * groups + n // C. Words past the last channel and outside of the image are zero.
    """

    channels: int
    height: int
    width: int
    cols: int
    block: tuple[int, int]

    @property
    def segment(self):
        """Pixels of a block."""
        return self.block[0] * self.block[1]

    @property
    def blocks(self):
        """Number of blocks, (vertical, horizontal)."""
        return -(-self.height // self.block[0]), -(-self.width // self.block[1])

    @property
    def groups(self):
        """Groups of C channels."""
        return -(-self.channels // self.cols)

    @property
    def lines(self):
        """Lines that the feature map takes."""
        return self.blocks[0] * self.blocks[1] * self.groups

    def line(self, block_y, block_x, group):
        """The line of a block and group."""
        return (block_y * self.blocks[1] + block_x) * self.groups + group

    def pack(self, image):
        """The lines of an image, INT16 (channels, height, width)."""
        image = check_range("image", image, 16)
        if image.shape != (self.channels, self.height, self.width):
            raise ValueError(f"image has shape {image.shape}: it must be "
                             f"{(self.channels, self.height, self.width)}")
        padded = np.zeros(self._padded, dtype=np.int64)
        padded[:self.channels, :self.height, :self.width] = image
        return self._split(padded).transpose(2, 4, 0, 1, 3, 5).reshape(self.lines, -1)

    def unpack(self, lines):
        """Inverse of :meth:`pack`: the image (integers or bool) that is in ``lines``."""
        lines = np.asarray(lines)
        if lines.shape != (self.lines, self.cols * self.segment):
            raise ValueError(f"lines has shape {lines.shape}: it must be {(self.lines, self.cols * self.segment)}")
        th, tw = self.block
        blocks = lines.reshape(*self.blocks, self.groups, self.cols, th, tw)
        image = blocks.transpose(2, 3, 0, 4, 1, 5).reshape(self._padded)
        return image[:self.channels, :self.height, :self.width]

    @property
    def valid(self):
        """The words that are a pixel of the image and of a channel, bool (lines, C S)."""
        return self.pack(np.ones((self.channels, self.height, self.width), dtype=np.int64)) == 1

    @property
    def _padded(self):
        return self.groups * self.cols, self.blocks[0] * self.block[0], self.blocks[1] * self.block[1]

    def _split(self, padded):
        th, tw = self.block
        return padded.reshape(self.groups, self.cols, self.blocks[0], th, self.blocks[1], tw)


def vector_lines(length, line_words):
    """Lines that a vector takes."""
    return -(-length // line_words)


def pack_vector(vector, line_words):
    """The lines of INT16 vectors (..., length): word w of line j is element j * line_words + w, zeros at the end."""
    vector = check_range("vector", vector, 16)
    lines = vector_lines(vector.shape[-1], line_words)
    missing = lines * line_words - vector.shape[-1]
    padded = np.pad(vector, [(0, 0)] * (vector.ndim - 1) + [(0, missing)])
    return padded.reshape(*vector.shape[:-1], lines, line_words)


def unpack_vector(lines, length):
    """Inverse of :func:`pack_vector` for a vector of ``length``."""
    lines = np.asarray(lines)
    return lines.reshape(*lines.shape[:-2], -1)[..., :length]
