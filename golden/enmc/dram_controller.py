"""Golden model of the DramController's data: reads and writes of bursts in the order of their requests."""

import numpy as np

__all__ = ["BURST", "DramController"]

#: Bytes of a burst.
BURST = 64


class DramController:
    """The memory of a rank as the requests see it.

    ``row_bits``: bits of a row address; the rank has ``2 ** (row_bits + 11)`` bursts of 64 bytes. Bytes begin at
    ``fill`` (``None``: a read of a byte that was never written is refused).
    """

    def __init__(self, row_bits=16, fill=None):
        self.bursts = 1 << row_bits + 11
        self.fill = fill
        self._data, self._known = {}, {}
        self._loaded = []

    def load(self, address, data):
        """Back door for much at once: ``data`` uint8 (n, 64) at the bursts from ``address`` on, none of them used yet.

        A burst is copied from there when it is used first; before that :meth:`contents` does not have it.
        """
        data = np.asarray(data)
        if data.dtype != np.uint8 or data.shape[1:] != (BURST,):
            raise ValueError(f"data of dtype {data.dtype} and shape {data.shape} is not allowed: it must be uint8 of "
                             f"shape (n, {BURST})")
        last = address + len(data)
        if not 0 <= address <= last <= self.bursts or any(address <= used < last for used in self._data):
            raise ValueError(f"address = {address} is not allowed: bursts {address} to {last - 1} must exist, and none "
                             "of them may be used")
        self._loaded.append((address, data))

    def _burst(self, address):
        if isinstance(address, bool) or not isinstance(address, (int, np.integer)) or not 0 <= address < self.bursts:
            raise ValueError(f"address = {address!r} is not allowed: address must be an integer from 0 to "
                             f"{self.bursts - 1}")
        address = int(address)
        if address not in self._data:
            found = next((data[address - first] for first, data in reversed(self._loaded)
                          if first <= address < first + len(data)), None)
            self._data[address] = np.full(BURST, self.fill or 0, dtype=np.uint8) if found is None else found.copy()
            self._known[address] = np.full(BURST, self.fill is not None or found is not None)
        return self._data[address], self._known[address]

    @staticmethod
    def _checked(name, values, kind):
        values = np.asarray(values)
        if values.shape != (BURST,) or values.dtype != kind:
            raise ValueError(f"{name} of dtype {values.dtype} and shape {values.shape} is not allowed: {name} must be "
                             f"{BURST} of {np.dtype(kind)}")
        return values

    def write(self, address, data, mask=None):
        """Write a burst: ``data`` 64 bytes (uint8), where ``mask`` (bool; all when ``None``) is true."""
        mask = np.ones(BURST, dtype=bool) if mask is None else self._checked("mask", mask, bool)
        stored, known = self._burst(address)
        stored[mask] = self._checked("data", data, np.uint8)[mask]
        known |= mask

    def read(self, address):
        """The 64 bytes (uint8) of a burst."""
        stored, known = self._burst(address)
        if not known.all():
            raise ValueError(f"address = {address} is not allowed: bytes of this burst were never written")
        return stored.copy()

    def contents(self):
        """Every burst that was used: (address, its 64 bytes, which of them were written)."""
        for address, data in self._data.items():
            yield address, data, self._known[address]

    def serve(self, requests, bursts):
        """The responses to requests (write, address, tag) in order; the n-th write takes ``bursts[n]`` = (data, mask).

        Returns a list of (tag, data).
        """
        bursts, responses = iter(bursts), []
        for write, address, tag in requests:
            if write:
                try:
                    data, mask = next(bursts)
                except StopIteration:
                    raise ValueError("bursts are not enough: there must be one for each write") from None
                self.write(address, data, mask)
            else:
                responses.append((tag, self.read(address)))
        return responses
