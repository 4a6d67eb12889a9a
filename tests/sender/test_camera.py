"""Opening cameras that fail in every way."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import cv2
import numpy as np
import pytest

from sender import devices as module
from sender.devices import SETTINGS, CameraError, open_camera

PICTURE = np.zeros((480, 640, 3), np.uint8)


class Driver:
    """A camera that gives pictures only as `works` says, after `slow` failed reads."""

    def __init__(self, works: dict[int, float] | None, opens: bool = True, slow: int = 0) -> None:
        self._works, self._opens, self._slow = works, opens, slow
        self.asked: list[dict[int, float]] = []
        self.released = 0

    def __call__(self, number: int) -> Driver:
        self.asked.append({})
        return self

    def isOpened(self) -> bool:
        return self._opens

    def set(self, propId: int, value: float) -> bool:
        self.asked[-1][propId] = value
        return True

    def get(self, propId: int) -> float:
        return self.asked[-1].get(propId, 0.0)

    def read(self) -> tuple[bool, Any]:
        self._slow -= 1
        if self._slow >= 0:
            return False, None
        if self._works is None:
            raise cv2.error("a broken frame")
        fits = all(self.asked[-1].get(key) == value for key, value in self._works.items())
        return fits, PICTURE if fits else None

    def release(self) -> None:
        self.released += 1


@pytest.fixture(autouse=True)
def any_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_require_node", lambda number, name: None)


def test_a_good_camera_is_asked_once(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver({})
    assert open_camera(0, "camera 0", driver) is driver
    assert driver.asked == [{
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"), cv2.CAP_PROP_FRAME_WIDTH: 640,
        cv2.CAP_PROP_FRAME_HEIGHT: 480, cv2.CAP_PROP_FPS: 30,
    }]  # fmt: skip
    assert next(iter(driver.asked[0])) == cv2.CAP_PROP_FOURCC  # sizes are listed by format
    assert driver.released == 0
    assert not caplog.records


def test_a_camera_that_begins_slowly_is_waited_for() -> None:
    driver = Driver({}, slow=2)
    open_camera(0, "camera 0", driver)
    assert len(driver.asked) == 1


def test_each_failure_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver({cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"YUYV"), cv2.CAP_PROP_FPS: 15})
    with caplog.at_level(logging.WARNING):
        open_camera(2, "camera 2 (Desk)", driver)
    assert [r.message for r in caplog.records] == [
        f"camera 2 (Desk) gives no picture as {a}; trying {b}." for a, b in itertools.pairwise(SETTINGS[:4])
    ]
    assert driver.released == 3


@pytest.mark.parametrize("works", [None, {cv2.CAP_PROP_FPS: 1000}])
def test_an_error_says_what_was_tried(works: dict[int, float] | None) -> None:
    driver = Driver(works)
    with pytest.raises(CameraError, match="camera 0 opens but gives no picture") as info:
        open_camera(0, "camera 0", driver)
    for setting in SETTINGS:
        assert str(setting) in str(info.value)
    assert driver.released == len(SETTINGS)


@pytest.mark.parametrize(
    ("platform", "word"), [("linux", "fuser"), ("darwin", "System Settings"), ("win32", "Privacy")]
)
def test_a_camera_that_does_not_open_is_not_tried_again(
    platform: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    driver = Driver({}, opens=False)
    with pytest.raises(CameraError, match=word):
        open_camera(0, "camera 0", driver)
    assert (len(driver.asked), driver.released) == (1, 1)
