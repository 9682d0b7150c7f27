"""The DDR4 rank model catches every kind of violation, at the exact clock, and keeps data."""

import dataclasses
import types

import numpy as np
import pytest

from golden.enmc.timing import JEDEC, PRESETS
from sim.dram import BURST, DESELECTED, DramRank, burst_address
from sim.dram_rules import Command, DdrViolation, RuleChecker, decode

A, B = 0x155, 0x2aa  # rows


def act(bg=0, ba=0, row=A):
    return Command("ACT", bg, ba, row)


def rd(bg=0, ba=0, column=8, auto=False):
    return Command("RD", bg, ba, column, auto)


def wr(bg=0, ba=0, column=8, auto=False):
    return Command("WR", bg, ba, column, auto)


def pre(bg=0, ba=0):
    return Command("PRE", bg, ba)


PREA, REF, MRS = Command("PREA"), Command("REF"), Command("MRS")
#: ACTIVATEs of four bank groups, early enough for everything that follows.
FOUR = [(0, act(0)), (10, act(1)), (40, act(2)), (50, act(3))]


def play(commands, timing=JEDEC, row_bits=16):
    checker = RuleChecker(timing, row_bits)
    for clock, command in commands:
        checker.command(clock, command)
    return checker


def changed(**values):
    return dataclasses.replace(JEDEC, **values)


# rule, commands before, first clock in which the last command is allowed, the last command, timing
BOUNDARIES = [
    ("tRCD", [(0, act())], 16, rd(), JEDEC),
    ("tRCD", [(0, act())], 16, wr(), JEDEC),
    ("tRP", [(0, act()), (60, pre())], 76, act(), JEDEC),
    ("tRP", [(0, act()), (60, PREA)], 76, act(), JEDEC),
    ("tRP", [(0, act()), (60, pre())], 76, REF, JEDEC),
    ("tRP", [(0, act()), (60, pre())], 76, MRS, JEDEC),
    ("tRC", [(0, act()), (39, pre())], 70, act(), changed(trc=70)),
    ("tRAS", [(0, act())], 39, pre(), JEDEC),
    ("tRAS", [(0, act())], 39, PREA, JEDEC),
    ("tRRD_S", [(0, act(0))], 4, act(1), JEDEC),
    ("tRRD_L", [(0, act(0, 0))], 6, act(0, 1), JEDEC),
    ("tFAW", [(0, act(0)), (4, act(1)), (8, act(2)), (12, act(3))], 26, act(0, 1), JEDEC),
    ("tFAW", [(0, act(0)), (8, act(1)), (12, act(2)), (20, act(3)), (26, act(0, 1))], 34, act(1, 1), JEDEC),
    ("tCCD_S", [*FOUR, (100, rd(0))], 104, rd(1), JEDEC),
    ("tCCD_S", [*FOUR, (100, wr(0))], 104, wr(1), JEDEC),
    ("tCCD_L", [*FOUR, (100, rd(0))], 106, rd(0), JEDEC),
    ("tCCD_L", [*FOUR, (80, act(0, 1)), (100, wr(0, 0))], 106, wr(0, 1), JEDEC),
    ("tCCD_L", [*FOUR, (100, rd(0)), (104, rd(1))], 110, rd(0), changed(tccd_l=10)),
    ("tWTR_S", [*FOUR, (100, wr(0))], 119, rd(1), JEDEC),
    ("tWTR_L", [*FOUR, (100, wr(0))], 125, rd(0), JEDEC),
    ("read to write", [*FOUR, (100, rd(0))], 110, wr(1), JEDEC),
    ("tRTP", [(0, act()), (40, rd())], 49, pre(), JEDEC),
    ("tRTP", [(0, act()), (40, rd())], 49, PREA, JEDEC),
    ("tWR", [(0, act()), (20, wr())], 54, pre(), JEDEC),
    ("tRP", [(0, act()), (40, rd(auto=True))], 65, act(), JEDEC),
    ("tRP", [(0, act()), (16, rd(auto=True))], 60, act(), changed(tras=44)),
    ("tRP", [(0, act()), (20, wr(auto=True))], 70, act(), JEDEC),
    ("tRFC", [(0, REF)], 420, act(), JEDEC),
    ("tRFC", [(0, REF)], 420, REF, JEDEC),
    ("tRFC", [(0, REF)], 420, PREA, JEDEC),
]


