"""Golden model of the DUET accelerator: four engines that take commands and wait for each other by tokens.

Commands, registers, tokens: docs/duet/duet_accelerator.md. A command is carried out at once; which of the engines goes
on next is a round-robin, or chance. Since a program without races has the same result whatever the order, commands
that nothing orders and that use the same line are refused.
"""

import collections

from golden.duet.accelerator_memory import Memory
from golden.duet.accelerator_sizes import AcceleratorSizes
from golden.duet.cell_engine import CellEngine
from golden.duet.command import OPERATIONS, Engine
from golden.duet.command_order import CommandOrder
from golden.duet.copy_engine import CopyEngine
from golden.duet.execution_engine import ExecutionEngine
from golden.duet.speculation_engine import SpeculationEngine

__all__ = ["AcceleratorSizes", "DuetAccelerator"]

_MOST_TOKENS = 255


class DuetAccelerator:
    """The machine of ``sizes`` (``AcceleratorSizes``) with ``dram`` INT16 (lines, C S), which it copies.

    ``data`` int64 (lines, C S), ``maps`` bool (map_lines, C S): the GlobalBuffer, zeros at first; they and ``dram`` may
    be looked at and written between two calls of :meth:`run`. ``macs``: multiplications done. ``moved``: lines moved by
    each ``CopyOp``.
    """

    def __init__(self, sizes, dram):
        self.sizes = sizes
        self._memory = Memory(sizes, dram)
        self._engines = {engine: work(sizes, self._memory) for engine, work in (
            (Engine.DMA, CopyEngine), (Engine.SPEC, SpeculationEngine), (Engine.EXEC, ExecutionEngine),
            (Engine.CELL, CellEngine))}
        self._tokens = collections.Counter()  # of (giver, taker)

    @property
    def data(self):
        return self._memory.data

    @property
    def maps(self):
        return self._memory.maps

    @property
    def dram(self):
        return self._memory.dram

    @property
    def macs(self):
        return self._engines[Engine.EXEC].executor.macs

    @property
    def moved(self):
        return self._engines[Engine.DMA].moved

    def run(self, commands, *, queue_depth=None, races=True, rng=None):
        """Carry out ``commands`` (of ``Command``) until all have ended.

        ``queue_depth``: by default that of the sizes. ``races``: whether to look for them. ``rng``: a numpy generator
        that chooses the next engine; a round-robin without. Raises ``ValueError`` for a command that is not allowed
        and for a race (naming the command), and for a deadlock (naming the commands that wait).
        """
        depth = self.sizes.queue_depth if queue_depth is None else queue_depth
        stream = collections.deque(enumerate(commands))
        queues = {engine: collections.deque() for engine in Engine}
        owed = {engine: [] for engine in Engine}  # tokens that wait until the taker's counter has room
        order = CommandOrder() if races and not self._tokens.total() else None
        if races and order is None:
            raise ValueError("races = True is not allowed after a run that left tokens")
        while True:
            while stream and len(queues[stream[0][1].engine]) < depth:
                queues[stream[0][1].engine].append(stream.popleft())
            went = False
            for engine in Engine if rng is None else rng.permutation(list(Engine)).tolist():
                engine = Engine(engine)
                went |= self._give(engine, owed[engine])
                if owed[engine] or not queues[engine] or not self._may_begin(queues[engine][0][1]):
                    continue
                number, command = queues[engine].popleft()
                self._carry_out(number, command, order)
                owed[engine] = command.signals_to()
                self._give(engine, owed[engine])
                went = True
            if not went:
                break
        waiting = [f"command {number} ({command})" for queue in queues.values() for number, command in list(queue)[:1]]
        waiting += [f"{engine.name} with a token for {takers[0].name}" for engine, takers in owed.items() if takers]
        if waiting:
            raise ValueError(f"deadlock: waiting for ever: {'; '.join(waiting)}")

    def _may_begin(self, command):
        return all(self._tokens[giver, command.engine] for giver in command.waits_for())

    def _give(self, engine, takers):
        """Give tokens to those of ``takers`` that have room, and take them off the list. Whether there was one."""
        ready = [taker for taker in takers if self._tokens[engine, taker] < _MOST_TOKENS]
        for taker in ready:
            self._tokens[engine, taker] += 1
            takers.remove(taker)
        return bool(ready)

    def _carry_out(self, number, command, order):
        for giver in command.waits_for():
            self._tokens[giver, command.engine] -= 1
        self._memory.accesses.clear()
        if order is not None:
            order.begin(number, command)
        try:
            if command.op not in OPERATIONS[command.engine]:
                raise ValueError(f"op = {command.op} is not allowed: {command.engine.name} does not have it")
            self._engines[command.engine].run(command)
        except ValueError as error:
            raise ValueError(f"command {number} ({command}): {error}") from error
        if order is not None:
            order.end(command, self._memory.accesses)
