"""What messages and coded frames cost on the wire, IPv4 and UDP headers included, computed from their sizes and times.

Connection set-up is left out on every side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil

from shared.transport.link import Channel, WireBytes
from shared.transport.metering import CONSENT_BYTES_PER_SECOND, ComputedWire

RTP_PAYLOAD = 1100
"""Payload bytes of a full RTP packet."""
RTP_OVERHEAD = 69
"""Bytes around the payload of one RTP video packet: IPv4, UDP, RTP with extensions, SRTP tag (measured)."""
RTCP_BYTES_PER_SECOND = (120, 210)
"""Sender reports out, receiver reports back (measured: 0.9 to 1.0 and 1.7 kbit/s beside video)."""


@dataclass(frozen=True)
class Message:
    """One message that went over."""

    forward: bool
    """From sender to receiver."""
    channel: Channel
    size: int
    time: float = 0.0
    """Seconds of the call."""


def messages_on_wire(messages: Sequence[Message], seconds: float) -> WireBytes:
    """The cost of messages over the data channels of a link that was up for `seconds`, as the sender's side has it."""
    wire = ComputedWire()
    for time, group in groupby(sorted(messages, key=lambda m: m.time), key=lambda m: m.time):
        now = list(group)
        for forward in (True, False):
            wire.send([(m.channel, m.size) for m in now if m.forward is forward], time, out=forward)
    return wire.total(seconds)


def rtp_on_wire(sizes: Sequence[int], seconds: float) -> tuple[int, int]:
    """Bytes out and back of coded frames of these sizes in RTP, with RTCP and the consent checks of ICE."""
    packets = sum(ceil(size / RTP_PAYLOAD) for size in sizes)
    out, back = (round((rtcp + CONSENT_BYTES_PER_SECOND) * seconds) for rtcp in RTCP_BYTES_PER_SECOND)
    return sum(sizes) + RTP_OVERHEAD * packets + out, back


def kbps(size: float, seconds: float) -> float:
    """kbit/s."""
    return round(size * 8 / seconds / 1000, 3)
