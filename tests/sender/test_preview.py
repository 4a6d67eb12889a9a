from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from sender import preview as module
from sender.capture import Capture, Frame
from sender.crop import Crop
from sender.detect import Box, Image
from sender.hints import ADVICE, Hint
from sender.preview import FOOT, HEIGHT, Preview, compose, preview_alone
from shared.desktop import DisplayError

LOOKS = 4
"""Enough of them for a hint to be believed."""


def grey(width: int = 640, height: int = 480) -> Image:
    return np.full((height, width, 3), 100, np.uint8)


class Screen:
    """In the place of OpenCV's windows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pictures: list[Image] = []
        self.keys: list[str] = []
        self.visible, self.gone = 1.0, 0
        fakes: dict[str, Callable[..., object]] = {
            "namedWindow": lambda *_: None, "destroyWindow": lambda *_: self._count(),
            "getWindowProperty": lambda *_: self.visible, "imshow": lambda _, picture: self.pictures.append(picture),
            "waitKey": lambda _: ord(self.keys.pop(0)) if self.keys else -1,
        }  # fmt: skip
        for name, fake in fakes.items():
            monkeypatch.setattr(module.cv2, name, fake)
        monkeypatch.setattr(module, "require_display", lambda _: None)

    def _count(self) -> None:
        self.gone += 1


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch)


def test_the_picture_is_a_mirror_dark_outside_the_crop() -> None:
    rgb = grey()
    rgb[:, :40] = (255, 0, 0)  # at the camera's left
    canvas = compose(rgb, Crop(200, 120, 240), None)
    assert canvas.shape == (HEIGHT + FOOT, 480, 3)
    assert canvas[200, 470].tolist() == [89, 0, 0]  # at the right of a mirror, and dark
    assert canvas[180, 230].tolist() == [100, 100, 100]
    assert canvas[10, 230].tolist() == [35, 35, 35]


def test_without_a_crop_nothing_is_dark() -> None:
    assert (compose(grey(), None, None)[:HEIGHT] == 100).all()


def test_every_hint_is_written_and_fits_a_narrow_picture() -> None:
    feet = [compose(grey(300, 480), None, hint)[HEIGHT:] for hint in (None, *Hint)]
    assert len({foot.tobytes() for foot in feet}) == len(ADVICE) + 1
    assert all((foot[:, -6:] == 0).all() for foot in feet)


def test_before_the_first_look_it_says_so() -> None:
    assert (compose(grey(), None, None, known=False) != compose(grey(), None, None)).any()


def test_hints_come_from_looks_in_a_worker(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    times, threads = iter(n / 4 for n in range(100)), set()

    def nobody(rgb: Image) -> list[Box]:
        threads.add(threading.current_thread())
        return []

    monkeypatch.setattr(module, "find_heads", nobody)
    preview = Preview(lambda: next(times))
    for _ in range(3 * LOOKS):
        preview.show(grey(), None)
        assert preview._looking is not None
        preview._looking.result()
    assert preview.hints.shown is Hint.NO_FACE
    assert threading.current_thread() not in threads
    preview.close()


def test_a_slow_look_holds_nothing_up(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    release, looks = threading.Event(), []

    def slow(rgb: Image) -> list[Box]:
        looks.append(rgb)
        release.wait(30)
        return []

    monkeypatch.setattr(module, "find_heads", slow)
    times = iter(range(100))
    preview = Preview(lambda: next(times))
    for _ in range(10):
        preview.show(grey(), None)
    release.set()
    assert len(screen.pictures) == 10
    assert len(looks) <= 1  # none waits in line
    preview.close()


async def test_in_a_call_it_is_composed_by_a_worker_and_what_comes_meanwhile_is_left_out(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, threads = threading.Event(), list[threading.Thread]()
    make = module.compose

    def slow(rgb: Image, *how: Any) -> Image:
        threads.append(threading.current_thread())
        assert release.wait(60)
        return make(rgb, *how)

    monkeypatch.setattr(module, "compose", slow)
    monkeypatch.setattr(module, "find_heads", lambda _: [])
    times = iter(range(100))
    preview = Preview(lambda: next(times))
    first = asyncio.ensure_future(preview.show_soon(grey(), None))
    await asyncio.sleep(0.01)
    for _ in range(5):
        await preview.show_soon(grey(), None)  # at once
    assert not screen.pictures
    release.set()
    await first
    assert (len(screen.pictures), len(threads)) == (1, 1)
    assert threads[0] is not threading.current_thread()
    await preview.show_soon(grey(), None)
    assert len(screen.pictures) == 2
    preview.close()


@pytest.mark.parametrize("how", ["q", "cross"])
def test_closing_it_ends_the_preview_only(screen: Screen, how: str) -> None:
    times = iter(range(100))
    preview = Preview(lambda: next(times))
    preview.show(grey(), None)
    if how == "q":
        screen.keys = ["q"]
    else:
        screen.visible = 0.0
    preview.show(grey(), None)
    shown = len(screen.pictures)
    preview.show(grey(), None)
    preview.close()
    assert preview.closed
    assert len(screen.pictures) == shown
    assert screen.gone == 1


def test_a_digit_reacts_and_what_becomes_of_it_is_read(screen: Screen) -> None:
    times, pressed = iter(range(100)), []
    preview = Preview(lambda: next(times))
    screen.keys = ["4"]
    preview.show(grey(), None)  # there is nobody to show it
    before = screen.pictures[-1]
    preview.on_reaction, preview.own_note = pressed.append, lambda: "your reaction: anger"
    screen.keys = ["7", "4"]
    preview.show(grey(), None)
    preview.show(grey(), None)
    assert pressed == [4] and not preview.closed
    assert (screen.pictures[-1][HEIGHT + 20 :] != before[HEIGHT + 20 :]).any()
    preview.close()


def test_it_says_whether_a_small_picture_goes_along() -> None:
    without, along = (
        compose(grey(300, 640), Crop(10, 10, 200), None, with_base=each)[HEIGHT:] for each in (False, True)
    )
    assert (without != along).any()


class Frames(Capture):
    """A camera without end."""

    kind = "camera"
    fps = 25.0

    def __init__(self) -> None:
        self.closed = False
        self.given = 0

    def __iter__(self) -> Iterator[Frame]:
        while not self.closed:
            yield self.given / 25, grey(320, 240)
            self.given += 1

    def close(self) -> None:
        self.closed = True


def test_alone_it_plays_until_it_is_closed(screen: Screen) -> None:
    times, capture = iter(n / 10 for n in range(1000)), Frames()
    screen.keys = ["x", "x", "q"]
    preview_alone(capture, Preview(lambda: next(times)))
    assert capture.closed
    assert len(screen.pictures) == 3


def test_alone_it_ends_at_its_time(screen: Screen) -> None:
    capture = Frames()
    preview_alone(capture, Preview(), 0.2)
    assert capture.given == 5


def test_without_a_desktop_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(module.os, "environ", {})
    with pytest.raises(DisplayError, match="no display"):
        Preview()
