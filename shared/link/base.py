"""What a link is: three channels between two peers, and what it costs to use them."""

from __future__ import annotations

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