@pytest.mark.parametrize("rule, before, clock, last, timing", BOUNDARIES,
                         ids=[f"{row[0]} {row[3]}" for row in BOUNDARIES])
def test_boundary(rule, before, clock, last, timing):
    play([*before, (clock, last)], timing)
    with pytest.raises(DdrViolation) as caught:
        play([*before, (clock - 1, last)], timing)
    assert caught.value.rule == rule
    assert caught.value.second == (clock - 1, last)
    first_clock, first = caught.value.first
    assert any(first == command for _, command in before)
    assert str(first_clock) in str(caught.value) and str(last) in str(caught.value)


def test_every_parameter_has_a_boundary():
    names = {rule.lower() for rule, *_ in BOUNDARIES} | {"trefi"}
    assert {spec.name for spec in dataclasses.fields(JEDEC)} - {"cl", "cwl"} == names - {"read to write"}


@pytest.mark.parametrize("rule, commands", [
    ("bank is open", [(0, act()), (100, act())]),
    ("bank is closed", [(0, rd())]),
    ("bank is closed", [(0, wr())]),
    ("bank is closed", [(0, act()), (40, rd(auto=True)), (60, rd())]),
    ("bank is closed", [(0, act(0)), (40, PREA), (80, rd(0))]),
    ("open banks", [(0, act()), (100, REF)]),
    ("open banks", [(0, act()), (100, MRS)]),
    ("row", [(0, act(row=1 << 14))]),
    ("order", [(0, act(0)), (0, act(1))]),
])
def test_state(rule, commands):
    with pytest.raises(DdrViolation) as caught:
        play(commands, row_bits=14)
    assert caught.value.rule == rule and caught.value.second[1] == commands[-1][1]


def test_what_is_allowed():
    play([(0, PREA), (1, pre()), (20, act()), (40, pre(1, 1)), (100, Command("PREA")), (200, REF)])


def test_refresh_at_its_latest():
    late = 9 * JEDEC.trefi
    play([(late, REF)])
    with pytest.raises(DdrViolation) as caught:
        play([(late + 1, REF)])
    assert caught.value.rule == "tREFI"
    with pytest.raises(DdrViolation, match="tREFI"):
        RuleChecker(JEDEC).advance(late + 1)


def test_refresh_debt():
    """One REFRESH each two tREFI is never late, and still not enough."""
    trefi = JEDEC.trefi
    checker = RuleChecker(JEDEC)
    with pytest.raises(DdrViolation) as caught:
        for number in range(1, 20):
            checker.command(2 * number * trefi, REF)
    assert caught.value.rule == "refresh debt"
    assert caught.value.second[0] > 16 * trefi


def test_refresh_in_advance():
    """Eight at most count in advance."""
    checker = RuleChecker(JEDEC)
    for number in range(12):
        checker.command(500 * number, REF)
    last = 500 * 11
    checker.advance(last + 9 * JEDEC.trefi)
    with pytest.raises(DdrViolation, match="tREFI"):
        checker.advance(last + 9 * JEDEC.trefi + 1)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_what_is_checked(name):
    """The checker takes any object with the fields."""
    timing = types.SimpleNamespace(**dataclasses.asdict(PRESETS[name]))
    commands = [(0, act(0)), (timing.trrd_s, act(1)), (timing.trcd, rd(0)), (timing.trcd + timing.tccd_s, rd(1))]
    assert play(commands, timing).counts == {"ACT": 2, "RD": 2}


# ---- pins ---------------------------------------------------------------------------------------------------------


def pins(ras, cas, we, *, bg=0, ba=0, low=0, act_n=1):
    """The pins of a command, from JEDEC's truth table."""
    return act_n << 1 | bg << 2 | ba << 4 | (low | we << 14 | cas << 15 | ras << 16) << 6


def row_pins(bg, ba, row):
    return bg << 2 | ba << 4 | row << 6


def column_pins(kind, bg, ba, column, auto=0):
    return pins(1, 0, {"WR": 0, "RD": 1}[kind], bg=bg, ba=ba, low=column | auto << 10 | 1 << 12)


