"""The hold rule of a stream as a property: what is offered stays until it is taken."""

from amaranth.hdl import Assert, Assume, Signal, Value

__all__ = ["assert_hold", "assume_hold"]


def assert_hold(m, stream):
    """Assert in module ``m`` that valid and payload stay, from the cycle of the offer to that of the transfer."""
    _hold(m, stream, Assert)


def assume_hold(m, stream):
    """Assume the same of a stream that comes from outside; for proofs."""
    _hold(m, stream, Assume)


def _hold(m, stream, kind):
    payload = Value.cast(stream.payload)
    waiting = Signal()
    offered = Signal.like(payload, name="offered", reset_less=True)
    m.d.sync += [waiting.eq(stream.valid & ~stream.ready), offered.eq(payload)]
    # Checked at the clock edge: between edges Icarus would see values that are still settling.
    with m.If(waiting):
        m.d.sync += [kind(stream.valid), kind(payload == offered)]
