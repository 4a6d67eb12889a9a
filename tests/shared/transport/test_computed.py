"""What messages cost on the wire, by hand."""

from __future__ import annotations

from shared.transport.link import ACK_SIZE, MAX_USER_DATA, Channel, Kind, WireBytes, chunk_cost, wire_cost
from shared.transport.metering import CONSENT_BYTES_PER_SECOND, ComputedWire

CONSENT = 10 * CONSENT_BYTES_PER_SECOND


def motion_at(*times: float, size: int = 20) -> WireBytes:
    """Ten seconds with a message of motion at these times."""
    wire = ComputedWire()
    for time in times:
        wire.send([(Channel.MOTION, size)], time)
    return wire.total(10)


def test_messages_of_one_moment_share_a_packet_and_an_answer_takes_the_sack_along() -> None:
    wire = ComputedWire()
    wire.send([(Channel.MOTION, 30), (Channel.CONTROL, 10)], 1.0)
    wire.send([(Channel.CONTROL, 8)], 1.2, out=False)
    total = wire.total(10)
    # a packet of 69 bytes around chunks of 16 + 32 and 16 + 12; nothing came back after the answer: a SACK alone
    assert total.sent.kinds == {Kind.MOTION: 30, Kind.CONTROL: 10, Kind.PICTURES: 0, Kind.HEADERS: 69 + 18 + 18,
                                Kind.SACKS: 85, Kind.CONNECTION: CONSENT}  # fmt: skip
    assert total.sent.size == 69 + 48 + 28 + 85 + CONSENT
    assert total.received.kinds[Kind.SACKS] == 16
    assert total.received.size == 69 + 16 + 16 + 8 + CONSENT
    assert (total.sent.packets, total.received.packets) == (2, 1)


def test_every_second_packet_is_acknowledged_at_once() -> None:
    total = motion_at(0.0, 0.1, 0.2, 0.3)
    assert total.received.kinds[Kind.SACKS] == 2 * ACK_SIZE
    assert total.sent.size == 4 * wire_cost(20) + CONSENT


def test_a_packet_alone_is_acknowledged_in_the_end() -> None:
    assert motion_at(0.0, 5.0).received.kinds[Kind.SACKS] == 2 * ACK_SIZE


def test_long_messages_take_several_packets() -> None:
    wire = ComputedWire()
    wire.send([(Channel.PICTURES, MAX_USER_DATA + 40)], 0.0)
    total = wire.total(0)
    assert total.sent.size == wire_cost(MAX_USER_DATA) + wire_cost(40)
    assert total.sent.kinds[Kind.PICTURES] == MAX_USER_DATA + 40
    assert total.received.size == ACK_SIZE  # two packets, one SACK


def test_what_finds_room_in_a_packet_adds_its_chunk_alone() -> None:
    wire = ComputedWire()
    wire.send([(Channel.MOTION, 38), (Channel.PICTURES, 180)], 0.0)
    assert wire.total(0).sent.size == wire_cost(38) + chunk_cost(180)
    wire.send([(Channel.PICTURES, MAX_USER_DATA), (Channel.MOTION, 38)], 0.0)
    assert wire.total(0).sent.size == 2 * wire_cost(38) + chunk_cost(180) + wire_cost(MAX_USER_DATA)


def test_a_moment_without_messages_sends_nothing() -> None:
    wire = ComputedWire()
    wire.send([], 3.0)
    total = wire.total(3)
    assert total.sent == total.received
    assert (total.sent.size, total.sent.packets) == (3 * CONSENT_BYTES_PER_SECOND, 0)


def test_asking_in_between_changes_nothing() -> None:
    asked = ComputedWire()
    for time in (0.0, 0.1, 0.3, 0.9, 1.4):
        asked.send([(Channel.MOTION, 20)], time)
        asked.total(time)
        asked.total(time + 0.01)
    assert asked.total(10) == motion_at(0.0, 0.1, 0.3, 0.9, 1.4)
