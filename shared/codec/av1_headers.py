"""AV1 headers: open bitstream units, and the first bytes of base packets, coded by what they usually are.

Of the AV1 specification 5.3, 5.5 and 5.9: as much as is needed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from shared.codec import MalformedMessage
from shared.codec.range_coder import TOTAL, FrequencyTable, RangeDecoder, RangeEncoder

SEQUENCE_HEADER, TEMPORAL_DELIMITER, FRAME = 1, 2, 6
KEY_FRAME, INTER_FRAME = 0, 1
_BY_FRAME = 2
"""A tool that each frame switches for itself (SELECT_SCREEN_CONTENT_TOOLS, SELECT_INTEGER_MV)."""
_PLAIN_LEVELS = 7
"""Levels above have a tier: pictures larger than any here."""
_HEADER_BYTES = 24
"""More than the bits that are read here take."""
LENGTH = 16
"""Bytes of a packet that have tables."""
PHASES = 16
CANDIDATES = 8
"""Values of a byte that a table holds."""
_FILE = Path(__file__).with_name("base_headers.bin")
_ORDER_HINT = 1
"""The byte that counts pictures since the key, in its upper seven bits."""
_ENTRY = 3


def units(data: bytes, most: int, error: type[MalformedMessage]) -> list[tuple[int, bytes, bytes]]:
    """Type, whole bytes and payload of each unit, at most so many. Raises `error`."""
    found, at = [], 0
    while at < len(data):
        header = data[at]
        if header & 0x87 != 0x02:
            raise error("an AV1 unit with an extension or without a size arrived")
        length, body = 0, at + 1
        for shift in range(0, 28, 7):
            byte = data[body] if body < len(data) else 0
            length |= (byte & 0x7F) << shift
            body += 1
            if byte < 0x80:
                break
        end = body + length
        if end > len(data):
            raise error(f"an AV1 unit ends at byte {end}, but only {len(data)} bytes arrived")
        found.append((header >> 3 & 0xF, data[at:end], data[body:end]))
        if len(found) > most:
            raise error(f"an AV1 picture of more than {most} units arrived")
        at = end
    return found


def unit(kind: int, payload: bytes) -> bytes:
    """The unit around a payload."""
    length, left = bytearray(), len(payload)
    while left >= 0x80:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    length.append(left)
    return bytes([kind << 3 | 0x02]) + length + payload


class SequenceHeader(NamedTuple):
    """What the headers of frames depend on."""

    width: int
    height: int
    order_hint_bits: int
    screen_content: int
    """Whether frames use screen content tools: 0, 1, or 2 for each as it says."""
    integer_motion: int
    """The same of whole motion vectors."""


class FrameHeader(NamedTuple):
    """The beginning of a frame that is shown at once."""

    kind: int
    """KEY_FRAME, INTER_FRAME, or another."""
    resized: bool
    """Whether it may have another size than the sequence."""
    refreshes: int
    """Bit per reference slot that it is kept in; 0: no later frame depends on it."""


@dataclass
class _Bits:
    data: bytes
    error: type[MalformedMessage]
    at: int = 0

    def read(self, count: int) -> int:
        """The next bits as a number."""
        end = self.at + count
        if end > 8 * len(self.data):
            raise self.error(f"an AV1 header of {len(self.data)} bytes ends too early")
        self.at = end
        return int.from_bytes(self.data) >> (8 * len(self.data) - end) & (1 << count) - 1

    def expect(self, value: int, count: int, what: str) -> None:
        """Raises the error if the next bits are something else."""
        seen = self.read(count)
        if seen != value:
            raise self.error(f"an AV1 stream with {what} arrived, which no base layer has")


def sequence_header(payload: bytes, error: type[MalformedMessage]) -> SequenceHeader:
    """The full sequence header of a main-profile, 8-bit, 4:2:0 stream with one layer. Raises `error` for another."""
    bits = _Bits(payload[:_HEADER_BYTES], error)
    bits.expect(0, 3, "another profile than main")
    bits.expect(0, 2, "still pictures only")
    bits.expect(0, 2, "timing or decoder models")
    bits.expect(0, 17, "several operating points")
    if bits.read(5) > _PLAIN_LEVELS:
        raise error("an AV1 stream of a level for large pictures arrived, which no base layer has")
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(width_bits) + 1, bits.read(height_bits) + 1
    bits.expect(0, 1, "frame ids")
    bits.read(7)
    order_hints = bits.read(1)
    if order_hints:
        bits.read(2)
    screen_content = _BY_FRAME if bits.read(1) else bits.read(1)
    integer_motion = _BY_FRAME
    if screen_content:
        integer_motion = _BY_FRAME if bits.read(1) else bits.read(1)
    order_hint_bits = bits.read(3) + 1 if order_hints else 0
    bits.read(3)
    bits.expect(0, 1, "more than 8 bits")
    bits.expect(0, 1, "no colour")
    if bits.read(1):
        bits.read(24)
    bits.read(4)
    bits.expect(0, 1, "film grain")
    return SequenceHeader(width, height, order_hint_bits, screen_content, integer_motion)


def frame_header(payload: bytes, sequence: SequenceHeader, error: type[MalformedMessage]) -> FrameHeader:
    """The beginning of a frame's payload. Raises `error` for one that is cut off or not shown at once."""
    bits = _Bits(payload[:_HEADER_BYTES], error)
    bits.expect(0, 1, "a repeated frame")
    kind = bits.read(2)
    bits.expect(1, 1, "a hidden frame")
    resilient = kind == KEY_FRAME or bool(bits.read(1))
    bits.read(1)
    screen_content = bits.read(1) if sequence.screen_content == _BY_FRAME else sequence.screen_content
    if screen_content and sequence.integer_motion == _BY_FRAME:
        bits.read(1)
    resized = bool(bits.read(1))
    bits.read(sequence.order_hint_bits)
    if kind == INTER_FRAME and not resilient:
        bits.read(3)
    refreshes = 0xFF if kind == KEY_FRAME else bits.read(8)
    return FrameHeader(kind, resized, refreshes)


