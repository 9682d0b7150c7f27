"""Units around the EnmcController that take random times, and check that every job comes in its turn."""

import collections
import dataclasses

from sim.stream import pack

__all__ = ["ExpectedJob", "Units", "used_buffers"]

SCREENER, EXECUTOR, OUTPUT = {0, 1, 4}, {2, 3, 5}, {6}
GROUP = 4


def used_buffers(job):
    """Numbers of the buffers that a :class:`golden.enmc.enmc_controller.Job` uses, those of its candidates too."""
    if job.kind == "SCREENER":
        return {4} | OUTPUT | EXECUTOR if job.op == "FILTER" else SCREENER
    if job.kind == "MEMORY":
        return {job.buf1, job.buf2} if job.op == "MOVE" else {job.buf1}
    return EXECUTOR


@dataclasses.dataclass
class ExpectedJob:
    """A job that must come to its ``unit``.

    ``fences``: instructions before it in the program that wait for everything. ``used``: buffers. ``filters``: it is
    FILTER, which gives candidates. ``candidates`` of a range, for ``item``. ``drops``: writes of a store that are not
    allowed.
    """

    unit: str
    fences: int
    used: set
    needs_memory: bool = False
    filters: bool = False
    item: int = 0
    candidates: int = 0
    drops: int = 0
    found: bool = False
    done: bool = False


