"""Source pictures: their pixels as bytes, and the message that carries one with its keypoints and motion.

The size of a picture is read from its head before any library sees the data.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.codec import MalformedPicture, av1
from shared.motion import POSE_SIZE, FloatArray, Motion

RgbImage = NDArray[np.uint8]
Quality = int | Literal["max"]
VERSION = 1
MIN_SIDE, MAX_SIDE = 16, 1024
MAX_LOSSLESS_SIDE = 256
"""A lossless WebP may bring tables of its own for every 4x4 pixels, 6 KB each: 400 MB at 1024x1024, 27 MB here."""
DEFAULT_QUALITY = 65
"""About 37 dB PSNR-Y and 2 KB on a face at 256x256: sources are rare, and eyes and skin lose visibly below that."""
_HEADER = struct.Struct(">BHBBHHB")
_CRC = struct.Struct(">I")
_MAX_CANONICAL = 100.0
_MAX_MOTION = 360.0
_AVIF = 2
"""Codec of a picture in an AVIF file, which earlier versions sent where SVT-AV1 was missing."""
_LOSSLESS = 101
"""OpenCV's WebP quality that means lossless."""
_RIFF = 12
_CHUNK = 8
_LOSSY_START = b"\x9d\x01\x2a"
_LOSSLESS_START = 0x2F


class PictureCodec(IntEnum):
    """How the pixels of a picture are coded."""

    AV1 = 1
    """One raw AV1 still picture."""
    WEBP = 3
    """Lossy or lossless."""


def encode_picture(rgb: RgbImage, quality: Quality = DEFAULT_QUALITY) -> tuple[PictureCodec, bytes]:
    """Codec and bytes of a (H, W, 3) picture with even sides of 16 to 1024 pixels.

    quality: 0 (smallest) to 100, or "max" for lossless, which goes up to 256 pixels. WebP is used where SVT-AV1 is
    missing. Raises ValueError for other sizes or qualities, and EncoderStuck if SVT-AV1 hangs.
    """
    _check_pixels(rgb)
    if quality == "max":
        if max(rgb.shape[:2]) > MAX_LOSSLESS_SIDE:
            raise ValueError(f"a lossless picture has sides of at most {MAX_LOSSLESS_SIDE}, not {rgb.shape[1::-1]}")
        return PictureCodec.WEBP, _encode_webp(rgb, _LOSSLESS)
    if not 0 <= quality <= 100:
        raise ValueError(f"picture quality is 0 to 100 or 'max', this is {quality}")
    if av1.available():
        return PictureCodec.AV1, av1.encode(rgb, crf=round(63 - 0.4 * quality))
    return encode_otherwise(rgb, quality)


def decode_picture(codec: PictureCodec, data: bytes, width: int, height: int) -> RgbImage:
    """The (height, width, 3) picture. Raises MalformedPicture if the data is not a picture of exactly that size.

    That is read from the data itself before any decoder gets it, whatever the containers around it say.
    """
    _check_size(width, height)
    match codec:
        case PictureCodec.AV1:
            return av1.decode(data, width, height)
        case PictureCodec.WEBP:
            return _decode_webp(data, width, height)


