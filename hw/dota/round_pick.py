"""The decision of the Scheduler: which buffers give an ID in this round (thesis 7.6.3, Algorithm 4).

Masks here carry row t in bit t. The tie rules of the thesis compare *names*, in which row 0 (q1) is the leftmost,
most significant digit; :func:`name_value` converts.
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RoundPick", "Slot", "name_value"]


def name_value(mask, tokens):
    """The value of a buffer's printed name: row 0, bit 0 of ``mask``, becomes the most significant bit."""
    return int(f"{mask:0{tokens}b}"[::-1], 2)


class Slot(data.StructLayout):
    """One pick: the buffer that gives its head (its mask, 0 when the slot is empty) and the rows that use the ID.

    ``source ^ rows`` is the buffer the ID moves to; 0 when no row needs it any more.
    """

    def __init__(self, tokens):
        super().__init__({"source": tokens, "rows": tokens})


def _first(m, candidates, width, name):
    """The first valid of ``candidates``, pairs (valid, mask), as a balanced tree; 0 when none is valid.

    A signal a node: a shared expression would be written out again at each use.
    """
    nodes = list(candidates)
    while len(nodes) > 1:
        pairs = []
        for one, other in zip(nodes[::2], nodes[1::2]):
            valid, mask = Signal(name=f"{name}_valid"), Signal(width, name=f"{name}_mask")
            m.d.comb += [valid.eq(one[0] | other[0]), mask.eq(Mux(one[0], one[1], other[1]))]
            pairs.append((valid, mask))
        nodes = pairs + nodes[len(nodes) & ~1:]
    best = Signal(width, name=name)
    if nodes:
        m.d.comb += best.eq(Mux(nodes[0][0], nodes[0][1], 0))
    return best


