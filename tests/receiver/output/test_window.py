"""The window: its drawing on arrays, its keys, and once for real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from call_examples import ROOT

from receiver.output import window as display
from receiver.output.window import HELP, STATUS_HEIGHT, CallWindow, Controls, compose, draw_mark
from shared.desktop import DisplayError, fitting

LINE = "link good | motion and pictures | 6.9 kbit/s in, 2.7 back | 398 ms | no face at the other end"


def grey(side: int = 256) -> np.ndarray:
    return np.full((side, side, 3), 90, np.uint8)


def test_the_picture_is_enlarged_and_marked_and_told_about() -> None:
    canvas = compose(grey(), LINE)
    assert canvas.shape == (512 + STATUS_HEIGHT, 512, 3)
    assert (canvas[40:500] == 90).all()  # the face is left alone
    assert (canvas[:24, :140] > 200).any()  # the mark
    assert (canvas[512:, :440] > 150).any()


def test_the_mark_is_legible_on_black_and_white() -> None:
    for level in (0, 255):
        canvas = np.full((256, 256, 3), level, np.uint8)
        draw_mark(canvas)
        corner = canvas[:24, :140]
        assert corner.min() < 60
        assert corner.max() > 200


def test_a_long_line_fits() -> None:
    assert (compose(grey(), "x" * 300)[512:, 505:] == 0).all()
    assert fitting("x" * 300, 0.4, 200) < 0.4 == fitting("x", 0.4, 200)


def test_the_list_of_keys_is_drawn_over_the_picture() -> None:
    without, over = compose(grey(), LINE), compose(grey(), LINE, lines=HELP)
    assert (over[500] == 30).all()  # darkened
    assert (over[60:200, :300] > 200).sum() > 500 > (without[60:200, :300] > 200).sum()


def test_the_banner_is_drawn_below_the_mark() -> None:
    without, over = compose(grey(), LINE), compose(grey(), LINE, banner=["words: tiger garden pencil violin"])
    assert (over[:24] == without[:24]).all() and (over[46:] == without[46:]).all()
    assert (over[24:44, :300, 0] > 200).sum() > 100  # legible, and not in grey
    long = compose(grey(), LINE, banner=["WARNING", "x" * 300])
    assert (long[44:64] != 90).any() and (long[44:64, 510:] == 90).all()


def test_a_key_says_that_the_words_were_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "require_display", lambda environment: None)
    window, said = CallWindow(), []
    window._press(ord("v"))  # there is nobody to tell
    window.on_compared = lambda: said.append(True)
    for key in (ord("x"), ord("v"), -1, ord("V")):
        window._press(key)
    assert len(said) == 2


def test_a_digit_reacts_once_where_this_side_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, pressed = Screen(monkeypatch), []
    window = CallWindow()
    screen.keys = ["3", "x"]
    assert all(window.show(grey(), "") for _ in range(2))  # there is nobody to show
    assert not set(display.REACTION_KEYS) & set(window._keys())
    window.on_reaction = pressed.append
    assert set(display.REACTION_KEYS) <= set(window._keys())
    screen.keys = ["3", "0", "7", "x", "6", "1"]
    assert all(window.show(grey(), "") for _ in range(7))
    assert pressed == [3, 6, 1]


def test_the_own_reaction_is_read_below_the_banner(monkeypatch: pytest.MonkeyPatch) -> None:
    Screen(monkeypatch)
    window = CallWindow()
    window.banner = lambda: ["words: tiger garden pencil violin"]
    without = window.composed(grey(), "")
    window.own_note = lambda: "your reaction: surprise"
    over = window.composed(grey(), "")
    assert (over[44:66] != without[44:66]).any() and (over[:44] == without[:44]).all()


def test_the_keys_of_reactions_fit_into_the_window() -> None:
    over = compose(grey(), LINE, lines=HELP)
    assert (over[60:500, 508:] == 30).all()


def test_keys_switch_and_switch_back() -> None:
    controls = Controls()
    for key, name in (("h", "help"), ("M", "muted"), ("s", "still"), ("f", "full_screen")):
        controls.press(ord(key))
        assert getattr(controls, name)
        controls.press(ord(key))
        assert not getattr(controls, name)
    controls.press(-1)
    controls.press(ord("x"))
    assert controls == Controls()


def test_escape_leaves_full_screen_before_it_ends_the_call() -> None:
    controls = Controls(full_screen=True)
    controls.press(27)
    assert (controls.full_screen, controls.ended) == (False, False)
    controls.press(27)
    assert controls.ended
    ended = Controls()
    ended.press(ord("q"))
    assert ended.ended


class Screen:
    """In the place of OpenCV's windows: keeps what is shown, and presses keys."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pictures: list[np.ndarray] = []
        self.keys: list[str] = []
        self.properties: list[tuple[int, float]] = []
        fakes = {
            "namedWindow": lambda *_: None, "resizeWindow": lambda *_: None, "destroyWindow": lambda *_: None,
            "getWindowProperty": lambda *_: 1.0, "imshow": lambda _, picture: self.pictures.append(picture),
            "waitKey": lambda _: ord(self.keys.pop(0)) if self.keys else -1,
            "setWindowProperty": lambda _, which, value: self.properties.append((which, value)),
        }  # fmt: skip
        for name, fake in fakes.items():
            monkeypatch.setattr(display.cv2, name, fake)
        monkeypatch.setattr(display, "require_display", lambda _: None)


