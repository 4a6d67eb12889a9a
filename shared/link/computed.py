"""Bytes on the wire of messages that no network carries, by the rules by which the link packs and acknowledges them.

A real call counts its bytes (`shared.link.accounting`). Here nothing is lost, the way takes no time, and connection
set-up is left out. Kinds of bytes are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from shared.link.acks import DelayedAck
from shared.link.base import (
    ACK_SIZE,
    CHUNK_HEADER,
    MAX_USER_DATA,
    PACKET_HEADERS,
    Channel,
    Kind,
    Traffic,
    WireBytes,
    chunk_cost,
)

CONSENT_BYTES_PER_SECOND = 39
"""STUN consent checks and their answers, each way (measured: 38 to 40)."""
_ROOM = CHUNK_HEADER + MAX_USER_DATA
"""Bytes of chunks that fit into one packet."""
_Message = tuple[Channel, int]
"""Its channel and its bytes."""


class ComputedWire:
    """Adds up what both ends send. Times are seconds since the link was up, and never go back."""

    def __init__(self) -> None:
        self._here, self._there = _End(), _End()

    def send(self, messages: Iterable[_Message], now: float, *, out: bool = True) -> None:
        """Messages of one moment go one way, as channel and size, in as few packets as their order allows.

        A packet is acknowledged when the link would (`DelayedAck`): by a chunk in the next packet that goes the other
        way, or by a packet of its own.
        """
        self._acknowledge_late(now)
        sender, receiver = (self._here, self._there) if out else (self._there, self._here)
        for packet in _packets(messages):
            sender.send(packet)
            receiver.receive(now)

    def total(self, now: float) -> WireBytes:
        """What each way took until `now`, sent out and received back."""
        self._acknowledge_late(now)
        return WireBytes(self._here.traffic(now), self._there.traffic(now))

    def _acknowledge_late(self, now: float) -> None:
        for end in (self._here, self._there):
            end.acknowledge_late(now)


class _End:
    """One end: what it has sent, and the acknowledgement it owes."""

    def __init__(self) -> None:
        self._sent: Counter[Kind] = Counter()
        self._packets = 0
        self._ack = DelayedAck()

    def send(self, packet: Sequence[_Message]) -> None:
        if self._ack.due is not None:
            self._sent[Kind.SACKS] += CHUNK_HEADER
            self._ack.sent()
        self._packets += 1
        self._sent[Kind.HEADERS] += PACKET_HEADERS
        for channel, size in packet:
            self._sent[Kind(channel.value)] += size
            self._sent[Kind.HEADERS] += chunk_cost(size) - size

    def receive(self, now: float) -> None:
        if self._ack.received(now, incomplete=False):
            self._acknowledge()

    def acknowledge_late(self, now: float) -> None:
        if self._ack.due is not None and self._ack.due <= now:
            self._acknowledge()

    def traffic(self, now: float) -> Traffic:
        """Packets are those with messages and acknowledgements."""
        kinds = dict.fromkeys(Kind, 0) | self._sent
        kinds[Kind.CONNECTION] += round(CONSENT_BYTES_PER_SECOND * now)
        return Traffic(self._packets, kinds)

    def _acknowledge(self) -> None:
        self._packets += 1
        self._sent[Kind.SACKS] += ACK_SIZE
        self._ack.sent()


def _packets(messages: Iterable[_Message]) -> Iterator[list[_Message]]:
    """The chunks of messages, as messages of at most one chunk, by packets."""
    packet: list[_Message] = []
    room = _ROOM
    for channel, size in messages:
        for at in range(0, max(size, 1), MAX_USER_DATA):
            chunk = min(size - at, MAX_USER_DATA)
            if packet and chunk_cost(chunk) > room:
                yield packet
                packet, room = [], _ROOM
            packet.append((channel, chunk))
            room -= chunk_cost(chunk)
    if packet:
        yield packet
