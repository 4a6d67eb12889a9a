"""Bytes that are nearly right: a seeded mutator of valid messages."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_MOST_CHANGES = 6
_LONGEST_RUN = 64
_RANDOM_SHARE = 0.03
"""Of inputs that owe nothing to a valid message."""


class Mutator:
    """Draws inputs, the same ones for the same seed."""

    def __init__(self, seed: str, valid: Sequence[bytes], most: int, tokens: Sequence[bytes] = ()) -> None:
        """`most`: bytes of an input at the most. `tokens`: pieces of the format that are put in here and there."""
        self._chance = random.Random(seed)
        self._valid, self._most, self._tokens = list(valid), most, list(tokens)
        changes: list[Callable[[bytearray], None]] = [
            self._flip, self._flip, self._set, self._number, self._insert, self._delete, self._repeat, self._cut,
            self._splice,
        ]  # fmt: skip
        self._changes = [*changes, self._token, self._token] if self._tokens else changes

    def next(self) -> bytes:
        """Another input, of at most `most` bytes."""
        chance = self._chance
        if chance.random() < _RANDOM_SHARE:
            return chance.randbytes(min(self._most, int(chance.expovariate(0.02))))
        data = bytearray(chance.choice(self._valid))
        for _ in range(min(_MOST_CHANGES, 1 + int(chance.expovariate(0.8)))):  # mostly one or two
            chance.choice(self._changes)(data)
        return bytes(data[: self._most])

    def _at(self, data: bytearray) -> int:
        # half of all changes go to the first bytes, where headers are
        reach = min(len(data), 24) if self._chance.getrandbits(1) else len(data)
        return int(self._chance.random() * reach)

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._at(data)] ^= 1 << self._chance.getrandbits(3)

    def _set(self, data: bytearray) -> None:
        if data:
            data[self._at(data)] = self._chance.getrandbits(8)

    def _number(self, data: bytearray) -> None:
        at, size = self._at(data), self._chance.choice((1, 2, 4, 8))
        value = self._chance.choice(_INTERESTING) & (1 << 8 * size) - 1
        data[at : at + size] = value.to_bytes(size, self._chance.choice(("big", "little")))

    def _insert(self, data: bytearray) -> None:
        at = self._at(data)
        data[at:at] = self._chance.randbytes(self._chance.randint(1, _LONGEST_RUN))

    def _delete(self, data: bytearray) -> None:
        at = self._at(data)
        del data[at : at + self._chance.randint(1, _LONGEST_RUN)]

    def _repeat(self, data: bytearray) -> None:
        at = self._at(data)
        piece = data[at : at + self._chance.randint(1, _LONGEST_RUN)]
        if piece:
            room = max(1, (self._most - len(data)) // len(piece))
            data[at:at] = piece * min(room, 1 << self._chance.randint(0, 12))

    def _cut(self, data: bytearray) -> None:
        del data[self._at(data) :]

    def _splice(self, data: bytearray) -> None:
        other = self._chance.choice(self._valid)
        data[self._at(data) :] = other[int(self._chance.random() * len(other)) :]

    def _token(self, data: bytearray) -> None:
        at = self._at(data)
        data[at:at] = self._chance.choice(self._tokens)
