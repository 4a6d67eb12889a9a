"""The rooms of a rendezvous server: who may open one, who may call into one, and when it ends. Times are seconds."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from shared.signalling.limits import RateLimiter, neighbourhood

CODE_LENGTH = 16
"""Characters of a room's code: 96 bits, so that nobody finds one by trying."""


class Refused(Exception):
    """What is not allowed now. `status` is HTTP's, the text one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """How much a server takes on."""

    rooms: int = 1000
    rooms_each: int = 10
    """Rooms of one address; a household or a small company may share one."""
    callers: int = 4
    """Offers that may wait for an answer in one room."""
    requests: int = 90
    """Rooms opened and offers made from one address a minute: a call that lost its network asks every two seconds."""
    misses: int = 40
    """Offers from one address a minute into rooms that are not there: a receiver that comes back is waited for."""
    idle: float = 12 * 3600.0
    """Seconds without an offer after which a room expires."""


@dataclass
class Room:
    """A place where one receiver waits."""

    code: str
    address: str
    used: float
    """When it was opened, or last called into."""
    callers: int = 0


def room_code(secret: str) -> str:
    """The code of the room that a secret opens: whoever knows only the code cannot take the receiver's place.

    It also lets a receiver have its room back after the server was restarted, though the server stores nothing.
    """
    digest = hashlib.sha256(b"pinhole room " + secret.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()[:CODE_LENGTH]


class Rooms:
    """All rooms."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._rooms: dict[str, Room] = {}
        self._requests = RateLimiter(self._limits.requests)
        self._misses = RateLimiter(self._limits.misses)

    def __len__(self) -> int:
        return len(self._rooms)

    def open(self, code: str, address: str, now: float) -> Room:
        """A new room, in the place of an older one of the same code. Raises Refused."""
        address = neighbourhood(address)
        self._count(address, now)
        others = [room for room in self._rooms.values() if room.code != code]
        if len(others) >= self._limits.rooms:
            raise Refused(503, "all rooms of this rendezvous server are taken: try again later, or another server")
        if sum(room.address == address for room in others) >= self._limits.rooms_each:
            raise Refused(429, "this address has too many rooms open: end a receiver, or use another server")
        room = self._rooms[code] = Room(code, address, now)
        return room

    def enter(self, code: str, address: str, now: float) -> Room:
        """The room to make an offer in; `leave` is to be called afterwards. Raises Refused."""
        address = neighbourhood(address)
        self._count(address, now)
        if self._misses.blocked(address, now):
            raise Refused(429, "too many wrong links came from this address: wait a minute")
        room = self._rooms.get(code)
        if room is None:
            self._misses.record(address, now)
            raise Refused(404, "nobody waits in this room: the receiver has ended, or the link is not whole")
        if room.callers >= self._limits.callers:
            raise Refused(503, "too many callers are at the receiver's door: try again in a moment")
        room.callers += 1
        room.used = now
        return room

    def leave(self, room: Room) -> None:
        """The offer has been answered, or given up."""
        room.callers -= 1

    def close(self, room: Room) -> None:
        """The receiver has gone; nothing happens if another one has taken the place."""
        if self._rooms.get(room.code) is room:
            del self._rooms[room.code]

    def expire(self, now: float) -> list[Room]:
        """Closes and returns the rooms that nobody has called into for long."""
        idle = [room for room in self._rooms.values() if now - room.used >= self._limits.idle]
        for room in idle:
            self.close(room)
        return idle

    def _count(self, address: str, now: float) -> None:
        if self._requests.blocked(address, now):
            raise Refused(429, "too many requests came from this address: wait a minute")
        self._requests.record(address, now)
