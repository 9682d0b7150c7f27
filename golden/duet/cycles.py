"""Cycles of the DUET accelerator: when each command of a program ends, equal to the hardware's.

A simulation of events, not of cycles: an event is an item of the bus, a line of the DRAM, a row of results. What the
values decide (which rows and instructions are tagged) comes from :mod:`golden.duet.works`. The DRAM answers a request
after ``latency`` cycles with a beat a cycle, in order; nobody else holds a stream up. Rules:
docs/duet/duet_accelerator.md#timing, docs/duet/executor.md#timing, docs/duet/speculator.md#timing.
"""

from golden.duet.command import Engine
from golden.duet.cycle_copies import CellCycles, CopyCycles
from golden.duet.cycle_executor import ExecutionCycles
from golden.duet.cycle_ports import Ports
from golden.duet.cycle_queues import CommandQueues
from golden.duet.cycle_rules import MachineTiming
from golden.duet.cycle_speculator import SpeculationCycles
from golden.duet.event_kernel import Kernel
from golden.duet.timeline import Timeline

__all__ = ["CycleModel", "MachineTiming"]


class CycleModel:
    """Runs a program's commands with their works; ``ends``: for each engine the cycles in which its commands ended.

    Parameters: ``machine`` a :class:`MachineTiming`, ``commands``, ``works`` (as from
    :class:`golden.duet.works.Recorder`). Cycle 0 is the transfer of the first command. ``timeline``: what happened
    when, a :class:`golden.duet.timeline.Timeline`. Raises ``ValueError`` for commands that never end.
    """

    def __init__(self, machine, commands, works):
        kernel, self.timeline = Kernel(), Timeline(len(Engine))
        queues = CommandQueues(kernel, machine.queue_depth, commands, self.timeline)
        ports, self.ends = Ports(kernel), queues.ends
        execution = ExecutionCycles(machine, kernel, queues, ports, works, self.timeline)
        queues.start()
        for process in (CopyCycles(machine, queues, ports, works).run(),
                        SpeculationCycles(machine, kernel, queues, ports, works).run(), execution.run(),
                        CellCycles(machine, queues, ports, works).run(), execution.take()):
            kernel.start(process)
        kernel.run()
        lost = [engine.name for engine in Engine if len(self.ends[engine]) != len(queues.of[engine])]
        if lost:
            raise ValueError(f"the commands of {', '.join(lost)} never end")
