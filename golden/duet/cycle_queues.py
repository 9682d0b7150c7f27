"""Commands in the cycle model: their stream, the engines' queues, tokens (docs/duet/duet_accelerator.md#commands)."""

from golden.duet.command import Engine
from golden.duet.cycle_rules import NEVER, Order
from golden.duet.event_kernel import Event, Table

__all__ = ["CommandQueues"]

_MOST_TOKENS = 255


class CommandQueues:
    """The commands of each engine, from the stream to their ends.

    Parameters: ``kernel``, ``depth`` of a queue, ``commands``, ``timeline``. ``of[engine]``: (number, command) in their
    order; ``ends``: for each engine the cycles in which its commands ended. A counter of tokens that is full is a
    ``ValueError``: the model has no rule for the giver that is held up.
    """

    def __init__(self, kernel, depth, commands, timeline):
        self._kernel, self._depth, self._commands, self._timeline = kernel, depth, commands, timeline
        self.ends = [[] for _ in Engine]
        self.of = [[(number, command) for number, command in enumerate(commands) if command.engine == engine]
                   for engine in Engine]
        self._pushed, self._moved, self._left = Table(), Table(), Table()  # p, m, q of (engine, place)
        self._tokens, self._token_events = {}, {}

    def start(self):
        """Start the processes of the stream and of the queues."""
        self._kernel.start(self._dispatch())
        for engine in Engine:
            self._kernel.start(self._queue(engine))

    def _dispatch(self):
        places, at, rows = [0] * len(Engine), -1, self._depth - 1
        for command in self._commands:
            engine, at = command.engine, at + 1
            if places[engine] >= rows:
                at = max(at, (yield self._moved[engine, places[engine] - rows]) + 1)
            yield at, Order.LATE
            self._kernel.set(self._pushed[engine, places[engine]], at)
            places[engine] += 1

    def _queue(self, engine):
        left = NEVER
        for place in range(len(self.of[engine])):
            at = max((yield self._pushed[engine, place]) + 1, left)
            self._kernel.set(self._moved[engine, place], at)
            left = yield self._left[engine, place]

    def begin(self, engine, place, free):
        """The cycle in which a command leaves its queue for its engine, that is free from cycle ``free`` on."""
        _, command = self.of[engine][place]
        at = (yield self._moved[engine, place]) + 1
        if at > free > 0:
            self._timeline.starved[engine].append((free, at))
        at = max(at, free)
        givers = command.waits_for()
        yield at, Order.BEGIN
        while not all(self._tokens.get((giver, engine), 0) for giver in givers):
            missing = next(giver for giver in givers if not self._tokens.get((giver, engine), 0))
            event, since = self._token_events.setdefault((missing, engine), Event()), self._kernel.now
            yield event
            yield max(self._kernel.now, at), Order.BEGIN
            self._timeline.waits[engine].append((missing, since, self._kernel.now))
        for giver in givers:
            self._tokens[giver, engine] -= 1
        at = self._kernel.now
        self._timeline.begins[engine].append(at)
        self._kernel.set(self._left[engine, place], at)
        return at

    def end(self, engine, command, at):
        """A command ends in cycle ``at``: its tokens can be used from the next one on."""
        self.ends[engine].append(at)
        if command.signal:
            self._kernel.start(self._give(engine, command, at))

    def _give(self, engine, command, at):
        yield at + 1, Order.TOKEN
        for taker in command.signals_to():
            self._tokens[engine, taker] = self._tokens.get((engine, taker), 0) + 1
            if self._tokens[engine, taker] == _MOST_TOKENS:
                raise ValueError(f"the counter of tokens from {engine.name} to {taker.name} is full")
            event = self._token_events.pop((engine, taker), None)
            if event is not None:
                self._kernel.set(event, at + 1)
