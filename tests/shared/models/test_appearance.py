"""Another face in a call is noticed, said everywhere, and not forgotten."""

from __future__ import annotations

import numpy as np
import pytest
from call_examples import ColourEngine, make_basis, make_motion, picture

from receiver.decoder import CallDecoder
from receiver.output import outputs as module
from receiver.output.outputs import Sinks
from receiver.output.window import announcement, mark
from receiver.upscale import Bicubic
from shared.codec.picture import PictureCodec, PictureMessage, encode_picture
from shared.codec.pieces import split
from shared.models.appearance import FaceWatch
from shared.models.engine import Picture
from shared.motion import FloatArray
from shared.transport.link import Channel


def look(angle: float) -> FloatArray:
    """An appearance that differs from `look(0)` by as much as the angle, in radians."""
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def test_the_first_change_is_remembered_whatever_comes_after() -> None:
    watch, told = FaceWatch(threshold=1.0), []
    watch.on_change = lambda: told.append(watch.changed)
    for time, angle in enumerate((0.0, 0.5, -0.4, 2.0, 0.1, 2.1)):
        watch.take(look(angle), float(time))
    assert (watch.changed, watch.changes, told) == (3.0, 2, [3.0])


def test_nothing_changes_while_the_sources_are_alike() -> None:
    watch = FaceWatch(threshold=1.0)
    for time in range(100):
        watch.take(look(0.4 * np.sin(time)), float(time))
    assert (watch.changed, watch.changes) == (None, 0)


def test_light_may_change_slowly_and_change_back_at_once() -> None:
    watch = FaceWatch(threshold=1.0)
    for time in range(100):
        watch.take(look(0.03 * time), float(time))
    watch.take(look(0.05), 100.0)  # as it was at first, which is remembered
    assert watch.changed is None
    watch.take(look(1.5), 101.0)  # as it was halfway, which is not: what is remembered is bounded
    assert watch.changed == 101.0


def green(rgb: Picture) -> FloatArray:
    return look(float(rgb[..., 1].mean()) / 100)


def pieces(source_id: int, rgb: Picture) -> list[bytes]:
    canonical = np.zeros((4, 3), np.float32)
    codec, data = encode_picture(rgb, "max")
    assert isinstance(codec, PictureCodec)
    message = PictureMessage(source_id, 0, codec, len(rgb), len(rgb), canonical, make_motion(), data)
    return list(split(message.pack(), source_id))


def take(half: CallDecoder, source_id: int, rgb: Picture, now: float) -> None:
    for piece in pieces(source_id, rgb):
        half.receive(Channel.PICTURES, piece, now)
    job = half.next_job()
    assert job is not None
    half.add_source(half.prepare(job))


def test_the_receiver_judges_by_the_picture_that_came() -> None:
    half = CallDecoder(ColourEngine(), make_basis(), Bicubic(), appearances=green)
    for number, colour in enumerate((10, 30, 200, 10)):
        assert half.face_changed == (None if number < 3 else 2.0)
        take(half, number, picture(0, colour), 100.0 + number)
    assert (half.face_changed, half.faces.changes) == (2.0, 1)


def test_without_a_reader_nobody_judges() -> None:
    half = CallDecoder(ColourEngine(), make_basis(), Bicubic())
    for number, colour in enumerate((10, 200)):
        take(half, number, picture(0, colour), float(number))
    assert half.face_changed is None


def test_the_mark_says_where_pictures_come_from_and_that_the_face_changed() -> None:
    assert mark("camera") == "reconstructed"
    assert mark("virtual") == "reconstructed from a virtual camera, not a real one"
    assert mark("file", 83.2) == "reconstructed from a file, not a camera; FACE CHANGED 1:23 into the call"
    assert [announcement(kind) for kind in ("camera", "file")] == ["", " (from a file, not a camera)"]


async def test_window_and_camera_say_so_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shown:
        def __init__(self, text: str) -> None:
            self.mark = text

        def close(self) -> None:
            pass

    window, camera = Shown(""), Shown("")
    monkeypatch.setattr(module, "CallWindow", lambda text: window)
    monkeypatch.setattr(module, "VirtualCamera", lambda fps, text, device: camera)
    sinks = Sinks(None, True, 25, 64, "virtual", True)
    sinks.face_changed(5.0)
    await sinks.close()
    assert window.mark == camera.mark == mark("virtual", 5.0)
