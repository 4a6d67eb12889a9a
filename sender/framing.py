"""Which square of the camera's picture is sent: it holds still and moves once when the head leaves its safe area.

Between two looks of the detector the head is where the keypoints say that were read in the crop, as long as they are
those of the face that the detector saw.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sender.crop import Crop, crop_around, head_of_keypoints, is_safe, nearly_same
from sender.detect import Box, Image, Presence, face_view, find_heads, find_near
from shared.motion import FloatArray

PATIENCE = 3
"""Frames in a row that the head must be outside before the crop moves: one wild keypoint moves nothing."""
ALIKE, STRANGE = 0.6, 0.2
"""Likeness and strangeness (`sender.detect`) from which on the detector is asked. In the 12 dev clips and two raw
ones one frame in a hundred is beyond one of them, and of 3656 frames one is held for want of a face. In a black
picture, a coloured one, a wall and before a palm, made of six of them, likeness is at most 0.57 and strangeness 0.19 to
0.72: none passes. All this takes 0.8 ms a frame, 5 where a face is missing (one core, on which `extract` takes 13)."""
NOT_STRANGE = 0.15
"""Whom the detector sees is the same person up to this strangeness, whatever the view."""
BARELY_ALIKE, VERY_STRANGE = 0.4, 0.3
"""Where it sees nothing and one of these is passed, there is no face; else there is for UNSEEN frames in a row."""
UNSEEN = 4
UNLIKE = 0.1
"""Less than in any frame of a face: what the detector sees then is a palm, or somebody else who stays."""
KEPT_SECONDS = 3.0
"""Who is back so soon, and in the same place, gets the same crop: the sources held are good for it."""
CHANGE = 4.0
"""Grey levels, mean of a tiny picture, by which it changes when somebody comes: then the detector is asked at once."""


class Framed(NamedTuple):
    """What to cut from a frame."""

    crop: Crop | None
    """None while no face is known."""
    moved: bool
    """True with the first crop and whenever it changes: what the receiver holds was cut differently."""


class Sight(Enum):
    """What is to be made of a frame."""

    CLEAR = "a face, plainly"
    DOUBTFUL = "perhaps a face: its motion may go, its picture may not"
    NONE = "no face, or not where it was read"


class Framer:
    """Follows one head. Per frame: `update` with the picture, then `examine` with what was read in its crop.

    Between detector checks, about one a second, the head is where the keypoints say. Where only the crop is wanted
    nothing need be read; then the detector is asked five times a second.
    """

    def __init__(self, fps: float = 25.0) -> None:
        """`fps` of the pictures, which turns the waiting times into frames."""
        self._often = max(1, round(fps / 5))
        self._seldom = max(1, round(fps))
        self._long = round(KEPT_SECONDS * fps)
        self._presence = Presence()
        self._seen_now = False
        """Whether the detector has seen the head in the last picture."""
        self._landmarked = False
        """Whether the engine's keypoints have ever shown the head where the detector sees it."""
        self._shape: tuple[int, ...] = ()
        self._head: Box | None = None
        self._last: Box | None = None
        """Where the head was last."""
        self._crop: Crop | None = None
        self._before: Crop | None = None
        """The crop before somebody came back, if that was soon."""
        self._tracked: bool
        self._unlike: int
        """Pictures in a row in which the detector has seen a face that looks different."""
        self._returning: int
        """Pictures in which somebody who is back, and looks different, must still be seen to be believed."""
        self._settling = 0
        """Pictures of somebody who is back that are no sources yet: a hand may still be on its way down."""
        self._away = 0
        """Pictures since the head was lost."""
        self._glimpse: FloatArray | None = None
        """Of the last picture in which nobody was found."""
        self._forget()

    def update(self, rgb: Image) -> Framed:
        """The crop for an (H, W, 3) uint8 RGB picture; it stays the same object while it does not move."""
        if rgb.shape != self._shape:
            self._shape = rgb.shape
            self._forget()
            self._presence, self._crop, self._last = Presence(), None, None
        self._unchecked += 1
        self._unseen += 1
        self._seen_now = False
        if self._head is None:
            waited = self._unchecked >= 2 * self._often or (self._unchecked >= 2 and self._has_changed(rgb))
            return self._lock(rgb) if waited else Framed(None, False)
        calm = self._tracked and self._seen_at_check
        if self._alarm or self._unchecked >= (self._seldom if calm else self._often):
            self._check(rgb, self._head)
        if self._unseen > self._seldom * (3 if self._tracked else 1):
            return self._lock(rgb)
        return self._hold_or_move(rgb)

    def examine(self, rgb: Image, canonical: FloatArray, points: FloatArray) -> Sight:
        """Whether the person is in the picture that `update` got, by the (K, 3) canonical keypoints that were read in
        its crop and the (K, 3) keypoints there, -1..1; the next `update` goes by what is found here.

        Where they are not those of the face that the detector saw before, it is asked, in this very picture.
        """
        sight = self._judged(rgb, canonical, points)
        if sight is not Sight.CLEAR or self._settling == 0:
            return sight
        self._settling -= 1
        return Sight.DOUBTFUL

    def _judged(self, rgb: Image, canonical: FloatArray, points: FloatArray) -> Sight:
        """As `examine`, but for a face that has just come back."""
        if self._head is None:
            return Sight.NONE
        before = self._head, self._tracked
        self.follow(points)
        likeness = self._presence.likeness(face_view(rgb, self._head))
        strangeness = self._presence.strangeness(canonical)
        alike = likeness >= ALIKE and strangeness <= STRANGE
        if not self._seen_now and (self._alarm or not alike):
            self._check(rgb, self._head)
        if self._seen_now:
            return self._as_seen(rgb, canonical, points, likeness, strangeness)
        if alike:
            self._returning = self._unseen = 0  # in the dark the detector sees less
            return Sight.CLEAR
        self._missed += 1
        if _barely_alike(likeness, strangeness) and self._missed <= UNSEEN and self._returning == 0:
            return Sight.DOUBTFUL
        self._head, self._tracked = before
        if self._missed >= PATIENCE or self._returning:
            self._lose(rgb)
        return Sight.NONE

    def follow(self, keypoints: NDArray[Any]) -> None:
        """Take the head's place from (K, 2 or more) keypoints, -1..1 in the last crop; the first 23 are landmarks.

        Keypoints that cannot be a face, or jump, are not followed: the next `update` asks the detector.
        """
        if self._crop is None or self._head is None:
            return
        head = head_of_keypoints(keypoints, self._crop)
        believed = head is not None and self._head.distance(head) < 0.6 and 0.6 < head.side / self._head.side < 1.6
        if head is not None and believed:
            self._head = head
        self._alarm = self._tracked and not believed
        self._tracked = believed

    def _as_seen(
        self, rgb: Image, canonical: FloatArray, points: FloatArray, likeness: float, strangeness: float
    ) -> Sight:
        """What to make of a picture in which the detector has seen a head."""
        assert self._head is not None and self._crop is not None
        same = likeness >= ALIKE or _barely_alike(likeness, strangeness) or strangeness <= NOT_STRANGE
        self._missed, unlike = 0, 0 if same else self._unlike + 1
        if self._returning and not same:  # a cascade sees faces in walls now and then, but not for long
            self._returning -= 1
            self._unchecked = self._seldom
            if self._returning:
                return Sight.NONE
        self._returning = 0
        read = head_of_keypoints(points, self._crop)
        agrees = read is not None and self._head.distance(read) < 0.4 and 0.6 < read.side / self._head.side < 1.6
        self._landmarked |= agrees
        if self._landmarked and not agrees:
            return Sight.NONE  # of keypoints beside the face nothing is to be drawn
        self._unlike = unlike
        if unlike and self._presence.knows:  # a palm may look like a face to a cascade; or another light was turned on
            if likeness < UNLIKE and unlike <= 2 * self._seldom:
                return Sight.NONE
            if unlike <= self._seldom:
                return Sight.NONE if strangeness > VERY_STRANGE else Sight.DOUBTFUL
        self._presence.confirm(face_view(rgb, self._head), canonical)
        return Sight.CLEAR

    def _lose(self, rgb: Image) -> None:
        """Nobody is there: from the next picture on somebody is looked for."""
        if self._returning:
            self._crop = self._before  # nobody had come back
        self._forget()
        self._unchecked, self._settling = 0, self._often
        self._glimpse = _glimpse(rgb)

    def _forget(self) -> None:
        self._last = self._head if self._head is not None else self._last
        self._head = None
        self._tracked = self._alarm = self._seen_at_check = False
        self._outside = self._missed = self._unlike = self._unseen = 0
        self._returning = self._seldom if self._presence.knows else 0
        self._unchecked = 2 * self._often  # look at the next picture at once

    def _has_changed(self, rgb: Image) -> bool:
        """Whether the picture is another than the one in which nobody was seen."""
        return self._glimpse is None or float(np.abs(_glimpse(rgb) - self._glimpse).mean()) > CHANGE

    def _lock(self, rgb: Image) -> Framed:
        """Choose the head that was there before, or the largest of the whole picture."""
        self._away = self._away + self._unchecked if self._head is None else 0
        self._forget()
        self._unchecked = 0
        near = None if self._last is None else find_near(rgb, self._last)
        heads = find_heads(rgb) if near is None else [near]
        if not heads:
            self._glimpse = _glimpse(rgb)
            return Framed(None, False)
        self._before = before = self._crop if self._away <= self._long else None
        self._head, self._away = heads[0], 0
        self._seen_at_check = self._seen_now = True
        crop = crop_around(heads[0], rgb.shape[1], rgb.shape[0])
        stays = before is not None and (nearly_same(crop, before) or is_safe(heads[0], before))
        self._crop = before if stays else crop
        return Framed(self._crop, not stays)

    def _check(self, rgb: Image, head: Box) -> None:
        """Ask the detector whether the head is where it is believed to be."""
        self._unchecked = 0
        self._alarm = False
        found = find_near(rgb, head)
        self._seen_at_check = self._seen_now = found is not None
        if found is None:
            return
        self._unseen = 0
        if not self._tracked:
            self._head = found
        elif head.distance(found) > 0.4:
            self._head, self._tracked = found, False
            self._outside = PATIENCE  # the keypoints are astray: a better crop helps them back

    def _hold_or_move(self, rgb: Image) -> Framed:
        assert self._crop is not None
        assert self._head is not None
        self._outside = self._outside + 1 if self._outside >= PATIENCE or not is_safe(self._head, self._crop) else 0
        if self._outside < PATIENCE:
            return Framed(self._crop, False)
        if not self._seen_now:
            self._check(rgb, self._head)
        self._outside = 0
        if not self._seen_now:
            return Framed(self._crop, False)  # what is no face is no reason to move
        better = crop_around(self._head, self._shape[1], self._shape[0])
        if nearly_same(better, self._crop):  # at the picture's edge there is nowhere to move
            return Framed(self._crop, False)
        self._crop = better
        return Framed(better, True)


def _glimpse(rgb: Image) -> FloatArray:
    """(9, 16) grey levels: enough to see that somebody came."""
    return np.asarray(cv2.resize(rgb, (16, 9), interpolation=cv2.INTER_AREA).mean(axis=2), np.float32)


def _barely_alike(likeness: float, strangeness: float) -> bool:
    return likeness >= BARELY_ALIKE and strangeness <= VERY_STRANGE
