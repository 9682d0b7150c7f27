"""HostPort: takes instructions out of the host's DDR4 commands, answers QUERY, lets all else pass (thesis 6.4.3)."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.arith.pipeline import delay
from hw.enmc.ddr4 import BEAT_BITS, BURST_BITS, PHASES, ChipPort, DdrCommand, Operation
from hw.enmc.instruction_decoder import Instruction
from hw.enmc.isa_table import COMMAND_BITS, TABLE, Error

__all__ = ["HostError", "HostPort", "Query"]

_PRECHARGE_ALL = 1 << 10
_OPCODE_LOW = TABLE["command"]["opcode"][1]
_REGISTER_OPCODE = next(row["opcode"] for row in TABLE["instructions"] if row["name"] == "QUERY")


class Query(data.Struct):
    """A QUERY: its command when ``valid``."""

    valid: 1
    command: COMMAND_BITS


class HostError(data.Struct):
    """``count`` errors in a cycle (0 to 4); the first has ``code`` and ``command`` (0 for an ordinary command)."""

    count: 3
    code: Error
    command: COMMAND_BITS


class HostPort(wiring.Component):
    """The host's DDR4 port of a rank.

    A PRECHARGE whose bits A12 to A0 are neither zero nor A10 alone is an instruction; its operand is the first beat of
    the write burst CWL later. Every other command passes to ``chips``, with it the data of a WRITE, and the chips' data
    back to the host. What the host drives beside those bursts (operands; data of a WRITE that did not pass) does not.

    Latency: a command, and data in either direction, pass in 1 cycle. So the host reads with CL + 8 clocks, and a
    QUERY is answered at that time too. ``instruction`` comes CWL / 4 + 1 cycles after its command, ``query`` CL / 4
    cycles after it; ``answer`` is taken a cycle after ``query``. Throughput: an instruction or QUERY a cycle, at least
    four DRAM clocks after the one before. Back-pressure: none.
    Source: thesis 6.4.3; JEDEC JESD79-4.

    Parameters: ``cl`` and ``cwl`` of the chips in DRAM clocks, multiples of 4, ``cl`` >= 12, ``cwl`` >= 4.

    Members
    -------
    host: In(:class:`hw.enmc.ddr4.ChipPort`): what the host drives, and what it is given
    reply: Out(4), DRAM clocks of the cycle in which ``host.dq_in`` is an answer to a QUERY
    chips: Out(:class:`hw.enmc.ddr4.ChipPort`)
    owner: In(1), the logic has the chips: nothing passes; a command other than DES and NOP is HOST_COMMAND
    valid, instruction: Out: an :class:`Instruction` in this cycle
    waiting: Out(1), an instruction waits for its operand
    query: Out(:class:`Query`); answer: In(512), beat 0 in the low bits
    error: Out(:class:`HostError`)
    """

    def __init__(self, cl, cwl):
        self.cl, self.cwl = cl, cwl
        super().__init__({
            "host": In(ChipPort()), "reply": Out(PHASES), "chips": Out(ChipPort()), "owner": In(1),
            "valid": Out(1), "instruction": Out(Instruction), "waiting": Out(1),
            "query": Out(Query), "answer": In(BURST_BITS), "error": Out(HostError),
        })

    def elaborate(self, platform):
        m = Module()
        commands = [Signal(DdrCommand, name=f"command_{phase}") for phase in range(PHASES)]
        enable, dq, dm = Signal(PHASES), Signal(BURST_BITS, reset_less=True), Signal.like(self.host.dm, reset_less=True)
        m.d.sync += [enable.eq(self.host.dq_out_enable), dq.eq(self.host.dq_out), dm.eq(self.host.dm)]
        m.d.sync += [register.eq(pins) for register, pins in zip(commands, self.host.command)]
        m.d.comb += [self.chips.dq_out.eq(dq), self.chips.dm.eq(dm),
                     self.chips.dq_out_enable.eq(enable & self._written(m, commands))]

        accepted, codes = self._classify(m, commands)
        chosen, phase = Signal(COMMAND_BITS), Signal(2)
        for number, command in enumerate(commands):
            with m.If(accepted[number]):
                m.d.comb += [chosen.eq(command.a[:COMMAND_BITS]), phase.eq(number)]
        found, is_query = Signal(), Signal()
        m.d.comb += [found.eq(accepted.any()),
                     is_query.eq((chosen[_OPCODE_LOW:] == _REGISTER_OPCODE) & ~chosen[TABLE["command"]["write"][0]])]
        self._errors(m, commands, codes)
        self._take(m, found & ~is_query, chosen, phase, dq)
        self._answer(m, found & is_query, chosen, phase)
        return m

    def _classify(self, m, commands):
        """What is in the four slots: flags of the instruction that is accepted, and an error code a slot."""
        accepted = Signal(PHASES)
        codes = [Signal(Error, name=f"code_{phase}") for phase in range(PHASES)]
        # An instruction at phase p keeps the next three clocks free: phases below `block` of the cycle after it.
        block, next_block, before = Signal(range(PHASES)), Signal(range(PHASES)), Const(0, 1)
        m.d.sync += block.eq(next_block)
        for phase, command in enumerate(commands):
            low = command.a[:COMMAND_BITS]
            instruction, ordinary = Signal(name=f"instruction_{phase}"), Signal(name=f"ordinary_{phase}")
            free = Signal(name=f"free_{phase}")
            m.d.comb += [
                instruction.eq(command.does(Operation.PRECHARGE) & low.any() & (low != _PRECHARGE_ALL)),
                ordinary.eq(~command.cs_n & ~instruction & ~command.does(Operation.NOTHING)),
                free.eq((phase >= block) & ~before),
                accepted[phase].eq(instruction & free),
                self.chips.command[phase].eq(command),
            ]
            with m.If(instruction | self.owner):
                m.d.comb += self.chips.command[phase].cs_n.eq(1)
            with m.If(instruction & ~free):
                m.d.comb += codes[phase].eq(Error.SPACING)
            with m.If(ordinary & self.owner):
                m.d.comb += codes[phase].eq(Error.HOST_COMMAND)
            with m.If(accepted[phase]):
                m.d.comb += next_block.eq(phase)
            before = before | accepted[phase]
        return accepted, codes

    def _errors(self, m, commands, codes):
        wrong = [code.as_value().any() for code in codes]
        m.d.comb += self.error.count.eq(sum(wrong[1:], wrong[0]))
        for command, code, is_wrong in reversed(list(zip(commands, codes, wrong))):
            with m.If(is_wrong):
                m.d.comb += [self.error.code.eq(code),
                             self.error.command.eq(Mux(code == Error.SPACING, command.a[:COMMAND_BITS], 0))]

    def _written(self, m, commands):
        """DRAM clocks of the cycle in which data of WRITEs that passed are due."""
        passed = Cat(command.does(Operation.WRITE) & ~self.owner for command in commands)
        starts = delay(m, passed, self.cwl // PHASES, name="write", control=True)
        due, rest = Signal(2 * PHASES), Signal(PHASES)
        m.d.comb += due.eq(starts | starts << 1 | starts << 2 | starts << 3)
        m.d.sync += rest.eq(due[PHASES:])
        return due[:PHASES] | rest

    def _take(self, m, found, command, phase, dq):
        """The operand comes CWL later, so in the same beats of a cycle as the command's phase."""
        later = self.cwl // PHASES
        coming = Signal(later)
        m.d.sync += coming.eq(Cat(found, coming))
        beats = delay(m, phase, later, name="phase")
        m.d.comb += [
            self.waiting.eq(found | coming.any()), self.valid.eq(coming[-1]),
            self.instruction.command.eq(delay(m, command, later, name="command")),
            self.instruction.operand.eq(dq.word_select(Cat(Const(0, 1), beats), BEAT_BITS)),
        ]

    def _answer(self, m, found, command, phase):
        """Answers take the place of the chips' data, from the command's phase on, the rest in the next cycle."""
        later = self.cl // PHASES - 1
        m.d.comb += [self.query.valid.eq(delay(m, found, later, name="query", control=True)),
                     self.query.command.eq(delay(m, command, later, name="query_command"))]
        valid = delay(m, self.query.valid, 1, name="answered", control=True)
        shift = delay(m, phase, later + 1, name="query_phase")
        enable, data_ = Signal(2 * PHASES), Signal(2 * BURST_BITS)
        rest_enable, rest = Signal(PHASES), Signal(BURST_BITS, reset_less=True)
        clock_bits = BURST_BITS // PHASES
        m.d.comb += [enable.eq(Mux(valid, (1 << PHASES) - 1 << shift, 0)),
                     data_.eq(self.answer << Cat(Const(0, exact_log2(clock_bits)), shift))]
        m.d.sync += [rest_enable.eq(enable[PHASES:]), rest.eq(data_[BURST_BITS:]),
                     self.reply.eq(enable[:PHASES] | rest_enable)]
        out = Signal(BURST_BITS, reset_less=True)
        m.d.comb += self.host.dq_in.eq(out)
        for clock in range(PHASES):
            span = slice(clock * clock_bits, (clock + 1) * clock_bits)
            m.d.sync += out[span].eq(Mux(rest_enable[clock], rest[span],
                                         Mux(enable[clock], data_[span], self.chips.dq_in[span])))