@pytest.mark.parametrize("word, command", [
    (1, None), (pins(1, 1, 1), None), (row_pins(2, 3, 0x2ffff), Command("ACT", 2, 3, 0x2ffff)),
    (column_pins("RD", 1, 2, 0x3f8), Command("RD", 1, 2, 0x3f8)),
    (column_pins("WR", 3, 0, 8, 1), Command("WR", 3, 0, 8, True)),
    (pins(0, 1, 0, bg=1, ba=3), Command("PRE", 1, 3)), (pins(0, 1, 0, bg=1, low=0x1bff), Command("PRE", 1, 0)),
    (pins(0, 1, 0, bg=1, low=1 << 10), Command("PREA")), (pins(0, 0, 1), Command("REF")),
    (pins(0, 0, 0, low=5), Command("MRS", 0, 0, 5)), (pins(1, 1, 0), Command("ZQ")),
])
def test_decode(word, command):
    assert decode(word) == command


@pytest.mark.parametrize("word, message", [
    (pins(0, 1, 1), "reserved"), (pins(1, 0, 1, low=8), "BC_n"),
])
def test_decode_refuses(word, message):
    with pytest.raises(ValueError, match=message):
        decode(word)
    with pytest.raises(DdrViolation, match=message):
        DramRank(JEDEC).cycle((1, word, 1, 1))


# ---- data ---------------------------------------------------------------------------------------------------------


class Player:
    """Plays pins and data of clocks on a rank, four a cycle, and collects what it drives."""

    def __init__(self, **options):
        self.rank = DramRank(JEDEC, row_bits=8, **options)
        self.commands, self.data = {}, {}

    def at(self, clock, word):
        self.commands[clock] = word

    def drive(self, clock, data, mask=b""):
        """64 bytes from ``clock`` on; ``mask``: bytes 1 are not written."""
        mask = mask or bytes(BURST)
        for place in range(4):
            part = slice(16 * place, 16 * place + 16)
            self.data[clock + place] = data[part], mask[part]

    def run(self, cycles):
        """Play; gives the bytes that the chips drive, clock -> 16 bytes, of cycles in which they drive any."""
        out = {}
        for cycle in range(cycles):
            clocks = range(4 * cycle, 4 * cycle + 4)
            word = self.rank.outputs()
            if word is not None:
                out.update({clock: word[16 * phase:16 * phase + 16] for phase, clock in enumerate(clocks)})
            bytes_ = b"".join(self.data.get(clock, (bytes(16),))[0] for clock in clocks)
            mask = b"".join(self.data.get(clock, (0, bytes(16)))[1] for clock in clocks)
            self.rank.cycle([self.commands.get(clock, 1) for clock in clocks], int.from_bytes(bytes_, "little"),
                            sum((clock in self.data) << phase for phase, clock in enumerate(clocks)),
                            sum(bit << place for place, bit in enumerate(mask)))
        return out


DATA = bytes(range(100, 164))


def opened(phase=0, **options):
    player = Player(**options)
    player.at(phase, row_pins(1, 2, 0x55))
    return player


ADDRESS = BURST * burst_address(1, 2, 0x55, 16)


@pytest.mark.parametrize("phase", range(4))
def test_read_has_its_latency(phase):
    player = opened()
    player.rank.load(ADDRESS, DATA)
    player.at(20 + phase, column_pins("RD", 1, 2, 16))
    out = player.run(12)
    first = 20 + phase + JEDEC.cl
    assert b"".join(out[clock] for clock in range(first, first + 4)) == DATA
    assert all(part == b"\xa5" * 16 for clock, part in out.items() if not first <= clock < first + 4)


@pytest.mark.parametrize("phase", range(4))
def test_write_and_mask(phase):
    player = opened()
    player.rank.load(ADDRESS, bytes(BURST))
    player.at(20 + phase, column_pins("WR", 1, 2, 16))
    mask = bytes(byte % 3 == 0 or 16 <= byte < 32 for byte in range(BURST))
    player.drive(20 + phase + JEDEC.cwl, DATA, mask)
    player.run(12)
    expected = bytes(0 if hidden else byte for byte, hidden in zip(DATA, mask))
    assert player.rank.dump(ADDRESS, BURST).tobytes() == expected


def test_read_after_write():
    player = opened()
    player.at(20, column_pins("WR", 1, 2, 16))
    player.drive(32, DATA)
    player.at(48, column_pins("RD", 1, 2, 16))
    out = player.run(20)
    assert b"".join(out[clock] for clock in range(64, 68)) == DATA


