"""The rules of a DDR4 rank: state of the banks, and the least distance of any two commands (JESD79-4).

Knows nothing of any controller: it takes commands with their DRAM clock and raises :class:`DdrViolation` at the first
that breaks a rule.
"""

import collections
import dataclasses

__all__ = ["Command", "DdrViolation", "RuleChecker", "decode"]

GROUPS, BANKS = 4, 4
#: REFRESH commands that may be owed, or made in advance.
POSTPONED = 8
#: READ to WRITE leaves a clock between the data, and one for the preamble of the WRITE.
TURNAROUND = 2


class DdrViolation(AssertionError):
    """A broken rule.

    Attributes
    ----------
    rule: its name, as JEDEC calls it, or a few words
    first, second: the two commands as (clock, :class:`Command`); ``first`` is ``None`` for a rule of state
    """

    def __init__(self, rule, second, first=None, detail=""):
        parts = [f"{rule}: {second[1]} at clock {second[0]}"]
        if first is not None:
            parts.append(f"{second[0] - first[0]} clocks after {first[1]} at clock {first[0]}")
        if detail:
            parts.append(detail)
        super().__init__(", ".join(parts))
        self.rule, self.first, self.second = rule, first, second


@dataclasses.dataclass(frozen=True)
class Command:
    """``kind`` is ACT, RD, WR, PRE, PREA, REF, MRS or ZQ; ``address`` a row or a column; ``auto``: precharge."""

    kind: str
    bg: int = 0
    ba: int = 0
    address: int = 0
    auto: bool = False

    def __str__(self):
        words = [self.kind + "A" * self.auto]
        if self.kind in ("ACT", "RD", "WR", "PRE"):
            words.append(f"bg {self.bg} ba {self.ba}")
        if self.kind in ("ACT", "RD", "WR"):
            words.append(("row" if self.kind == "ACT" else "column") + f" {self.address:#x}")
        return " ".join(words)


_KINDS = {0b000: "MRS", 0b001: "REF", 0b010: "PRE", 0b100: "WR", 0b101: "RD", 0b110: "ZQ"}


def decode(pins):
    """The :class:`Command` of the pins of a clock, ``None`` for DES and NOP.

    ``pins``: cs_n (bit 0), act_n (1), bg (2, 3), ba (4, 5), A0 to A17 (6 to 23). Raises ``ValueError`` for a reserved
    command, and for a READ or WRITE of less than eight beats (BC_n low).
    """
    if pins & 1:
        return None
    bg, ba, a = pins >> 2 & 3, pins >> 4 & 3, pins >> 6
    if not pins & 2:
        return Command("ACT", bg, ba, a)
    operation = a >> 14 & 7
    if operation == 0b111:
        return None
    kind = _KINDS.get(operation)
    if kind is None:
        raise ValueError(f"pins = {pins:#x} are not allowed: RAS_n, CAS_n, WE_n = {operation:03b} is reserved")
    auto = bool(a >> 10 & 1)
    if kind == "PRE":
        return Command("PREA") if auto else Command("PRE", bg, ba)
    if kind in ("RD", "WR"):
        if not a >> 12 & 1:
            raise ValueError(f"pins = {pins:#x} are not allowed: BC_n is low, bursts have eight beats here")
        return Command(kind, bg, ba, a & 0x3ff, auto)
    return Command(kind, bg, ba, a & 0x3fff)


class _Bank:
    """``row`` that is open or ``None``; the last commands as (clock, command), ``closed`` the last precharge."""

    __slots__ = ("row", "act", "read", "write", "closed")

    def __init__(self):
        self.row = self.act = self.read = self.write = self.closed = None


