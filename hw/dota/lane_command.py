"""Commands of a lane: the structure that the host sends, one a step of the program."""

import dataclasses

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, enum
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.arith.precision import Precision
from hw.config import Config, ConfigError, field
from hw.dota.detector import DetectorConfig, SelectMode
from hw.dota.mfu import MfuConfig
from hw.dota.rmmu import RmmuConfig
from hw.dota.scheduler import SchedulerConfig

__all__ = ["CommandLayout", "LaneConfig", "LaneOp", "LaneCounter", "PHASES", "SCORE_BITS", "engine_ports"]

#: Width of the estimated scores that the Detector reads.
SCORE_BITS = 8
#: Counter groups for cycles.
PHASES = 8


class LaneOp(enum.Enum, shape=2):
    """What a command does; the golden model ``golden/dota/lane.py`` defines each exactly."""

    GEMM = 0
    SOFTMAX = 1
    CONVERT = 2
    ATTEND = 3


class LaneCounter(enum.Enum, shape=5):
    """Performance counters, read through ``counter_select`` and ``counter``; cleared by reset alone."""

    CYCLES = 0
    CYCLES_PHASE0 = 1
    CYCLES_PHASE1 = 2
    CYCLES_PHASE2 = 3
    CYCLES_PHASE3 = 4
    CYCLES_PHASE4 = 5
    CYCLES_PHASE5 = 6
    CYCLES_PHASE6 = 7
    CYCLES_PHASE7 = 8
    RMMU_BEATS = 9
    KEY_READS = 10
    VALUE_READS = 11
    ROUNDS = 12
    CONNECTIONS = 13
    STALL_LOAD = 14
    STALL_SCHEDULE = 15
    STALL_SOFTMAX = 16
    STALL_DRAIN = 17


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaneConfig(Config):
    """Size of a compute lane (thesis Table C.1 and 7.6.4 for the ``paper`` preset: 32 x 16 PEs, 10 x 64 KB)."""

    rows: int = field(32, "rows of processing elements", min=4, max=32, power_of_two=True)
    cols: int = field(16, "processing elements a row", min=2, max=16, power_of_two=True)
    vectors_per_cycle: int = field(1, "key or value vectors read from the SRAM each cycle", choices=(1, 2, 4))
    banks: int = field(10, "SRAM banks", min=4, max=16)
    bank_words: int = field(1024, "words of 32 x cols bits in a bank", unit="words", min=16, max=4096,
                            power_of_two=True)
    psum_depth: int = field(128, "partial sums kept for each row", unit="entries", min=4, max=1024, power_of_two=True)
    tokens: int = field(4, "token parallelism: query rows scheduled together", min=2, max=6)
    max_keys: int = field(512, "greatest number of keys of a sparse attention", unit="keys", min=8, max=1024,
                          power_of_two=True)

    PRESETS = {
        "paper": {},
        "small": {"rows": 8, "cols": 4, "vectors_per_cycle": 2, "bank_words": 128, "psum_depth": 16, "tokens": 2,
                  "max_keys": 32},
        "fpga": {"rows": 4, "cols": 2, "bank_words": 256, "psum_depth": 64, "tokens": 2, "max_keys": 64},
    }

    def check(self):
        if self.rows != 2 * self.cols:
            raise ConfigError("rows", self.rows, f"2 x cols = {2 * self.cols}, so that a row of results is a word")
        if self.token_rows < 2:
            raise ConfigError("tokens", self.tokens, f"at most rows / 2 = {self.rows // 2}")
        if self.max_keys < self.key_lanes:
            raise ConfigError("max_keys", self.max_keys, f"at least 4 x cols = {self.key_lanes}")

    @property
    def word_bits(self):
        """Width of an SRAM word."""
        return 32 * self.cols

    @property
    def address_bits(self):
        """Width of a global word address: bank number above the offset in the bank."""
        return ceil_log2(self.banks) + ceil_log2(self.bank_words)

    @property
    def key_lanes(self):
        """Estimated scores in a word."""
        return self.word_bits // SCORE_BITS

    @property
    def token_rows(self):
        """PE rows that belong to a token in sparse attention: an even number."""
        return self.rows // (2 * self.tokens) * 2

    @property
    def max_words(self):
        """Greatest key vector, in words."""
        return self.token_rows // 2

    @property
    def rmmu(self):
        """Configuration of the RMMU inside."""
        return RmmuConfig(rows=self.rows, cols=self.cols, streams=self.vectors_per_cycle, psum_depth=self.psum_depth)

    @property
    def detector(self):
        """Configuration of the Detector inside."""
        return DetectorConfig(tokens=self.tokens, max_keys=self.max_keys, key_lanes=self.key_lanes,
                              score_bits=SCORE_BITS)

    @property
    def scheduler(self):
        """Configuration of the Scheduler inside."""
        return SchedulerConfig(tokens=self.tokens, max_keys=self.max_keys, key_lanes=self.key_lanes)

    @property
    def mfu(self):
        """Configuration of the MFU inside."""
        return MfuConfig(lanes=self.cols, max_row=self.max_keys)


class CommandLayout(data.StructLayout):
    """Fields of a command. Addresses and strides count words; golden/dota/program.py documents each field's use."""

    def __init__(self, config):
        address = unsigned(config.address_bits)
        counts = unsigned(config.address_bits + 1)
        super().__init__({
            "op": LaneOp,
            "phase": unsigned(ceil_log2(PHASES)),
            "precision": Precision,
            "out": Precision,
            "transposed": unsigned(1),
            "a_base": address, "a_stride": address,
            "b_base": address, "b_stride": address,
            "c_base": address, "c_stride": address,
            "v_base": address, "v_stride": address,
            "s_base": address, "s_stride": address,
            "m": counts,
            "n_tiles": counts,
            "k_chunks": counts,
            "shift": unsigned(6),
            "out_shift": unsigned(6),
            "copies": unsigned(2),
            "copy_stride": address,
            "keys": unsigned(ceil_log2(config.max_keys + 1)),
            "words": unsigned(ceil_log2(config.max_words + 1)),
            "mode": SelectMode,
            "threshold": signed(SCORE_BITS),
            "count": unsigned(ceil_log2(config.max_keys + 1)),
            "scale": unsigned(16),
            "scale_shift": unsigned(5),
        })


def engine_ports(config):
    """Ports, by name, of what runs commands: ``start`` is a pulse, ``command`` is stable until ``finished``."""
    return {"command": In(CommandLayout(config)), "start": In(1), "finished": Out(1)}
