"""Sound in a bundle: Opus packets with the capture clock of each, in a section beside the motion.

    offset  size
    0       2     start of the first packet in ms after the bundle's clock, signed
    2       ...   per packet: its length (1), then its bytes; it starts where the one before ends
                  length 255: no packet, but a gap; its ms follow (2)
                  length 0: nothing is said from here on, up to the packet after the next gap

All numbers are big-endian. How long a packet lasts is in its own first byte (RFC 6716, section 3.1). Silence is not
sent: the mark of its beginning tells it from packets that were lost.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from shared.codec import MalformedBundle

SOUND_SECTION = 2
MAX_PACKET_BYTES = 254
MAX_PACKETS = 32
"""In one bundle, marks of silence included: a second of speech in packets of 60 ms, and more than fits the delay."""
MAX_SOUND_BYTES = 2 + MAX_PACKETS * (4 + MAX_PACKET_BYTES)
"""Of a section: as many packets as long as they may be, a gap before each."""

FURTHEST_MS = 8000
"""From the bundle's clock at most: what is further away belongs to no call that goes on."""

_START = struct.Struct(">h")
_GAP = 255
_MAX_GAP = 0xFFFF
_LONGEST_MS = 120
_SILK_MS = (10.0, 20.0, 40.0, 60.0)
_HYBRID_MS = (10.0, 20.0)
_CELT_MS = (2.5, 5.0, 10.0, 20.0)
_STEREO = 4


@dataclass(frozen=True)
class SoundPacket:
    """An Opus packet, or the beginning of silence."""

    start_ms: int
    """Capture of its first sample, in ms after the bundle's clock; may be negative."""
    data: bytes
    """Empty: nothing is said from here on."""


def packet_ms(data: bytes) -> float:
    """How long an Opus packet lasts in ms; 0 for an empty one. Raises ValueError for one that is not mono Opus."""
    if not data:
        return 0.0
    config, code = data[0] >> 3, data[0] & 3
    if data[0] & _STEREO:
        raise ValueError("a packet of stereo sound")
    if code == 3 and len(data) < 2:
        raise ValueError("a packet that ends before its number of frames")
    frames = 1 if code == 0 else data[1] & 0x3F if code == 3 else 2
    each = _SILK_MS[config & 3] if config < 12 else _HYBRID_MS[config & 1] if config < 16 else _CELT_MS[config & 3]
    if not 0 < frames * each <= _LONGEST_MS:
        raise ValueError(f"a packet of {frames * each:g} ms")
    return frames * each


def pack_sound(packets: Sequence[SoundPacket]) -> bytes:
    """The section's content. Raises ValueError for packets that it cannot hold: too many, too long, out of order."""
    if not 1 <= len(packets) <= MAX_PACKETS:
        raise ValueError(f"a bundle holds 1 to {MAX_PACKETS} packets of sound, not {len(packets)}")
    at = packets[0].start_ms
    if abs(at) > FURTHEST_MS:
        raise ValueError(f"sound {at} ms from its bundle's clock does not fit, at most {FURTHEST_MS} ms do")
    content = bytearray(_START.pack(at))
    for packet in packets:
        gap = packet.start_ms - at
        if gap:
            if not 0 < gap <= _MAX_GAP:
                raise ValueError(f"a packet of sound {gap} ms after the end of the one before")
            content += bytes([_GAP]) + gap.to_bytes(2, "big")
        if len(packet.data) > MAX_PACKET_BYTES:
            raise ValueError(f"a packet of sound has at most {MAX_PACKET_BYTES} bytes, not {len(packet.data)}")
        content += bytes([len(packet.data)]) + packet.data
        at = packet.start_ms + round(packet_ms(packet.data))
    return bytes(content)


def unpack_sound(content: bytes) -> tuple[SoundPacket, ...]:
    """The packets of a section. Raises MalformedBundle if the bytes are not such."""
    if len(content) < _START.size + 1:
        raise MalformedBundle(f"a section of sound has {len(content)} bytes, that is no packet")
    at, index = _START.unpack_from(content)[0], _START.size
    packets: list[SoundPacket] = []
    while index < len(content):
        length, index = content[index], index + 1
        if length == _GAP:
            if len(content) < index + 3:
                raise MalformedBundle("a section of sound ends in a gap")
            at, index = at + int.from_bytes(content[index : index + 2], "big"), index + 2
            continue
        data, index = content[index : index + length], index + length
        if index > len(content) or len(packets) == MAX_PACKETS:
            raise MalformedBundle(f"a section of sound is cut off, or has more than {MAX_PACKETS} packets")
        if abs(at) > FURTHEST_MS:
            raise MalformedBundle(f"a packet of sound is {at} ms from its bundle")
        packets.append(SoundPacket(at, data))
        try:
            at += round(packet_ms(data))
        except ValueError as error:
            raise MalformedBundle(f"a section of sound holds {error}") from error
    return tuple(packets)