@dataclass(frozen=True, eq=False)
class PictureMessage:
    """A source on its way to the receiver."""

    source_id: int
    """16 bits."""
    crop: int
    """8 bits: counts up whenever the sender's camera crop moves."""
    codec: PictureCodec
    width: int
    height: int
    canonical: FloatArray
    """(K, 3) canonical keypoints of the person in the picture."""
    motion: Motion
    """Head pose and expression in the picture itself."""
    data: bytes
    """The coded pixels, for `decode_picture`."""

    def pack(self) -> bytes:
        """The message. Raises ValueError if the keypoints of canonical and motion differ in number."""
        k = len(self.canonical)
        if self.canonical.shape != (k, 3) or self.motion.expression.shape != (k, 3) or not 1 <= k <= 255:
            raise ValueError(f"canonical {self.canonical.shape} and expression {self.motion.expression.shape} differ")
        header = _HEADER.pack(
            VERSION, self.source_id & 0xFFFF, self.crop & 0xFF, self.codec, self.width, self.height, k
        )
        arrays = self.canonical.astype(">f2").tobytes() + self.motion.vector().astype(">f2").tobytes()
        body = header + arrays + self.data
        return body + _CRC.pack(zlib.crc32(body))

    @staticmethod
    def unpack(message: bytes) -> PictureMessage:
        """The picture in a message. Raises MalformedPicture; the pixels are only looked at by `decode_picture`."""
        if len(message) < _HEADER.size + _CRC.size:
            raise MalformedPicture(f"a picture message of {len(message)} bytes arrived, too short for its header")
        version, source_id, crop, codec, width, height, k = _HEADER.unpack_from(message)
        if version != VERSION:
            raise MalformedPicture(f"picture version {version} arrived, expected {VERSION}: update the older end")
        body, (checksum,) = message[: -_CRC.size], _CRC.unpack(message[-_CRC.size :])
        if zlib.crc32(body) != checksum:
            raise MalformedPicture("a picture arrived whose checksum does not match")
        if codec == _AVIF:
            raise MalformedPicture("a picture in an AVIF file arrived, as older versions send it: update the older end")
        if codec not in tuple(PictureCodec):
            raise MalformedPicture(f"a picture in unknown codec {codec} arrived")
        _check_size(width, height)
        canonical_end = _HEADER.size + 6 * k
        arrays_end = canonical_end + 2 * POSE_SIZE + 6 * k
        if k == 0 or arrays_end >= len(body):
            raise MalformedPicture(f"a picture with {k} keypoints needs more than {arrays_end} bytes, has {len(body)}")
        canonical = _floats(body[_HEADER.size : canonical_end]).reshape(k, 3)
        motion = Motion.from_vector(_floats(body[canonical_end:arrays_end]))
        if np.abs(canonical).max() > _MAX_CANONICAL or np.abs(motion.vector()).max() > _MAX_MOTION or motion.scale <= 0:
            raise MalformedPicture("a picture arrived whose keypoints or motion no head can have")
        return PictureMessage(source_id, crop, PictureCodec(codec), width, height, canonical, motion, body[arrays_end:])


def _floats(data: bytes) -> FloatArray:
    values = np.frombuffer(data, ">f2").astype(np.float32)
    if not np.isfinite(values).all():
        raise MalformedPicture("a picture arrived with keypoints that are not finite")
    return values


def _check_pixels(rgb: RgbImage) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"a picture is (H, W, 3) uint8, this is {rgb.shape} {rgb.dtype}")
    if any(side % 2 or not MIN_SIDE <= side <= MAX_SIDE for side in rgb.shape[:2]):
        raise ValueError(f"picture sides are even, {MIN_SIDE} to {MAX_SIDE}; this is {rgb.shape[1]}x{rgb.shape[0]}")


def _check_size(width: int, height: int) -> None:
    if any(side % 2 or not MIN_SIDE <= side <= MAX_SIDE for side in (width, height)):
        raise MalformedPicture(f"a {width}x{height} picture arrived; sides are even, {MIN_SIDE} to {MAX_SIDE}")


def encode_otherwise(rgb: RgbImage, quality: int) -> tuple[PictureCodec, bytes]:
    """The same without SVT-AV1; quality 0 to 100."""
    # the factor brings quality 50 to about 35 dB at 256x256, as for AV1
    return PictureCodec.WEBP, _encode_webp(rgb, round(0.5 * quality))


def _encode_webp(rgb: RgbImage, quality: int) -> bytes:
    if not cv2.haveImageWriter(".webp"):
        raise ValueError("this OpenCV writes no WebP pictures: pip install opencv-python")
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return data.tobytes()


def _decode_webp(data: bytes, width: int, height: int) -> RgbImage:
    head = webp_head(data)
    if (head.width, head.height) != (width, height):
        raise MalformedPicture(f"a WebP picture of {head[:2]} arrived, {(width, height)} was announced")
    if head.lossless and max(width, height) > MAX_LOSSLESS_SIDE:
        raise MalformedPicture(f"a lossless picture of {head[:2]} arrived, at most {MAX_LOSSLESS_SIDE} are taken")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise MalformedPicture("a WebP picture cannot be decoded") from error
    if bgr is None:
        raise MalformedPicture("a WebP picture cannot be decoded: it is damaged, or this OpenCV reads no WebP")
    if bgr.shape != (height, width, 3):
        raise MalformedPicture(f"a WebP picture turned out to be {bgr.shape}")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


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
