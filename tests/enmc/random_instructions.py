"""Random instructions for a rank: legal, mutated, of any bits; none whose effect would depend on time."""

from golden.enmc.isa import Instruction, decode, make
from golden.enmc.isa_table import REGISTERS

__all__ = ["HIGH", "LOW", "ORDINARY", "RESULTS", "STORES", "any_instruction", "random_instruction", "random_settings"]

#: Random programs read from bytes below LOW, store to STORES, and have the results of candidates in RESULTS.
LOW, STORES, RESULTS, HIGH = 0x8000, 0x8000, 0xC000, 0x10000
#: Commands that are PRECHARGE and PRECHARGE ALL of DDR4.
ORDINARY = (0, 1 << 10)
#: Bursts that an instruction screens at most, bursts of a row, classes, candidates of a range.
_SCREENED, _ROW, _CLASSES, _RANGE = 8 * 33, 5, 64, 8
_BASES = 64 * 128
_WORD_BUFFERS = ("FEATURE_INT4", "WEIGHT_INT4", "FEATURE_FP32", "WEIGHT_FP32", "PSUM_INT4", "PSUM_FP32", "OUTPUT")


def random_settings(rng):
    """INIT of every register that a program uses, to values that keep its accesses apart."""
    items = int(rng.integers(1, 5))
    values = {"CLASSES": rng.integers(1, _CLASSES + 1), "ITEMS": items, "CHUNKS": rng.integers(1, 32 // items + 1),
              "SCALE": rng.integers(0, 1 << 63), "SHIFT": rng.integers(0, 48),
              "THRESHOLD": rng.integers(-9999999, 9999),
              "ROW_BASE": 64 * rng.integers(0, _BASES // 64), "ROW_BURSTS": rng.integers(1, _ROW + 1),
              "FEATURE_BASE": 64 * rng.integers(0, _BASES // 64), "RESULT_BASE": RESULTS, "RESULT_STRIDE": 256,
              "LOG_BASE": rng.choice([0, RESULTS + 0x2000]), "LOG_STRIDE": 1024,
              "SUM": rng.integers(1 << 32), "MAX2": rng.integers(1 << 32)}
    return [make("INIT", name, int(value)) for name, value in values.items()]


def random_instruction(rng):
    """A legal instruction but for RANGE and SETTING, or one with an error."""
    kind = rng.choice(["screen", "filter", "range", "load", "store", "move", "compute", "special", "control",
                       "illegal"])
    place = 64 * int(rng.integers(0, LOW // 64 - _SCREENED))
    if kind == "screen":
        return make("MUL_ADD_INT4", "FEATURE_INT4", "WEIGHT_INT4", address=place, groups=int(rng.integers(1, 9)))
    if kind == "filter":
        return make("FILTER", "PSUM_INT4", class_=int(rng.integers(0, 80)))
    if kind == "range":
        return make("MUL_ADD_FP32", "FEATURE_FP32", "WEIGHT_FP32", class_=int(rng.integers(0, _CLASSES)),
                    count=int(rng.integers(1, _RANGE + 1)), item=int(rng.integers(0, 4)))
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
        if decode(instruction).errors and instruction.command not in ORDINARY:
            return instruction


def any_instruction(rng, rank_bytes):
    """One in twenty legal, half of them with one to three bits of a legal one changed, the rest of any bits.

    What would make a result depend on time, or take very long, is drawn again (:func:`_allowed`).
    """
    while True:
        kind = rng.random()
        if kind < 0.55:
            instruction = random_instruction(rng)
            if kind > 0.05:
                bits = instruction.command | instruction.operand << 13
                for place in rng.integers(0, 13 + 64 if rng.integers(2) else 13, rng.integers(1, 4)):
                    bits ^= 1 << int(place)
                instruction = Instruction(bits & (1 << 13) - 1, bits >> 13)
        else:
            instruction = Instruction(int(rng.integers(1 << 13)), int(rng.integers(1 << 64, dtype="uint64"))
                                      >> int(rng.integers(64)))
        special = instruction.command >> 8 in (13, 14) and rng.random() > 0.02  # a thousand cycles each
        if not special and instruction.command not in ORDINARY and _allowed(instruction, rank_bytes):
            return instruction


def _allowed(instruction, rank_bytes):
    """Whether nothing reads what may be written at the same time, and candidates are few.

    Rows, features and screening weights lie below LOW; stores do not meet the results of candidates.
    """
    decoded = decode(instruction, rank_bytes)
    if decoded.errors:
        return True
    name, fields, value = decoded.definition.name, decoded.fields, instruction.operand
    if name == "INIT":
        limits = {"CLASSES": _CLASSES, "ROW_BURSTS": _ROW, "ROW_BASE": _BASES - 1, "FEATURE_BASE": _BASES - 1,
                  "RESULT_BASE": -1, "RESULT_STRIDE": -1, "LOG_BASE": -1, "LOG_STRIDE": -1}
        register = next(row for row in REGISTERS.values() if row.number == decoded.register)
        return value <= limits.get(register.name, value)
    if decoded.form.job == "LOAD":
        return fields["address"] + 64 * fields["count"] <= RESULTS
    if decoded.form.job == "STORE":
        places = [fields["address"] + 64 * (word % fields["width"] + fields["stride"] * (word // fields["width"]))
                  for word in range(fields["count"])]
        return not any(RESULTS <= place < HIGH for place in places)
    if name == "MUL_ADD_INT4" and value:
        return fields["address"] + 64 * _SCREENED <= LOW
    return fields.get("count", 0) <= _RANGE or name != "MUL_ADD_FP32"
