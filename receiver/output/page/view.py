"""The web view: what the page has to show of the call that is on, pictures, sound, figures and how the picture is made;
before it, the link to join with.

No clock and no socket of its own; the viewers' feeds are handed pictures and sound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from receiver.decoder import CallDecoder
from receiver.output.indicators import Indicators
from receiver.output.window import mark
from receiver.reactions import Reacts
from receiver.synthesis import PreparedSource
from shared.audio.jitter import AudioPlayout
from shared.motion import FloatArray, keypoints
from shared.reactions import LABELS
from shared.signalling.hello import SOUND, Hello
from shared.transport.link import Link
from shared.transport.viewer_audio import BLOCK, RATE, SoundFeed
from shared.transport.viewers import Viewers

AV1_KBPS = 15.6 + 2.0
"""AV1 out and back on the wire, RTP and RTCP included, where it is as true as a call of the default profile: MS-SSIM
0.936 against 0.937, mean of 12 clips (`benchmarks.bandwidth`, the table in README.md). It is SVT-AV1 preset 8, the best
of four real-time codecs there, in the best of six variants of size and frame rate on each clip. x264 has 0.920 at that
rate. It is not measured on the call shown."""
_LEAD_SECONDS = BLOCK / RATE
"""A block is sent when its first sample is due, so that its last one has to be there 20 ms early."""
_ASTRAY = RATE // 5
"""Samples by which this may be late before the clock is taken anew: this program was kept away."""
_JPEG_QUALITY = 85
_DIGITS = 3
"""Of a keypoint's coordinates: a thousandth of half the picture's width is finer than a pixel."""


def figures(indicators: Indicators, seconds: float, wire_bytes: int) -> dict[str, Any]:
    """Rates of the last seconds, rounded as they are shown, and the whole call's bytes on the wire, both ways.

    `seconds` is how long the call has lasted, `wire_bytes` what it took.
    """
    delay = indicators.delay_ms
    return {
        "quality": indicators.quality,
        "rung": indicators.rung,
        "face": indicators.face,
        "fps": round(indicators.fps, 1),
        "payload_kbps": round(indicators.payload_kbps, 1),
        "wire_in_kbps": round(indicators.wire_in_kbps, 1),
        "wire_back_kbps": round(indicators.wire_back_kbps, 1),
        "delay_ms": None if delay is None else round(delay),
        "seconds": round(seconds, 1),
        "wire_bytes": wire_bytes,
        "av1_kbps": AV1_KBPS,
        "av1_bytes": round(AV1_KBPS * 1000 / 8 * seconds),
    }


class PageSound:
    """Hears a half, in step with the pictures that are put before the viewers."""

    def __init__(self, half: CallDecoder, feed: SoundFeed) -> None:
        self._half, self._feed, self._playout = half, feed, AudioPlayout()
        self._at: int | None = None
        """Sample of the monotonic clock at which the next block begins."""
        half.audio_listeners.append(self._playout.push)

    def play(self, now: float) -> None:
        """Gives the viewers what is due at `now`, seconds of the monotonic clock. For every 20 ms or more often."""
        if self._half.playout.sound_lead is None:  # a speaker on this machine asks for more, and keeps it
            self._half.playout.sound_lead = _LEAD_SECONDS
        delay, here = self._half.timing.sound_delay, int(now * RATE)
        if delay is None:
            return
        if self._at is None or here - self._at > _ASTRAY:
            self._at = here
        while self._at <= here:
            self._feed.push(self._playout.pull(self._at / RATE - delay, BLOCK), self._at)
            self._at += BLOCK


class WebCall:
    """A call as the page sees it."""

    def __init__(
        self,
        number: int,
        half: CallDecoder,
        link: Link,
        hello: Hello,
        indicators: Callable[[], Indicators],
        now: float,
        sound: PageSound | None = None,
        trust: Callable[[], dict[str, Any]] = dict,
        own: Reacts | None = None,
    ) -> None:
        """`number` tells it from other calls of this receiver, `trust` what is known of the other side; `own` is what
        this side sends."""
        self.number, self.hello, self.sound = number, hello, sound
        self._half, self._link, self._indicators, self._began = half, link, indicators, now
        self._pictures: dict[int, tuple[PreparedSource, bytes]] = {}
        self._trust, self.own = trust, own

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
            "reactions": [] if self.own is None else list(LABELS),
            "reaction": "" if self.own is None else self.own.reaction_line(),
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


class WebView:
    """At most one call at a time, and what is left to say after it."""

    def __init__(self, viewers: Viewers, sound: bool = True) -> None:
        """`sound`: whether a call's sound may be heard, where it has one."""
        self.viewers = viewers
        self.call: WebCall | None = None
        self.note = ""
        """A sentence that the page shows; nothing: none. Whoever has it to say sets it."""
        self.link = ""
        """To join with; nothing where there is none, or none that holds."""
        self._sound = sound
        self._ended = ""
        self._calls = 0

    def begin(
        self, half: CallDecoder, link: Link, hello: Hello, indicators: Callable[[], Indicators], now: float,
        trust: Callable[[], dict[str, Any]] = dict, own: Reacts | None = None,
    ) -> None:  # fmt: skip
        """A call is on; only one may be. `indicators` says how it is doing at the moment, `trust` what is known of the
        other side, as `Verified.state` has it; `own` is what this side sends, if it does."""
        if self.call is not None:
            raise RuntimeError("a call is on already")
        self._calls += 1
        comes = self._sound and bool(hello.capabilities.get(SOUND))
        sound = PageSound(half, self.viewers.sound) if comes else None
        self.call = WebCall(self._calls, half, link, hello, indicators, now, sound, trust, own)

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

    def react(self, number: int) -> None:
        """Has this side's person perform an expression at the other end, 1 to 6, if this side sends."""
        if self.call is not None and self.call.own is not None:
            self.call.own.react(number)

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
