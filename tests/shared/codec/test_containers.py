"""AVIF and WebP as containers: what is taken of them, and bombs that are refused before any decoder sees them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, features

from benchmarks.fuzz_pictures import avif, avif_bomb, scene, webp, webp_bomb
from shared.codec import av1, picture
from shared.codec.containers import WebpHead, avif_stream, webp_head
from shared.codec.errors import MalformedPicture
from shared.codec.picture import MAX_LOSSLESS_SIDE, PictureCodec, decode_picture, encode_picture

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
needs_dav1d = pytest.mark.skipif(not av1.decodable(), reason="this PyAV has no dav1d")


@needs_avif
@needs_dav1d
def test_an_avif_picture_looks_as_other_decoders_show_it() -> None:
    pixels = scene(128)
    seen = decode_picture(PictureCodec.AVIF, avif(pixels), 128, 128).astype(float)
    assert np.abs(seen - pixels).mean() < 8
    assert np.abs((seen - pixels).mean((0, 1))).max() < 1  # no tint


@needs_avif
@pytest.mark.parametrize("stream_side", [128, 2048])
def test_an_avif_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch, stream_side: int) -> None:
    bomb = avif_bomb(64, stream_side)
    assert len(bomb) < 3000

    def never(*_: object) -> None:
        raise AssertionError("a decoder was started")

    monkeypatch.setattr(av1, "decodable", never)  # asked right before a decoder is made
    monkeypatch.setattr(Image, "open", never)
    with pytest.raises(MalformedPicture, match=rf"\({stream_side}, {stream_side}\) arrived where \(64, 64\)"):
        decode_picture(PictureCodec.AVIF, bomb, 64, 64)


@needs_avif
def test_avif_in_another_form_is_refused() -> None:
    data = avif(scene(64))
    assert avif_stream(data) in data
    for other in (data[32:], data + b"\0", data[:-1], data + data, b"", bytes(100), data[:4] + b"moov" + data[8:]):
        with pytest.raises(MalformedPicture):
            avif_stream(other)


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

    monkeypatch.setattr(Image, "open", never)
    with pytest.raises(MalformedPicture, match="lossless picture"):
        decode_picture(PictureCodec.WEBP, webp_bomb(512), 512, 512)
    with pytest.raises(MalformedPicture, match=r"64, 64.* was announced"):
        decode_picture(PictureCodec.WEBP, webp_bomb(512), 64, 64)


def test_what_would_be_refused_is_not_encoded() -> None:
    side = MAX_LOSSLESS_SIDE + 2
    with pytest.raises(ValueError, match="lossless"):
        encode_picture(np.zeros((side, side, 3), np.uint8), "max")


def test_animation_and_alpha_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("webp")
    frames = [Image.fromarray(np.full((64, 64, 3), value, np.uint8)) for value in (0, 200)]
    frames[0].save(folder / "a.webp", save_all=True, append_images=frames[1:])
    Image.fromarray(np.full((64, 64, 4), 90, np.uint8), "RGBA").save(folder / "b.webp")
    for name in ("a.webp", "b.webp"):
        with pytest.raises(MalformedPicture, match=r"another form|one RIFF"):
            decode_picture(PictureCodec.WEBP, (folder / name).read_bytes(), 64, 64)


def test_without_a_decoder_for_av1_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    if not av1.available():
        pytest.skip("this PyAV has no SVT-AV1 or dav1d")
    data = av1.encode(scene(64), 50)
    monkeypatch.setattr(av1, "decodable", lambda: False)
    with pytest.raises(MalformedPicture, match="no libdav1d"):
        decode_picture(PictureCodec.AV1, data, 64, 64)
    assert picture.encode_picture(scene(64), 50)[0] is PictureCodec.WEBP
