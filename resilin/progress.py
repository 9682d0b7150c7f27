"""Progress of a long job, on stderr: its own steps, and what a simulator writes to a file."""

import contextlib
import sys
import threading
import time

__all__ = ["Progress", "followed"]

_HEARTBEAT = 20


class Progress:
    """Lines with the time since the start, on stderr; says that it is still there when a step takes long."""

    def __init__(self):
        self._started = self._last = time.monotonic()
        self._step, self._ended = "starting", threading.Event()

    def __call__(self, line):
        self._last = time.monotonic()
        print(f"[{self._last - self._started:5.0f} s] {line}", file=sys.stderr, flush=True)

    def step(self, line):
        """Tell that a step begins."""
        self._step = line
        self(line)

    @contextlib.contextmanager
    def alive(self):
        """Repeat the current step whenever nothing was told for a while."""
        thread = threading.Thread(target=self._beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _beat(self):
        while not self._ended.wait(1):
            if time.monotonic() - self._last >= _HEARTBEAT:
                self(f"... {self._step}")


@contextlib.contextmanager
def followed(path, progress):
    """Pass on the lines that another process adds to a file."""
    ended = threading.Event()

    def follow():
        position, last = 0, False
        while not last:
            last = ended.wait(0.5)
            text = path.read_text() if path.is_file() else ""
            whole = text.rfind("\n") + 1
            for line in text[position:whole].splitlines():
                progress(line)
            position = max(position, whole)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
