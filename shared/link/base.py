"""What a link is: three channels between two peers, and what it costs to use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Protocol

PACKET_OVERHEAD = 93
"""Bytes around the user data of one SCTP packet: IPv4 20, UDP 8, DTLS 37, SCTP 12, DATA chunk 16 (measured)."""
ACK_SIZE = 93
"""Bytes of the SACK that answers every packet; aiortc neither delays nor bundles it (measured)."""
MAX_USER_DATA = 1160
"""User data per packet; aiortc cuts longer messages."""


def wire_cost(size: int) -> int:
    """Bytes on the wire (IPv4, UDP, DTLS and SCTP included, SACKs not) of a message of `size` bytes, sent once."""
    whole, rest = divmod(size, MAX_USER_DATA)
    cost = whole * (PACKET_OVERHEAD + MAX_USER_DATA)
    if rest or not whole:
        cost += PACKET_OVERHEAD + 4 * ceil(max(rest, 1) / 4)  # an empty message travels as one byte
    return cost


class Channel(StrEnum):
    """The channels of a link, in the order of their stream ids."""

    MOTION = "motion"
    PICTURES = "pictures"
    CONTROL = "control"


class LinkClosed(ConnectionError):
    """The link is not open: never was, or not any more. The text is the reason."""


@dataclass(frozen=True)
class WireBytes:
    """What one side put on and took off the network, IP and UDP headers included."""

    bytes_out: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    packets_in: int = 0


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


class Link(Protocol):
    """A live connection to the other side."""

    @property
    def queued(self) -> int:
        """Bytes handed to `send` and not yet put on the network."""

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
