"""Golden vectors of a block: what its ports did while its tests, and with them its golden model, agreed."""

import dataclasses
import pathlib
import tempfile

from resilin.simulate import simulate
from sim.record import HOLD_BITS

__all__ = ["CHARACTERS", "CYCLES", "Recording", "record"]

#: Ends of a recording: whichever comes first.
CYCLES, CHARACTERS = 4_000, 2_000_000
#: Seconds after which the tests are given up; the large sizes take long.
TIMEOUT = 3600


@dataclasses.dataclass(frozen=True)
class Recording:
    """Golden vectors and what is needed to read them.

    Attributes
    ----------
    text: the vectors, one a line, hexadecimal, for ``$readmemh``
    count, cycles: number of vectors, and of the clock cycles they stand for
    width: bits of a vector
    hold: bits of its low end that tell how many cycles it holds for
    fields: a dict for each port, from the low end on: ``name``, ``direction``, ``low`` and ``high`` bit, ``valid``
        the output that says when this one means something, or ``None``
    tests: names of the tests of the run
    seed: their seed
    cut: whether the recording ended before the run
    """

    text: str
    count: int
    cycles: int
    width: int
    hold: int
    fields: list
    tests: tuple
    seed: int
    cut: bool


def _layout(ports, guards):
    """The fields of a vector. Payloads of outputs come last: they are often zero, and the zeros are not written.

    ``guards``: output -> the output that says when it means something, as the ``valid`` of a stream does.
    """
    outputs = {port["name"] for port in ports if port["direction"] == "output"}
    fields = []
    for port in ports:
        valid = port["name"].removesuffix("payload") + "valid"
        guarded = port["name"].endswith("__payload") and {port["name"], valid} <= outputs
        fields.append(dict(name=port["name"], direction=port["direction"], width=port["width"],
                           valid=valid if guarded else guards.get(port["name"])))
    fields = [field for field in fields if field["name"] != "clk"]
    fields.sort(key=lambda field: (field["valid"] is not None, field["direction"] == "output"))
    low = HOLD_BITS
    for field in fields:
        field["low"], field["high"] = low, low + field["width"] - 1
        low += field["width"]
    return fields


def record(block, config, text, ports, seed):
    """Run the tests of a block on the Verilog ``text`` and return the :class:`Recording`.

    Parameters: ``ports`` as :func:`resilin.verilog.describe_ports` gives them. Raises ``AssertionError`` when a test
    fails.
    """
    fields = _layout(ports, dict(block.guards))
    with tempfile.TemporaryDirectory(prefix="resilin-") as folder:
        path = pathlib.Path(folder) / "vectors"
        options = dict(file=str(path), cycles=CYCLES, characters=CHARACTERS,
                       ports=[(field["name"], field["width"], field["valid"]) for field in fields])
        result = simulate(block.name, overrides=config.to_dict(), preset=next(iter(config.PRESETS)), seed=seed,
                          testcase=list(block.vectors) or None, options={"record": options}, quiet=True,
                          timeout=TIMEOUT, verilog=text)
        lines = path.read_text()
    words = [int(line, 16) for line in lines.split()]
    cycles = sum(word & (1 << HOLD_BITS) - 1 for word in words)
    return Recording(text=lines, count=len(words), cycles=cycles, width=fields[-1]["high"] + 1, hold=HOLD_BITS,
                     fields=fields, tests=result.tests, seed=result.seed,
                     cut=cycles >= CYCLES or len(lines) >= CHARACTERS)
