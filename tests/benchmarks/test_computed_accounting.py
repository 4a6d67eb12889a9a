"""What messages cost on the wire, by hand."""

from __future__ import annotations

from benchmarks.accounting import CONSENT_BYTES_PER_SECOND, kbps, messages_on_wire, rtp_on_wire
from benchmarks.loopback import Message
from shared.link.base import Channel, Kind

CONSENT = 10 * CONSENT_BYTES_PER_SECOND


def test_messages_of_one_moment_share_a_packet_and_an_answer_takes_the_sack_along() -> None:
    wire = messages_on_wire(
        [
            Message(True, Channel.MOTION, 30, 1.0),
            Message(True, Channel.CONTROL, 10, 1.0),
            Message(False, Channel.CONTROL, 8, 1.2),
        ],
        10,
    )
    # a packet of 69 bytes around chunks of 16 + 32 and 16 + 12; nothing came back after the answer: a SACK alone
    assert wire.out == {Kind.MOTION: 30, Kind.CONTROL: 10, Kind.PICTURES: 0, Kind.HEADERS: 69 + 18 + 18,
                        Kind.SACKS: 85, Kind.CONNECTION: CONSENT}  # fmt: skip
    assert wire.bytes_out == 69 + 48 + 28 + 85 + CONSENT
    assert wire.back[Kind.SACKS] == 16
    assert wire.bytes_back == 69 + 16 + 16 + 8 + CONSENT


def test_every_second_packet_is_acknowledged_at_once() -> None:
    wire = messages_on_wire([Message(True, Channel.MOTION, 20, at / 10) for at in range(4)], 10)
    assert wire.back[Kind.SACKS] == 2 * 85
    assert wire.bytes_out == 4 * (69 + 16 + 20) + CONSENT


def test_a_lone_packet_is_acknowledged_in_the_end() -> None:
    wire = messages_on_wire([Message(True, Channel.MOTION, 20, at) for at in (0.0, 5.0)], 10)
    assert wire.back[Kind.SACKS] == 2 * 85


def test_long_messages_take_several_packets() -> None:
    wire = messages_on_wire([Message(True, Channel.PICTURES, 1200, 0.0)], 10)
    assert wire.bytes_out == (69 + 16 + 1160) + (69 + 16 + 40) + CONSENT
    assert wire.out[Kind.PICTURES] == 1200
    assert wire.back[Kind.SACKS] == 85  # two packets, one SACK


def test_frames_in_rtp() -> None:
    out, back = rtp_on_wire([1100, 1101, 10], 2)
    assert out == 2211 + 4 * 69 + 2 * (120 + CONSENT_BYTES_PER_SECOND)
    assert back == 2 * (210 + CONSENT_BYTES_PER_SECOND)
    assert kbps(1000, 2) == 4.0
