"""What a call's messages and a codec's frames cost on the wire."""

from __future__ import annotations

import random

from benchmarks.accounting import Message, kbps, messages_on_wire, rtp_on_wire
from shared.transport.link import ACK_SIZE, Channel, Kind, wire_cost
from shared.transport.metering import CONSENT_BYTES_PER_SECOND

CONSENT = 10 * CONSENT_BYTES_PER_SECOND


def test_both_directions_are_counted_by_kind() -> None:
    wire = messages_on_wire([Message(True, Channel.MOTION, 30, 1.0), Message(False, Channel.CONTROL, 8, 1.2)], 10)
    assert (wire.sent.kinds[Kind.MOTION], wire.received.kinds[Kind.CONTROL]) == (30, 8)
    assert wire.sent.size == wire_cost(30) + ACK_SIZE + CONSENT
    assert wire.received.size == wire_cost(8) + 16 + CONSENT  # the SACK rides


def test_messages_count_at_their_time_in_whatever_order_they_are_given() -> None:
    messages = [Message(n % 3 > 0, Channel.MOTION, 20 + n, n // 2 / 10) for n in range(40)]
    moments = [messages[n : n + 2] for n in range(0, len(messages), 2)]
    random.Random(1).shuffle(moments)
    assert messages_on_wire([each for moment in moments for each in moment], 10) == messages_on_wire(messages, 10)


def test_frames_in_rtp() -> None:
    out, back = rtp_on_wire([1100, 1101, 10], 2)
    assert out == 2211 + 4 * 69 + 2 * (120 + CONSENT_BYTES_PER_SECOND)
    assert back == 2 * (210 + CONSENT_BYTES_PER_SECOND)
    assert kbps(1000, 2) == 4.0
