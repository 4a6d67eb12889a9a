"""What the page has to show: the call that is on, its pictures, sound and figures, and how the picture is made; before
it, the link to join with.

No clock and no socket of its own; the viewers' feeds are handed pictures and sound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from receiver.incoming import IncomingHalf
from receiver.indicators import Indicators
from receiver.marks import mark
from receiver.page.figures import figures
from receiver.page.sound import PageSound
from receiver.synthesis import PreparedSource
from shared.link.base import Link
from shared.link.viewers import Viewers
from shared.motion import FloatArray, keypoints
from shared.session.hello import SOUND, Hello

_JPEG_QUALITY = 85
_DIGITS = 3
"""Of a keypoint's coordinates: a thousandth of half the picture's width is finer than a pixel."""


class OnStage:
    """A call as the page sees it."""

    def __init__(
        self,
        number: int,
        half: IncomingHalf,
        link: Link,
        hello: Hello,
        indicators: Callable[[], Indicators],
        now: float,
        sound: PageSound | None = None,
        trust: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """`number` tells it from other calls of this receiver, `trust` what is known of the other side."""
        self.number, self.hello, self.sound = number, hello, sound
        self._half, self._link, self._indicators, self._began = half, link, indicators, now
        self._pictures: dict[int, tuple[PreparedSource, bytes]] = {}
        self._trust = trust

    def state(self, now: float) -> dict[str, Any]:
        """The indicators, as JSON can hold them."""
        wire, kind = self._link.wire(), self.hello.source_kind
        return figures(self._indicators(), now - self._began, wire.sent.size + wire.received.size) | {
            "number": self.number,
            "mark": mark(kind, self._half.face_changed),
            "camera": kind == "camera",
            "face_changed": self._half.face_changed,
            "sound": self.sound is not None,
            "full_fps": self.hello.fps,
            "sources": len(self._half.gallery.sources),
            "trust": self._trust(),
        }

    def sources(self) -> list[dict[str, Any]]:
        """Each source held, oldest first, with its keypoints: id, and (x, y) pairs in picture coordinates, -1..1."""
        return [{"id": each.held.source_id, "points": _points(each.held.canonical, each)} for each in self._half.held()]

    def driving(self) -> list[list[float]] | None:
        """Keypoints of the frame on display, (x, y) pairs in picture coordinates; None before the first."""
        frame, held = self._half.timing.on_display, self._half.held()
        if frame is None or frame.motion is None or not held:
            return None
        canonical = held[-1].held.canonical  # of one person all are nearly alike; the newest is drawn from most
        return _rounded(keypoints(canonical, frame.motion))

    def source_jpeg(self, source_id: int) -> bytes | None:
        """A source that is held, as JPEG; None if it is not."""
        held = {each.held.source_id: each for each in self._half.held()}
        self._pictures = {key: value for key, value in self._pictures.items() if held.get(key) is value[0]}
        if source_id not in held:
            return None
        if source_id not in self._pictures:
            self._pictures[source_id] = held[source_id], _jpeg(held[source_id].picture)
        return self._pictures[source_id][1]


class Stage:
    """At most one call at a time, and what is left to say after it."""

    def __init__(self, viewers: Viewers, sound: bool = True) -> None:
        """`sound`: whether a call's sound may be heard, where it has one."""
        self.viewers = viewers
        self.call: OnStage | None = None
        self.note = ""
        """A sentence that the page shows; nothing: none. Whoever has it to say sets it."""
        self.link = ""
        """To join with; nothing where there is none, or none that holds."""
        self._sound = sound
        self._ended = ""
        self._calls = 0

    def begin(
        self, half: IncomingHalf, link: Link, hello: Hello, indicators: Callable[[], Indicators], now: float,
        trust: Callable[[], dict[str, Any]] = dict,
    ) -> None:  # fmt: skip
        """A call is on; only one may be. `indicators` says how it is doing at the moment, `trust` what is known of the
        other side, as `Verified.state` has it."""
        if self.call is not None:
            raise RuntimeError("a call is on already")
        self._calls += 1
        comes = self._sound and bool(hello.capabilities.get(SOUND))
        sound = PageSound(half, self.viewers.sound) if comes else None
        self.call = OnStage(self._calls, half, link, hello, indicators, now, sound, trust)

    def end(self, reason: str) -> None:
        """The call is over; nothing of its pictures is kept."""
        self.call, self._ended = None, reason
        self.viewers.clear()

    def show(self, number: int, picture: NDArray[np.uint8], now: float, capture: float | None = None) -> None:
        """Puts frame `number` before the viewers, an (H, W, 3) uint8 RGB picture; `capture`: by the sender's clock,
        where it is known."""
        if self.call is None:
            return
        if capture is not None:
            self.viewers.show(capture, picture, 1.0, now)  # once a second the clock counts one
        else:
            self.viewers.show(number, picture, self.call.hello.fps, now)

    def play(self, now: float) -> None:
        """Plays the sound that is due at `now` to the viewers, if any of them wants it."""
        if self.call is not None and self.call.sound is not None and self.viewers.hearing:
            self.call.sound.play(now)

    def state(self, now: float) -> dict[str, Any]:
        """All indicators of the call that is on, if one is, why the one before ended, and how many watch; the link to
        join with while there is none."""
        call = None if self.call is None else self.call.state(now)
        link = self.link if self.call is None else ""
        return {"call": call, "ended": self._ended, "viewers": len(self.viewers), "note": self.note, "link": link}


def _points(canonical: FloatArray, source: PreparedSource) -> list[list[float]]:
    return _rounded(keypoints(canonical, source.held.motion))


def _rounded(points: FloatArray) -> list[list[float]]:
    return [[round(float(x), _DIGITS), round(float(y), _DIGITS)] for x, y in points[:, :2]]


def _jpeg(rgb: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert done  # three channels of bytes can always be coded
    return data.tobytes()
