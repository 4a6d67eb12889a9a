"""Which frames are drawn together."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def batches(kinds: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """Indices of `kinds` in batches of one kind, each as large as one of `sizes` (ascending).

    The last index of a batch is repeated until a size is reached.
    """
    out = []
    for kind in sorted(set(kinds)):
        alike = [index for index, each in enumerate(kinds) if each == kind]
        for at in range(0, len(alike), sizes[-1]):
            batch = alike[at : at + sizes[-1]]
            size = sizes[bisect_left(sizes, len(batch))]
            out.append(batch + batch[-1:] * (size - len(batch)))
    return out