class RoundPick(wiring.Component):
    """Picks of one round as a pure function of which buffers hold an ID; combinational.

    First whole IDs, most rows first (ties: largest name), while a buffer lies inside the rows still uncovered: the
    best buffer inside *every* set of rows is found side by side, so the chain is one multiplexer a pick. Then, for
    the rows left over, borrowed IDs: at most ``tokens // 2`` of them, because each needs its own destination among
    the rows already covered, and a first pick of k rows bounds every buffer to k rows.

    Parameters
    ----------
    tokens: rows in a group, 2..6

    Members
    -------
    nonempty: In(2**tokens), bit = mask of the buffer (bit 0 is never used)
    slots: Out(tokens x Slot), packed from slot 0 in the order of issue
    pop, give: Out(2**tokens), buffers whose head is issued, and buffers that receive a moved ID
    last: Out(1), the buffers are empty after this round provided that each holds at most one ID
    """

    def __init__(self, tokens):
        self.tokens = tokens
        super().__init__({
            "nonempty": In(1 << tokens),
            "slots": Out(data.ArrayLayout(Slot(tokens), tokens)),
            "pop": Out(1 << tokens),
            "give": Out(1 << tokens),
            "last": Out(1),
        })

    @staticmethod
    def receivers(tokens):
        """Masks of the buffers that can receive a moved ID: it leaves a buffer short of a row, and loses a row."""
        return [mask for mask in range(1, 1 << tokens) if mask.bit_count() <= tokens - 2]

    # What slot i can hold: the first pick has the most rows, each slot before has one at least, a borrowed ID two or
    # more. So slot 0 and the last slot never borrow, and a mask in slot i has at most T - i rows.

    @staticmethod
    def sources(tokens, slot):
        """Masks of the buffers that can be the source of a slot."""
        return [mask for mask in range(1, 1 << tokens) if mask.bit_count() <= tokens - slot]

    @staticmethod
    def borrowing_slots(tokens):
        """Slots that can hold a borrowed ID."""
        return range(1, tokens - 1)

    def _whole(self, m):
        """Picks of whole IDs, one a step (0: none), and the rows they leave over."""
        every = (1 << self.tokens) - 1
        order = sorted(range(1, 1 << self.tokens), reverse=True,
                       key=lambda mask: (mask.bit_count(), name_value(mask, self.tokens)))
        inside = [_first(m, [(self.nonempty[mask], Const(mask, self.tokens)) for mask in order if mask & ~rows == 0],
                         self.tokens, f"inside_{rows:0{self.tokens}b}") for rows in range(1 << self.tokens)]
        picks, uncovered = [inside[every]], Signal(self.tokens, name="uncovered_1")
        m.d.comb += uncovered.eq(~picks[0])
        for step in range(1, self.tokens):
            pick = Signal(self.tokens, name=f"whole_{step}")
            m.d.comb += pick.eq(Array(inside)[uncovered])
            picks.append(pick)
            rest = Signal(self.tokens, name=f"uncovered_{step + 1}")
            m.d.comb += rest.eq(uncovered & ~picks[-1])
            uncovered = rest
        return picks, uncovered

    def _borrowed(self, m, uncovered):
        """Picks that move an ID, as (source, rows, destination) one a step; source 0: none."""
        order = sorted((mask for mask in range(1, 1 << self.tokens) if 2 <= mask.bit_count() < self.tokens),
                       key=lambda mask: (mask.bit_count(), name_value(mask, self.tokens)))
        picks = []
        for step in range(self.tokens // 2):
            able = Signal(1 << self.tokens, name=f"able_{step}")
            for mask in order:
                free = [mask & ~uncovered != taken for _, _, taken in picks]
                m.d.comb += able[mask].eq(Cat(self.nonempty[mask], *free).all())
            best = [_first(m, [(able[mask], Const(mask, self.tokens)) for mask in order if mask >> row & 1],
                           self.tokens, f"lender_{step}_{row}") for row in range(self.tokens)]
            source = _first(m, [(uncovered[row] & best[row].any(), best[row]) for row in range(self.tokens)],
                            self.tokens, f"borrow_{step}")
            rows, destination, rest = (Signal(self.tokens, name=f"{name}_{step}")
                                       for name in ("borrow_rows", "destination", "left_over"))
            m.d.comb += [rows.eq(source & uncovered), destination.eq(source & ~uncovered), rest.eq(uncovered & ~source)]
            picks.append((source, rows, destination))
            uncovered = rest
        return picks

    def elaborate(self, platform):
        m = Module()
        whole, uncovered = self._whole(m)
        borrowed = self._borrowed(m, uncovered)
        valid = Cat(pick.any() for pick in whole)  # a thermometer: whole picks end where the first is missing
        for index, slot in enumerate(self.slots):
            source, rows = whole[index], whole[index]
            for step in range(min(index, len(borrowed)) if index in self.borrowing_slots(self.tokens) else 0):
                turn = valid[index - step - 1] & ~valid[index - step]
                source = source | Mux(turn, borrowed[step][0], 0)
                rows = rows | Mux(turn, borrowed[step][1], 0)
            m.d.comb += [slot.source.eq(source), slot.rows.eq(rows)]
        for mask in range(1, 1 << self.tokens):
            m.d.comb += self.pop[mask].eq(Cat(slot.source == mask for slot in self.slots).any())
        for mask in self.receivers(self.tokens):
            m.d.comb += self.give[mask].eq(Cat(destination == mask for _, _, destination in borrowed).any())
        # All buffers give and none receives when no row waits for two IDs: found beside the picks, not after them.
        owners = [[self.nonempty[mask] for mask in range(1, 1 << self.tokens) if mask >> row & 1]
                  for row in range(self.tokens)]
        m.d.comb += self.last.eq(Cat(_at_most_one(m, flags) for flags in owners).all())
        return m


def _at_most_one(m, flags):
    """Whether at most one of ``flags`` is set, as a balanced tree of (any, many)."""
    nodes = [(flag, Const(0, 1)) for flag in flags]
    while len(nodes) > 1:
        pairs = []
        for one, other in zip(nodes[::2], nodes[1::2]):
            some, many = Signal(name="some"), Signal(name="many")
            m.d.comb += [some.eq(one[0] | other[0]), many.eq(one[1] | other[1] | one[0] & other[0])]
            pairs.append((some, many))
        nodes = pairs + nodes[len(nodes) & ~1:]
    return ~nodes[0][1]