@pytest.mark.parametrize("shift", [-1, 1])
def test_write_data_missing(shift):
    player = opened()
    player.at(20, column_pins("WR", 1, 2, 16))
    player.drive(20 + JEDEC.cwl + shift, DATA)
    with pytest.raises(DdrViolation) as caught:
        player.run(12)
    # One clock early is a clock without a WRITE first.
    assert caught.value.rule == ("DQ without a WRITE" if shift < 0 else "write data missing")


def test_data_without_write():
    player = opened()
    player.drive(20, DATA)
    with pytest.raises(DdrViolation, match="DQ without a WRITE"):
        player.run(8)


def test_data_collision():
    player = opened()
    player.rank.load(ADDRESS, DATA)
    player.at(20, column_pins("RD", 1, 2, 16))
    player.drive(20 + JEDEC.cl + 3, DATA)
    with pytest.raises(DdrViolation, match="data collision"):
        player.run(12)


def test_read_of_nothing():
    player = opened()
    player.at(20, column_pins("RD", 1, 2, 16))
    with pytest.raises(DdrViolation, match=f"uninitialised read.*{ADDRESS:#x}"):
        player.run(12)
    player = opened(uninitialised="junk")
    player.at(20, column_pins("RD", 1, 2, 16))
    out = player.run(12)
    assert player.rank.junk_reads == [ADDRESS] and len({bytes(part) for part in out.values()}) == 4


def test_read_of_a_burst_written_in_part():
    player = opened()
    player.rank.load(ADDRESS, DATA[:63])
    player.at(20, column_pins("RD", 1, 2, 16))
    with pytest.raises(DdrViolation, match="uninitialised read"):
        player.run(12)


def test_lost_writes_count_as_never_written():
    player = opened()
    player.rank.load(ADDRESS, DATA)
    player.at(20, column_pins("WR", 1, 2, 16))
    player.run(6)
    player.rank.lose_writes()
    for _ in range(6):
        player.rank.cycle(DESELECTED)
    player.rank.cycle((column_pins("RD", 1, 2, 16), 1, 1, 1))
    for _ in range(3):
        player.rank.cycle(DESELECTED)
    with pytest.raises(DdrViolation, match="uninitialised read"):
        player.rank.outputs()


def test_back_door():
    rank = DramRank(JEDEC, row_bits=4)
    size = BURST << 15
    data = np.random.default_rng(1).integers(256, size=200_000, dtype=np.uint8)
    rank.load(12_345, data)
    np.testing.assert_array_equal(rank.dump(12_345, len(data)), data)
    assert not rank.dump(0, 12_345).any()
    rank.load(size - 1, b"\7")
    assert rank.dump(size - 1, 1) == [7]
    for address, count in ((size, 1), (-1, 1), (size - 1, 2)):
        with pytest.raises(ValueError, match="the rank has"):
            rank.dump(address, count)
    with pytest.raises(ValueError, match="data of dtype int64"):
        rank.load(0, np.arange(4))
    with pytest.raises(ValueError, match="uninitialised"):
        DramRank(JEDEC, uninitialised="zero")


def test_written_from():
    rank = DramRank(JEDEC)
    assert not rank.written_from(0)
    rank.load(70_000, b"\0")
    rank.dump(1 << 20, 4)
    assert rank.written_from(0) and rank.written_from(70_000) and not rank.written_from(70_001)
    rank.forget()
    assert not rank.written_from(0) and rank.memory.size == 1 << 33


def test_places_of_bursts():
    """Consecutive bursts go round the bank groups, then along the row, then over the banks."""
    places = [burst_address(*place) for place in (
        (0, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 8), (0, 1, 0, 0), (0, 0, 1, 0), (3, 3, 65535, 1016))]
    assert places == [0, 1, 4, 512, 2048, (1 << 27) - 1]


def test_trace_and_counts():
    player = opened()
    player.rank.load(ADDRESS, DATA)
    player.rank.trace = []
    player.at(20, column_pins("RD", 1, 2, 16))
    player.run(12)
    assert player.rank.trace == [(0, Command("ACT", 1, 2, 0x55)), (20, Command("RD", 1, 2, 16))]
    assert player.rank.rules.counts == {"ACT": 1, "RD": 1}
