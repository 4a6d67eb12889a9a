from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from sender import source_coder as module
from sender.source_coder import MOST_STUCK, SourceCoder
from shared.codec import av1
from shared.codec.picture import PictureCodec, decode_picture
from shared.models.engine import Picture

GREY = np.full((64, 64, 3), 130, np.uint8)


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The pictures over which a stand-in for SVT-AV1 hangs."""
    let_go, asked = threading.Event(), list[int]()

    def hangs(rgb: Picture, crf: int) -> bytes:
        asked.append(crf)
        let_go.wait(60)
        return b""

    monkeypatch.setattr(av1, "ENCODE_SECONDS", 0.02)
    monkeypatch.setattr(av1, "encoded", hangs)
    yield asked
    let_go.set()


def test_a_source_goes_although_the_encoder_hangs(hung: list[int], caplog: pytest.LogCaptureFixture) -> None:
    coder = SourceCoder()
    with caplog.at_level(logging.WARNING):
        for _ in range(MOST_STUCK + 2):
            codec, data = coder.encode(GREY, 65)
            assert codec is PictureCodec.WEBP
            assert np.abs(decode_picture(codec, data, 64, 64).astype(int) - GREY).mean() < 8
    assert coder.stuck == len(hung) == MOST_STUCK  # then it is not asked any more
    assert [record.getMessage() for record in caplog.records] == [
        f"sources go in another codec from here on: SVT-AV1 hung {MOST_STUCK} times"
    ]
    assert coder.encode(GREY, "max")[0] is PictureCodec.WEBP


def test_where_nothing_hangs_the_codec_is_the_usual_one() -> None:
    coder = SourceCoder()
    assert coder.encode(GREY, 65) == module.encode_picture(GREY, 65)
    assert coder.stuck == 0
