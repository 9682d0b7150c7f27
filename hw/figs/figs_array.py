"""Array of FiGS: rows of swap registers with MAC units, which exchange activations in groups of rows (slides)."""

import dataclasses

from amaranth.hdl import Cat, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Out

from hw.config import ConfigError, field
from hw.figs.figs_pe import FigsPe, FigsPeConfig
from hw.figs.nm_array import GridConfig, NmArray

__all__ = ["FigsArray", "FigsArrayConfig", "TapErrors"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FigsArrayConfig(GridConfig, FigsPeConfig):
    """Sizes of the array."""

    groups: int = field(4, "rows that share a batch column at most: M / N of the sparsest ratio at full rate",
                        min=1, max=32, power_of_two=True)

    PRESETS = {
        "paper": {},
        "small": {"rows": 4, "columns": 2, "beta": 2, "alpha": 1, "depth": 2},
        "fpga": {"rows": 8, "columns": 2, "depth": 3, "multiplier": "operator"},
    }

    def check(self):
        FigsPeConfig.check(self)
        if self.groups > self.rows:
            raise ConfigError("groups", self.groups, f"at most rows = {self.rows}")
        if self.alpha >= self.rows:
            raise ConfigError("alpha", self.alpha, f"below rows = {self.rows}")

    @property
    def pe(self):
        """The configuration of its elements."""
        return FigsPeConfig(**{spec.name: getattr(self, spec.name) for spec in dataclasses.fields(FigsPeConfig)})

    @property
    def exchanges(self):
        """Whether rows are beyond each other's reach, so that the feed has to exchange them."""
        return self.groups > self.alpha + 1


class TapErrors(data.StructLayout):
    """``select``: an element selects a value that does not exist; ``stale``: one from before the pass."""

    def __init__(self):
        super().__init__({"select": 1, "stale": 1})


class FigsArray(NmArray):
    """rows x columns MAC PEs; row r's swap registers pass its activations to the west.

    Row r does entry r mod ``groups`` of its column. Its element in column c chooses from taps (i, d): the swap register
    in row r ^ i (exclusive or), i = 0 .. alpha, of column c + d, d = 0 .. depth - 1, by select = d * (alpha + 1) + i.
    As every value goes west one column a cycle, that is what column c held d cycles before. West of the last column
    depth - 1 registers a row go on.

    An entry whose ``select`` does not exist or is from before the pass makes zeros, and an error.

    Source: slides "FIGS Engine Architecture". Parameters: ``config`` a :class:`FigsArrayConfig`; ``assertions``: check
    the rules of ``results`` and that no sums are lost (simulation).

    Members
    -------
    as of :class:`hw.figs.nm_array.NmArray`; an entry of ``control``: ``use``, ``select``, a weight for each unit, low
    bits first, ``groups`` of them, row 0's low.
    errors: Out(:class:`TapErrors`), registers, for a cycle each
    """

    def __init__(self, config, assertions=False):
        super().__init__(config, feed_bits=config.activation_bits, entry_bits=config.groups * config.pe.entry_bits,
                         depth=config.depth, assertions=assertions, errors=Out(TapErrors()))

    def elaborate(self, platform):
        self._chains = [[] for _ in range(self.config.rows)]
        self._columns, self._errors = [], []
        return super().elaborate(platform)

    def make_column(self, m, column, active, first, capture, shift):
        config, pe_config = self.config, self.config.pe
        entries, age = self.control[column].entries, self.control[column].age
        layout = data.StructLayout({"use": 1, "select": pe_config.select_bits,
                                    "weights": config.beta * config.weight_bits})
        checked = []
        for group in range(config.groups):
            entry = data.View(layout, entries.word_select(group, pe_config.entry_bits))
            back, used = entry.select // (config.alpha + 1), Signal(name=f"used_{column}_{group}")
            wrong, stale = (Signal(name=f"{name}_{column}_{group}") for name in ("wrong", "stale"))
            m.d.comb += [
                used.eq(active & entry.use), wrong.eq(used & (back >= config.depth)),
                stale.eq(used & (back > age) & ~wrong),
            ]
            self._errors.append((wrong, stale))
            checked.append((used & ~wrong & ~stale, entry))
        above, elements = 0, []
        for row in range(config.rows):
            m.submodules[f"pe_{row}_{column}"] = pe = FigsPe(pe_config)
            use, entry = checked[row % config.groups]
            m.d.comb += [
                pe.go.eq(self.go), pe.used.eq(use), pe.select.eq(entry.select), pe.weights.eq(entry.weights),
                pe.first.eq(first), pe.capture.eq(capture), pe.shift.eq(shift), pe.above.eq(above),
            ]
            chain = self._chains[row]
            m.d.comb += pe.east.eq(chain[-1] if chain else
                                   Mux(self.load, self.feed.word_select(row, config.activation_bits), pe.west))
            chain.append(pe.west)
            elements.append(pe)
            above = pe.results
        self._columns.append(elements)
        return above

    def finish_columns(self, m):
        config = self.config
        for row, chain in enumerate(self._chains):
            for back in range(1, config.depth):
                value = Signal(config.activation_bits, name=f"west_{row}_{back}", reset_less=True)
                with m.If(self.go):
                    m.d.sync += value.eq(chain[-1])
                chain.append(value)
        for column, elements in enumerate(self._columns):
            for row, pe in enumerate(elements):
                taps = [self._chains[row ^ side][column + back]
                        for back in range(config.depth) for side in range(config.alpha + 1)]
                m.d.comb += pe.others.eq(Cat(taps[1:]))
        wrong, stale = zip(*self._errors)
        m.d.sync += [self.errors.select.eq(Cat(wrong).any()), self.errors.stale.eq(Cat(stale).any())]
