"""Timing of the DRAM chips in DRAM clocks (JESD79-4; thesis 6.4.2): presets ``jedec`` and ``thesis``."""

import dataclasses

__all__ = ["JEDEC", "PRESETS", "THESIS", "DdrTiming"]

_LIMIT = 1 << 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class DdrTiming:
    """Timing parameters of DDR4 chips, all in DRAM clocks; the defaults are DDR4-2400R, 8 Gb x8.

    ``cl``, ``cwl``: READ, WRITE to its data (multiples of 4: a cycle of the logic). ``trcd`` ACTIVATE to READ or WRITE,
    ``trp`` PRECHARGE to ACTIVATE, ``tras`` ACTIVATE to PRECHARGE, ``trc`` ACTIVATE to ACTIVATE of a bank.
    ``tccd_s``, ``tccd_l``: between column commands of one kind, other and same bank group; ``trrd_s``, ``trrd_l``
    between ACTIVATEs; ``tfaw`` an ACTIVATE to the fourth after it. ``twr`` end of written data to PRECHARGE,
    ``twtr_s``, ``twtr_l`` to READ; ``trtp`` READ to PRECHARGE. ``trefi`` mean distance of REFRESH, ``trfc`` REFRESH to
    the next command.

    Raises ``ValueError`` for a value that is not an integer of at least 1, or does not fit the others.
    """

    cl: int = 16
    cwl: int = 12
    trcd: int = 16
    trp: int = 16
    tras: int = 39
    trc: int = 55
    tccd_s: int = 4
    tccd_l: int = 6
    trrd_s: int = 4
    trrd_l: int = 6
    tfaw: int = 26
    twr: int = 18
    twtr_s: int = 3
    twtr_l: int = 9
    trtp: int = 9
    trefi: int = 9360
    trfc: int = 420

    def __post_init__(self):
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            if type(value) is not int or not 1 <= value < _LIMIT:
                self._refuse(spec.name, f"an integer from 1 to {_LIMIT - 1}")
        for name in ("cl", "cwl"):
            if getattr(self, name) % 4:
                self._refuse(name, "a multiple of 4")
        for name, other in (("cl", "cwl"), ("trc", "tras"), ("tccd_l", "tccd_s"), ("trrd_l", "trrd_s"),
                            ("twtr_l", "twtr_s"), ("trefi", "trfc")):
            if getattr(self, name) < getattr(self, other):
                self._refuse(name, f"at least {other} = {getattr(self, other)}")

    def _refuse(self, name, allowed):
        raise ValueError(f"{name} = {getattr(self, name)!r} is not allowed: {name} must be {allowed}")


JEDEC = DdrTiming()
#: The thesis' own values: tRC 55, tCCD 4, tRRD 4, tFAW 6, which is no limit beside tRRD; what it leaves open as JEDEC.
THESIS = DdrTiming(tccd_l=4, trrd_l=4, tfaw=6)
PRESETS = {"jedec": JEDEC, "thesis": THESIS}
