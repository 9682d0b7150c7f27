"""Engine of FiGS: program memory, sequencer, feed and array; with the rivals' arrays as well (slides)."""

import dataclasses

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import ConfigError, field
from hw.figs.dense_array import DenseArray, DenseArrayConfig
from hw.figs.figs_array import FigsArray, FigsArrayConfig
from hw.figs.mux_array import MuxArray, MuxArrayConfig
from hw.figs.pass_sequencer import Command, PassSequencer
from hw.figs.program_memory import ProgramMemory, ProgramWord
from hw.figs.swap_register import select_value
from hw.stream.connect import connect

__all__ = ["EngineErrors", "FigsEngine", "FigsEngineConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FigsEngineConfig(FigsArrayConfig):
    """Sizes of the engine."""

    array: str = field("figs", "what computes: FiGS, a dense array, or an array with a multiplexer for each multiplier",
                       choices=("figs", "dense", "mux"))
    window: int = field(1, "activations that a multiplier of array mux chooses from; 1 for the others",
                        min=1, max=32, power_of_two=True)
    words: int = field(512, "words of the program memory", min=2, max=1 << 16)

    PRESETS = {
        "paper": {},
        "small": {"rows": 4, "columns": 2, "beta": 2, "alpha": 1, "depth": 2, "words": 64},
        "fpga": {"rows": 8, "columns": 2, "depth": 3, "words": 256, "multiplier": "operator"},
    }

    def check(self):
        if self.array == "figs":
            FigsArrayConfig.check(self)
        else:
            for name, value in (("alpha", 0), ("depth", 1), ("groups", 1)):
                if getattr(self, name) != value:
                    raise ConfigError(name, getattr(self, name), f"{value} where array is {self.array}")
        if self.array == "mux" and self.window < 4:
            raise ConfigError("window", self.window, "at least 4 where array is mux")
        if self.array != "mux" and self.window > 1:
            raise ConfigError("window", self.window, f"1 where array is {self.array}")

    def _part(self, config):
        return config(**{spec.name: getattr(self, spec.name) for spec in dataclasses.fields(config)})

    @property
    def array_config(self):
        """The configuration of the array."""
        return self._part({"figs": FigsArrayConfig, "dense": DenseArrayConfig, "mux": MuxArrayConfig}[self.array])

    @property
    def entry_bits(self):
        """Width of a column's entry in a slot."""
        if self.array == "figs":
            return super().entry_bits
        return self.beta * self.weight_bits if self.array == "dense" else self.array_config.entry_bits

    @property
    def exchange_bits(self):
        """Width of ``exchange`` in a slot; none where no row is beyond another's reach."""
        return self.groups.bit_length() - 1 if self.exchanges else 0

    @property
    def feed_bits(self):
        """Width of what a slot says to the feed: advance, exchange."""
        return 1 + self.exchange_bits

    @property
    def slot_bits(self):
        """Width of a slot of the program."""
        return self.feed_bits + self.columns * self.entry_bits

    @property
    def word_bits(self):
        """Width of a word of the program: ``groups`` slots."""
        return self.groups * self.slot_bits

    @property
    def beat_bits(self):
        """Width of a beat of activations."""
        return self.rows * self.window * self.activation_bits

    @property
    def memory_bits(self):
        """Bits of the program memory."""
        return self.words * self.word_bits

    @property
    def latency(self):
        """Cycles from a command to its first word of sums, above its schedule cycles; nothing in the way."""
        return self.columns + 4 + (self.array != "dense")


class EngineErrors(data.StructLayout):
    """``select``: a value selected that does not exist; ``stale``: one from before the pass; ``command``: refused;
    ``exchange``: of rows that are not in the group, or that reach each other; ``start``: a pass that begins without
    new activations."""

    def __init__(self):
        super().__init__({"select": 1, "stale": 1, "command": 1, "exchange": 1, "start": 1})


class FigsEngine(wiring.Component):
    """Y = W X: the compiled rows of W are in the program memory, X comes in beats, the sums of Y leave.

    A command runs a program once, over one tile of X: a pass. A program is a sequence of schedule cycles, which say
    whether the feed takes a new beat (``advance``), in which order of rows it feeds (``exchange``), and for every
    element which activation it uses and the weights. The golden compiler makes it (golden/figs/mapping.py).

    An exchange feeds row r's activation to row r ^ ``exchange``. What is not legal in a program is done as zeros
    (select beyond the taps or from before the pass), as no exchange, or as an advance (in the first cycle), and an
    error bit says so; a command that is not legal is dropped.

    Throughput: a schedule cycle a cycle while activations come; passes back to back when a pass has at least
    rows + columns + 4 cycles, its command is there and results are taken.
    Latency: a pass' first word of sums comes :attr:`FigsEngineConfig.latency` + ``cycles`` cycles after its command.
    Back-pressure: full. ``activations.ready`` depends on registers and on the program only. Once a pass' first beat has
    come, the sums of the pass before may wait for its other beats: send them without waiting for sums.

    Source: slides "FIGS Engine Architecture", "FIGS Engine Dataflow".
    Parameters: ``config`` a :class:`FigsEngineConfig`; ``assertions``: check the array's rules (simulation).

    Members
    -------
    program: In(stream of :class:`ProgramWord`), always ready. A word has ``groups`` slots, the first low: advance,
        exchange, then for every column its entry (hw/figs/figs_array.py, dense_array.py, mux_array.py), low bits first.
    commands: In(stream of :class:`hw.figs.pass_sequencer.Command`); its words are written before, and not changed until
        the pass has ended
    activations: In(stream of rows * window activations), row 0 low
    results: Out(stream of columns * beta sums), ``rows`` words a pass, the last row first; column c's unit j at bit
        (c * beta + j) * sum_bits
    errors: Out(:class:`EngineErrors`), stay until ``clear_errors``
    clear_errors: In(1); an error of the same cycle stays
    """

    def __init__(self, config, assertions=False):
        self.config = config
        self.assertions = assertions
        super().__init__({
            "program": In(stream.Signature(ProgramWord(config.words, config.word_bits))),
            "commands": In(stream.Signature(Command(config.words, config.groups))),
            "activations": In(stream.Signature(config.beat_bits)),
            "results": Out(stream.Signature(config.row_bits)),
            "errors": Out(EngineErrors()), "clear_errors": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        make = {"figs": FigsArray, "dense": DenseArray, "mux": MuxArray}[config.array]
        m.submodules.array = array = make(config.array_config, assertions=self.assertions)
        m.submodules.sequencer = sequencer = PassSequencer(config.words, config.groups, config.depth,
                                                           config.columns + 4)
        m.submodules.memory = memory = ProgramMemory(config.words, config.groups, config.columns, config.feed_bits,
                                                     config.entry_bits)
        connect(m, memory.program, wiring.flipped(self.program))
        connect(m, sequencer.commands, wiring.flipped(self.commands))
        connect(m, array.results, wiring.flipped(self.results))
        go, move, errors = Signal(), Signal(), Signal(EngineErrors())
        m.d.comb += [sequencer.go.eq(move), array.go.eq(go), memory.enable.eq(move), memory.enable_others.eq(go),
                     memory.feed_address.eq(sequencer.address)]

        # Column c has a cycle c cycles after column 0: its address goes to the column's bank, its flags to the array.
        cycle, address = Signal.like(sequencer.cycle, name="cycle_0"), sequencer.address
        with m.If(move):
            m.d.sync += cycle.eq(sequencer.cycle)
        self._feed(m, cycle, memory.feed, array, go, move, errors)
        active = move & cycle.active
        for column in range(config.columns):
            m.d.comb += memory.column_address[column].eq(address)
            behind, address_behind = (Signal.like(signal, name=f"{name}_{column + 1}", reset_less=reset_less)
                                      for signal, name, reset_less in ((cycle, "cycle", False),
                                                                       (address, "address", True)))
            entries = self._entries(m, column, memory.entries[column], cycle)
            with m.If(go):
                m.d.sync += [behind.eq(cycle), behind.active.eq(active)]
            with m.If(go if column else move):
                m.d.sync += address_behind.eq(address)
            shown = cycle
            if array.entry_lag:
                taken = Signal(len(entries), name=f"entries_{column}", reset_less=True)
                with m.If(go):
                    m.d.sync += taken.eq(entries)
                shown, active, entries = behind, behind.active, taken
            control = array.control[column]
            m.d.comb += [control.active.eq(active), control.first.eq(shown.first), control.last.eq(shown.last),
                         control.age.eq(shown.age), control.entries.eq(entries)]
            cycle, active, address = behind, behind.active, address_behind

        if config.array == "figs":
            m.d.comb += [errors.select.eq(array.errors.select), errors.stale.eq(array.errors.stale)]
        m.d.comb += errors.command.eq(sequencer.refused)
        kept = Signal(len(errors.as_value()))
        m.d.sync += kept.eq(Mux(self.clear_errors, 0, kept) | errors.as_value())
        m.d.comb += self.errors.as_value().eq(kept)
        return m

    def _feed(self, m, cycle, slots, array, go, move, errors):
        """Wait for activations and for the way out, feed column 0.

        Before a pass everything in the array moves on (``go`` without ``move``). Within one the array has to stop, as
        its registers are the memory of what was fed; the sums of the pass before have left by then, or a short pass
        would not have begun.
        """
        config = self.config
        slot = Signal(config.feed_bits)
        m.d.comb += slot.eq(slots.word_select(cycle.part << cycle.group, config.feed_bits))
        busy, advance, leaves, waits = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            advance.eq(cycle.active & (slot[0] | cycle.first)),
            leaves.eq(cycle.active & cycle.last),
            waits.eq(Mux(cycle.first, cycle.short, leaves) & busy),
            self.activations.ready.eq(advance & ~waits),
            move.eq(~(advance & ~self.activations.valid) & ~waits),
            go.eq(move | cycle.first),
            errors.start.eq(move & cycle.active & cycle.first & ~slot[0]),
        ]
        # The registers that sums leave from are busy until those of the pass before have left.
        with m.If(array.drained):
            m.d.sync += busy.eq(0)
        with m.If(leaves & move):
            m.d.sync += busy.eq(1)
        if not config.exchange_bits:
            m.d.comb += [array.load.eq(advance & move), array.feed.eq(self.activations.payload)]
            return
        beat, present = Signal(config.beat_bits, reset_less=True), Signal(config.beat_bits)
        exchange, asked = Signal(config.exchange_bits), slot[1:]
        m.d.comb += present.eq(Mux(advance, self.activations.payload, beat))
        with m.If(move & advance):
            m.d.sync += beat.eq(self.activations.payload)
        near = asked & config.alpha
        with m.If(near.any() | (asked >> cycle.group).any()):
            m.d.comb += errors.exchange.eq(move & cycle.active)
        with m.Else():
            m.d.comb += exchange.eq(asked)
        m.d.comb += array.load.eq(cycle.active & move)
        values = [present.word_select(row, config.activation_bits) for row in range(config.rows)]
        step = config.alpha + 1
        for row in range(config.rows):
            m.d.comb += array.feed.word_select(row, config.activation_bits).eq(
                select_value([values[row ^ other] for other in range(0, config.groups, step)],
                             exchange[step.bit_length() - 1:]))

    def _entries(self, m, column, word, cycle):
        """The entries of a cycle out of its word: row g of the groups has slot part * G + g mod G."""
        config = self.config
        if config.groups == 1:
            return word
        slots = [word.word_select(slot, config.entry_bits) for slot in range(config.groups)]
        entries = []
        for row in range(config.groups):
            slot = Signal(range(config.groups), name=f"slot_{column}_{row}")
            with m.Switch(cycle.group):
                for group in range(config.groups.bit_length()):
                    with m.Case(group):
                        m.d.comb += slot.eq((cycle.part << group) | row % (1 << group))
            entries.append(select_value(slots, slot))
        return Cat(entries)
