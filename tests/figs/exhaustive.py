"""The fewest cycles of a tile by exhaustive search over everything that the array could be fed, for small cases.

Each cycle feeds the same position again or the next one, each with any exchange, in any order and as often as wanted:
more than the compile step ever does. Whether each element can then do all its jobs, one a cycle and each while its
value is seen, is a matching of jobs and cycles.
"""

import collections

__all__ = ["fewest_cycles", "lower_bound"]


def _matching(jobs, seen):
    """Whether every job finds a cycle of its own; ``seen[job]`` is the list of cycles it can be done in."""
    owner = {}

    def place(job, tried):
        for cycle in seen[job]:
            if cycle not in tried:
                tried.add(cycle)
                if cycle not in owner or place(owner[cycle], tried):
                    owner[cycle] = job
                    return True
        return False

    return all(place(job, set()) for job in jobs)


def _possible(elements, words, depth, position):
    """Whether all jobs of positions before ``position`` can be done when ``words`` (position, exchange) are fed.

    A job of (position, exchange, value) may use every cycle within ``depth`` of a feed of its word; cycles after the
    words are free, so that nothing is refused that could still be done.
    """
    for jobs in elements:
        seen = {}
        for job in jobs:
            if job[0] < position:
                cycles = {cycle + age for cycle, word in enumerate(words) if word == job[:2] for age in range(depth)}
                seen[job] = sorted(cycles)
        if not _matching(list(seen), seen):
            return False
    return True


def fewest_cycles(elements, positions, exchanges, depth, most):
    """Fewest cycles, at most ``most``; ``elements``: for each element its jobs (position, exchange, value).

    Cycles behind the last feed count, so the last words are fed for as long as elements work.
    """
    needed = collections.Counter({(position, 0): 0 for position in range(positions)})
    for jobs in elements:
        for word, count in collections.Counter(job[:2] for job in jobs).items():
            needed[word] = max(needed[word], -(-count // depth))  # a feed is seen in ``depth`` cycles
    fewest_feeds = {position: max(1, sum(count for word, count in needed.items() if word[0] == position))
                    for position in range(positions)}

    def to_feed(words, position):
        """Feeds that are still needed, at least."""
        fed = collections.Counter(words)
        here = sum(max(0, count - fed[word]) for word, count in needed.items() if word[0] == position)
        return here + sum(fewest_feeds[later] for later in range(position + 1, positions))

    def extend(words, length):
        position = words[-1][0] if words else -1
        if len(words) == length:
            return position == positions - 1 and all(
                _matching(jobs, {job: [cycle for cycle in range(length) if any(
                    words[fed] == job[:2] for fed in range(max(0, cycle - depth + 1), cycle + 1))] for job in jobs})
                for jobs in elements)
        if to_feed(words, position) > length - len(words) or not _possible(elements, words, depth, position):
            return False
        for step in (1, 0):
            if 0 <= position + step < positions:
                for exchange in range(exchanges):
                    if extend(words + [(position + step, exchange)], length):
                        return True
        return False

    start = max([sum(fewest_feeds.values())] + [len(jobs) for jobs in elements])
    return next((length for length in range(start, most) if extend([], length)), most)


def lower_bound(elements, positions, depth):
    """Cycles that no schedule can do without, for tiles of any size: positions in their order, each as one whole.

    A position takes a feed for each ``depth`` jobs that an element has in one exchange, and as many cycles that no
    element is left with more than ``depth`` - 1 jobs, as if every value of a position were seen until its end.
    """
    counts = [collections.Counter(job[:2] for job in jobs) for jobs in elements]
    feeds, jobs = collections.Counter(), collections.defaultdict(lambda: [0] * len(elements))
    for word in set().union(*counts):
        feeds[word[0]] += max(-(-count[word] // depth) for count in counts)
        jobs[word[0]] = [total + count[word] for total, count in zip(jobs[word[0]], counts)]
    backlog, cycles = [0] * len(elements), 0
    for position in range(positions):
        waiting = [left + more for left, more in zip(backlog, jobs[position])]
        fed = max(1, feeds[position], max(waiting) - (depth - 1))
        backlog, cycles = [max(0, left - fed) for left in waiting], cycles + fed
    return cycles + max(backlog)
