"""What a bad network does to packets, one way: pure decisions, with the time passed in and the chance by a seed.

A packet meets, in this order: the cut, random loss and bursts of it, a queue of so many bytes, the line's rate, and the
way to the other end, on which it may be held up, overtaken or doubled.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

P = TypeVar("P")


@dataclass
class Bursts:
    """Times in which packets are lost, and times between them (Gilbert and Elliott's two states, in seconds)."""

    between: float
    """Mean seconds from the end of a burst to the next."""
    length: float
    """Mean seconds of a burst."""
    loss: float = 1.0
    """Share of packets lost in a burst, 0..1."""
    steady: bool = False
    """Every time and burst is as long as the mean, instead of exponentially distributed."""


@dataclass
class Conditions:
    """What one direction does to packets; may be changed while it runs."""

    rate: float = float("inf")
    """bit/s, IPv4 and UDP headers counted."""
    delay: float = 0.0
    """Seconds from one end to the other, beside the time that the rate takes."""
    loss: float = 0.0
    """Share of packets lost, 0..1."""
    queue: int = 8000
    """Bytes that may wait for the rate; what comes beyond is lost."""
    jitter: float = 0.0
    """Up to this many seconds more, drawn for each packet; packets may overtake each other."""
    reorder: float = 0.0
    """Share of packets that are held up by `held_up`, so that later ones overtake them."""
    held_up: float = 0.1
    """Seconds."""
    duplicate: float = 0.0
    """Share of packets that arrive twice; the second as late as any that is held up."""
    bursts: Bursts | None = None
    cut: bool = False
    """Nothing passes, and what was under way is lost."""


class _Waiting(NamedTuple, Generic[P]):
    packet: P
    size: int


class Line(Generic[P]):
    """One direction of a link. Packets go in by `offer` and come out by `take`. Times are seconds of one clock."""

    def __init__(self, conditions: Conditions, chance: random.Random) -> None:
        self.conditions = conditions
        self._chance = chance
        self._queue: deque[_Waiting[P]] = deque()
        self._queued = 0
        self._sent_bits = 0.0
        """Of the packet at the head of the queue."""
        self._at = float("-inf")
        self._flying: list[tuple[float, int, P]] = []
        self._count = 0
        self._stalled_until = float("-inf")
        self._stall_loses = False
        self._in_burst = False
        self._burst_changes: float | None = None

    def offer(self, packet: P, size: int, now: float) -> bool:
        """A packet of `size` bytes, headers included, enters; False if it is lost at once."""
        self._advance(now)
        link = self.conditions
        lost = self._chance.random() < link.loss  # always drawn, so that one condition does not change another's chance
        if self._burst(now) and self._chance.random() < (link.bursts.loss if link.bursts else 0.0):
            lost = True
        if lost or link.cut or (self._stall_loses and now < self._stalled_until):
            return False
        if self._queued + size > link.queue and self._queue:
            return False
        self._queue.append(_Waiting(packet, size))
        self._queued += size
        self._advance(now)
        return True

    def take(self, now: float) -> list[P]:
        """The packets that have arrived by `now`, in the order of their arrival."""
        self._advance(now)
        arrived = []
        while self._flying and self._flying[0][0] <= now:
            arrived.append(heapq.heappop(self._flying)[2])
        return arrived

    def next_time(self) -> float | None:
        """When `take` should be called next; None if nothing is under way."""
        times = [self._flying[0][0]] if self._flying else []
        if self._queue:
            times.append(self._head_leaves())
        return min(times) if times else None

    def stall(self, now: float, seconds: float, *, lost: bool = False) -> None:
        """Nothing leaves the queue for so long; what comes meanwhile waits there, or is `lost`."""
        self._advance(now)
        self._stalled_until, self._stall_loses = now + seconds, lost

    def change(self, now: float, conditions: Conditions) -> None:
        """Other conditions hold from `now` on, also for what waits; a cut loses everything under way."""
        self._advance(now)
        self.conditions = conditions
        if conditions.cut:
            self._queue.clear()
            self._flying.clear()
            self._queued, self._sent_bits = 0, 0.0

    def queueing(self, now: float) -> float:
        """Seconds that a packet entering now would wait for those before it."""
        self._advance(now)
        bits = 8 * self._queued - self._sent_bits
        held = max(0.0, self._stalled_until - now) if self._queue else 0.0
        return held + bits / self.conditions.rate

    def _head_leaves(self) -> float:
        left = 8 * self._queue[0].size - self._sent_bits
        return max(self._at, self._stalled_until) + left / self.conditions.rate

    def _advance(self, now: float) -> None:
        """Puts on the line what its rate allows up to `now`."""
        while self._queue and (leaves := self._head_leaves()) <= now:
            packet, size = self._queue.popleft()
            self._queued -= size
            self._at, self._sent_bits = leaves, 0.0
            self._fly(packet, leaves)
        if self._queue:
            served = now - max(self._at, self._stalled_until)
            if served > 0:
                self._sent_bits += served * self.conditions.rate
        self._at = max(self._at, now)

    def _fly(self, packet: P, now: float) -> None:
        link, draw = self.conditions, self._chance.random
        arrives = now + link.delay + link.jitter * draw()
        held_up, doubled = draw() < link.reorder, draw() < link.duplicate
        self._arrives(packet, arrives + held_up * link.held_up)
        if doubled:
            self._arrives(packet, arrives + link.held_up * draw())

    def _arrives(self, packet: P, at: float) -> None:
        self._count += 1
        heapq.heappush(self._flying, (at, self._count, packet))

    def _burst(self, now: float) -> bool:
        """Whether a burst is on; each lasts, and ends, by chance or steadily."""
        bursts = self.conditions.bursts
        if bursts is None:
            self._in_burst, self._burst_changes = False, None
            return False
        if self._burst_changes is None:
            self._burst_changes = now + self._lasts(bursts, in_burst=False)
        while now >= self._burst_changes:
            self._in_burst = not self._in_burst
            self._burst_changes += self._lasts(bursts, self._in_burst)
        return self._in_burst

    def _lasts(self, bursts: Bursts, in_burst: bool) -> float:
        mean = bursts.length if in_burst else bursts.between
        return mean if bursts.steady else self._chance.expovariate(1 / mean)
