"""Elaborate a component once for all its equal instances."""

import contextlib
import contextvars
import functools

from amaranth.hdl import Module

__all__ = ["shared", "sharing"]

_elaborated = contextvars.ContextVar("elaborated", default=None)


def shared(component_class):
    """Class decorator: instances made with equal arguments are elaborated once a generated design.

    For large elements of an array. The elaborated logic must follow from the constructor's arguments (hashable) and
    use nothing outside the signature but the clock domain. Outside :func:`sharing` the class behaves as before.
    """
    make, elaborate = component_class.__init__, component_class.elaborate

    @functools.wraps(make)
    def __init__(self, *args, **kwargs):
        self._shared_key = type(self), args, tuple(sorted(kwargs.items()))
        make(self, *args, **kwargs)

    @functools.wraps(elaborate)
    def shared_elaborate(self, platform):
        elaborated = _elaborated.get()
        if elaborated is None:
            return elaborate(self, platform)
        if elaborated.setdefault(self._shared_key, self) is self:
            return elaborate(self, platform)
        return Module()

    component_class.__init__ = __init__
    component_class.elaborate = shared_elaborate
    return component_class


@contextlib.contextmanager
def sharing():
    """While active, a shared component whose equal was elaborated before gives an empty module.

    Yields the dict of key -> the component that was elaborated.
    """
    elaborated = {}
    token = _elaborated.set(elaborated)
    try:
        yield elaborated
    finally:
        _elaborated.reset(token)
