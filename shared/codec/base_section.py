"""The base layer in a bundle: packets of its video, in a section beside motion and sound.

    offset  size
    0       1     4 bits generation, 4 bits number of packets less one
    1       1     1 bit 0, 7 bits sequence number of the first packet
    2       1     3 bits step: one of STEPS, or 0; 5 bits frame of the first packet from the bundle's first, plus 16
    (3      1     at step 0: that frame, plus 128; the 5 bits above are then 0)
    3       ...   one range-coded stream: per packet whether it is droppable; at step 0 the frames since the packet
                  before, but for the first; its length: number of bits, then all but the first of them; its first bytes
                  (`base_headers`), and the others as they are

What a generation is (size, quantiser, crop) stands in its key, which travels by itself (`base_key`): either side of a
section could contradict it. References are numbered from 0, the first after the key; a droppable packet has the number
of the reference after it, and needs what that one needs. So droppable ones may be left out, as where a bundle repeats
what is in the one before: between two references in a row lie two steps, else one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from shared.codec import MalformedBundle
from shared.codec.av1_headers import LENGTH, code_header, phase, read_header
from shared.codec.base_video import MAX_PACKET_BYTES
from shared.codec.range_coder import TOTAL, FrequencyTable, RangeDecoder, RangeEncoder

BASE_SECTION = 3
MAX_PACKETS = 16
MAX_BASE_BYTES = 4096
"""Of the packets of a bundle: most of a second at 40 kbit/s."""
MAX_SECTION_BYTES = MAX_BASE_BYTES + 1024
"""Coded; packets whose beginnings are none that any encoder writes take more than they have."""
GENERATIONS = 16
SEQUENCES = 128
"""Numbers before they begin again: 20 s of references at 6.25 a second, where a gap of half a second asks for a key."""
STEPS = (1, 2, 3, 4, 5, 6, 8)
"""Frames from one packet to the next that need no bytes of their own."""
FURTHEST = 128
"""Frames before the bundle's first that a repeated packet may belong to."""

_HEAD = 3
_REGULAR = 16
_MOST_STEP = 255
_DROPPABLE = {before: FrequencyTable([TOTAL - often, often]) for before, often in ((True, 32), (False, TOTAL * 3 // 4))}
"""By whether the packet before is: two references in a row stand where one was not repeated."""
_BITS = {
    True: FrequencyTable([0, 4, 4, 8, 64, 3344, 512, 96, 32, 16, 8, 8]),
    False: FrequencyTable([0, 4, 4, 8, 32, 1024, 1920, 896, 128, 48, 16, 16]),
}
"""Of a packet's length, by whether it is droppable; 16 to 31 bytes have five."""


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
    """Number of the frame that it shows, counted from the bundle's first, also where motion comes for every second
    frame only; negative where a bundle repeats it."""
    data: bytes
    """For `BaseDecoder.decode`."""


def pack_base(packets: Sequence[BasePacket]) -> bytes:
    """The section's content. Raises ValueError for packets that it cannot hold: too many, too long, not in a row."""
    if not 1 <= len(packets) <= MAX_PACKETS:
        raise ValueError(f"a bundle holds 1 to {MAX_PACKETS} base packets, not {len(packets)}")
    first = packets[0]
    for before, after in pairwise(packets):
        if after.generation != before.generation or after.sequence != _next(before):
            raise ValueError("base packets of a bundle follow each other in one generation")
        if not 1 <= after.frame - before.frame <= _MOST_STEP:
            raise ValueError(f"a base packet {after.frame - before.frame} frames after the one before does not fit")
    if not -FURTHEST <= first.frame < FURTHEST:
        raise ValueError(f"a base packet {first.frame} frames from its bundle's first does not fit")
    total = sum(len(packet.data) for packet in packets)
    if total > MAX_BASE_BYTES or any(not 1 <= len(packet.data) <= MAX_PACKET_BYTES for packet in packets):
        raise ValueError(f"base packets have 1 to {MAX_PACKET_BYTES} bytes, {MAX_BASE_BYTES} in all, not {total}")
    step, encoder = _step(packets), RangeEncoder()
    head = bytearray([first.generation % GENERATIONS << 4 | len(packets) - 1, first.sequence % SEQUENCES])
    head += bytes([step << 5 | first.frame + _REGULAR]) if step else bytes([0, first.frame + FURTHEST])
    for index, packet in enumerate(packets):
        encoder.encode(_DROPPABLE[index > 0 and packets[index - 1].droppable], packet.droppable)
        if index and not step:
            encoder.encode_uniform(packet.frame - packets[index - 1].frame, 8)
        bits = len(packet.data).bit_length()
        encoder.encode(_BITS[packet.droppable], bits)
        encoder.encode_uniform(len(packet.data) - (1 << bits - 1), bits - 1)
        code_header(encoder, packet.data, phase(packet.sequence, packet.droppable))
        for value in packet.data[LENGTH:]:
            encoder.encode_uniform(value, 8)
    return bytes(head) + encoder.finish()


def unpack_base(content: bytes) -> tuple[BasePacket, ...]:
    """The packets of a section. Raises MalformedBundle if the bytes are not such."""
    if not _HEAD <= len(content) <= MAX_SECTION_BYTES:
        raise MalformedBundle(f"a base section has {_HEAD} to {MAX_SECTION_BYTES} bytes, not {len(content)}")
    form, sequence, timing = content[:_HEAD]
    step, frame, begin = timing >> 5, (timing & 0x1F) - _REGULAR, _HEAD
    if sequence >= SEQUENCES or (not step and (timing or len(content) == _HEAD)):
        raise MalformedBundle(f"a base section begins with {content[:_HEAD].hex()}, which means nothing")
    if not step:
        frame, begin = content[_HEAD] - FURTHEST, _HEAD + 1
    decoder = RangeDecoder(content[begin:])
    packets: list[BasePacket] = []
    total = 0
    for index in range((form & 0xF) + 1):
        droppable = bool(decoder.decode(_DROPPABLE[bool(packets) and packets[-1].droppable]))
        if index:
            since = STEPS[step - 1] * _steps(packets[-1].droppable, droppable) if step else decoder.decode_uniform(8)
            if not since:
                raise MalformedBundle("two base packets of one frame arrived")
            sequence, frame = _next(packets[-1]), frame + since
        bits = decoder.decode(_BITS[droppable])
        length = 1 << bits - 1 | decoder.decode_uniform(bits - 1)
        total += length
        if total > MAX_BASE_BYTES:
            raise MalformedBundle(f"base packets of more than {MAX_BASE_BYTES} bytes arrived in one bundle")
        start = read_header(decoder, length, phase(sequence, droppable))
        data = start + bytes(decoder.decode_uniform(8) for _ in range(length - len(start)))
        packets.append(BasePacket(form >> 4, sequence, droppable, frame, data))
    if decoder.unread:
        raise MalformedBundle(f"{decoder.unread} bytes are left over after the last of {len(packets)} base packets")
    return tuple(packets)


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
