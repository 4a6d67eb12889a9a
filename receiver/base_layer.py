"""The base layer in the receiver's half of a call: what of it comes, what is said of it, and what frames get of it.

The picture never depends on it: a frame without a base is drawn from key points alone. Which base a frame has follows
from the order of messages and frames, not from times, so that a recorded call is drawn again alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from receiver.base_generation import DecodedBase
from receiver.base_track import BaseTrack
from receiver.playout import DueFrame, PlacedBundle, Playout
from shared.codec import control
from shared.codec.av1 import RgbImage
from shared.codec.base_key import BaseKey
from shared.codec.bundle import Bundle
from shared.gallery import Gallery
from shared.models.base_fusion import BasePicture, LaterPicture
from shared.motion import Motion


@dataclass
class BaseReceivedCounts:
    """Figures for the report."""

    frames: int = 0
    """Handed out to be drawn with a base picture."""
    age: float = 0.0
    """Of those bases, seconds in all."""
    oldest: float = 0.0
    """Of them, seconds."""
    bytes: int = 0
    """Of packets, repeated ones included, and keys."""


class BaseLayerDecoder:
    """The base layer of one call."""

    def __init__(self, side: int, playout: Playout, gallery: Gallery) -> None:
        """`side` of the pictures drawn, in px: a larger base is not shown."""
        self.counts = BaseReceivedCounts()
        self.track = BaseTrack()
        self._side, self._playout, self._gallery = side, playout, gallery
        self._step = 1
        """Frame numbers from one motion to the next, in the newest bundle."""
        self._said: int | None = None
        """The generation that the sender was last told is held."""
        self._off = False
        """Whether the sender's last word is that the camera is off."""

    def take_bundle(self, bundle: Bundle, placed: PlacedBundle, now: float) -> None:
        """Takes in a bundle's packets, late or not. Raises MalformedBase."""
        self._step = placed.step
        self.counts.bytes += sum(len(each.data) for each in bundle.base)
        self.track.add_bundle(bundle, placed.number, placed.capture, now, placed.step)

    def take_key(self, message: bytes, now: float) -> None:
        """Takes in a key. Raises MalformedBase."""
        self.counts.bytes += len(message)
        self.track.add_key(BaseKey.unpack(message), now)

    def note(self, text: str) -> None:
        """Takes in what the sender says of its person. With the camera off no base is shown; packets still count.

        That no face is in the picture is no such word: frames say it themselves, each for its own time.
        """
        if text in (control.FACE, control.NO_FACE, control.CAMERA_OFF):
            self._off = text == control.CAMERA_OFF
            if self._off:
                self.track.drop_pictures()

    def begin_anew(self) -> None:
        """After a resume: nothing from before is shown, and nothing goes on but from a new key."""
        self.track.forget()
        self._off = False

    def messages(self, now: float) -> list[control.Control]:
        """What the sender has to know: which key is held, at once when that changes, and whether another is needed.

        It is told nothing before its first key or packet came, so that one without a base layer never hears of it.
        """
        held, asks = self.track.generation, self.track.wants_key(now)
        if held == self._said and not asks:
            return []
        self._said = held
        return [control.BaseHeld(held, asks)]

    def picture(self, frame: DueFrame) -> BasePicture | None:
        """The base that a frame with a face is drawn with: the newest of its crop whose own motion is known."""
        crop = self._crop(frame)
        if self._off or crop is None:
            return None
        for base in self.track.fitting(frame.number, frame.capture, crop):
            if self._playout.face_was_lost(base.frame, frame.number):
                return None  # as the sender has it: of before nothing is shown again
            motion = self._motion(base, crop)
            if motion is not None:
                age = max(0.0, frame.capture - base.clock)
                self.counts.frames += 1
                self.counts.age += age
                self.counts.oldest = max(self.counts.oldest, age)
                after = self._after(frame, crop) if base.frame < frame.number else None
                return BasePicture(base.picture, motion, age, base.crf, after)
        return None

    def alone(self, frame: DueFrame) -> RgbImage | None:
        """The base that is shown in place of a frame without a face, (side, side, 3).

        A sender codes such frames only where it was told to go on showing what is there (`--base always`), so the
        newest base counts if its own frame has no face either; else the last picture is held.
        """
        crop = self._crop(frame)
        if self._off or crop is None:
            return None
        base = self.track.at(frame.number, frame.capture, crop)
        if base is None or base.size > self._side or not self._playout.is_faceless(base.frame):
            return None
        size = (self._side, self._side)
        return np.asarray(cv2.resize(base.picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)

    def report(self) -> dict[str, Any]:
        """The figures of what came and was drawn; the mean age is None where nothing was."""
        frames = self.counts.frames
        return {
            "frames_with_base": frames, "base_age_ms": round(1000 * self.counts.age / frames, 1) if frames else None,
            "base_oldest_ms": round(1000 * self.counts.oldest, 1),
            "base_bytes": self.counts.bytes, "base_keys": self.track.keys, "base_pictures": self.track.decoded,
            "base_requests": self.track.requests,
        }  # fmt: skip

    def _crop(self, frame: DueFrame) -> int | None:
        """Number of the crop that a frame is drawn in; None while no source is held."""
        sources = self._gallery.at(frame.epoch)
        return sources[-1].crop if sources else None

    def _after(self, frame: DueFrame, crop: int) -> LaterPicture | None:
        """The next base after a frame, which most often comes in the same bundle."""
        later = self.track.after(frame.number, frame.capture, crop)
        if later is not None and self._playout.face_was_lost(frame.number, later.frame):
            return None
        motion = None if later is None else self._motion(later, crop)
        return (
            None
            if later is None or motion is None
            else LaterPicture(later.picture, motion, later.clock - frame.capture)
        )

    def _motion(self, base: DecodedBase, crop: int) -> Motion | None:
        """Of a base's frame, in the crop that is drawn; None if it is not known or the base larger than the picture."""
        if base.size > self._side:
            return None
        return self._playout.motion_at(base.frame, self._step, lambda near: self._crop(near) == crop)
