"""A range coder with static tables (Martin 1979), and the contexts that choose the table.

Numbers in, about as many bits out as their probabilities say.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

TOTAL_BITS = 12
TOTAL = 1 << TOTAL_BITS
"""Sum of the frequencies of every table."""
_WINDOW_BITS = 32
_RENORMALISE_BELOW = 1 << (_WINDOW_BITS - 8)
UNIT = 16
"""A difference of mean size counts for this much."""
_NEIGHBOURS = 6
"""Numbers before this one in the same frame that are looked at."""
_OLD, _OLD_ALL = 2, 2
"""What this number's difference in the frame before counts for, and the mean of all of that frame."""


class FrequencyTable:
    """Static probabilities of the symbols 0..n-1 as integers that sum to `TOTAL`; a zero marks a symbol never coded."""

    def __init__(self, frequencies: Sequence[int]) -> None:
        """Raises ValueError if a frequency is negative or the sum is not `TOTAL`."""
        if any(f < 0 for f in frequencies) or sum(frequencies) != TOTAL:
            raise ValueError(f"frequencies must be non-negative and sum to {TOTAL}, these sum to {sum(frequencies)}")
        self.frequencies = [int(f) for f in frequencies]
        self.starts = [0, *accumulate(self.frequencies)]


class RangeEncoder:
    """Collects symbols; `finish` returns the bytes."""

    def __init__(self) -> None:
        # The whole output so far is one Python integer, so a carry needs no special handling. Messages are short.
        self._low = 0
        self._range = 1 << _WINDOW_BITS
        self._bits = _WINDOW_BITS

    def encode(self, table: FrequencyTable, symbol: int) -> None:
        """Raises ValueError for a symbol of frequency zero."""
        if table.frequencies[symbol] == 0:
            raise ValueError(f"symbol {symbol} has frequency zero in this table and cannot be coded")
        self._narrow(table.starts[symbol], table.starts[symbol + 1])

    def encode_uniform(self, value: int, bits: int) -> None:
        """Code `value` (0 <= value < 2**bits, bits <= 12) with every value equally likely."""
        if not 0 <= value < 1 << bits:
            raise ValueError(f"{value} does not fit {bits} bits")
        width = TOTAL >> bits
        self._narrow(value * width, (value + 1) * width)

    def _narrow(self, start: int, end: int) -> None:
        unit = self._range >> TOTAL_BITS
        self._low += unit * start
        # The last symbol also gets what the division left over, so that no code value lies outside every symbol.
        self._range = self._range - unit * start if end == TOTAL else unit * (end - start)
        while self._range <= _RENORMALISE_BELOW:
            self._low <<= 8
            self._range <<= 8
            self._bits += 8

    def finish(self) -> bytes:
        """The shortest bytes whose value, followed by zeros, lies in the final interval."""
        for zeros in range(self._bits, -1, -8):
            value = -(-self._low >> zeros) << zeros
            if value < self._low + self._range and value >> self._bits == 0:
                return value.to_bytes(self._bits // 8, "big").rstrip(b"\0")
        raise AssertionError("the interval is never empty")


class RangeDecoder:
    """Reads symbols back in the order in which they were coded, with the same tables."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._read = _WINDOW_BITS // 8
        self._range = 1 << _WINDOW_BITS
        self._code = int.from_bytes(data[: self._read].ljust(self._read, b"\0"), "big")

    def decode(self, table: FrequencyTable) -> int:
        """The next symbol; always one whose frequency is not zero."""
        unit = self._range >> TOTAL_BITS
        symbol = bisect_right(table.starts, min(self._code // unit, TOTAL - 1)) - 1
        self._narrow(unit, table.starts[symbol], table.starts[symbol + 1])
        return symbol

    def decode_uniform(self, bits: int) -> int:
        """The next value that was coded with `encode_uniform`."""
        unit = self._range >> TOTAL_BITS
        width = TOTAL >> bits
        value = min(self._code // unit, TOTAL - 1) // width
        self._narrow(unit, value * width, (value + 1) * width)
        return value

    @property
    def unread(self) -> int:
        """Bytes that a decoder of the symbols read so far never looked at; 0 at the end of what an encoder wrote."""
        return max(0, len(self._data) - self._read)

    def _narrow(self, unit: int, start: int, end: int) -> None:
        self._code -= unit * start
        self._range = self._range - unit * start if end == TOTAL else unit * (end - start)
        while self._range <= _RENORMALISE_BELOW:
            byte = self._data[self._read] if self._read < len(self._data) else 0
            self._code = self._code << 8 | byte
            self._range <<= 8
            self._read += 1


class Contexts:
    """The contexts of one bundle's differences, number by number and frame by frame."""

    def __init__(self, activity: list[int], edges: list[int]) -> None:
        """`activity`, `edges`: see `MotionBasis`."""
        self._activity, self._edges = activity, edges
        self._before: list[int] | None = None
        self._mean = 0
        self._now: list[int] = []

    def next(self) -> int:
        """The context of the next difference, 0 (still) to len(edges)."""
        at = len(self._now)
        recent = self._now[max(0, at - _NEIGHBOURS) :]
        total, count = sum(recent) + UNIT, len(recent) + 1
        if self._before is not None:
            total += _OLD * self._before[at] + _OLD_ALL * self._mean
            count += _OLD + _OLD_ALL
        return sum(total >= edge * count for edge in self._edges)

    def note(self, difference: int) -> None:
        """What the difference was."""
        self._now.append(abs(difference) * self._activity[len(self._now)])
        if len(self._now) == len(self._activity):
            self._before, self._mean, self._now = self._now, sum(self._now) // len(self._now), []


def context_tables(
    differences: NDArray[np.int64], activity: NDArray[np.uint16], edges: NDArray[np.uint16]
) -> NDArray[np.intp]:
    """(N, F, D) contexts of the differences of N bundles, F frames each: the same as one by one, but quick."""
    sizes = np.abs(differences) * activity.astype(np.int64)
    out = np.empty(differences.shape, np.intp)
    means = sizes.sum(2) // sizes.shape[2]
    for frame in range(sizes.shape[1]):
        for at in range(sizes.shape[2]):
            recent = sizes[:, frame, max(0, at - _NEIGHBOURS) : at]
            total, count = recent.sum(1) + UNIT, recent.shape[1] + 1
            if frame:
                total = total + _OLD * sizes[:, frame - 1, at] + _OLD_ALL * means[:, frame - 1]
                count += _OLD + _OLD_ALL
            out[:, frame, at] = (total[:, None] >= edges.astype(np.int64) * count).sum(1)
    return out
