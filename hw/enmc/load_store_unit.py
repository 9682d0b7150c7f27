"""LoadStoreUnit: LDR, STR and MOVE, words of the buffers from and to the DRAM and one another (thesis 6.4.3)."""

from amaranth.hdl import Array, Assert, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.enmc_types import ADDRESS_BITS, WORD_BITS, BufferAccess, MemoryJob, MemoryOp
from hw.enmc.isa_table import Buffer
from hw.enmc.result_writer import BurstWrite
from hw.stream.hold import assert_hold

__all__ = ["LoadStoreUnit"]

_WORDS = 4
#: Bits of the address of a store's word, which may lie beyond all bursts.
_FAR_BITS = ADDRESS_BITS + 2
_SCREENER = (Buffer.FEATURE_INT4, Buffer.WEIGHT_INT4, Buffer.PSUM_INT4)
_EXECUTOR = (Buffer.FEATURE_FP32, Buffer.WEIGHT_FP32, Buffer.PSUM_FP32)
_OUTPUT = (Buffer.OUTPUT,)


class LoadStoreUnit(wiring.Component):
    """Does one job after the other.

    LOAD: asks for its bursts, writes them into the buffer as they come. STORE: a word every two cycles, those outside
    of ``write_low`` to ``write_high`` - 1 are dropped, each with ``dropped``. MOVE: a word every two cycles.
    The buffers are given to it: nobody else uses them while ``busy``.

    Latency: ``reads`` a cycle after a LOAD was taken, ``writes`` two cycles after a STORE was. Back-pressure: full,
    but for ``responses``. Source: thesis 6.4.3 (Table 6.1); strides and masks are ours (docs/enmc/machine.md).

    Parameter: ``assertions``.

    Members
    -------
    jobs: In(stream of :class:`hw.enmc.enmc_types.MemoryJob`), taken while not ``busy``
    busy: Out(1), a job is inside
    write_low, write_high: In, burst addresses, stable while ``busy``
    reads: Out(stream of burst addresses); responses: In({valid, data}), in their order
    writes: Out(stream of :class:`hw.enmc.result_writer.BurstWrite`)
    dropped: Out(1), for a cycle: a word was not stored
    screener, executor, output: In(:class:`hw.enmc.enmc_types.BufferAccess`) of the units; output_stored: In(16), what
        of the word that ``output`` gives is to be stored
    """

    def __init__(self, assertions=False):
        self.assertions = assertions
        super().__init__({
            "jobs": In(stream.Signature(MemoryJob)), "busy": Out(1),
            "write_low": In(ADDRESS_BITS), "write_high": In(ADDRESS_BITS),
            "reads": Out(stream.Signature(ADDRESS_BITS)),
            "responses": In(data.StructLayout({"valid": 1, "data": WORD_BITS})),
            "writes": Out(stream.Signature(BurstWrite)), "dropped": Out(1),
            "screener": In(BufferAccess()), "executor": In(BufferAccess()), "output": In(BufferAccess()),
            "output_stored": In(WORD_BITS // 32),
        })

    def elaborate(self, platform):
        m = Module()
        job = Signal(MemoryJob, reset_less=True)
        is_load, is_store = Signal(), Signal()
        index, asked = Signal(range(_WORDS)), Signal(range(_WORDS + 1))
        shown = Signal()  # the word of `index` is at the buffer's output
        done, step = Signal(), Signal()  # a word is done; it is the last
        m.d.comb += [
            self.jobs.ready.eq(~self.busy), is_load.eq(job.op == MemoryOp.LOAD), is_store.eq(job.op == MemoryOp.STORE),
            step.eq(index == Mux(job.op == MemoryOp.MOVE, _WORDS, job.count) - 1),
        ]
        with m.If(self.jobs.valid & self.jobs.ready):
            m.d.sync += [self.busy.eq(1), job.eq(self.jobs.p), index.eq(0), asked.eq(0), shown.eq(0)]
        with m.Elif(done):
            m.d.sync += [index.eq(index + 1), self.busy.eq(~step), shown.eq(0)]
        with m.Else():
            m.d.sync += shown.eq(self.busy)

        m.d.comb += [
            self.reads.valid.eq(self.busy & is_load & (asked != job.count)),
            self.reads.payload.eq(job.address + asked),
        ]
        with m.If(self.reads.valid & self.reads.ready):
            m.d.sync += asked.eq(asked + 1)

        word, mask = self._word(m, job, index)
        # The place is known a cycle before its word.
        far, allowed = self._place(m, job, done), Signal()
        m.d.sync += allowed.eq((far >= self.write_low) & (far < self.write_high))
        m.d.comb += [
            self.writes.valid.eq(self.busy & is_store & shown & allowed), self.writes.p.address.eq(far),
            self.writes.p.data.eq(word), self.writes.p.mask.eq(mask),
            self.dropped.eq(self.busy & is_store & shown & ~allowed),
        ]
        put, content, target = Signal(), Signal(WORD_BITS), Signal(4)
        m.d.comb += [
            put.eq(self.busy & ~is_store & Mux(is_load, self.responses.valid, shown)),
            content.eq(Mux(is_load, self.responses.data, word)), target.eq(Mux(is_load, job.buf1, job.buf2)),
            done.eq(put | self.dropped | self.writes.valid & self.writes.ready),
        ]
        for access, buffers in ((self.screener, _SCREENER), (self.executor, _EXECUTOR), (self.output, _OUTPUT)):
            mine = Signal()
            with m.Switch(target):
                with m.Case(*(buffer.value for buffer in buffers)):
                    m.d.comb += mine.eq(1)
            m.d.comb += [
                access.read_buffer.eq(job.buf1), access.read_index.eq(index), access.write_enable.eq(put & mine),
                access.write_buffer.eq(target), access.write_index.eq(index), access.write_data.eq(content),
            ]
        if self.assertions:
            assert_hold(m, self.reads)
            assert_hold(m, self.writes)
            with m.If(self.responses.valid):
                m.d.sync += Assert(self.busy & is_load & (index != asked), "a burst that was not asked for")
        return m

    def _word(self, m, job, index):
        """The word that the job's buffer shows, and the bytes of it to be stored."""
        owners = [self.screener.read_data] * len(Buffer)
        for buffer in Buffer:
            if buffer in _EXECUTOR:
                owners[buffer.value] = self.executor.read_data
            elif buffer not in _SCREENER:
                owners[buffer.value] = self.output.read_data
        word, mask = Signal(WORD_BITS), Signal(WORD_BITS // 8)
        m.d.comb += [word.eq(Array(owners)[job.buf1]), mask.eq(~0)]
        with m.If(job.buf1 == Buffer.OUTPUT.value):
            m.d.comb += mask.eq(Cat(bit.replicate(4) for bit in self.output_stored))
        return word, mask

    def _place(self, m, job, done):
        """The burst address of word ``index`` of a store."""
        row, column = Signal(_FAR_BITS, reset_less=True), Signal(range(_WORDS))
        with m.If(self.jobs.valid & self.jobs.ready):
            m.d.sync += [row.eq(self.jobs.p.address), column.eq(0)]
        with m.Elif(done):
            m.d.sync += column.eq(column + 1)
            with m.If(column == job.width - 1):
                m.d.sync += [row.eq(row + job.stride), column.eq(0)]
        place = Signal(_FAR_BITS)
        m.d.comb += place.eq(row + column)
        return place
