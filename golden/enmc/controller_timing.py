"""Cycle model of the EnmcController: when an instruction is handed over to its unit, or done."""

import collections
import dataclasses

from golden.enmc.enmc_controller import EnmcController
from golden.enmc.fifo_timing import FifoTiming
from golden.enmc.isa import decode
from golden.enmc.isa_table import BUFFERS, Error
from golden.enmc.layout import BURST_BYTES
from golden.enmc.load_store_timing import MemoryJob
from golden.enmc.screener_timing import LoneJob, ScreenJob

__all__ = ["ControllerTiming", "Decision", "UnitFlags"]

_PHASES = 4


def _mask(*names):
    return sum(1 << BUFFERS[name] for name in names)


_SCREENER = _mask("FEATURE_INT4", "WEIGHT_INT4", "PSUM_INT4")
_EXECUTOR = _mask("FEATURE_FP32", "WEIGHT_FP32", "PSUM_FP32")
_OUTPUT = _mask("OUTPUT")
_ALL = _SCREENER | _EXECUTOR | _OUTPUT
_ENDS = ("BARRIER", "RETURN", "CLR")

#: What the units do, as `hw.enmc.instruction_dispatch.UnitState`.
UnitFlags = collections.namedtuple(
    "UnitFlags", "screener filter executor generator candidates memory memory_idle")
#: What leaves in a cycle: ``kind``, ``job`` of the instruction that does, or ``None``; ``memory_job``; ``flush``.
Decision = collections.namedtuple("Decision", "kind job memory_job flush")


@dataclasses.dataclass(slots=True)
class _Staged:
    """An instruction in the decoder's register: what it asks for, the buffers it uses; ``slow``: its check takes a
    cycle."""

    instruction: object
    kind: str
    op: str | None
    fields: dict
    used: int
    slow: bool
    job: object = None