class Units:
    """Screener, Executor, InstructionGenerator, load-store unit and DramController as the controller sees them.

    ``expect`` queues the jobs of the program in order; the streams' monitors call ``arrive``. Each job takes a random
    time; FILTER finds candidates, which are computed in groups of four. A job that comes while one before it in the
    program, in another unit, uses its buffers is an error. ``hold``: jobs of the Executor do not end.
    """

    def __init__(self, dut, bench, ctx, hit):
        self.dut, self.rng, self.hit = dut, ctx.random, hit
        self.layout = ctx.layout("units")
        self.settings = None
        self.words = [self.rng.getrandbits(512) for _ in range(4)]  # of the OUTPUT buffer
        self.reset()
        bench.add(self)

    def reset(self):
        self.jobs = []  # of the program, not yet done
        self.inside = {unit: collections.deque() for unit in ("screener", "executor", "memory", "ranges")}
        self.left = dict.fromkeys(self.inside, 0)
        self.queues = [0] * 4
        self.group = None  # (item, results left, cycles left)
        self.finding = collections.deque()  # candidates that FILTER still gives
        self.idle_cycles = 9
        self.hold = False
        self.computed = [0] * 4
        self.last_fence = self.store_dropped = 0
        self.drive()

    def finish(self):
        assert not any(not job.done for job in self.jobs), f"jobs that never came: {self.jobs[:3]}"

    async def drain(self):
        """Nothing to wait for: the harness polls STATUS."""

    def status(self):
        return f"units, inside {self.inside}, queues {self.queues}, group {self.group}"

    def expect(self, job):
        self.jobs.append(job)

    def arrive(self, unit, job):
        """``job`` (:class:`ExpectedJob`) has come to its unit."""
        for other in self.jobs:
            if other is job:
                break
            if not other.done:
                assert other.fences == job.fences, f"{job} overtakes a barrier after {other}"
                assert other.unit == job.unit or not other.used & job.used, f"{job} does not wait for {other}"
                self.hit("jobs side by side", other.unit != job.unit)
        if self.last_fence != job.fences:
            self.last_fence = job.fences
            # Candidates may already be computed for an instruction after this one.
            assert not any(self.inside.values()), f"{job} came while there was work: {self.status()}"
        if EXECUTOR & job.used and not job.filters and unit != "ranges":
            assert not any(self.queues) and self.group is None and not self.finding, "candidates are left"
        self.inside[unit].append(job)
        self.left[unit] = self.left[unit] or self.time() + 1  # the cycle after the transfer is the first of its time

    def time(self):
        return self.rng.choice((1, 1, 2, 3, 8, 20))

    def working(self):
        """Whether any unit is busy."""
        return any(self.inside.values()) or self.group is not None or bool(self.finding) or max(self.queues) >= GROUP

    def tick(self, cycle):
        before = self.working()
        self._outputs()
        flush = int(self.dut.flush.value)
        self._jobs()
        self._candidates(flush)
        self.drive()
        return before or self.working()

    def _outputs(self):
        dut = self.dut
        dut.output_word.value = self.words[int(dut.output_index.value)]
        wanted = int(dut.memory_wanted.value)
        assert wanted or not self.needed, "a unit needs the DRAM, and it is not asked for"
        self.idle_cycles = 0 if wanted else self.idle_cycles + 1
        settings = tuple(int(getattr(dut, name).value) for name in
                         ("screener_settings", "candidate_settings", "result_settings"))
        assert settings == self.settings or not self.worked, "settings change while a unit works"
        self.settings = settings
        if int(dut.clear.value):
            assert not self.working() and not any(self.queues), "CLR does not wait"
            self.computed = [0] * 4

    def _end(self, unit):
        job = self.inside[unit].popleft()
        job.done = True
        while self.jobs and self.jobs[0].done:
            self.jobs.pop(0)
        self.left[unit] = self.time() if self.inside[unit] else 0
        return job

    def _jobs(self):
        self.store_dropped = 0
        for unit, jobs in self.inside.items():
            if not jobs or unit == "executor" and (self.group is not None or self.hold):
                continue
            if unit == "memory" and jobs[0].drops:
                jobs[0].drops -= 1
                self.store_dropped = 1
            elif self.left[unit] > 1:
                self.left[unit] -= 1
            elif unit == "screener" and jobs[0].filters and (self.finding or not jobs[0].found):
                if not jobs[0].found:
                    jobs[0].found = True
                    self.finding.extend(item for item in range(4) for _ in range(self.rng.choice((0, 0, 1, 3, 6))))
                if self.finding:
                    self.queues[self.finding.popleft()] += 1
            elif unit == "ranges":
                self.queues[jobs[0].item] += 1
                jobs[0].candidates -= 1
                if not jobs[0].candidates:
                    self._end(unit)
            else:
                self._end(unit)

    def _candidates(self, flush):
        if self.group is None:
            ready = [item for item in range(4) if self.queues[item] >= (1 if flush else GROUP)]
            if ready and not self.inside["executor"]:
                item = self.rng.choice(ready)
                count = min(self.queues[item], GROUP)
                assert not any(job.used & EXECUTOR for job in self.inside["memory"]), "candidates do not wait"
                self.hit("flushed group", count < GROUP)
                self.queues[item] -= count
                self.group = [item, count, self.time()]
            assert not (ready and self.inside["executor"]), "candidates behind an instruction of the Executor"
            return
        item, count, left = self.group
        if left:
            self.group[2] -= 1
        elif count:
            self.computed[item] += 1
            self.group[1] -= 1
        else:
            self.group = None

    def drive(self):
        inside = self.inside
        self.worked = self.working()
        flags = {
            "screener_busy": bool(inside["screener"]),
            "filter_busy": any(job.filters for job in inside["screener"]),
            "executor_busy": bool(inside["executor"]) or self.group is not None,
            "generator_busy": bool(inside["ranges"]) or max(self.queues) >= GROUP or self.group is not None,
            "candidates_left": any(self.queues) or bool(inside["ranges"]),
            "memory_busy": bool(inside["memory"]), "memory_idle": self.idle_cycles > 3,
        }
        self.needed = self.group is not None or any(job.needs_memory for jobs in inside.values() for job in jobs)
        self.owned = not flags["memory_idle"]
        self.dut.units.value = pack(self.layout, {name: int(flag) for name, flag in flags.items()})
        self.dut.store_dropped.value = self.store_dropped
        self.dut.counts.value = sum(count << 32 * item for item, count in enumerate(self.computed))