def phase(sequence: int, droppable: bool) -> int:
    """Pictures since the key where every second one is droppable, which is only guessed: 1 to 256."""
    return 2 * sequence + 1 + (not droppable)


def code_header(encoder: RangeEncoder, data: bytes, pictures: int) -> None:
    """Codes up to LENGTH bytes of a packet so many pictures after the key."""
    for at, value in enumerate(data[:LENGTH]):
        values, table = _tables()[pictures % PHASES][at]
        value ^= _known(at, pictures)
        if value in values:
            encoder.encode(table, values.index(value))
        else:
            encoder.encode(table, CANDIDATES)
            encoder.encode_uniform(value, 8)


def read_header(decoder: RangeDecoder, length: int, pictures: int) -> bytes:
    """The first bytes of a packet of this length."""
    data = bytearray()
    for at in range(min(length, LENGTH)):
        values, table = _tables()[pictures % PHASES][at]
        symbol = decoder.decode(table)
        value = decoder.decode_uniform(8) if symbol == CANDIDATES else values[symbol]
        data.append(value ^ _known(at, pictures))
    return bytes(data)


def pack_tables(counts: dict[tuple[int, int], dict[int, int]]) -> bytes:
    """The file of tables, from how often each value stood at (phase, byte), as `known_apart` gives them."""
    content = bytearray()
    for number in range(PHASES * LENGTH):
        seen = counts.get(divmod(number, LENGTH), {})
        every = sum(seen.values()) + 1
        best = sorted(seen, key=lambda value: (-seen[value], value))[:CANDIDATES]
        for value in best:
            content += bytes([value]) + max(1, seen[value] * (TOTAL - 64) // every).to_bytes(2, "big")
        content += bytes(_ENTRY * (CANDIDATES - len(best)))
    return bytes(content)


def known_apart(data: bytes, pictures: int) -> bytes:
    """The first bytes of a packet without what its place says exactly."""
    return bytes(value ^ _known(at, pictures) for at, value in enumerate(data[:LENGTH]))


def _known(at: int, pictures: int) -> int:
    return pictures << 1 & 0xFF if at == _ORDER_HINT else 0


@cache
def _tables() -> list[list[tuple[list[int], FrequencyTable]]]:
    """Values and frequencies by phase and byte; the last symbol says that the value is none of them."""
    content, tables = _FILE.read_bytes(), []
    for begin in range(0, len(content), _ENTRY * CANDIDATES):
        entry = content[begin : begin + _ENTRY * CANDIDATES]
        frequencies = [int.from_bytes(entry[at + 1 : at + 3]) for at in range(0, len(entry), _ENTRY)]
        # A place without a value has frequency zero, and a value that nothing has, so that it is never found.
        values = [entry[_ENTRY * n] if each else -1 for n, each in enumerate(frequencies)]
        tables.append((values, FrequencyTable([*frequencies, TOTAL - sum(frequencies)])))
    return [tables[at : at + LENGTH] for at in range(0, len(tables), LENGTH)]
