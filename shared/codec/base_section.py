"""The base layer in a bundle: packets of its video, in a section beside motion and sound.

    offset  size
    0       1     4 bits generation, 4 bits number of packets less one
    1       1     1 bit whether the last packet is droppable, 7 bits sequence number of the first
    2       1     3 bits step: one of STEPS, or 0; 5 bits frame of the first packet from the bundle's first, plus 16
    (3      1     at step 0: that frame, plus 128; the 5 bits above are then 0. And per packet but the first, before its
                  length: frames since the packet before)
    ...           per packet its length, then its bytes; the last has no length and takes the rest
                  0 to 159: a reference of so many bytes; 160 to 239: a droppable one of so many bytes more than 160
                  240 to 255: 4 bits 1, 1 bit whether it is droppable, 11 bits length

What a generation is (size, quantiser, crop) stands in its key, which travels by itself (`base_key`): either side of a
section could contradict it. References are numbered from 0, the first after the key; a droppable packet has the number
of the reference after it, and needs what that one needs. So droppable ones may be left out, as where a bundle repeats
what is in the one before: between two references in a row lie two steps, else one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from shared.codec.base_video import MAX_PACKET_BYTES
from shared.codec.errors import MalformedBundle

BASE_SECTION = 3
MAX_PACKETS = 16
MAX_BASE_BYTES = 4096
"""More than half a second at 40 kbit/s."""
GENERATIONS = 16
SEQUENCES = 128
"""Numbers before they begin again: 20 s of references at 6.25 a second, where a gap of half a second asks for a key."""
STEPS = (1, 2, 3, 4, 5, 6, 8)
"""Frames from one packet to the next that need no bytes of their own."""
FURTHEST = 128
"""Frames before the bundle's first that a repeated packet may belong to."""

_HEAD = 3
_REGULAR = 16
_DROPPABLE, _LONG = 160, 240
_MOST_STEP = 255


@dataclass(frozen=True)
class BasePacket:
    """One picture of the base layer, as difference to those before."""

    generation: int
    """Which key it goes on from, 0 to 15; it wraps around."""
    sequence: int
    """How many references of its generation stand before it, 7 bits; it wraps around."""
    droppable: bool
    """Whether no later packet depends on it."""
    frame: int
    """Frame that it shows, counted from the bundle's first; negative where a bundle repeats it."""
    data: bytes
    """For `BaseDecoder.decode`."""


def pack_base(packets: Sequence[BasePacket]) -> bytes:
    """The section's content. Raises ValueError for packets that it cannot hold: too many, too long, not in a row."""
    if not 1 <= len(packets) <= MAX_PACKETS:
        raise ValueError(f"a bundle holds 1 to {MAX_PACKETS} base packets, not {len(packets)}")
    first, last = packets[0], packets[-1]
    for before, after in pairwise(packets):
        if after.generation != before.generation or after.sequence != _next(before):
            raise ValueError("base packets of a bundle follow each other in one generation")
        if not 1 <= after.frame - before.frame <= _MOST_STEP:
            raise ValueError(f"a base packet {after.frame - before.frame} frames after the one before does not fit")
    if not -FURTHEST <= first.frame < FURTHEST:
        raise ValueError(f"a base packet {first.frame} frames from its bundle's first does not fit")
    step = _step(packets)
    content = bytearray([first.generation % GENERATIONS << 4 | len(packets) - 1])
    content.append(last.droppable << 7 | first.sequence % SEQUENCES)
    content += bytes([step << 5 | first.frame + _REGULAR]) if step else bytes([0, first.frame + FURTHEST])
    for index, packet in enumerate(packets):
        if not 1 <= len(packet.data) <= MAX_PACKET_BYTES:
            raise ValueError(f"a base packet has 1 to {MAX_PACKET_BYTES} bytes, not {len(packet.data)}")
        if not step and index:
            content.append(packet.frame - packets[index - 1].frame)
        if index < len(packets) - 1:
            content += _length(packet)
        content += packet.data
    if len(content) > MAX_BASE_BYTES:
        raise ValueError(f"a base section of {len(content)} bytes, at most {MAX_BASE_BYTES} fit")
    return bytes(content)


def unpack_base(content: bytes) -> tuple[BasePacket, ...]:
    """The packets of a section. Raises MalformedBundle if the bytes are not such."""
    if not _HEAD < len(content) <= MAX_BASE_BYTES:
        raise MalformedBundle(f"a base section has {_HEAD + 1} to {MAX_BASE_BYTES} bytes, not {len(content)}")
    reader = _Reader(content)
    form, sequence, timing = reader.byte(), reader.byte(), reader.byte()
    generation, count, last_droppable, sequence = form >> 4, (form & 0xF) + 1, sequence >> 7, sequence & 0x7F
    step, frame = timing >> 5, (timing & 0x1F) - _REGULAR
    if not step:
        if timing:
            raise MalformedBundle("a base section without a step has a frame before its place")
        frame = reader.byte() - FURTHEST
    packets: list[BasePacket] = []
    for index in range(count):
        since = reader.byte() if not step and index else 0
        is_last = index == count - 1
        droppable, length = (bool(last_droppable), reader.left) if is_last else reader.length()
        if index:
            since = since if not step else STEPS[step - 1] * _steps(packets[-1].droppable, droppable)
            if not since:
                raise MalformedBundle("two base packets of one frame arrived")
            sequence, frame = _next(packets[-1]), frame + since
        if not 1 <= length <= MAX_PACKET_BYTES:
            raise MalformedBundle(f"a base packet of {length} bytes arrived, 1 to {MAX_PACKET_BYTES} are taken")
        packets.append(BasePacket(generation, sequence, droppable, frame, reader.take(length)))
    return tuple(packets)


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    @property
    def left(self) -> int:
        return len(self._content) - self._at

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise MalformedBundle(f"a base section of {len(self._content)} bytes is cut off")
        self._at += count
        return self._content[self._at - count : self._at]

    def length(self) -> tuple[bool, int]:
        """Whether the packet is droppable, and its bytes."""
        value = self.byte()
        if value >= _LONG:
            return bool(value & 0x8), (value & 0x7) << 8 | self.byte()
        return value >= _DROPPABLE, value - _DROPPABLE if value >= _DROPPABLE else value


def _length(packet: BasePacket) -> bytes:
    length = len(packet.data)
    if length < (_LONG - _DROPPABLE if packet.droppable else _DROPPABLE):
        return bytes([length + _DROPPABLE * packet.droppable])
    return (_LONG << 8 | packet.droppable << 11 | length).to_bytes(2, "big")


def _next(packet: BasePacket) -> int:
    return (packet.sequence + (not packet.droppable)) % SEQUENCES


def _steps(before_droppable: bool, droppable: bool) -> int:
    return 1 if before_droppable or droppable else 2


def _step(packets: Sequence[BasePacket]) -> int:
    """One more than the index of the step that all packets keep; 0 where there is none."""
    if not -_REGULAR <= packets[0].frame < _REGULAR:
        return 0
    for code, step in enumerate(STEPS, 1):
        if all(b.frame - a.frame == step * _steps(a.droppable, b.droppable) for a, b in pairwise(packets)):
            return code
    return 0
