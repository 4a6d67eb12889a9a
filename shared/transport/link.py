"""A link: three channels between two peers, and what it costs to use them.

With the half that does not depend on what carries it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Protocol

PACKET_HEADERS = 69
"""Bytes of a packet before its first SCTP chunk: IPv4 20, UDP 8, DTLS 29 (ChaCha20-Poly1305), SCTP 12 (measured)."""
CHUNK_HEADER = 16
"""Bytes before the user data of a DATA chunk; a SACK chunk without gaps has as many in all."""
ACK_SIZE = PACKET_HEADERS + CHUNK_HEADER
"""Bytes of a SACK that travels alone."""
MAX_USER_DATA = 1160
"""User data per chunk; aiortc cuts longer messages."""
logger = logging.getLogger(__name__)
HELD_BYTES = 256 * 1024
"""Bytes of early messages kept until there is a handler: the other side may find the link open first, and nothing
on a reliable channel is sent twice."""


def chunk_cost(size: int) -> int:
    """Bytes of the chunks of a message of `size` bytes: what it adds to a packet that goes anyway."""
    whole, rest = divmod(max(size, 1), MAX_USER_DATA)  # an empty message travels as one byte
    return whole * (CHUNK_HEADER + MAX_USER_DATA) + (CHUNK_HEADER + 4 * ceil(rest / 4) if rest else 0)


def wire_cost(size: int) -> int:
    """Bytes on the wire (IPv4, UDP, DTLS and SCTP included, SACKs not) of a message in packets of its own."""
    return chunk_cost(size) + PACKET_HEADERS * ceil(max(size, 1) / MAX_USER_DATA)


class Channel(StrEnum):
    """The channels of a link, in the order of their stream ids."""

    MOTION = "motion"
    PICTURES = "pictures"
    CONTROL = "control"


class LinkClosed(ConnectionError):
    """The link is not open: never was, or not any more. The text is the reason."""


class Kind(StrEnum):
    """What a byte on the wire was for; every byte is of one kind."""

    MOTION = "motion"
    """Messages of the channel, and those repeated after a loss."""
    PICTURES = "pictures"
    CONTROL = "control"
    HEADERS = "headers"
    """IPv4, UDP, DTLS, SCTP and chunk headers and padding of packets that carry messages."""
    SACKS = "sacks"
    """Packets that only acknowledge, whole; of others only the SACK chunk."""
    CONNECTION = "connection"
    """STUN, the DTLS handshake, the set-up and the end of SCTP: whole packets."""


@dataclass(frozen=True)
class Traffic:
    """What went one way, IP and UDP headers included."""

    packets: int
    kinds: Mapping[Kind, int]
    """Bytes by kind; every kind is a key."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(self.kinds.values())


@dataclass(frozen=True)
class WireBytes:
    """What one side put on and took off the network."""

    sent: Traffic
    received: Traffic


@dataclass(frozen=True)
class Tally:
    """Messages and their payload bytes."""

    messages: int = 0
    size: int = 0


@dataclass(frozen=True)
class PayloadBytes:
    """What the application sent and what came for it, by channel; every channel is a key."""

    sent: Mapping[Channel, Tally]
    received: Mapping[Channel, Tally]


Handler = Callable[[Channel, bytes], None]


@dataclass(frozen=True)
class Fingerprints:
    """What the certificates of the two ends of a connection are known by, as this end was told; 32 bytes each.

    If nobody sits between, the other end has the same two, the other way round.
    """

    ours: bytes
    theirs: bytes


class Link(Protocol):
    """A live connection to the other side."""

    @property
    def queued(self) -> int:
        """Bytes handed to `send` and not yet put on the network."""

    @property
    def fingerprints(self) -> Fingerprints | None:
        """Of the connection there is now; None where nothing is encrypted, or before both sides are known."""

    def on_message(self, handler: Handler) -> None:
        """Have `handler` called with every message, beginning with those that came before (up to 256 KiB are kept)."""

    def send(self, channel: Channel, data: bytes) -> None:
        """Queue one message and return at once. Raises LinkClosed unless the link is open."""

    def wire(self) -> WireBytes:
        """Everything this side sent and received, from the connection's first datagram on."""

    def payload(self) -> PayloadBytes:
        """What `send` took and what arrived."""

    async def wait_closed(self) -> str:
        """Wait for the end of the link; the reason, as part of a sentence. `close` is still to be called."""

    async def close(self) -> None:
        """Close the link and free what it holds. May be called twice."""


class _PayloadMeter:
    def __init__(self) -> None:
        self._messages: Counter[Channel] = Counter()
        self._size: Counter[Channel] = Counter()

    def count(self, channel: Channel, data: bytes) -> None:
        self._messages[channel] += 1
        self._size[channel] += len(data)

    def snapshot(self) -> dict[Channel, Tally]:
        return {channel: Tally(self._messages[channel], self._size[channel]) for channel in Channel}


class CommonLink:
    """Base class of links; must be made while an event loop runs."""

    def __init__(self) -> None:
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._handler: Handler | None = None
        self._held: deque[tuple[Channel, bytes]] = deque()
        self._held_bytes = 0
        self._sent = _PayloadMeter()
        self._received = _PayloadMeter()

    @property
    def fingerprints(self) -> Fingerprints | None:
        """See `Link.fingerprints`."""
        return None

    def on_message(self, handler: Handler) -> None:
        """See `Link.on_message`."""
        self._handler = handler
        while self._held:
            self._hand_over(handler, *self._held.popleft())

    def payload(self) -> PayloadBytes:
        """See `Link.payload`."""
        return PayloadBytes(self._sent.snapshot(), self._received.snapshot())

    async def wait_closed(self) -> str:
        """See `Link.wait_closed`."""
        return await asyncio.shield(self._ended)

    def _end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)

    def _deliver(self, channel: Channel, data: bytes) -> None:
        if self._ended.done():
            return
        self._received.count(channel, data)
        if self._handler is not None:
            self._hand_over(self._handler, channel, data)
        elif self._held_bytes + len(data) <= HELD_BYTES:
            self._held.append((channel, data))
            self._held_bytes += len(data)
        else:
            logger.warning("a %s message was dropped: nobody has asked for messages yet", channel)

    @staticmethod
    def _hand_over(handler: Handler, channel: Channel, data: bytes) -> None:
        try:
            handler(channel, data)
        except Exception:
            # An error that left this frame would end the transport's receive loop, and the call with it.
            logger.exception("the handler of %s messages failed", channel)
