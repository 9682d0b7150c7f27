"""Activation functions of the Speculator."""

from amaranth.lib import enum

__all__ = ["Function"]


class Function(enum.Enum, shape=2):
    """The activation function of a layer."""

    NONE = 0
    RELU = 1
    SIGMOID = 2
    TANH = 3
