"""What the EnmcRank's tests share: a host at its DDR4 port, chips that check every rule, the golden rank beside."""

import numpy as np

from golden.enmc.enmc_rank import EnmcRank
from golden.enmc.isa import Instruction, decode, make
from resilin.enmc.rank_bench import RankDriver
from resilin.enmc.rank_host import BURST
from sim.coverage import Coverage

POINTS = ["probabilities", "candidates in groups", "candidates left over", "range", "several items",
          "instruction FIFO full", "reset in mid-work", "host traffic before", "host traffic after", "refresh", "error",
          "illegal instruction", "Screener and Executor at once"]
coverage = Coverage("enmc_rank", POINTS)


class Harness(RankDriver):
    """A rank in a test, the golden rank beside. Option ``corrupt``: bits that the comparison changes."""

    def __init__(self, dut):
        super().__init__(dut)
        self.rng = self.ctx.rng
        self.corrupt = self.ctx.options.get("corrupt", 0)
        self.golden = EnmcRank(self.config.row_bits)
        self.size = self.golden.bursts * BURST

    async def begin(self):
        """Clock, reset; the memory begins as zeros, on both sides."""
        await self.start(gaps=(4, 4, 4, 5, 7, 20))
        self.chips.load(0, bytes(self.size))

    async def reset(self):
        """Resets the logic; the golden rank begins anew with what the chips hold."""
        await self.bench.reset()
        self.golden = EnmcRank(self.config.row_bits)
        self.golden.store(0, np.frombuffer(bytes(self.chips.dump(0, self.size)), np.uint8))

    def load(self, address, content):
        """Bytes into both memories, behind everybody's back."""
        content = np.asarray(content, np.uint8)
        self.chips.load(address, content.tobytes())
        self.golden.store(address, content)

    async def run(self, instructions):
        """A program on both; compares the answers and the whole memory of what the golden rank used."""
        instructions = list(instructions)
        expected = self.golden.run(instructions)
        got = await self.host.run(instructions)
        coverage.hit("instruction FIFO full", self.host.full)
        assert len(got) == len(expected)
        for number, (mine, theirs) in enumerate(zip(got, expected)):
            assert theirs is None or mine == theirs, f"QUERY {number}: {mine:#x}, expected {theirs:#x}"
        self.compare()
        return expected

    def compare(self):
        for burst, content, known in self.golden.memory.contents():
            got = np.frombuffer(bytes(self.chips.dump(burst * BURST, BURST)), np.uint8)
            assert np.array_equal(got, content ^ self.corrupt), f"burst {burst:#x}: {got}, expected {content}"

    async def finish(self):
        for name in ("ERROR", "INSTRUCTIONS", "SUM", "MAX0", "MAX3", "CANDIDATES01", "CANDIDATES23", "BURSTS"):
            got, expected = await self.host.query(name), self.golden.query(name)
            assert got == expected, f"{name} = {got:#x}, expected {expected:#x}"
        if self.chips.clock > self.config.trefi:
            coverage.hit("refresh")
        await self.bench.finish()


#: Random programs read from bytes below LOW, store to STORES, and have the results of candidates in RESULTS.
LOW, STORES, RESULTS, HIGH = 0x8000, 0x8000, 0xC000, 0x10000
_WORD_BUFFERS = ("FEATURE_INT4", "WEIGHT_INT4", "FEATURE_FP32", "WEIGHT_FP32", "PSUM_INT4", "PSUM_FP32", "OUTPUT")


def random_settings(rng):
    """INIT of every register that a program uses, to values that keep its accesses apart."""
    items = int(rng.integers(1, 5))
    values = {"CLASSES": rng.integers(1, 65), "ITEMS": items, "CHUNKS": rng.integers(1, 32 // items + 1),
              "SCALE": rng.integers(0, 1 << 63), "SHIFT": rng.integers(0, 48),
              "THRESHOLD": rng.integers(-9999999, 9999),
              "ROW_BASE": 64 * rng.integers(0, 128), "ROW_BURSTS": rng.integers(1, 6),
              "FEATURE_BASE": 64 * rng.integers(0, 128), "RESULT_BASE": RESULTS, "RESULT_STRIDE": 256,
              "LOG_BASE": rng.choice([0, RESULTS + 0x2000]), "LOG_STRIDE": 1024,
              "SUM": rng.integers(1 << 32), "MAX2": rng.integers(1 << 32)}
    return [make("INIT", name, int(value)) for name, value in values.items()]


def random_instruction(rng):
    """A legal instruction but for RANGE and SETTING, or one with an error."""
    kind = rng.choice(["screen", "filter", "range", "load", "store", "move", "compute", "special", "control",
                       "illegal"])
    place = 64 * int(rng.integers(0, LOW // 64 - 80))
    if kind == "screen":
        return make("MUL_ADD_INT4", "FEATURE_INT4", "WEIGHT_INT4", address=place, groups=int(rng.integers(1, 9)))
    if kind == "filter":
        return make("FILTER", "PSUM_INT4", class_=int(rng.integers(0, 80)))
    if kind == "range":
        return make("MUL_ADD_FP32", "FEATURE_FP32", "WEIGHT_FP32", class_=int(rng.integers(0, 64)),
                    count=int(rng.integers(1, 9)), item=int(rng.integers(0, 4)))
    buffer = str(rng.choice(_WORD_BUFFERS))
    if kind == "load":
        return make("LDR", buffer, address=place, count=int(rng.integers(1, 5)))
    if kind == "store":
        place = STORES + 64 * int(rng.integers(-4, (RESULTS - STORES) // 64 - 64))
        return make("STR", buffer, address=place, count=int(rng.integers(1, 5)), width=int(rng.integers(1, 5)),
                    stride=int(rng.integers(0, 20)))
    if kind == "move":
        return make("MOVE", buffer, str(rng.choice(_WORD_BUFFERS)))
    if kind == "compute":
        name = str(rng.choice(["ADD_FP32", "MUL_FP32", "ADD_INT4", "MUL_INT4", "MUL_ADD_INT4", "MUL_ADD_FP32"]))
        if name.endswith("INT4"):
            return make(name, "FEATURE_INT4", "WEIGHT_INT4")
        if name == "MUL_ADD_FP32":
            return make(name, "FEATURE_FP32", "WEIGHT_FP32")
        return make(name, *(str(rng.choice(["FEATURE_FP32", "WEIGHT_FP32", "PSUM_FP32"])) for _ in range(2)))
    if kind == "special":
        if rng.integers(2):
            return make("SIGMOID", "PSUM_FP32")
        return make("SOFTMAX", "PSUM_FP32", phase=int(rng.integers(2)), item=int(rng.integers(4)),
                    count=int(rng.integers(65)))
    if kind == "control":
        name = rng.choice(["BARRIER", "NOP", "RETURN", "OUTPUT", "ERROR", "INSTRUCTIONS", "MAX1", "CANDIDATES01"])
        return make("QUERY", str(name)) if name in ("OUTPUT", "ERROR", "INSTRUCTIONS", "MAX1", "CANDIDATES01") else \
            make(str(name))
    while True:
        instruction = Instruction(int(rng.integers(1, 1 << 13)), int(rng.integers(1 << 63)) >> int(rng.integers(64)))
        if decode(instruction).errors and instruction.command != 1 << 10:
            coverage.hit("illegal instruction")
            return instruction
