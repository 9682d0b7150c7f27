"""MemoryArbiter: the units' reads and writes into one order of requests for the DramController."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.enmc.dram_controller import BurstData, DramRequest, DramResponse
from hw.enmc.enmc_types import ADDRESS_BITS, WORD_BITS
from hw.enmc.result_writer import BurstWrite
from hw.stream.arbiter import Arbiter
from hw.stream.connect import connect
from hw.stream.fifo import Fifo
from hw.stream.hold import assert_hold

__all__ = ["MemoryArbiter", "Reader"]


class Reader(enum.Enum, shape=2):
    """Who reads; the tag of a request."""

    SCREENER = 0
    EXECUTOR = 1
    LOAD = 2


class MemoryArbiter(wiring.Component):
    """Three readers, up to ``turn`` requests of each in turn, and writes in batches between them.

    A reader goes through the rows of the DRAM in runs; requests that alternate would close each other's rows.

    The bus turns round for writes, so they wait in a queue until it is half full, or nobody reads, or a load waits, and
    are then sent until it is empty. So a load sees every store that was given before it; reads of the other two have no
    order to writes.

    Throughput: a request a cycle. Latency: reads 1 cycle. Back-pressure: full, but for responses, which have none.

    Parameters: ``config`` a :class:`hw.enmc.dram_controller.DramControllerConfig`; ``depth`` of the queue of writes;
    ``turn``; ``assertions``.

    Members
    -------
    reads: In(array of streams of burst addresses), in the order of :class:`Reader`
    responses: Out(array of {valid, data}), likewise
    results, stores: In(streams of :class:`hw.enmc.result_writer.BurstWrite`)
    requests, write_data, answers: the DramController's ``requests``, ``write_data``, ``responses``
    busy: Out(1), a request has not reached the DramController; written: Out(1), a write has, in this cycle
    """

    def __init__(self, config, depth, turn, assertions=False):
        self.config, self.depth, self.turn, self.assertions = config, depth, turn, assertions
        super().__init__({
            "reads": In(stream.Signature(ADDRESS_BITS)).array(len(Reader)),
            "responses": Out(data.StructLayout({"valid": 1, "data": WORD_BITS})).array(len(Reader)),
            "results": In(stream.Signature(BurstWrite)), "stores": In(stream.Signature(BurstWrite)),
            "requests": Out(stream.Signature(DramRequest(config))),
            "write_data": Out(stream.Signature(BurstData())),
            "answers": In(stream.Signature(DramResponse(config), always_ready=True)),
            "busy": Out(1), "written": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        read_shape = data.StructLayout({"address": ADDRESS_BITS, "tag": Reader})
        m.submodules.readers = readers = Arbiter(read_shape, len(Reader), turn=self.turn, assertions=self.assertions)
        m.submodules.writers = writers = Arbiter(BurstWrite, 2, assertions=self.assertions)
        m.submodules.writes = writes = Fifo(BurstWrite, self.depth, assertions=self.assertions)
        connect(m, wiring.flipped(self.results), writers.i[0])
        connect(m, wiring.flipped(self.stores), writers.i[1])
        connect(m, writers.o, writes.i)
        wait = Signal()  # a load behind stores
        for reader in Reader:
            source, port = self.reads[reader.value], readers.i[reader.value]
            held = wait if reader is Reader.LOAD else 0
            m.d.comb += [port.valid.eq(source.valid & ~held), source.ready.eq(port.ready & ~held),
                         port.p.address.eq(source.payload), port.p.tag.eq(reader)]

        drain, drains = Signal(), Signal()
        stored, any_read = Signal(), Signal()
        m.d.comb += [
            stored.eq(writers.o.valid | writes.level.any()), any_read.eq(readers.o.valid),
            wait.eq(self.stores.valid | stored),
            drains.eq(drain | writes.o.valid & ((writes.level >= self.depth // 2) | ~any_read
                                                | self.reads[Reader.LOAD.value].valid)),
            self.busy.eq(any_read | stored | self.results.valid | self.stores.valid
                         | sum(source.valid for source in self.reads).any()),
        ]
        m.d.sync += drain.eq(drains & stored)

        # A write is sent as request and data, each as soon as it can go; reads go when no write is sent, and a read
        # that was offered stays.
        sending, asked, given, leaves, stays = Signal(), Signal(), Signal(), Signal(), Signal()
        request = self.requests
        m.d.comb += [
            sending.eq(drains & writes.o.valid & ~stays),
            request.valid.eq(Mux(sending, ~asked, readers.o.valid)),
            request.p.write.eq(sending), request.p.tag.eq(Mux(sending, 0, readers.o.p.tag)),
            request.p.address.eq(Mux(sending, writes.o.p.address, readers.o.p.address)),
            readers.o.ready.eq(request.ready & ~sending),
            self.write_data.valid.eq(sending & ~given),
            self.write_data.p.data.eq(writes.o.p.data), self.write_data.p.mask.eq(writes.o.p.mask),
            leaves.eq(sending & (asked | request.ready) & (given | self.write_data.ready)),
            writes.o.ready.eq(leaves), self.written.eq(leaves),
        ]
        m.d.sync += [stays.eq(readers.o.valid & ~request.ready & ~sending),
                     asked.eq(sending & ~leaves & (asked | request.ready)),
                     given.eq(sending & ~leaves & (given | self.write_data.ready))]
        for reader in Reader:
            m.d.comb += [
                self.responses[reader.value].valid.eq(self.answers.valid & (self.answers.p.tag == reader.value)),
                self.responses[reader.value].data.eq(self.answers.p.data),
            ]
        if self.assertions:
            assert_hold(m, request)
            assert_hold(m, self.write_data)
        return m
