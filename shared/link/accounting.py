"""Counting bytes on the wire of real connections: the one place from which status line and reports have them.

What no network carries is computed instead (`shared.link.computed`).

Two layers are looked at. Datagrams, as they enter and leave the sockets, give the total; SCTP packets, before they are
encrypted and after they are decrypted, say what the bytes were for. What goes around an SCTP packet is the same for
every packet of a connection, so the two need not be matched one by one, and the kinds always add up to the total.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from shared.link.base import PACKET_HEADERS, Channel, Kind, Traffic, WireBytes

_DATA, _SACK = 0, 3
_COMMON_HEADER = 12
_DATA_HEADER = 16
_STREAM_ID = slice(8, 10)
_APPLICATION_DATA = 23
"""Content type of a DTLS record that carries an SCTP packet (RFC 6347, section 4.1)."""
_TURN_CHANNEL_DATA = range(0x40, 0x50)
_TURN_HEADER = 4
_KIND_OF_STREAM = tuple(Kind(channel.value) for channel in Channel)


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
