"""Commands of all engines with what each of them comes after; the tokens follow from that."""

import dataclasses

from golden.duet.command import Command, Engine
from golden.duet.program import Queues

__all__ = ["Dependencies"]


class Dependencies:
    """Commands of each engine in their order. An engine's own commands are in order anyway.

    A command that comes after another engine's takes a token of it, unless one of its engine before it has already
    taken that, or a later one.
    """

    def __init__(self):
        self._commands = {engine: [] for engine in Engine}

    def add(self, commands, cycles=1, after=()):
        """Append a command, or several of one engine, of about ``cycles`` each. Returns what names the last one.

        ``after``: names of commands that have to end before the first one begins.
        """
        for place, command in enumerate([commands] if isinstance(commands, Command) else commands):
            queue = self._commands[command.engine]
            queue.append((command, cycles, tuple(after) if place == 0 else ()))
            name = command.engine, len(queue) - 1
        return name

    def queues(self):
        """The ``Queues`` of the commands with their tokens."""
        waits, signals = {}, {}
        for taker, queue in self._commands.items():
            taken = dict.fromkeys(Engine, -1)
            for place, (_, _, after) in enumerate(queue):
                for giver in Engine:
                    latest = max((index for engine, index in after if engine == giver), default=-1)
                    if giver != taker and latest > taken[giver]:
                        taken[giver] = latest
                        waits[taker, place] = waits.get((taker, place), 0) | 1 << giver
                        signals[giver, latest] = signals.get((giver, latest), 0) | 1 << taker
        queues = Queues()
        for engine, queue in self._commands.items():
            for place, (command, cycles, _) in enumerate(queue):
                fields = {"wait": waits.get((engine, place), 0), "signal": signals.get((engine, place), 0)}
                queues.add(dataclasses.replace(command, **fields), cycles)
        return queues

