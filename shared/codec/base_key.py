"""A key of the base layer: where a generation of its packets begins. It travels in pieces, as sources do.

offset  size
0       1     KIND; a picture's version elsewhere, so that an end without a base layer refuses it
1       1     generation, 0 to 15
2       1     number of the crop
3       1     side in 8 pixels
4       1     crf
5       2     number of the frame
7       3     its capture clock in ms, 20 bits
10      ...   sequence header and key frame
        4     CRC-32 of everything before
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from shared.codec import MalformedBase
from shared.codec.base_section import GENERATIONS
from shared.codec.base_video import MAX_CRF, MAX_KEY_BYTES, SIZES
from shared.codec.bundle import CLOCK_WRAP_MS

KIND = 0xB1
PIECES_ID = 0x8000
"""Pieces of keys are told from those of sources by numbers that sources reach after 32768 of them."""

_HEADER = struct.Struct(">BBBBBHBH")
_CRC = struct.Struct(">I")
_SIDE_UNIT = 8


@dataclass(frozen=True)
class BaseKey:
    """A picture of the base layer that needs none before it."""

    generation: int
    """0 to 15; it wraps around."""
    crop: int
    """8 bits, as of sources."""
    size: int
    """Side in pixels, of SIZES."""
    crf: int
    """1 (best) to 70."""
    frame: int
    """Number of the frame that it shows, 16 bits; it wraps around."""
    clock_ms: int
    """Capture clock of that frame, as of bundles: 20 bits; it wraps around."""
    data: bytes
    """For `BaseDecoder.decode_key`."""

    @property
    def pieces_id(self) -> int:
        """What its pieces are sent under."""
        return PIECES_ID | self.generation % GENERATIONS

    def pack(self) -> bytes:
        """The message. Raises ValueError for a key that it cannot hold."""
        if self.size not in SIZES or not 1 <= self.crf <= MAX_CRF or not 1 <= len(self.data) <= MAX_KEY_BYTES:
            raise ValueError(f"a base key of {self.size} px, crf {self.crf} and {len(self.data)} bytes does not fit")
        clock = self.clock_ms % CLOCK_WRAP_MS
        header = _HEADER.pack(
            KIND, self.generation % GENERATIONS, self.crop & 0xFF, self.size // _SIDE_UNIT, self.crf,
            self.frame & 0xFFFF, clock >> 16, clock & 0xFFFF,
        )  # fmt: skip
        return header + self.data + _CRC.pack(zlib.crc32(header + self.data))

    @staticmethod
    def unpack(message: bytes) -> BaseKey:
        """The key in a message. Raises MalformedBase; its pixels are only looked at by `BaseDecoder`."""
        length = len(message) - _HEADER.size - _CRC.size
        if not 1 <= length <= MAX_KEY_BYTES:
            raise MalformedBase(f"a base key holds 1 to {MAX_KEY_BYTES} bytes, this one {length}")
        kind, generation, crop, side, crf, frame, high, low = _HEADER.unpack_from(message)
        body, (checksum,) = message[: -_CRC.size], _CRC.unpack(message[-_CRC.size :])
        if kind != KIND or zlib.crc32(body) != checksum:
            raise MalformedBase("a base key arrived that is of another kind or whose checksum does not match")
        size, clock = side * _SIDE_UNIT, high << 16 | low
        if generation >= GENERATIONS or size not in SIZES or not 1 <= crf <= MAX_CRF or clock >= CLOCK_WRAP_MS:
            raise MalformedBase(f"a base key of generation {generation}, {size} px and crf {crf} arrived")
        return BaseKey(generation, crop, size, crf, frame, clock, body[_HEADER.size :])


def is_base_key(message: bytes) -> bool:
    """Whether a message of the pictures channel is a key, not a source."""
    return message[:1] == bytes([KIND])