def test_a_still_holds_the_picture_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch)
    window = CallWindow()
    screen.keys = ["s", "x", "s"]
    for level in (10, 60, 110, 160):
        assert window.show(np.full((256, 256, 3), level, np.uint8), "")
    assert [int(p[300, 300, 0]) for p in screen.pictures] == [10, 60, 60, 160]
    assert (screen.pictures[1][:24] != screen.pictures[0][:24]).any()


def test_idling_handles_keys_and_composes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch)
    window = CallWindow()
    assert window.pump()  # there is no window yet
    window.show(grey(), "")
    monkeypatch.setattr(display, "compose", lambda *_: pytest.fail("composed"))
    assert all(window.pump() for _ in range(3))
    assert not window.touched
    screen.keys = ["h", "q"]
    assert window.pump()
    assert window.touched and window.controls.help
    assert not window.pump()
    assert len(screen.pictures) == 1


def test_mute_is_for_calls_with_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, heard = Screen(monkeypatch), []
    window = CallWindow()
    screen.keys = ["m"]
    window.show(grey(), "")
    assert not window.controls.muted
    window.on_mute = heard.append
    screen.keys = ["m", "x", "m", "q"]
    assert [window.show(grey(), "") for _ in range(4)] == [True, True, True, False]
    assert heard == [True, False]


def test_full_screen_is_asked_of_the_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch)
    window = CallWindow()
    screen.keys = ["f", "\x1b"]
    assert window.show(grey(), "")
    assert window.show(grey(), "")
    assert [value for _, value in screen.properties] == [display.cv2.WINDOW_FULLSCREEN, display.cv2.WINDOW_NORMAL]


def test_without_a_desktop_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(DisplayError, match="record with --out"):
        CallWindow()


SHOW = """
import sys, time
import numpy as np
import receiver.__main__, sender.__main__  # all that a call loads
from receiver.output.window import CallWindow
window = CallWindow()
red = np.zeros((256, 256, 3), np.uint8)
red[:] = (200, 30, 30)
print("open", flush=True)
while window.show(red, "link good"):
    time.sleep(0.02)
"""


def screen_colours(dump: Path) -> np.ndarray:
    """(H, W, 4) bytes of an X window dump as Xvfb keeps it: BGRX."""
    content = dump.read_bytes()
    header = np.frombuffer(content[:100], ">u4")
    size, width, height, per_line, colours = (int(header[i]) for i in (0, 4, 5, 12, 19))
    pixels = np.frombuffer(content, np.uint8, height * per_line, size + 12 * colours)
    return pixels.reshape(height, per_line // 4, 4)[:, :width]


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb for a desktop to open a window on")
def test_a_real_window_shows_the_picture(tmp_path: Path) -> None:
    read, write = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(write),
        "-screen",
        "0",
        "640x600x24",
        "-fbdir",
        str(tmp_path),
        "-nolisten",
        "tcp",
    ]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    window = None
    try:
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        environment = {k: v for k, v in os.environ.items() if k != "WAYLAND_DISPLAY"} | {"DISPLAY": f":{number}"}
        window = subprocess.Popen(
            [sys.executable, "-c", SHOW], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + 60
        share = 0.0
        while share < 0.5 and time.monotonic() < deadline and window.poll() is None:
            time.sleep(0.1)
            screen = screen_colours(tmp_path / "Xvfb_screen0").astype(int)
            share = float((np.abs(screen[..., :3] - (30, 30, 200)).max(axis=-1) < 8).mean())
        assert window.poll() is None, window.communicate()[1]
        assert share >= 0.5
    finally:
        for process in (window, server):
            if process is not None:
                process.terminate()
                process.communicate()


def test_ones_own_picture_stands_in_the_corner() -> None:
    own = np.full((64, 64, 3), 200, np.uint8)
    canvas = compose(grey(), LINE, own=own)
    assert (canvas[420:490, 420:490] == 200).all()
    assert (canvas[100:380, 20:380] == 90).all()


def test_the_camera_is_turned_off_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, heard = Screen(monkeypatch), []
    window = CallWindow()
    screen.keys = ["c", "h"]
    window.show(grey(), "")
    window.show(grey(), "")
    assert not window.controls.camera_off
    window.on_camera_off = heard.append
    window.own_view = lambda: np.full((64, 64, 3), 200, np.uint8)
    screen.keys = ["c", "h", "c"]
    pictures = [window.show(grey(), "") for _ in range(3)]
    assert pictures == [True] * 3
    assert heard == [True, False]
    assert (screen.pictures[-1][420:490, 420:490] == 200).all()
