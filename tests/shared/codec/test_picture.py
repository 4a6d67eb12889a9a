import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from shared.codec import MalformedPicture, av1, picture
from shared.codec.picture import PictureCodec, PictureMessage, decode_picture, encode_picture
from shared.motion import Motion

needs_av1 = pytest.mark.skipif(not av1.available(), reason="this PyAV has no SVT-AV1 or dav1d")


def _scene(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    smooth = np.stack([120 + 90 * np.sin(5 * x), 110 + 60 * np.cos(4 * y), 100 + 70 * np.sin(3 * (x + y))], axis=-1)
    return smooth.astype(np.uint8)


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def _message(data: bytes = b"pixels") -> PictureMessage:
    motion = Motion.from_vector(np.arange(13, dtype=np.float32) / 8 + 0.125)
    canonical = np.array([[0.5, -0.25, 1], [2, 0, -1]], np.float32)
    return PictureMessage(513, 3, PictureCodec.AV1, 128, 96, canonical, motion, data)


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (256, 256), (512, 512), (96, 160)])
def test_a_picture_comes_back(size: tuple[int, int]) -> None:
    rgb = _scene(*size)
    codec, data = encode_picture(rgb, 75)
    seen = decode_picture(codec, data, size[1], size[0])
    assert seen.shape == rgb.shape
    assert seen.dtype == np.uint8
    assert _psnr(seen, rgb) > 34


def test_quality_costs_bytes_and_shows() -> None:
    rgb = _scene(128, 128)
    sizes, psnrs = [], []
    for quality in (10, 50, 90):
        codec, data = encode_picture(rgb, quality)
        sizes.append(len(data))
        psnrs.append(_psnr(decode_picture(codec, data, 128, 128), rgb))
    assert sizes == sorted(set(sizes))
    assert psnrs == sorted(psnrs)


def test_max_is_lossless() -> None:
    rgb = _scene(64, 48)
    codec, data = encode_picture(rgb, "max")
    assert np.array_equal(decode_picture(codec, data, 48, 64), rgb)


@pytest.mark.parametrize(
    "colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 90), (16, 16, 16)]
)
def test_flat_colours_keep_their_colour(colour: tuple[int, int, int]) -> None:
    codec, data = encode_picture(np.full((128, 128, 3), colour, np.uint8), 75)
    error = decode_picture(codec, data, 128, 128).reshape(-1, 3).mean(0) - colour
    assert np.abs(error).mean() < 1


def test_webp_stands_in_for_av1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av1, "available", lambda: False)
    rgb = _scene(128, 128)
    codec, data = encode_picture(rgb, 75)
    assert codec is PictureCodec.WEBP
    assert _psnr(decode_picture(codec, data, 128, 128), rgb) > 34


def test_without_webp_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    _, data = encode_picture(_scene(64, 64), "max")
    monkeypatch.setattr(picture.cv2, "haveImageWriter", lambda name: False)
    with pytest.raises(ValueError, match="writes no WebP"):
        encode_picture(_scene(64, 64), "max")
    monkeypatch.setattr(picture.cv2, "imdecode", lambda *_: None)  # what it does without a decoder
    with pytest.raises(MalformedPicture, match="reads no WebP"):
        decode_picture(PictureCodec.WEBP, data, 64, 64)


@needs_av1
def test_an_av1_picture_is_two_units_without_overhead() -> None:
    _, data = encode_picture(_scene(64, 64), 50)
    assert data[0] >> 3 == 1
    assert data[2 + data[1]] >> 3 == 6


@pytest.mark.parametrize("quality", [50, "max"])
@pytest.mark.parametrize("announced", [(64, 128), (128, 64), (1024, 1024)])
def test_another_size_than_announced_is_refused(quality: int | str, announced: tuple[int, int]) -> None:
    codec, data = encode_picture(_scene(64, 64), quality)  # type: ignore[arg-type]
    with pytest.raises(MalformedPicture, match="announced"):
        decode_picture(codec, data, *announced)


@pytest.mark.parametrize("announced", [(0, 64), (65, 64), (2048, 64), (64, 8)])
def test_impossible_sizes_are_refused(announced: tuple[int, int]) -> None:
    with pytest.raises(MalformedPicture, match="sides"):
        decode_picture(PictureCodec.WEBP, b"", *announced)


@pytest.mark.parametrize(
    ("rgb", "quality"),
    [
        (np.zeros((64, 65, 3), np.uint8), 50),
        (np.zeros((8, 64, 3), np.uint8), 50),
        (np.zeros((64, 2048, 3), np.uint8), 50),
        (np.zeros((64, 64), np.uint8), 50),
        (np.zeros((64, 64, 3), np.float32), 50),
        (np.zeros((64, 64, 3), np.uint8), 101),
    ],
)
def test_what_cannot_be_encoded_is_refused(rgb: np.ndarray, quality: int) -> None:
    with pytest.raises(ValueError, match="picture"):
        encode_picture(rgb, quality)


def test_a_message_comes_back() -> None:
    sent = _message()
    seen = PictureMessage.unpack(sent.pack())
    assert (seen.source_id, seen.codec, seen.width, seen.height, seen.data) == (
        513,
        PictureCodec.AV1,
        128,
        96,
        b"pixels",
    )
    assert np.array_equal(seen.canonical, sent.canonical)
    assert np.array_equal(seen.motion.vector(), sent.motion.vector())


def _with_checksum(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "big")


def test_messages_that_are_no_picture_are_refused() -> None:
    body = _message().pack()[:-4]
    damaged = bytearray(_message().pack())
    damaged[20] ^= 1
    wild = replace(_message(), canonical=np.full((2, 3), 5000, np.float32))
    infinite = replace(_message(), canonical=np.full((2, 3), np.inf, np.float32))
    upside_down = replace(_message(), motion=replace(_message().motion, scale=-1.0))
    cases = {
        "too short": b"\x01\x02",
        "version 9": b"\x09" + body[1:] + b"1234",
        "checksum": bytes(damaged),
        "AVIF file arrived, as older versions": _with_checksum(body[:4] + b"\x02" + body[5:]),
        "codec 77": _with_checksum(body[:4] + b"\x4d" + body[5:]),
        "sides": _with_checksum(body[:5] + b"\xff\xff" + body[7:]),
        "0 keypoints": _with_checksum(body[:9] + b"\0" + body[10:]),
        "200 keypoints": _with_checksum(body[:9] + b"\xc8" + body[10:]),
        "keypoints or motion": wild.pack(),
        "finite": infinite.pack(),
        "no head can": upside_down.pack(),
    }
    for message, malformed in cases.items():
        with pytest.raises(MalformedPicture, match=message):
            PictureMessage.unpack(malformed)


def test_differing_keypoints_are_not_packed() -> None:
    with pytest.raises(ValueError, match="differ"):
        replace(_message(), canonical=np.zeros((3, 3), np.float32)).pack()


def test_golden_picture_message(golden: Callable[[str, bytes], None]) -> None:
    golden("picture.bin", _message().pack())
