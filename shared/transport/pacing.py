"""When the next piece of a picture may go: pictures must never stand in motion's way.

All channels share one send queue without priorities, so a picture sent at once delays motion by its whole length
(3.4 s for 6 KB at 16 kbit/s, measured). Pieces are therefore released at a steady rate, and while motion flows each
goes with a bundle, in whose packet it travels for a fifth of what a packet of its own costs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from shared.transport.link import chunk_cost, wire_cost

FIRST_RATE = 8000.0
"""Bytes/s on the wire until one source has gone out whole: 64 kbit/s, since nothing can be drawn before."""
LATER_RATE = 800.0
"""Bytes/s on the wire afterwards: 6.4 kbit/s, which a 16 kbit/s link carries beside motion with room to recover."""
KEY_SHARE = 0.7
"""Of the rate at which the first source came through, what the first key of the base layer may take: until it is there
nothing true is shown, and motion goes beside it. At `LATER_RATE` it would take a second, a large one five."""
FIRST_PIECE = 1000
"""Bytes of a piece of the first source: nothing else is under way that it could hold up."""
PIECE = 140
"""Bytes of a piece of a later one: with its bundle 0.14 s at 16 kbit/s, gone before the next bundle comes."""
QUEUE_BOUND = 1000
"""Bytes waiting in the link above which no piece is added: more would only wait there, where it cannot be dropped."""
CATCH_UP = 0.1
"""Seconds of unused rate that may be made up for; covers a caller that looks once per frame, allows no burst."""
RIDE_WAIT = 0.6
"""Seconds after a bundle within which a piece waits for the next one: longer than any profile's bundles are apart."""


@dataclass(frozen=True)
class _Piece:
    source_id: int
    data: bytes
    last: bool
    """Of a source or a key."""
    key: bool
    """Whether it is one of a key of the base layer, not of a source."""


class PicturePacer:
    """A queue of picture pieces, released by a token bucket (virtual scheduling, ITU-T I.371). Times are seconds."""

    def __init__(
        self,
        *,
        first_rate: float = FIRST_RATE,
        later_rate: float = LATER_RATE,
        queue_bound: int = QUEUE_BOUND,
    ) -> None:
        """Rates in bytes/s on the wire. Raises ValueError unless they are positive."""
        if first_rate <= 0 or later_rate <= 0:
            raise ValueError(f"rates must be positive, not {first_rate} and {later_rate} bytes/s")
        self.first_rate = first_rate
        self.freed_rate = 0.0
        """Bytes/s that keys of the base layer have besides: what its packets have, none of which goes before its key is
        held; set it."""
        self._later_rate = later_rate
        self._queue_bound = queue_bound
        self._pieces: deque[_Piece] = deque()
        self._free_at = float("-inf")
        self._first_done = self._key_done = False
        self._last_ride = float("-inf")
        self._began: float | None = None
        """When the first piece of the first source went."""
        self._spent = 0
        """Bytes on the wire of pieces since then."""
        self._key_rate = 0.0

    @property
    def later_rate(self) -> float:
        """Bytes/s on the wire once one source has gone out whole; may be set at any time, must be positive."""
        return self._later_rate

    @later_rate.setter
    def later_rate(self, rate: float) -> None:
        if rate <= 0:
            raise ValueError(f"a rate must be positive, not {rate} bytes/s")
        self._later_rate = rate

    @property
    def pending(self) -> int:
        """Bytes on the wire that the waiting pieces will cost."""
        return sum(wire_cost(len(piece.data)) for piece in self._pieces)

    def add(self, source_id: int, pieces: Iterable[bytes]) -> None:
        """Queue all pieces of a source behind those that wait."""
        self._pieces.extend(_whole(source_id, pieces, key=False))

    def add_key(self, pieces_id: int, pieces: Iterable[bytes]) -> None:
        """Queue all pieces of a key of the base layer in front, in place of those of an older one."""
        self.drop_keys()
        self._pieces.extendleft(reversed(_whole(pieces_id, pieces, key=True)))

    def drop_keys(self) -> None:
        """Drop the unsent pieces of keys of the base layer."""
        self._pieces = deque(piece for piece in self._pieces if not piece.key)

    @property
    def keys_pending(self) -> bool:
        """Whether pieces of a key of the base layer wait."""
        return any(piece.key for piece in self._pieces)

    def drop_all_but(self, source_id: int) -> int:
        """Drop the unsent pieces of every other source; returns how many there were."""
        before = len(self._pieces)
        self._pieces = deque(piece for piece in self._pieces if piece.source_id == source_id or piece.key)
        return before - len(self._pieces)

    def restart(self, nothing_held: bool) -> None:
        """Drop all pieces: the link is a new one. With `nothing_held` the next source is a first one again."""
        self._pieces.clear()
        self._first_done = self._first_done and not nothing_held
        self._key_done = self._key_done and not nothing_held
        if nothing_held:
            self._began, self._spent, self._key_rate = None, 0, 0.0

    def arrived(self, now: float) -> None:
        """Takes in that the first source is there: how long it took says what the link carries."""
        if self._began is not None and not self._key_rate:
            self._key_rate = min(self.first_rate, KEY_SHARE * self._spent / max(now - self._began, 1e-3))

    def pop_due(self, now: float, link_queued: int, rides: bool = False) -> list[bytes]:
        """The pieces to send at time `now`, in order, while `link_queued` bytes still wait in the link.

        rides: a bundle goes at this moment. Pieces then make up for the time since the last one did.
        """
        catch_up, since_ride = CATCH_UP, now - self._last_ride
        if rides:
            self._last_ride = now
            if since_ride < RIDE_WAIT:
                catch_up = max(CATCH_UP, since_ride)
        elif since_ride < RIDE_WAIT:
            return []
        due: list[bytes] = []
        while self._pieces and self._free_at <= now and link_queued <= self._queue_bound:
            piece = self._pieces[0]
            rate = self._rate(piece)
            cost = chunk_cost(len(piece.data)) if rides else wire_cost(len(piece.data))
            if rides and due and (len(due) + 1) * cost > rate * catch_up:
                break  # a bundle that is a little late must not carry twice as much
            self._pieces.popleft()
            if not self._first_done:
                self._began = now if self._began is None else self._began
                self._spent += cost
            self._free_at = max(self._free_at, now - catch_up) + cost / rate
            self._first_done = self._first_done or (piece.last and not piece.key)
            self._key_done = self._key_done or (piece.last and piece.key)
            link_queued += len(piece.data)
            due.append(piece.data)
        return due

    def _rate(self, piece: _Piece) -> float:
        if not self._first_done:
            return self.first_rate
        if not piece.key:
            return self._later_rate
        return max(self._later_rate + self.freed_rate, 0.0 if self._key_done else self._key_rate)


def _whole(source_id: int, pieces: Iterable[bytes], *, key: bool) -> list[_Piece]:
    """All pieces of a source or a key."""
    every = list(pieces)
    return [_Piece(source_id, data, n == len(every), key) for n, data in enumerate(every, 1)]
