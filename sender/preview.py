"""The caller's own picture in a window: what of it is sent, and what would make it better."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from functools import partial

import cv2
import numpy as np

from sender.capture import Capture
from sender.crop import Crop
from sender.detect import find_heads
from sender.framing import Framer
from sender.hints import ADVICE, Hint, Hints, Seen, look
from shared.cores import workers
from shared.desktop import DisplayError, Image, fitting, require_display, write

TITLE = "Pinhole: you"
HEIGHT = 360
"""Pixels of the preview, whatever the camera has."""
FOOT = 44
LOOK_SECONDS = 0.2
"""From one search for heads to the next: the hints need no more, and a call needs the processor."""
SHOW_SECONDS = 1 / 15
_OUTSIDE = 0.35
"""Light left outside the crop."""
_GREEN, _AMBER = (120, 220, 120), (255, 190, 60)
WELL = "well placed"
LOOKING = "looking for your face"
SMALL_PICTURE = "a small picture of what is in the square goes along"
MOTION_ONLY = "the face in the square is sent"


class Preview:
    """A window with hints; `show` it every frame. All calls from one thread, the main one on macOS."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises DisplayError if there is no desktop to open a window on."""
        require_display(os.environ)
        self.hints = Hints()
        self._clock = clock
        self._looker = workers(1, "hints", patient=True)
        self._looking: Future[Seen] | None = None
        self._looked_at = 0.0
        self._next_look = self._next_show = float("-inf")
        self._known = self._open = self._composing = False
        self.with_base = False
        """Whether a small picture of the square goes along with the motion; set it."""
        self.on_reaction: Callable[[int], None] | None = None
        """Called when the user wants to be shown with an expression, 1 to 6; without it there is nobody to show it."""
        self.own_note: Callable[[], str] = str
        """Gives a line on that, which is shown in the place of advice; nothing: none."""
        self.closed = False
        """Whether the user closed it: nothing more is shown."""

    def show(self, rgb: Image, crop: Crop | None) -> None:
        """Shows an (H, W, 3) uint8 RGB camera frame and its crop, None while there is none; it may leave frames out.

        Raises DisplayError if this OpenCV was built without windows.
        """
        if self._takes(rgb):
            self._put(compose(rgb, crop, self.hints.shown, self._known, self.with_base, self.own_note()))

    async def show_soon(self, rgb: Image, crop: Crop | None) -> None:
        """The same without work for the event loop, but for the window itself; leaves out what comes meanwhile."""
        if self._composing or not self._takes(rgb):
            return
        self._composing = True
        try:
            make = partial(compose, rgb, crop, self.hints.shown, self._known, self.with_base, self.own_note())
            canvas = await asyncio.get_running_loop().run_in_executor(None, make)
        finally:
            self._composing = False
        if not self.closed:
            self._put(canvas)

    def _takes(self, rgb: Image) -> bool:
        """Whether it is time for another picture; has it looked at if it is time for that."""
        now = self._clock()
        if self.closed:
            return False
        self._look(rgb, now)
        if now < self._next_show:
            return False
        self._next_show = now + SHOW_SECONDS
        return True

    def _put(self, canvas: Image) -> None:
        try:
            if self._open and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
                self.close()
                return
            if not self._open:
                cv2.namedWindow(TITLE, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
            cv2.imshow(TITLE, cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))
            self._open = True
            self._press(cv2.waitKey(1) & 0xFF)
        except cv2.error as error:
            raise DisplayError(
                "OpenCV cannot open a window here; install opencv-python (not headless) or leave out --preview."
            ) from error

    def _press(self, key: int) -> None:
        if key in (ord("q"), ord("Q"), 27):
            self.close()
        elif ord("1") <= key <= ord("6") and self.on_reaction is not None:
            self.on_reaction(key - ord("0"))

    def close(self) -> None:
        """Takes the window away; a call goes on. May be called more than once."""
        if self.closed:
            return
        self.closed = True
        self._looker.shutdown(wait=False, cancel_futures=True)
        if self._open:
            cv2.destroyWindow(TITLE)
            cv2.waitKey(1)  # Qt closes only when events are handled

    def _look(self, rgb: Image, now: float) -> None:
        """Takes in what a worker has found, and gives it the next frame when it is time."""
        if self._looking is not None:
            if not self._looking.done():
                return
            self.hints.update(self._looking.result(), self._looked_at)
            self._known, self._looking = True, None
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._looked_at = now
            self._looking = self._looker.submit(_looked, rgb)


def _looked(rgb: Image) -> Seen:
    """In a worker."""
    return look(rgb, find_heads(rgb))


def compose(
    rgb: Image, crop: Crop | None, hint: Hint | None, known: bool = True, with_base: bool = False, note: str = ""
) -> Image:
    """The picture as in a mirror, 360 pixels high, dark outside the crop, with the hint under it: (404, W, 3).

    `known`: whether it has been looked at; `with_base`: whether a small picture of the square goes along; `note`: a
    line in the place of advice.
    """
    height, width = rgb.shape[:2]
    scale = HEIGHT / height
    size = (max(1, round(width * scale)), HEIGHT)
    picture = np.asarray(
        cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8
    )
    colour = _GREEN if hint is None and known else _AMBER
    if crop is not None:
        (left, top), (right, bottom) = (
            (min(max(round(x * scale), 0), size[0]), min(max(round(y * scale), 0), HEIGHT))
            for x, y in ((crop.x, crop.y), (crop.x + crop.side, crop.y + crop.side))
        )
        shaded = (picture * _OUTSIDE).astype(np.uint8)
        shaded[top:bottom, left:right] = picture[top:bottom, left:right]
        picture = np.ascontiguousarray(shaded)
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, 2)
    canvas = np.zeros((HEIGHT + FOOT, size[0], 3), np.uint8)
    canvas[:HEIGHT] = picture[:, ::-1]
    words = LOOKING if not known else WELL if hint is None else hint.value
    sent = SMALL_PICTURE if with_base else MOTION_ONLY
    advice = ADVICE[hint] if hint is not None else f"{sent}; q closes this window"
    advice = note or advice
    room = size[0] - 16
    write(canvas, words, (8, HEIGHT + 19), fitting(words, 0.6, room), colour)
    write(canvas, advice, (8, HEIGHT + 37), fitting(advice, 0.4, room), (200, 200, 200))
    return canvas


def preview_alone(capture: Capture, preview: Preview, seconds: float | None = None, with_base: bool = False) -> None:
    """Shows a capture, without a call, until the user closes the window or the capture ends.

    `with_base`: whether in a call a base layer would go along.

    A file plays at its own speed. Raises SourceError and DisplayError.
    """
    preview.with_base = with_base
    with capture, closing(preview):
        framer, began = Framer(capture.fps), time.monotonic()
        for stamp, rgb in capture:
            if preview.closed or (seconds is not None and stamp >= seconds):
                return
            if capture.kind != "camera":
                time.sleep(max(0.0, began + stamp - time.monotonic()))
            preview.show(rgb, framer.update(rgb).crop)
