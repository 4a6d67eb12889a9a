"""A film in which the face goes for a while, as a call in a file that is drawn again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from call_examples import psnr, read_clip, write_clip
from face_examples import people, placed, room

from receiver.replay import replay_call
from receiver.settings import ReceiverSettings
from sender.call import SenderSettings
from sender.call_recording import record_call
from sender.detect import Image
from sender.refresh import First
from shared.codec import av1

GONE = range(14, 40)
FRAMES = 52


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample person, black or an empty room for a second, and the person again."""
    folder = tmp_path_factory.mktemp("films")
    shown: list[Image] = [placed(each, 170) for each in people(FRAMES)]
    black = np.zeros_like(shown[0])
    return {
        name: write_clip(folder / f"{name}.mp4", [empty if n in GONE else each for n, each in enumerate(shown)])
        for name, empty in (("black", black), ("room", room()))
    }


def drawn(film: Path, folder: Path, base: str) -> tuple[list[Image], dict[str, int]]:
    """What a receiver draws of a film, and the sender's figures."""
    call, out = folder / "c.pinhole", folder / "o.mp4"
    sent = record_call(SenderSettings(None, str(film), refresh=First(), device="cpu", base=base, out=call))
    replay_call(ReceiverSettings(play=call, out=out, device="cpu"))
    return read_clip(out)[0], sent


@pytest.mark.parametrize("name", ["black", "room"])
def test_the_last_picture_is_held_until_the_face_is_back(films: dict[str, Path], name: str, tmp_path: Path) -> None:
    frames, sent = drawn(films[name], tmp_path, "auto")
    assert len(frames) == FRAMES and sent["sources_sent"] == 1
    before = frames[GONE[0] - 1]
    assert min(psnr(frames[n], before) for n in GONE[:-1]) > 30
    assert max(psnr(a, b) for a, b in zip(frames[44:], frames[43:], strict=False)) < 60, "it moves again"
    assert np.abs(frames[-1].astype(float) - before).mean() > 2


@pytest.mark.skipif(not av1.available(), reason="this PyAV has no SVT-AV1 or dav1d")
def test_with_base_always_the_receiver_shows_what_is_there(films: dict[str, Path], tmp_path: Path) -> None:
    frames, _ = drawn(films["black"], tmp_path, "always")
    assert len(frames) == FRAMES
    assert max(float(frames[n].mean()) for n in GONE[4:-4]) < 20
    assert min(float(frames[n].mean()) for n in (*range(GONE[0] - 2), *range(GONE[-1] + 4, FRAMES))) > 60
