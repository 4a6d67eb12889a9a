"""Two links joined in memory, with loss, delay and disorder: for tests."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from shared.transport.aiortc_patches.sack_bundling import DelayedAck
from shared.transport.link import ACK_SIZE, Channel, CommonLink, Kind, LinkClosed, Traffic, WireBytes, wire_cost

FAR_CLOSED = "the other side closed the connection"


@dataclass(frozen=True)
class Impairment:
    """What happens to messages on their way."""

    loss: float = 0.0
    """Share of messages lost, 0..1. On `motion` they are gone unless `reliable`; elsewhere they come late."""
    delay: float = 0.0
    """Seconds every message takes."""
    jitter: float = 0.0
    """Up to this many seconds more, drawn for every message: this is what reorders them."""
    duplicate: float = 0.0
    """Share of `motion` and `pictures` messages that arrive twice."""
    reliable: bool = False
    """Repair losses on `motion` too, as the real link does in the end."""


def memory_pair(
    seed: int = 0,
    *,
    loss: float = 0.0,
    delay: float = 0.0,
    jitter: float = 0.0,
    duplicate: float = 0.0,
    reliable: bool = False,
) -> tuple[MemoryLink, MemoryLink]:
    """Two open links, each the other's far end; see `Impairment`. Needs a running event loop."""
    impairment = Impairment(loss, delay, jitter, duplicate, reliable)
    chance = random.Random(seed)
    a, b = MemoryLink(impairment, chance), MemoryLink(impairment, chance)
    a._far, b._far = b, a
    return a, b


class MemoryLink(CommonLink):
    """One end of `memory_pair`.

    Wire bytes are computed, not observed: a packet per message, and a SACK for every second. Connection set-up and STUN
    do not exist here and are not counted.
    """

    _far: MemoryLink

    def __init__(self, impairment: Impairment, chance: random.Random) -> None:
        super().__init__()
        self._impairment = impairment
        self._chance = chance
        self._out, self._in = _Computed(), _Computed()
        self._acks = DelayedAck()
        self._in_order: deque[Callable[[], None]] = deque()
        self._last_in_order = 0.0

    @property
    def queued(self) -> int:
        """Always 0: memory takes everything at once."""
        return 0

    def send(self, channel: Channel, data: bytes) -> None:
        """See `Link.send`."""
        if self._ended.done():
            raise LinkClosed(self._ended.result())
        self._sent.count(channel, data)
        self._out.message(channel, len(data))
        if channel is Channel.CONTROL:
            self._later_in_order(lambda: self._far._arrive(channel, data))
            return
        wait = self._travel_time()
        if self._happens(self._impairment.loss):
            if channel is Channel.MOTION and not self._impairment.reliable:
                return
            self._out.message(channel, len(data))
            wait += 2 * self._impairment.delay + self._travel_time()
        copies = 2 if self._happens(self._impairment.duplicate) else 1
        for _ in range(copies):
            self._later(wait, lambda: self._far._arrive(channel, data))
            wait += self._travel_time()

    def wire(self) -> WireBytes:
        """See `Link.wire`."""
        return WireBytes(self._out.snapshot(), self._in.snapshot())

    async def close(self) -> None:
        """Close both ends; the far one after what is already on its way on `control`."""
        if not self._ended.done():
            self._end("closed on this side")
            self._later_in_order(lambda: self._far._end(FAR_CLOSED))

    def _happens(self, share: float) -> bool:
        return self._chance.random() < share

    def _travel_time(self) -> float:
        return self._impairment.delay + self._chance.random() * self._impairment.jitter

    def _later(self, wait: float, action: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(wait, action)

    def _later_in_order(self, action: Callable[[], None]) -> None:
        # The loop may run timers of the same instant in any order, so each timer takes the oldest action, not its own.
        loop = asyncio.get_running_loop()
        self._in_order.append(action)
        self._last_in_order = max(self._last_in_order, loop.time() + self._travel_time())
        loop.call_at(self._last_in_order, lambda: self._in_order.popleft()())

    def _arrive(self, channel: Channel, data: bytes) -> None:
        if self._ended.done():
            return
        self._in.message(channel, len(data))
        if self._acks.received(asyncio.get_running_loop().time(), incomplete=False):
            self._acks.sent()
            self._out.sack()
            self._far._in.sack()
        self._deliver(channel, data)


class _Computed:
    """Bytes of one direction."""

    def __init__(self) -> None:
        self._packets = 0
        self._kinds: Counter[Kind] = Counter()

    def message(self, channel: Channel, size: int) -> None:
        self._packets += 1
        self._kinds[Kind(channel.value)] += size
        self._kinds[Kind.HEADERS] += wire_cost(size) - size

    def sack(self) -> None:
        self._packets += 1
        self._kinds[Kind.SACKS] += ACK_SIZE

    def snapshot(self) -> Traffic:
        return Traffic(self._packets, dict.fromkeys(Kind, 0) | self._kinds)