class RuleChecker:
    """Checks the commands of one rank, in the order of their clocks; all banks begin precharged.

    Parameters
    ----------
    timing: an object with the parameters in DRAM clocks: ``cl cwl trcd trp tras trc tccd_s tccd_l trrd_s trrd_l tfaw
        twr twtr_s twtr_l trtp trefi trfc``
    row_bits: bits of a row address

    Rules: tRC, tRAS, tRP, tRCD, tRRD_S, tRRD_L, tFAW, tCCD_S, tCCD_L, tWTR_S, tWTR_L, tRTP, tWR, tRFC, "read to write",
    tREFI (none for more than 9 tREFI), "refresh debt" (more than 8 owed, one each tREFI), and of state: "bank is open",
    "bank is closed", "open banks", "row", "order" (of the clocks).

    Attributes: ``counts``, commands of each kind.
    """

    def __init__(self, timing, row_bits=16):
        self.timing = timing
        self.row_bits = row_bits
        self.counts = collections.Counter()
        self._banks = [[_Bank() for _ in range(BANKS)] for _ in range(GROUPS)]
        self._acts = collections.deque(maxlen=4)
        self._group_act = [None] * GROUPS
        self._last = {"RD": None, "WR": None}
        self._group_last = {"RD": [None] * GROUPS, "WR": [None] * GROUPS}
        self._refresh = None
        self._clock = -1
        self._debt, self._due = 0, timing.trefi
        self._latest = (POSTPONED + 1) * timing.trefi
        self._check = {"ACT": self._activate, "RD": self._column, "WR": self._column, "PRE": self._precharge,
                       "PREA": self._precharge_all, "REF": self._do_refresh, "MRS": self._idle, "ZQ": self._idle}

    def open_row(self, bg, ba):
        """The row that is open in a bank, or ``None``."""
        return self._banks[bg][ba].row

    def advance(self, clock):
        """Time goes on to ``clock``: is a REFRESH overdue?"""
        if clock > self._latest:
            raise DdrViolation("tREFI", (clock, Command("REF")), self._refresh,
                               f"more than {POSTPONED + 1} tREFI without one")
        while clock > self._due:
            self._debt += 1
            self._due += self.timing.trefi
            if self._debt > POSTPONED:
                raise DdrViolation("refresh debt", (clock, Command("REF")), self._refresh, f"{self._debt} are owed")

    def command(self, clock, command):
        """Check a command; raises :class:`DdrViolation`."""
        now = (clock, command)
        if clock <= self._clock:
            raise DdrViolation("order", now, detail=f"clock {self._clock} is over")
        self._clock = clock
        self.advance(clock)
        self._far("tRFC", self._refresh, now, self.timing.trfc)
        self._check[command.kind](now)
        self.counts[command.kind] += 1

    @staticmethod
    def _far(rule, first, now, clocks):
        if first is not None and now[0] - first[0] < clocks:
            raise DdrViolation(rule, now, first, f"{clocks} are needed")

    def _activate(self, now):
        timing, (_, command) = self.timing, now
        bank = self._banks[command.bg][command.ba]
        if bank.row is not None:
            raise DdrViolation("bank is open", now, bank.act)
        if command.address >> self.row_bits:
            raise DdrViolation("row", now, detail=f"there are {self.row_bits} bits")
        self._far("tRP", bank.closed, now, timing.trp)
        self._far("tRC", bank.act, now, timing.trc)
        self._far("tRRD_L", self._group_act[command.bg], now, timing.trrd_l)
        if self._acts:
            self._far("tRRD_S", self._acts[-1], now, timing.trrd_s)
        if len(self._acts) == 4:
            self._far("tFAW", self._acts[0], now, timing.tfaw)
        bank.row, bank.act, bank.read, bank.write = command.address, now, None, None
        self._acts.append(now)
        self._group_act[command.bg] = now

    def _column(self, now):
        timing, (clock, command) = self.timing, now
        bank = self._banks[command.bg][command.ba]
        if bank.row is None:
            raise DdrViolation("bank is closed", now, bank.closed)
        kind, other = command.kind, {"RD": "WR", "WR": "RD"}[command.kind]
        self._far("tRCD", bank.act, now, timing.trcd)
        self._far("tCCD_L", self._group_last[kind][command.bg], now, timing.tccd_l)
        self._far("tCCD_S", self._last[kind], now, timing.tccd_s)
        if kind == "RD":
            self._far("tWTR_L", self._group_last[other][command.bg], now, timing.cwl + 4 + timing.twtr_l)
            self._far("tWTR_S", self._last[other], now, timing.cwl + 4 + timing.twtr_s)
            bank.read = now
        else:
            self._far("read to write", self._last[other], now, timing.cl + 4 + TURNAROUND - timing.cwl)
            bank.write = now
        self._last[kind] = self._group_last[kind][command.bg] = now
        if command.auto:
            self._close(bank, (max(clock, bank.act[0] + timing.tras, self._precharge_from(bank)), command))

    def _precharge_from(self, bank):
        """The first clock in which the column commands of a bank let it be precharged."""
        timing = self.timing
        read = bank.read[0] + timing.trtp if bank.read else 0
        return max(read, bank.write[0] + timing.cwl + 4 + timing.twr if bank.write else 0)

    @staticmethod
    def _close(bank, now):
        bank.row, bank.closed = None, now

    def _precharge(self, now):
        self._precharge_bank(self._banks[now[1].bg][now[1].ba], now)

    def _precharge_bank(self, bank, now):
        timing = self.timing
        if bank.row is None:
            return
        self._far("tRAS", bank.act, now, timing.tras)
        self._far("tRTP", bank.read, now, timing.trtp)
        self._far("tWR", bank.write, now, timing.cwl + 4 + timing.twr)
        self._close(bank, now)

    def _precharge_all(self, now):
        for group in self._banks:
            for bank in group:
                self._precharge_bank(bank, now)

    def _idle(self, now):
        """All banks must be precharged, and that tRP ago."""
        for bg, group in enumerate(self._banks):
            for ba, bank in enumerate(group):
                if bank.row is not None:
                    raise DdrViolation("open banks", now, bank.act, f"bg {bg} ba {ba} is open")
                self._far("tRP", bank.closed, now, self.timing.trp)

    def _do_refresh(self, now):
        self._idle(now)
        self._refresh = now
        self._debt = max(self._debt - 1, -POSTPONED)
        self._latest = now[0] + (POSTPONED + 1) * self.timing.trefi
