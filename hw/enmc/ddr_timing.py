"""Timing of the DRAM chips, in DRAM clocks, as configuration fields."""

import dataclasses

from hw.config import Config, ConfigError, field

__all__ = ["THESIS", "DdrTimingConfig"]


def _clocks(default, doc, **rules):
    return field(default, doc, unit="DRAM clocks", **rules)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DdrTimingConfig(Config):
    """Timing of DDR4 chips. The defaults are DDR4-2400R, 8 Gb x8 (preset ``jedec`` of golden.enmc.timing)."""

    cl: int = _clocks(16, "CL, READ to its data", min=12, max=32, multiple=4)
    cwl: int = _clocks(12, "CWL, WRITE to its data", min=8, max=32, multiple=4)
    trcd: int = _clocks(16, "tRCD, ACTIVATE to READ or WRITE", min=4, max=63)
    trp: int = _clocks(16, "tRP, PRECHARGE to ACTIVATE", min=4, max=63)
    tras: int = _clocks(39, "tRAS, ACTIVATE to PRECHARGE", min=4, max=127)
    trc: int = _clocks(55, "tRC, ACTIVATE to ACTIVATE of the same bank", min=8, max=127)
    tccd_s: int = _clocks(4, "tCCD_S, READ to READ or WRITE to WRITE, other bank group", min=4, max=16)
    tccd_l: int = _clocks(6, "tCCD_L, the same in one bank group", min=4, max=16)
    trrd_s: int = _clocks(4, "tRRD_S, ACTIVATE to ACTIVATE, other bank group", min=2, max=31)
    trrd_l: int = _clocks(6, "tRRD_L, the same in one bank group", min=2, max=31)
    tfaw: int = _clocks(26, "tFAW, ACTIVATE to the fourth after it", min=4, max=127)
    twr: int = _clocks(18, "tWR, end of a WRITE's data to PRECHARGE", min=1, max=63)
    twtr_s: int = _clocks(3, "tWTR_S, end of a WRITE's data to READ, other bank group", min=1, max=31)
    twtr_l: int = _clocks(9, "tWTR_L, the same in one bank group", min=1, max=31)
    trtp: int = _clocks(9, "tRTP, READ to PRECHARGE", min=1, max=31)
    trefi: int = _clocks(9360, "tREFI, between REFRESH commands on average", min=400, max=65532)
    trfc: int = _clocks(420, "tRFC, REFRESH to the next command", min=16, max=2047)

    def check(self):
        for name, other in (("cl", "cwl"), ("trc", "tras"), ("tccd_l", "tccd_s"), ("trrd_l", "trrd_s"),
                            ("twtr_l", "twtr_s")):
            if getattr(self, name) < getattr(self, other):
                raise ConfigError(name, getattr(self, name), f"at least {other} = {getattr(self, other)}")
        if self.trefi < self.trfc + 300:
            raise ConfigError("trefi", self.trefi, f"at least trfc + 300 = {self.trfc + 300}")

    @property
    def write_to_precharge(self):
        """WRITE to PRECHARGE."""
        return self.cwl + 4 + self.twr

    @property
    def read_to_write(self):
        """READ to WRITE: the data, a clock between, and the preamble of the WRITE."""
        return self.cl + 4 + 2 - self.cwl


#: What preset ``thesis`` (6.4.2) has in other values: its tRC 55, tCCD 4, tRRD 4, tFAW 6, without bank groups.
THESIS = {"tccd_l": 4, "trrd_l": 4, "tfaw": 6}
