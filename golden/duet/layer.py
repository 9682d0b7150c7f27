"""Descriptions of the layers that DUET runs: convolutions, and fully connected layers or gates of a recurrent cell."""

import dataclasses

from golden.duet.speculator_mfu import Function

__all__ = ["ConvLayer", "GateLayer"]


def _refuse(name, value, allowed):
    raise ValueError(f"{name} = {value} is not allowed: {name} must be {allowed}")


def _check_count(layer, *names):
    for name in names:
        if not isinstance(getattr(layer, name), int) or getattr(layer, name) < 1:
            _refuse(name, getattr(layer, name), "an integer of at least 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvLayer:
    """A convolution with activation and max pooling; pairs are (vertical, horizontal), an integer stands for both.

    ``height``, ``width``: of the input. ``padding``: zeros above and below, left and right, less than the kernel.
    ``pooling``: windows of the max pooling, 1 or 2, which do not overlap; an odd row or column at the end is dropped.
    ``activation``: RELU or NONE. Raises ``ValueError`` for a field that is not allowed.
    """

    in_channels: int
    out_channels: int
    height: int
    width: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    pooling: tuple[int, int] = (1, 1)
    activation: Function = Function.RELU

    def __post_init__(self):
        _check_count(self, "in_channels", "out_channels", "height", "width")
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0), ("pooling", 1)):
            pair = getattr(self, name)
            pair = (pair, pair) if isinstance(pair, int) else tuple(pair)
            if len(pair) != 2 or not all(isinstance(value, int) and value >= least for value in pair):
                _refuse(name, pair, f"one or two integers of at least {least}")
            object.__setattr__(self, name, pair)
        if any(padding >= kernel for padding, kernel in zip(self.padding, self.kernel)):
            _refuse("padding", self.padding, f"less than kernel = {self.kernel}")
        if not set(self.pooling) <= {1, 2}:
            _refuse("pooling", self.pooling, "of 1 and 2")
        if self.activation not in (Function.NONE, Function.RELU):
            _refuse("activation", self.activation, "NONE or RELU")
        if min(self.out_size) < 1:
            _refuse("height, width", (self.height, self.width), "large enough for one output")

    @property
    def conv_size(self):
        """Height and width of the outputs before pooling."""
        return tuple((size + 2 * padding - kernel) // stride + 1 for size, kernel, stride, padding
                     in zip((self.height, self.width), self.kernel, self.stride, self.padding))

    @property
    def out_size(self):
        """Height and width of the outputs after pooling."""
        return tuple(size // pooling for size, pooling in zip(self.conv_size, self.pooling))

    @property
    def taps(self):
        """Weights of a filter and input channel."""
        return self.kernel[0] * self.kernel[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateLayer:
    """A fully connected layer or a gate, ``activation(W v + b)``, ``W`` (neurons, inputs).

    The Executor applies NONE and RELU; sigmoid and tanh follow it, and its results are pre-activations.
    """

    inputs: int
    neurons: int
    activation: Function = Function.NONE

    def __post_init__(self):
        _check_count(self, "inputs", "neurons")
        if not isinstance(self.activation, Function):
            _refuse("activation", self.activation, "a Function")
