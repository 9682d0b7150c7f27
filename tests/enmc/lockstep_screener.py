"""The Screener's cycle model beside the design: everything that it shows, in every cycle."""

import collections

from golden.enmc.screener_timing import FilterJob, LoneJob, ScreenerTiming, ScreenJob
from hw.enmc.enmc_types import ScreenerOp
from sim.stream import _reader as reader, unpack

__all__ = ["Lockstep"]


class Lockstep:
    """Steps a :class:`ScreenerTiming` with the design's inputs and compares its outputs.

    ``overlap()`` is called in a cycle in which a FILTER runs beside a SCREEN. ``deeper``: bursts that the model's
    weight buffer holds beyond the design's, for the test that the comparison fails.
    """

    name = "lockstep"

    def __init__(self, harness, overlap, deeper=0):
        self.h, self.overlap, self.deeper = harness, overlap, deeper
        dut, layout = harness.dut, harness.ctx.layout
        names = ("busy", "mac_busy", "filter_busy", "responses",
                 *(f"{port}__{part}" for port in ("jobs", "requests", "results", "indices")
                   for part in ("valid", "ready", "payload")))
        self._read = {name: reader(getattr(dut, name)) for name in names}
        self._layouts = {name: layout(name) for name in ("jobs", "results", "indices")}
        self.reset()
        harness.bench.add(self)

    def reset(self):
        config = self.h.config
        self.model = ScreenerTiming(
            weight_bursts=config.weight_bursts + self.deeper, finish_lanes=config.finish_lanes,
            filter_lanes=config.filter_lanes, convert_stages=config.convert_stages,
            mac_latency=len(config.plan.cuts))
        self._filters = collections.deque()

    def filter(self, candidates):
        """Of the next FILTER that is queued: (entry, (item, class)) of each candidate."""
        lanes = self.h.config.filter_lanes
        steps = [[] for _ in range(64 // lanes)]
        for entry, candidate in candidates:
            steps[entry // lanes].append(candidate)
        self._filters.append(FilterJob(steps))

    async def drain(self):
        """Nothing to wait for."""

    def finish(self):
        assert not self._filters and not self.model.busy, "busy at the end"

    def status(self):
        return "lockstep"

    def _item(self, port):
        """The payload that is offered, or ``None``."""
        if not self._read[f"{port}__valid"]():
            return None
        payload = self._read[f"{port}__payload"]()
        return unpack(self._layouts[port], payload) if port in self._layouts else payload

    def _job(self):
        item = self._item("jobs")
        if item is None:
            return None
        op = ScreenerOp(item["op"])
        if op == ScreenerOp.SCREEN:
            return ScreenJob(item["address"], item["groups"])
        if op == ScreenerOp.FILTER:
            return self._filters[0]
        return LoneJob(self.model.mul_add_cycles if op == ScreenerOp.MUL_ADD else self.model.nibble_cycles)

    def tick(self, cycle):
        model, read = self.model, self._read
        model.items, model.chunks = self.h.settings.items, self.h.settings.chunks
        job, request = self._job(), self._item("requests")
        result, index = self._item("results"), self._item("indices")
        requests_ready = bool(read["requests__ready"]())
        taken = job is not None and model.takes(job, requests_ready)
        expected = {"job": taken, "request": model.request, "result": model.result, "index": model.index,
                    "busy": (model.busy, model.mac_busy, model.filter_busy)}
        got = {"job": job is not None and bool(read["jobs__ready"]()), "request": request,
               "result": result and result["word"], "index": index and (index["item"], index["class_index"]),
               "busy": tuple(bool(read[name]()) for name in ("busy", "mac_busy", "filter_busy"))}
        assert got == expected, f"cycle {cycle}: {got}, expected {expected}"
        if model.mac_busy and model.filter_busy:
            self.overlap()
        if taken and isinstance(job, FilterJob):
            self._filters.popleft()
        model.step(job if taken else None, requested=request is not None and requests_ready,
                   response=bool(read["responses"]() & 1),
                   result_taken=result is not None and bool(read["results__ready"]()),
                   index_taken=index is not None and bool(read["indices__ready"]()))
        return False
