"""CLR, as a unit of the rank sees it."""

__all__ = ["clear_unit"]


async def clear_unit(harness):
    """A cycle of ``clear`` at the unit of a test's ``harness``, while nothing is inside; its model clears too."""
    harness.model.clear()
    harness.dut.clear.value = 1
    await harness.bench.cycles(1)
    harness.dut.clear.value = 0
