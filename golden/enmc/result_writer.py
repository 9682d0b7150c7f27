"""Golden model of the ResultWriter: accurate results as writes into the DRAM (docs/enmc/machine.md)."""

import dataclasses

__all__ = ["ResultSettings", "ResultWriter", "Write"]

_BURST = 64
_ADDRESSES = 1 << 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResultSettings:
    """Registers that the ResultWriter uses, in bursts; bases and limits below 2^30, strides below 2^22."""

    result_base: int
    result_stride: int
    log_base: int
    log_stride: int
    write_low: int
    write_high: int

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            limit = 1 << 22 if name.endswith("stride") else _ADDRESSES
            if not 0 <= value < limit:
                raise ValueError(f"{name} = {value} is not allowed: {name} must be from 0 to {limit - 1}")


@dataclasses.dataclass(frozen=True)
class Write:
    """``data`` goes to bytes ``byte`` and up of the burst at ``address``."""

    address: int
    byte: int
    data: bytes


class ResultWriter:
    """Turns results into writes. Attribute ``counts``: the results of each item so far."""

    def __init__(self):
        self.clear()

    def clear(self):
        """CLR."""
        self.counts = [0] * 4

    def put(self, item, class_index, value, settings):
        """The writes of a result (class and FP32 pattern), and the number of those that are not allowed (errors).

        The result's 4 bytes are number ``class_index`` of the item's results. With a log, class and pattern (8 bytes)
        are the next entry of the item's log. A write is allowed to bursts write_low to write_high - 1.
        """
        number = self.counts[item]
        self.counts[item] = (number + 1) % (1 << 32)
        pattern = value.to_bytes(4, "little")
        wanted = [(settings.result_base + item * settings.result_stride, 4 * class_index, pattern)]
        if settings.log_base:
            wanted.append((settings.log_base + item * settings.log_stride, 8 * number,
                           class_index.to_bytes(4, "little") + pattern))
        writes = [Write(burst + offset // _BURST, offset % _BURST, content) for burst, offset, content in wanted]
        allowed = [write for write in writes if settings.write_low <= write.address < settings.write_high]
        return allowed, len(writes) - len(allowed)
