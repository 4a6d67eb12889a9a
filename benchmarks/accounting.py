"""What messages and coded frames cost on the wire, IPv4 and UDP headers included, computed from their sizes and times.

A real call counts its bytes (`shared.link.accounting`); here there is no network, so the rules by which the link packs
and acknowledges messages are followed instead. Nothing is lost, and the way takes no time. Bytes on the wire are of the
same kinds as in a call's report. Connection set-up is left out on every side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil

from benchmarks.loopback import Message
from shared.link.acks import DelayedAck
from shared.link.base import ACK_SIZE, CHUNK_HEADER, MAX_USER_DATA, PACKET_HEADERS, Kind, chunk_cost

CONSENT_BYTES_PER_SECOND = 39
"""STUN consent checks and their answers, each way (measured: 38 to 40)."""
RTP_PAYLOAD = 1100
"""Payload bytes of a full RTP packet."""
RTP_OVERHEAD = 69
"""Bytes around the payload of one RTP video packet: IPv4, UDP, RTP with extensions, SRTP tag (measured)."""
RTCP_BYTES_PER_SECOND = (120, 210)
"""Sender reports out, receiver reports back (measured: 0.9 to 1.0 and 1.7 kbit/s beside video)."""

_ROOM = CHUNK_HEADER + MAX_USER_DATA
"""Bytes of chunks that fit into one packet."""


@dataclass(frozen=True)
class Wire:
    """Bytes on the wire both ways, by kind; every kind is a key."""

    out: dict[Kind, int]
    back: dict[Kind, int]

    @property
    def bytes_out(self) -> int:
        return sum(self.out.values())

    @property
    def bytes_back(self) -> int:
        return sum(self.back.values())


def messages_on_wire(messages: Sequence[Message], seconds: float) -> Wire:
    """The cost of messages over the data channels of a link that was up for `seconds`.

    Messages of one moment and direction share packets. A packet is acknowledged when the link would (`DelayedAck`): by
    a chunk in the next packet that goes the other way, or by a packet of its own.
    """
    ends = {True: _End(), False: _End()}
    for time, group in groupby(sorted(messages, key=lambda m: m.time), key=lambda m: m.time):
        for end in ends.values():
            end.acknowledge_late(time)
        now = list(group)
        for forward, end in ends.items():
            for packet in _packets([m for m in now if m.forward is forward]):
                end.send(packet)
                ends[not forward].receive(time)
    for end in ends.values():
        end.acknowledge_late(seconds)
        end.sent[Kind.CONNECTION] += round(CONSENT_BYTES_PER_SECOND * seconds)
    return Wire(dict.fromkeys(Kind, 0) | ends[True].sent, dict.fromkeys(Kind, 0) | ends[False].sent)


def rtp_on_wire(sizes: Sequence[int], seconds: float) -> tuple[int, int]:
    """Bytes out and back of coded frames of these sizes in RTP, with RTCP and the consent checks of ICE."""
    packets = sum(ceil(size / RTP_PAYLOAD) for size in sizes)
    out, back = (round((rtcp + CONSENT_BYTES_PER_SECOND) * seconds) for rtcp in RTCP_BYTES_PER_SECOND)
    return sum(sizes) + RTP_OVERHEAD * packets + out, back


def kbps(size: float, seconds: float) -> float:
    """kbit/s."""
    return round(size * 8 / seconds / 1000, 3)


class _End:
    """One end: what it has sent, and the acknowledgement it owes."""

    def __init__(self) -> None:
        self.sent: Counter[Kind] = Counter()
        self._ack = DelayedAck()

    def send(self, packet: Sequence[Message]) -> None:
        if self._ack.due is not None:
            self.sent[Kind.SACKS] += CHUNK_HEADER
            self._ack.sent()
        self.sent[Kind.HEADERS] += PACKET_HEADERS
        for message in packet:
            self.sent[Kind(message.channel.value)] += message.size
            self.sent[Kind.HEADERS] += chunk_cost(message.size) - message.size

    def receive(self, time: float) -> None:
        if self._ack.received(time, incomplete=False):
            self._acknowledge()

    def acknowledge_late(self, time: float) -> None:
        if self._ack.due is not None and self._ack.due <= time:
            self._acknowledge()

    def _acknowledge(self) -> None:
        self.sent[Kind.SACKS] += ACK_SIZE
        self._ack.sent()


def _packets(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """The chunks of messages, as messages of at most one chunk, in as few packets as their order allows."""
    packet: list[Message] = []
    room = _ROOM
    for message in messages:
        for at in range(0, max(message.size, 1), MAX_USER_DATA):
            chunk = Message(message.forward, message.channel, min(message.size - at, MAX_USER_DATA), message.time)
            if packet and chunk_cost(chunk.size) > room:
                yield packet
                packet, room = [], _ROOM
            packet.append(chunk)
            room -= chunk_cost(chunk.size)
    if packet:
        yield packet
