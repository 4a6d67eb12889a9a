from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from call_examples import picture

from receiver.output import virtual_camera as module
from receiver.output.outputs import Sinks
from receiver.output.virtual_camera import VirtualCamera, VirtualCameraError, driver, letterbox


class Backend:
    """A driver that keeps what it is sent."""

    def __init__(self, width: int, height: int, fps: float, device: str | None) -> None:
        self.asked = (width, height, fps, device)
        self.device = device or "first free"
        self.frames: list[np.ndarray] = []
        self.closed = 0

    def send(self, frame: np.ndarray) -> None:
        if len(self.frames) == 3:
            raise RuntimeError("the device has gone")
        self.frames.append(frame)

    def close(self) -> None:
        self.closed += 1


def test_pictures_are_sent_whole_and_marked() -> None:
    opened: list[Backend] = []
    camera = VirtualCamera(25, name="Pinhole", open_device=lambda **how: opened.append(Backend(**how)) or opened[0])
    camera.show(np.full((256, 256, 3), 77, np.uint8))
    camera.close()
    frame = opened[0].frames[0]
    assert (camera.name, opened[0].asked, opened[0].closed) == ("Pinhole", (640, 480, 25, "Pinhole"), 1)
    assert frame.shape == (480, 640, 3)
    assert frame.dtype == np.uint8
    assert (frame[:, 90:550][40:] == 77).all()
    assert (frame[30:, :80] == 0).all()
    assert frame[:24, :140].max() > 200  # synthetic there, too


def test_a_device_that_goes_is_an_error() -> None:
    camera = VirtualCamera(25, open_device=Backend)
    for _ in range(3):
        camera.show(picture(0))
    with pytest.raises(VirtualCameraError, match=r"stopped \(the device has gone\)"):
        camera.show(picture(0))


@pytest.mark.parametrize(
    ("platform", "word"), [("linux", "modprobe"), ("darwin", "OBS"), ("win32", "OBS"), ("aix", "--out")]
)
def test_every_system_is_told_what_it_needs(platform: str, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**_: Any) -> Backend:
        raise RuntimeError("'some' backend: no device found. Read the documentation.\nAnd more.")

    monkeypatch.setattr("sys.platform", platform)
    assert word in driver()
    with pytest.raises(VirtualCameraError, match=word) as info:
        VirtualCamera(25, open_device=missing)
    assert "\n" not in str(info.value)
    assert "documentation" not in str(info.value)


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(module, "import_module", missing)
    with pytest.raises(VirtualCameraError, match=r"pip install 'pinhole\[camera\]'"):
        VirtualCamera.check()


def test_pyvirtualcam_takes_what_is_sent() -> None:
    """Against the library itself, with a backend of ours: its checks of size, type and layout pass."""
    library = pytest.importorskip("pyvirtualcam", reason="needs pyvirtualcam")
    sent: list[np.ndarray] = []

    class Native:
        def __init__(self, **how: Any) -> None: ...
        def close(self) -> None: ...
        def send(self, frame: np.ndarray) -> None:
            sent.append(frame.copy())

        def device(self) -> str:
            return "a device"

        def native_fourcc(self) -> None:
            return None

    library.register_backend("pinhole-test", Native)
    camera = VirtualCamera(25, open_device=lambda **how: library.Camera(backend="pinhole-test", **how))
    camera.show(np.full((256, 256, 3), 77, np.uint8))
    camera.close()
    assert sent[0].size == 640 * 480 * 3


def test_a_wide_picture_keeps_its_shape() -> None:
    boxed = letterbox(np.full((100, 400, 3), 9, np.uint8), 200, 200)
    assert (boxed[75:125] == 9).all()
    assert not boxed[:75].any()
    assert not boxed[125:].any()


async def test_the_sinks_feed_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[Backend] = []

    class Library:
        @staticmethod
        def Camera(**how: Any) -> Backend:
            opened.append(Backend(**how))
            return opened[-1]

    monkeypatch.setattr(module, "import_module", lambda name: Library)
    Sinks.check(None, False, "Pinhole")
    sinks = Sinks(None, False, 25, 64, "file", "Pinhole")
    assert await sinks.show(0, picture(20), "")
    assert await sinks.show(1, None, "")  # a hole repeats the picture
    await sinks.close()
    assert [(b.asked[3], len(b.frames), b.closed) for b in opened] == [("Pinhole", 0, 1), ("Pinhole", 2, 1)]
    assert (opened[1].frames[0] == opened[1].frames[1]).all()
