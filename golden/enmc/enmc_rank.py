"""Golden model of a rank: instructions one after the other on registers, buffers and a memory (thesis 6.4).

Time does not exist: what the machine does beside one another gives the same as this order (docs/enmc/machine.md).
"""

import numpy as np

from . import screener
from .dram_controller import DramController
from .enmc_controller import EnmcController
from .enmc_executor import BUFFER_WORDS, LANES, Buffer, EnmcExecutor
from .instruction_generator import CandidateSettings, InstructionGenerator
from .isa import decode
from .isa_table import BUFFERS, REGISTERS, Error
from .layout import BURST_BYTES
from .output_buffer import OutputBuffer
from .result_writer import ResultSettings, ResultWriter
from .screener import Screener, ScreenerSettings

__all__ = ["EnmcRank", "TIMING_REGISTERS"]

_ROWS_AT_ONCE = 4096
_OUTPUT = BUFFERS["OUTPUT"]
_REGISTER_NAMES = {register.number: register.name for register in REGISTERS.values()}
#: Registers that count cycles: this model does not know them.
TIMING_REGISTERS = ("SCREENER_CYCLES", "EXECUTOR_CYCLES", "OVERLAP_CYCLES", "CYCLES")


class EnmcRank:
    """A rank: what its instructions do to registers, buffers and the DRAM.

    Parameters: ``row_bits`` of its chips (``2 ** (row_bits + 17)`` bytes); ``fill`` value of bytes that nobody wrote,
    ``None``: to read one is refused.

    Attributes: ``controller`` :class:`EnmcController`, ``screener``, ``executor``, ``generator``, ``output``,
    ``writer`` the units' models, ``memory`` :class:`golden.enmc.dram_controller.DramController`; ``reads``, ``writes``
    bursts since reset or CLR.
    """

    def __init__(self, row_bits=16, fill=0):
        self.memory = DramController(row_bits, fill)
        self.bursts = self.memory.bursts
        self.controller = EnmcController(self.bursts * BURST_BYTES)
        self.screener, self.executor, self.output = Screener(), EnmcExecutor(), OutputBuffer()
        self.generator, self.writer = InstructionGenerator(), ResultWriter()
        self.reads = self.writes = 0
        self.next_output = 0
        self._candidates_computed = False

    # The host's own traffic.

    def store(self, address, content):
        """The host writes bytes (uint8) at a byte address."""
        content = np.asarray(content)
        if content.dtype != np.uint8 or content.ndim != 1:
            raise ValueError(f"content is {content.dtype} of shape {content.shape}: it must be uint8 of one axis")
        for burst in range(address // BURST_BYTES, -(-(address + content.size) // BURST_BYTES)):
            first = burst * BURST_BYTES - address
            place = np.arange(first, first + BURST_BYTES)
            mask = (place >= 0) & (place < content.size)
            self.memory.write(burst, content[np.clip(place, 0, content.size - 1)], mask)

    def fetch(self, address, size):
        """The host reads ``size`` bytes at a byte address: uint8."""
        first, last = address // BURST_BYTES, -(-(address + size) // BURST_BYTES)
        data = [self.memory.read(burst) for burst in range(first, last)]
        start = address - first * BURST_BYTES
        return np.concatenate([np.zeros(0, np.uint8), *data])[start:start + size]

    # Instructions.

    def run(self, instructions):
        """Execute :class:`golden.enmc.isa.Instruction` one after the other; the values of QUERY, in order.

        QUERY is answered as when everything before it is done; registers that count cycles give ``None``, the register
        OUTPUT eight beats of 64 bits as one integer.
        """
        replies = []
        for instruction in instructions:
            decoded = decode(instruction, self.controller.rank_bytes)
            if decoded.definition is not None and decoded.definition.register == "read":
                replies.append(self._query(instruction, decoded))
            else:
                self._execute(instruction, decoded)
        return replies

    def _query(self, instruction, decoded):
        if decoded.errors:
            self.controller.report(min(decoded.errors), instruction.command)
            return 0
        return self.query(_REGISTER_NAMES[decoded.register])

    def query(self, name):
        """The value of register ``name`` when all is done."""
        if name in TIMING_REGISTERS:
            return None
        if name in ("CANDIDATES01", "CANDIDATES23"):
            low = 0 if name == "CANDIDATES01" else 2
            return self.writer.counts[low] | self.writer.counts[low + 1] << 32
        if name == "BURSTS":
            return self.reads % (1 << 32) | self.writes % (1 << 32) << 32
        if name == "SUM":
            return self.executor.sum
        if name.startswith("MAX"):
            return self.output.maxima[int(name[3:])]
        if name == "OUTPUT":
            word, _ = self.output.read(self.next_output)
            self.next_output = (self.next_output + 1) % BUFFER_WORDS
            return int.from_bytes(word.astype("<u4").tobytes(), "little")
        return self.controller.query(name)

    def _execute(self, instruction, decoded):
        ends = not decoded.errors and decoded.form.kind in ("BARRIER", "RETURN", "CLR")
        if ends:
            self._flush()  # with the registers as they are before a CLR
        number = self.controller.executed
        job = self.controller.take(instruction)
        if job is None:
            return
        if self._uses_executor(job):
            self._flush()
        if job.kind == "SCREENER":
            self._screener_job(job)
        elif job.kind == "EXECUTOR":
            self._executor_job(job)
        elif job.kind == "CANDIDATES":
            self._compute(self.generator.put_range(job.fields["item"], job.fields["class"], job.fields["count"]))
        elif job.kind == "MEMORY":
            getattr(self, "_" + job.op.lower())(job, instruction.command, number)
        elif job.kind == "INIT":
            self._init(instruction)
        elif job.kind == "CLR":
            self._clear()
        if ends and job.kind != "BARRIER":
            self.next_output = 0

    @staticmethod
    def _uses_executor(job):
        buffers = {job.buf1, job.buf2 if job.op == "MOVE" else job.buf1}
        return job.kind == "EXECUTOR" or job.kind == "MEMORY" and buffers & set(Buffer)

    def _clear(self):
        self.screener.clear()
        self.executor.clear()
        self.output.clear()
        self.writer.clear()
        self.reads = self.writes = 0

    def _init(self, instruction):
        name = _REGISTER_NAMES[decode(instruction, self.controller.rank_bytes).register]
        if name == "SUM":
            self.executor.sum = instruction.operand
        elif name.startswith("MAX"):
            self.output.maxima[int(name[3:])] = instruction.operand

    # Jobs of the units.

    def _settings(self, **screening):
        """Registers that FILTER uses, and those of ``screening``."""
        value = self.controller.registers
        return ScreenerSettings(classes=value["CLASSES"], items=value["ITEMS"],
                                threshold=int(np.uint32(value["THRESHOLD"]).astype(np.int32)), **screening)

    def _screener_job(self, job):
        if job.op == "SCREEN":
            value = self.controller.registers
            settings = self._settings(chunks=value["CHUNKS"], shift=value["SHIFT"],
                                      scale=tuple(value["SCALE"] >> 16 * item & 0xFFFF for item in range(4)))
            first, groups, size = job.fields["address"] // BURST_BYTES, job.fields["groups"], settings.chunks + 1
            bursts = np.array([self._read(burst) for burst in range(first, first + groups * size)])
            self.screener.screen(settings, bursts.reshape(groups, size, BURST_BYTES))
        elif job.op == "FILTER":
            self._filter(job.fields["class"])
        else:
            {"MUL_ADD": self.screener.mul_add, "ADD": self.screener.add, "MUL": self.screener.mul}[job.op]()

    def _filter(self, first_class):
        settings = self._settings()
        found = self.screener.filter(settings, first_class)
        for index in range(BUFFER_WORDS):
            part = slice(index * LANES, (index + 1) * LANES)
            self.output.filtered(index, found.values[part], found.stored[part], found.valid[part], settings.items)
        groups = [self.generator.put(item, number) for item, number in found.candidates]
        self._compute([group for group in groups if group is not None])

    def _executor_job(self, job):
        if job.op == "SOFTMAX":
            run = self.executor.softmax_scale if job.fields["phase"] else self.executor.softmax_sum
            run(self.output.maxima[job.fields["item"]], job.fields["count"])
        elif job.op == "SIGMOID":
            self.executor.sigmoid()
        else:
            run = {"ADD": self.executor.add, "MUL": self.executor.multiply, "MUL_ADD": self.executor.multiply_add}
            run[job.op](job.buf1, job.buf2)

    # Candidates.

    def _flush(self):
        self._compute(self.generator.flush())

    def _compute(self, groups):
        value = self.controller.registers
        settings = CandidateSettings(row_base=value["ROW_BASE"] // BURST_BYTES, row_bursts=value["ROW_BURSTS"],
                                     feature_base=value["FEATURE_BASE"] // BURST_BYTES)
        results = ResultSettings(**{name.lower(): value[name] // BURST_BYTES for name in (
            "RESULT_BASE", "RESULT_STRIDE", "LOG_BASE", "LOG_STRIDE", "WRITE_LOW", "WRITE_HIGH")})
        size = settings.row_bursts
        for item in sorted({group.item for group in groups}):
            # Groups read an item's features anew, and give what each would alone.
            mine = [group for group in groups if group.item == item]
            features = self._row(settings.feature_base + item * size, size)
            self.reads += (len(mine) - 1) * size
            classes = [number for group in mine for number in group.classes]
            for first in range(0, len(classes), _ROWS_AT_ONCE):
                part = classes[first:first + _ROWS_AT_ONCE]
                rows = np.array([self._row(settings.row_base + number * size, size) for number in part])
                for number, pattern in zip(part, self.executor.candidates(rows, features)):
                    self._accurate(item, number, int(pattern), results)

    def _accurate(self, item, number, pattern, results):
        self.output.accurate(item, pattern)
        writes, dropped = self.writer.put(item, number, pattern, results)
        for write in writes:
            self._write(write.address, write.byte, np.frombuffer(write.data, np.uint8))
        for _ in range(dropped):
            self.controller.report_write()

    def _row(self, first, size):
        """FP32 patterns of bursts: addresses wrap at the size of the rank."""
        data = np.concatenate([self._read((first + burst) % self.bursts) for burst in range(size)])
        return data.view("<u4").astype(np.uint32)

    # Load, store, move.

    def _load(self, job, _command, _number):
        first = job.fields["address"] // BURST_BYTES
        for index in range(job.fields["count"]):
            self._put_word(job.buf1, index, self._read(first + index))

    def _store(self, job, command, number):
        value = self.controller.registers
        low, high = value["WRITE_LOW"] // BURST_BYTES, value["WRITE_HIGH"] // BURST_BYTES
        first, width, stride = job.fields["address"] // BURST_BYTES, job.fields["width"], job.fields["stride"]
        for index in range(job.fields["count"]):
            address = first + index % width + stride * (index // width)
            if not low <= address < high:
                self.controller.report(Error.RANGE, command, number)
                continue
            word, mask = self._word(job.buf1, index)
            self.memory.write(address, word, mask)
            self.writes += 1

    def _move(self, job, _command, _number):
        words = [self._word(job.buf1, index)[0] for index in range(BUFFER_WORDS)]
        for index, word in enumerate(words):
            self._put_word(job.buf2, index, word)

    def _word(self, buffer, index):
        """Word of a buffer as uint8 (64,), and which bytes of it are to be stored."""
        mask = np.ones(BURST_BYTES, bool)
        if buffer == _OUTPUT:
            word, stored = self.output.read(index)
            mask = np.repeat(stored, BURST_BYTES // LANES)
        elif buffer in set(Buffer):
            word = self.executor.read(buffer, index)
        else:
            return self.screener.word(screener.Buffer(buffer), index), mask
        return word.astype("<u4").view(np.uint8), mask

    def _put_word(self, buffer, index, word):
        if buffer == _OUTPUT:
            self.output.write(index, word.view("<u4"))
        elif buffer in set(Buffer):
            self.executor.write(buffer, index, word.view("<u4"))
        else:
            self.screener.load(screener.Buffer(buffer), index, word)

    # Memory.

    def _read(self, burst):
        self.reads += 1
        return self.memory.read(burst)

    def _write(self, burst, first, content):
        """Some bytes of a burst."""
        data, mask = np.zeros(BURST_BYTES, np.uint8), np.zeros(BURST_BYTES, bool)
        data[first:first + len(content)] = content
        mask[first:first + len(content)] = True
        self.memory.write(burst, data, mask)
        self.writes += 1
