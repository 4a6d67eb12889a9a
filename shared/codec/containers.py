"""The plainest form of WebP, read before any library sees the data.

A WebP file may hold frames, planes and metadata beside the picture, and sizes that bind nobody. So only what our
encoder writes is taken.
"""

from __future__ import annotations

from typing import NamedTuple

from shared.codec.errors import MalformedPicture

_RIFF = 12
_CHUNK = 8
_LOSSY_START = b"\x9d\x01\x2a"
_LOSSLESS_START = 0x2F


class WebpHead(NamedTuple):
    """What a WebP picture says of itself."""

    width: int
    height: int
    lossless: bool


def webp_head(data: bytes) -> WebpHead:
    """Size and kind of a WebP file that is one picture, without alpha, animation or metadata. Raises MalformedPicture.

    RFC 9649, sections 2.4 to 2.6 and 3.4; RFC 6386, section 9.1.
    """
    chunk, length = data[_RIFF : _RIFF + 4], int.from_bytes(data[_RIFF + 4 : _RIFF + _CHUNK], "little")
    body = data[_RIFF + _CHUNK :]
    whole = int.from_bytes(data[4:8], "little") + _CHUNK == len(data) and length + length % 2 == len(body)
    if data[:4] != b"RIFF" or data[8:_RIFF] != b"WEBP" or not whole:
        raise MalformedPicture("a WebP picture is one RIFF file with one chunk, something else arrived")
    if chunk == b"VP8 " and body[3:6] == _LOSSY_START and len(body) >= 10:
        # the upper two bits of each side ask for enlargement on display
        return WebpHead(_little(body[6:8]) & 0x3FFF, _little(body[8:10]) & 0x3FFF, lossless=False)
    if chunk == b"VP8L" and body[:1] == bytes([_LOSSLESS_START]) and len(body) >= 5:
        bits = _little(body[1:5])
        return WebpHead((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, lossless=True)
    raise MalformedPicture("a WebP picture in another form than Pinhole writes arrived")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