class ControllerTiming:
    """The EnmcController from its reset on.

    Parameters: ``depth``, ``row_bits``, ``cwl`` as the hardware's; ``lone(op)``: cycles of a job of the Screener that
    is neither SCREEN nor FILTER; ``filter_job(first_class)``: that of a FILTER.

    Attributes: ``registers``, name -> value; of the coming cycle: ``wanted``: the logic needs the chips; ``waits``: an
    instruction does; ``waiting``: how many STATUS says.
    """

    def __init__(self, depth, row_bits, cwl, lone, filter_job):
        self._model = EnmcController(1 << row_bits + 17)
        self._lone, self._filter_job = lone, filter_job
        self._arrival = cwl // _PHASES + 1
        self._port, self._fifo, self._stage, self._again = collections.deque(), FifoTiming(depth), None, False
        self.wanted = False
        self._host_job = self._range_job = False
        self._held = self._held_mask = None  # a job that waits for the LoadStoreUnit
        self._inside, self._inside_mask = False, 0

    @property
    def registers(self):
        return self._model.registers

    @property
    def waits(self):
        return bool(self._port) or self._fifo.level > 0 or self._stage is not None

    @property
    def waiting(self):
        return self._fifo.level + (self._stage is not None)

    def quiet(self, flags):
        """Whether no unit works."""
        return not (flags.screener or flags.filter or flags.executor or flags.generator or self._inside
                    or self._held is not None)

    def decide(self, flags, takes):
        """The :class:`Decision` of this cycle from the units' :class:`UnitFlags`; ``takes(kind, job)``: whether the
        unit does."""
        mask = (self._held_mask if self._held is not None else 0) | (self._inside_mask if self._inside else 0)
        memory_job = None
        if self._held is not None and not self._inside and not flags.memory and not (
                self._held_mask & _SCREENER and flags.screener or self._held_mask & _OUTPUT and flags.filter):
            memory_job = self._held
        stage = self._stage
        checked = stage is not None and (self._again or not stage.slow)
        leaves = flush = False
        if checked:
            leaves, flush = self._turn(stage, flags, takes, mask)
        self._want(stage, checked, leaves, flush, flags)
        return Decision(stage.kind if leaves else None, stage.job if leaves else None, memory_job, flush)

    def _turn(self, stage, flags, takes, mask):
        """Whether the instruction leaves, and candidates are flushed."""
        kind = stage.kind
        if kind == "SCREENER":
            if stage.op == "FILTER":
                free = not mask and not self._host_job and not self._range_job
            else:
                free = not mask & _SCREENER
            return free and takes(kind, stage.job), False
        if kind == "CANDIDATES":
            return (not flags.filter and not self._host_job and not mask & _EXECUTOR
                    and takes(kind, stage.job)), False
        if kind == "NOP":
            return True, False
        if kind == "INIT":
            return self.quiet(flags), False
        if kind in _ENDS:
            leaves = self.quiet(flags) and not flags.candidates and not self.wanted and flags.memory_idle
            return leaves, flags.candidates and not flags.filter
        # EXECUTOR, MEMORY.
        computes = kind == "EXECUTOR"
        uses = computes or stage.used & _EXECUTOR
        flush = bool(uses) and flags.candidates and not flags.filter
        free = not (flags.filter or flags.generator or flags.candidates) and (
            not flags.executor or self._host_job and computes) and not (computes and mask & _EXECUTOR)
        if computes:
            return free and takes(kind, stage.job), flush
        return self._held is None and (not uses or free), flush

    def _want(self, stage, checked, leaves, flush, flags):
        """The chips are asked for, or given back."""
        if flush or leaves and (stage.kind == "CANDIDATES" or stage.op in ("SCREEN", "FILTER", "LOAD", "STORE")):
            self.wanted = True
        elif self.wanted and self.quiet(flags):
            if checked and stage.kind in _ENDS:
                self.wanted = bool(flags.candidates)
            elif not checked and not self.waits:
                self.wanted = False

    def step(self, now, pins, flags, decision):
        """One cycle: the instruction on the ``pins`` or ``None``, what :meth:`decide` gave. Raises ``ValueError`` for
        an instruction that the rank would refuse."""
        leaves, stage = decision.kind is not None, self._stage
        if leaves and stage.kind == "EXECUTOR":
            self._host_job = True
        elif not flags.executor:
            self._host_job = False
        if leaves and stage.kind == "CANDIDATES":
            self._range_job = True
        elif not flags.generator:
            self._range_job = False
        if decision.memory_job is not None:
            self._held, self._inside, self._inside_mask = None, True, self._held_mask
        elif not flags.memory:
            self._inside = False
        if leaves and stage.kind == "MEMORY":
            self._held, self._held_mask = stage.job, stage.used
        if leaves:
            self._apply(stage)
        self._again = stage is not None and not leaves
        taken = self._fifo.head is not None and not self._again
        if leaves or taken:
            self._stage = self._decode(self._fifo.head) if taken else None
        put = None
        if self._port and self._port[0][0] == now:
            put = self._port.popleft()[1]
            if not self._fifo.ready:
                raise ValueError("the instruction FIFO is full: the host sent too many")
        if put is not None or taken:
            self._fifo.clock(put, taken)
        elif self._fifo.head is None and self._fifo.level:
            self._fifo.clock()
        if pins is not None:
            self._port.append((now + self._arrival, pins))

    def _apply(self, stage):
        self._model.take(stage.instruction)
        if self._model.error is not None:
            raise _refused(stage.instruction, self._model.error[0])

    def _decode(self, instruction):
        decoded = decode(instruction, self._model.rank_bytes)
        if decoded.errors:
            raise _refused(instruction, min(decoded.errors))
        kind, op, fields = decoded.form.kind, decoded.form.job, decoded.fields
        used = 0
        if kind == "MEMORY":
            used = 1 << decoded.buf1 | (1 << decoded.buf2 if op == "MOVE" else 0)
        staged = _Staged(instruction, kind, op, fields, used, op == "SCREEN" or kind == "CANDIDATES")
        if op == "SCREEN":
            staged.job = ScreenJob(fields["address"] // BURST_BYTES, fields["groups"])
        elif op == "FILTER":
            staged.job = self._filter_job(fields["class"])
        elif kind == "SCREENER":
            staged.job = LoneJob(self._lone(op))
        elif kind == "EXECUTOR":
            staged.job = op, fields.get("count", 0), fields.get("phase", 0)
        elif kind == "CANDIDATES":
            staged.job = fields["item"], fields["class"], fields["count"]
        elif op == "MOVE":
            staged.job = MemoryJob(op)
        elif kind == "MEMORY":
            staged.job = MemoryJob(op, fields["address"] // BURST_BYTES, fields["count"], fields.get("width", 1),
                                   fields.get("stride", 0))
        return staged


def _refused(instruction, error):
    return ValueError(f"{instruction} is not allowed: the rank refuses it, {Error(error).name}")
