"""WebP as a container: what is taken of it, and bombs that are refused before any decoder sees them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmarks.fuzz_pictures import scene, webp, webp_bomb
from shared.codec import MalformedPicture, av1, picture
from shared.codec.picture import MAX_LOSSLESS_SIDE, PictureCodec, WebpHead, decode_picture, encode_picture, webp_head


@pytest.mark.parametrize("lossless", [False, True])
def test_the_head_of_a_webp(lossless: bool) -> None:
    data = webp(np.zeros((64, 96, 3), np.uint8), lossless)
    assert webp_head(data) == WebpHead(96, 64, lossless)
    for other in (data[:-2], data + b"xx", data[4:], b"", b"RIFF", data[:12] + b"VP8X" + data[16:]):
        with pytest.raises(MalformedPicture):
            webp_head(other)


def test_a_webp_bomb_is_only_as_large_as_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decode_picture(PictureCodec.WEBP, webp_bomb(64), 64, 64).shape == (64, 64, 3)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a decoder was started")

    monkeypatch.setattr(cv2, "imdecode", never)
    with pytest.raises(MalformedPicture, match="lossless picture"):
        decode_picture(PictureCodec.WEBP, webp_bomb(512), 512, 512)
    with pytest.raises(MalformedPicture, match=r"64, 64.* was announced"):
        decode_picture(PictureCodec.WEBP, webp_bomb(512), 64, 64)


def test_what_would_be_refused_is_not_encoded() -> None:
    side = MAX_LOSSLESS_SIDE + 2
    with pytest.raises(ValueError, match="lossless"):
        encode_picture(np.zeros((side, side, 3), np.uint8), "max")


def chunk(name: bytes, body: bytes) -> bytes:
    return name + len(body).to_bytes(4, "little") + body


def animated(frames: list[bytes], side: int) -> bytes:
    """A WebP of several pictures, each given as a file (RFC 9649, section 2.7)."""
    extent = (side - 1).to_bytes(3, "little") * 2
    body = b"WEBP" + chunk(b"VP8X", b"\x02" + bytes(3) + extent) + chunk(b"ANIM", bytes(6))
    for each in frames:
        body += chunk(b"ANMF", bytes(6) + extent + b"\x64" + bytes(3) + each[12:])
    return chunk(b"RIFF", body)


def test_animation_and_alpha_are_refused() -> None:
    moving = animated([webp(np.full((64, 64, 3), value, np.uint8), lossless=False) for value in (0, 200)], 64)
    clear = cv2.imencode(".webp", np.full((64, 64, 4), 90, np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 40])[1].tobytes()
    for data in (moving, clear):
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) is not None  # others do take it
        with pytest.raises(MalformedPicture, match=r"another form|one RIFF"):
            decode_picture(PictureCodec.WEBP, data, 64, 64)


def test_without_a_decoder_for_av1_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    if not av1.available():
        pytest.skip("this PyAV has no SVT-AV1 or dav1d")
    data = av1.encode(scene(64), 50)
    monkeypatch.setattr(av1, "decodable", lambda: False)
    with pytest.raises(MalformedPicture, match="no libdav1d"):
        decode_picture(PictureCodec.AV1, data, 64, 64)
    assert picture.encode_picture(scene(64), 50)[0] is PictureCodec.WEBP
