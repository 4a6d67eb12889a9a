"""Picture messages for the fuzzer, of every codec that a receiver reads; and bombs."""

from __future__ import annotations

import cv2
import numpy as np

from shared.codec import av1
from shared.codec.picture import PictureCodec, PictureMessage, RgbImage
from shared.motion import Motion

SIDE = 64


def picture_messages() -> tuple[bytes, ...]:
    """A valid message for each codec that this machine can write."""
    pixels = scene(SIDE)
    coded = [(PictureCodec.WEBP, webp(pixels, lossless=True)), (PictureCodec.WEBP, webp(pixels, lossless=False))]
    if av1.available():
        coded.append((PictureCodec.AV1, av1.encode(pixels, 40)))
    return tuple(message(codec, data, SIDE) for codec, data in coded)


def message(codec: PictureCodec, data: bytes, side: int) -> bytes:
    """A message with a square picture."""
    canonical = np.linspace(-0.5, 0.5, 12, dtype=np.float32).reshape(4, 3)
    motion = Motion(np.zeros(3, np.float32), 1.0, np.zeros(3, np.float32), np.zeros((4, 3), np.float32))
    return PictureMessage(1, 0, codec, side, side, canonical, motion, data).pack()


def scene(side: int) -> RgbImage:
    """(side, side, 3) smooth colours with a little noise."""
    y, x = np.mgrid[0:side, 0:side] / side
    smooth = np.stack([120 + 90 * np.sin(5 * x), 110 + 60 * np.cos(4 * y), 100 + 70 * np.sin(3 * (x + y))], axis=-1)
    return np.asarray(smooth + np.random.default_rng(0).normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8)


def webp(pixels: RgbImage, lossless: bool) -> bytes:
    """As our encoder writes it."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, 101 if lossless else 40])[1].tobytes()


def webp_bomb(side: int) -> bytes:
    """A lossless WebP with tables of its own for every 4x4 pixels: about 6 KB of tables for two bytes.

    RFC 9649, section 5; every table has a single symbol, but for those that name the groups.
    """
    bits = _Bits()
    for value, count in ((0x2F, 8), (side - 1, 14), (side - 1, 14), (0, 5), (0, 1), (1, 1), (0, 3), (0, 1)):
        bits.put(value, count)  # no alpha, version 0, no transform, no cache, groups of 4x4 pixels, again no cache
    groups = (-(-side // 4)) ** 2
    for alphabet in (256 + 24, 256):  # green and red name a group: all of their values, 8 bits each
        bits.put(0, 1)
        bits.put(8, 4)
        for length in (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8):
            bits.put(length in (0, 8), 3)
        bits.put(0, 1)
        for symbol in range(alphabet):
            bits.put(symbol < 256, 1)
    for _ in range(3):
        bits.single()
    for group in range(groups):
        for value in (group & 255, group >> 8):
            bits.put(int(f"{value:08b}"[::-1], 2), 8)
    for _ in range(5 * groups):
        bits.single()
    body = bits.bytes()
    chunk = b"VP8L" + len(body).to_bytes(4, "little") + body
    return b"RIFF" + (len(chunk) + 4).to_bytes(4, "little") + b"WEBP" + chunk


class _Bits:
    """Numbers of so many bits each, the lowest bit first."""

    def __init__(self) -> None:
        self._values: list[str] = []

    def put(self, value: int, count: int) -> None:
        self._values.append(f"{int(value):0{count}b}"[::-1])

    def single(self) -> None:
        """A code of one symbol, zero, which takes no bits."""
        self.put(0b0001, 4)

    def bytes(self) -> bytes:
        text = "".join(self._values)
        text += "0" * (-len(text) % 16)
        return bytes(int(text[at : at + 8][::-1], 2) for at in range(0, len(text), 8))
