"""Metering: bytes on the wire, counted in a call, or computed where no network carries the messages.

The one place from which status line, reports and benchmarks have them. Computed are they by the rules by which the link
packs and acknowledges messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from shared.transport.aiortc_patches.sack_bundling import DelayedAck
from shared.transport.link import (
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

_DATA, _SACK = 0, 3
_COMMON_HEADER = 12
_DATA_HEADER = 16
_STREAM_ID = slice(8, 10)
_APPLICATION_DATA = 23
"""Content type of a DTLS record that carries an SCTP packet (RFC 6347, section 4.1)."""
_TURN_CHANNEL_DATA = range(0x40, 0x50)
_TURN_HEADER = 4
_KIND_OF_STREAM = tuple(Kind(channel.value) for channel in Channel)
CONSENT_BYTES_PER_SECOND = 39
"""STUN consent checks and their answers, each way (measured: 38 to 40)."""
_ROOM = CHUNK_HEADER + MAX_USER_DATA
"""Bytes of chunks that fit into one packet."""
_Message = tuple[Channel, int]
"""Its channel and its bytes."""


class TrafficMeter:
    """Counts one direction."""

    def __init__(self) -> None:
        self._datagrams = 0
        self._records: Counter[bool] = Counter()
        """Bytes of datagrams, by whether they carry an SCTP packet."""
        self._unmatched = 0
        """Datagrams that carry an SCTP packet, less the SCTP packets seen."""
        self._around = PACKET_HEADERS - _COMMON_HEADER
        """Bytes around each SCTP packet, headers of IP and UDP included: what is expected, until it is known."""
        self._packets: Counter[Kind] = Counter()
        """SCTP packets by what the whole packet is; HEADERS stands for one that carries messages."""
        self._packet_bytes: Counter[Kind] = Counter()
        self._inside: Counter[Kind] = Counter()
        """Bytes inside packets that carry messages: user data by channel, SACK chunks."""

    def datagram(self, headers: int, data: bytes) -> None:
        """Count a datagram; `headers` are the bytes of IP and UDP around it."""
        record = data[_TURN_HEADER:] if data and data[0] in _TURN_CHANNEL_DATA else data
        carries = record[:1] == bytes([_APPLICATION_DATA])
        self._datagrams += 1
        self._records[carries] += headers + len(data)
        self._unmatched += carries
        self._learn()

    def sctp_packet(self, packet: bytes) -> None:
        """Note what an SCTP packet, carried by one of the datagrams, is for."""
        inside: Counter[Kind] = Counter()
        types = set()
        for chunk in _chunks(packet):
            types.add(chunk[0])
            if chunk[0] == _DATA:
                inside[_channel_kind(chunk)] += len(chunk) - _DATA_HEADER
            elif chunk[0] == _SACK:
                inside[Kind.SACKS] += len(chunk)
        whole = Kind.HEADERS if _DATA in types else Kind.SACKS if types == {_SACK} else Kind.CONNECTION
        self._packets[whole] += 1
        self._packet_bytes[whole] += len(packet)
        if whole is Kind.HEADERS:
            self._inside += inside
        self._unmatched -= 1
        self._learn()

    def snapshot(self) -> Traffic:
        """The counts so far."""
        kinds = dict.fromkeys(Kind, 0) | self._inside
        for whole in (Kind.SACKS, Kind.CONNECTION):
            kinds[whole] += self._packet_bytes[whole] + self._around * self._packets[whole]
        kinds[Kind.HEADERS] = self._records[True] - sum(kinds.values())
        kinds[Kind.CONNECTION] += self._records[False]
        return Traffic(self._datagrams, kinds)

    def _learn(self) -> None:
        if self._unmatched == 0 and (packets := self._packets.total()):
            self._around = round((self._records[True] - self._packet_bytes.total()) / packets)


class WireMeter:
    """Counts both directions."""

    def __init__(self) -> None:
        self.sent, self.received = TrafficMeter(), TrafficMeter()

    def snapshot(self) -> WireBytes:
        """The counts so far."""
        return WireBytes(self.sent.snapshot(), self.received.snapshot())


def _chunks(packet: bytes) -> Iterator[bytes]:
    """Each chunk of an SCTP packet, its header included and its padding not (RFC 9260, section 3)."""
    at = _COMMON_HEADER
    while at + 4 <= len(packet):
        length = max(4, int.from_bytes(packet[at + 2 : at + 4], "big"))
        yield packet[at : at + length]
        at += length + -length % 4


def _channel_kind(chunk: bytes) -> Kind:
    stream = int.from_bytes(chunk[_STREAM_ID], "big")
    return _KIND_OF_STREAM[stream] if stream < len(_KIND_OF_STREAM) else Kind.CONTROL


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
