"""A generation of the base layer: a key and the packets that go on from it, in any order, decoded in theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.codec import MalformedBase
from shared.codec.av1 import RgbImage
from shared.codec.base_key import BaseKey
from shared.codec.base_section import SEQUENCES, BasePacket
from shared.codec.base_video import BaseDecoder

WAITING = 64
"""Packets of one generation that wait for another."""


@dataclass(frozen=True, eq=False)
class DecodedBase:
    """A decoded picture of the base layer."""

    frame: int
    clock: float
    """Capture."""
    crop: int
    crf: int
    picture: RgbImage
    """(size, size, 3), as it was sent."""

    @property
    def size(self) -> int:
        """Side in pixels."""
        return len(self.picture)


@dataclass(frozen=True)
class PlacedPacket:
    """A packet with the frame and the capture clock of its picture, as the playout counts them."""

    packet: BasePacket
    frame: int
    clock: float


class Generation:
    """One key and what goes on from it. Raises MalformedBase where that cannot be decoded, and is then broken."""

    def __init__(self, key: BaseKey, frame: int, clock: float, found: Callable[[DecodedBase], None]) -> None:
        self.key, self.key_frame, self.broken = key, frame, False
        self.frame = frame
        """Of the newest picture decoded."""
        self.waits_since: float | None = None
        """When it was first seen that a packet before those that wait is missing."""
        self._next = 0
        """References decoded."""
        self._waiting: dict[tuple[int, bool, int], PlacedPacket] = {}
        """By references before it, with droppable ones first, and by frame."""
        self._found, self._decoder = found, BaseDecoder(key.size)
        found(DecodedBase(frame, clock, key.crop, key.crf, self._decoder.decode_key(key.data)))

    @property
    def in_use(self) -> bool:
        """Whether packets have followed the key."""
        return self.frame > self.key_frame or bool(self._waiting) or self.broken

    def has(self, placed: PlacedPacket) -> bool:
        """Whether a packet changes nothing any more."""
        return self.broken or placed.frame <= self.frame or self._place(placed) in self._waiting

    def add(self, placed: PlacedPacket) -> None:
        """Takes in a packet that it has not; of too many that wait, the newest are forgotten."""
        place = self._place(placed)
        if place[0] >= self._next:
            self._waiting[place] = placed
        while len(self._waiting) > WAITING:
            del self._waiting[max(self._waiting)]

    def go_on(self, now: float) -> None:
        """Decodes everything that can be."""
        before = self._next
        try:
            while self._waiting:
                place = min(self._waiting)
                count, reference, frame = place
                if count > self._next:
                    break
                placed = self._waiting.pop(place)
                if count < self._next or frame <= self.frame:
                    continue
                picture = self._decoder.decode(placed.packet.data)
                self.frame = frame
                self._next += reference
                self._found(DecodedBase(frame, placed.clock, self.key.crop, self.key.crf, picture))
        except MalformedBase:
            self.broken = True
            self._waiting.clear()
            raise
        finally:
            if not self._waiting:
                self.waits_since = None
            elif self.waits_since is None or self._next > before:
                self.waits_since = now

    def _place(self, placed: PlacedPacket) -> tuple[int, bool, int]:
        ahead = (placed.packet.sequence - self._next + SEQUENCES // 2) % SEQUENCES - SEQUENCES // 2
        return self._next + ahead, not placed.packet.droppable, placed.frame
