"""Cycles of the EnmcExecutor's instructions (hw/enmc/executor_sequence.py, hw/arith/float_functions.py)."""

__all__ = ["instruction_cycles"]

_LANES, _WORDS = 16, 4
#: Operations of a function of one number.
_EXP, _RECIPROCAL, _SIGMOID = 10, 7, 17


def instruction_cycles(op, count, phase, *, fma_stages, function_lanes):
    """Cycles from an instruction's transfer to the next one's.

    ``op``: ADD, MUL, MUL_ADD, SIGMOID, SOFTMAX (of ``count`` numbers, 0 to 64, ``phase`` 0, 1); the others as the
    hardware's configuration.
    """
    places, drain = fma_stages + 1, fma_stages + 2

    def function(steps, numbers):
        rounds, place = divmod(-(-numbers // function_lanes) - 1, places)
        return (rounds + 1) * steps * places + place + 3

    if op == "SIGMOID":
        return 1 + function(_SIGMOID, _WORDS * _LANES)
    if op != "SOFTMAX":
        return 1 + _WORDS + drain
    if not count:
        return 1
    words = [min(_LANES, count - start) for start in range(0, count, _LANES)]
    if phase:
        return 1 + function(_RECIPROCAL, 1) + 2 * (len(words) + drain) + function(_EXP, count)
    # Of each word x - MAX, exp, four levels of a tree and the sum.
    return 1 + drain + sum(1 + drain + function(_EXP, numbers) + 4 * fma_stages + 1 for numbers in words)
