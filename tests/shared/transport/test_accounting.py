from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.transport.link import Channel, Kind
from shared.transport.metering import TrafficMeter, WireMeter

UDP = 28
AROUND = 37
"""Bytes of a DTLS record around an SCTP packet, by the longer cipher."""


def data(channel: int, size: int) -> bytes:
    chunk = struct.pack(">BBHIHHI", 0, 3, 16 + size, 1, channel, 0, 53) + bytes(size)
    return chunk + bytes(-len(chunk) % 4)


SACK = struct.pack(">BBHIIHH", 3, 0, 16, 1, 1 << 20, 0, 0)
COOKIE_ACK = struct.pack(">BBH", 11, 0, 4)


def packet(*chunks: bytes) -> bytes:
    return bytes(12) + b"".join(chunks)


def record(sctp: bytes) -> bytes:
    return bytes([23]) + bytes(AROUND - 1 + len(sctp))


def carry(meter: TrafficMeter, *chunks: bytes) -> int:
    """An SCTP packet comes in a datagram; its size on the wire."""
    meter.datagram(UDP, record(packet(*chunks)))
    meter.sctp_packet(packet(*chunks))
    return UDP + AROUND + len(packet(*chunks))


def test_every_kind_of_packet_goes_to_its_kind() -> None:
    meter = TrafficMeter()
    sizes = {
        "motion": carry(meter, data(0, 38)),
        "picture with motion": carry(meter, data(0, 38), data(1, 180)),
        "control with a sack": carry(meter, SACK, data(2, 21)),
        "sack": carry(meter, SACK),
        "set-up": carry(meter, COOKIE_ACK),
    }
    meter.datagram(UDP, b"\x00\x01" + bytes(98))  # STUN
    meter.datagram(UDP, b"\x16" + bytes(199))  # a DTLS handshake
    traffic = meter.snapshot()
    assert traffic.packets == 7
    assert traffic.size == sum(sizes.values()) + 128 + 228
    assert traffic.kinds[Kind.MOTION] == 76
    assert traffic.kinds[Kind.PICTURES] == 180
    assert traffic.kinds[Kind.CONTROL] == 21
    assert traffic.kinds[Kind.SACKS] == sizes["sack"] + len(SACK)
    assert traffic.kinds[Kind.CONNECTION] == sizes["set-up"] + 128 + 228
    assert traffic.kinds[Kind.HEADERS] == 3 * (UDP + AROUND + 12) + 4 * 16 + 2 + 2 + 3  # and padding


def test_streams_and_channels_are_in_the_same_order() -> None:
    for stream, channel in enumerate(Channel):
        meter = TrafficMeter()
        carry(meter, data(stream, 7))
        assert meter.snapshot().kinds[Kind(channel.value)] == 7


def test_a_record_that_is_never_understood_is_headers() -> None:
    meter = TrafficMeter()
    whole = carry(meter, SACK)
    meter.datagram(UDP, record(bytes(60)))  # a repetition that DTLS drops
    again = carry(meter, SACK)
    kinds = meter.snapshot().kinds
    assert kinds[Kind.SACKS] == whole + again
    assert kinds[Kind.HEADERS] == UDP + AROUND + 60


def test_what_a_turn_server_wraps_is_told_apart_too() -> None:
    meter = TrafficMeter()
    meter.sctp_packet(packet(SACK))
    meter.datagram(UDP, b"\x40\x00\x00\x00" + record(packet(SACK)))
    meter.datagram(UDP, b"\x40\x00\x00\x00" + b"\x00\x01" + bytes(18))
    kinds = meter.snapshot().kinds
    assert kinds[Kind.SACKS] == UDP + 4 + AROUND + len(packet(SACK))
    assert kinds[Kind.CONNECTION] == UDP + 4 + 20


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.binary(max_size=80)), max_size=30))
def test_whatever_comes_the_kinds_add_up(seen: list[tuple[bool, bool, bytes]]) -> None:
    meter, total = TrafficMeter(), 0
    for is_datagram, whole, content in seen:
        if not is_datagram or whole:
            meter.sctp_packet(content)
        if is_datagram:
            meter.datagram(UDP, record(content) if whole else content)
            total += UDP + (AROUND if whole else 0) + len(content)
    traffic = meter.snapshot()
    assert traffic.size == total
    assert set(traffic.kinds) == set(Kind)


def test_directions_are_counted_apart() -> None:
    meter = WireMeter()
    meter.sent.datagram(UDP, b"\x00")
    meter.received.datagram(UDP, b"\x00\x00")
    wire = meter.snapshot()
    assert (wire.sent.size, wire.received.size) == (29, 30)
    assert (wire.sent.packets, wire.received.packets) == (1, 1)


@pytest.mark.parametrize("kind", Kind)
def test_nothing_is_nothing(kind: Kind) -> None:
    assert TrafficMeter().snapshot().kinds[kind] == 0
