"""Reactions at the receiver: for two seconds the other side's picture performs an expression instead of its own.

A reaction is no face: what is drawn then says so on the picture, and the base layer, which shows what the camera sees,
is faded out. The head keeps the pose of the camera. When a reaction begins and how far it is follows from the order of
messages and from the capture times of frames, not from a clock, so that a recorded call is drawn again alike.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from receiver.playout import DueFrame
from shared.codec.motion_basis import EXPRESSION_LIMIT
from shared.desktop import fitting, write
from shared.models.base_fusion import BasePicture
from shared.models.engine import Picture
from shared.models.performer import Performer
from shared.motion import FloatArray, Motion, between, rotation_matrix
from shared.reactions import SECONDS, SECONDS_APART, label_of
from shared.resting_face import RestingFace

FADE_IN_SECONDS = 0.3
FADE_OUT_SECONDS = 0.4
PERFORMED_RATE = 25.0
"""Frames a second at which a performance plays, whatever the call has; its last one is held."""
REST_SECONDS = 5.0
"""In which the face at rest, from which a performance begins, follows the one that is seen."""
_MARGIN = 8
_MARK_SCALE = 0.5
_COLOUR = (255, 210, 60)


class Reacts(Protocol):
    """This side's own sending, as far as its user has reactions performed at the other end."""

    def react(self, number: int) -> None:
        """Has this side's person perform an expression at the other end, 1 to 6."""

    def reaction_line(self) -> str:
        """What became of that, for a moment; else nothing."""


@dataclass(frozen=True, eq=False)
class Reacting:
    """What of a reaction is in a frame."""

    label: str
    motion: Motion
    """To draw: the pose of the camera, and an expression mixed of its own and the performed one"""
    weight: float
    """0..1: share of the performed one"""

    def faded(self, base: BasePicture | None) -> BasePicture | None:
        """A base picture as far as it still counts: it shows the face that the camera sees."""
        return None if base is None or self.weight >= 1 else replace(base, weight=1 - self.weight)

    def marked(self, picture: Picture) -> Picture:
        """A drawn picture (S, S, 3), on which is written that its expression is performed."""
        canvas, text = np.ascontiguousarray(picture).copy(), f"reaction: {self.label}"
        scale = fitting(text, _MARK_SCALE * canvas.shape[1] / 256, canvas.shape[1] - 2 * _MARGIN)
        write(canvas, text, (_MARGIN, canvas.shape[0] - _MARGIN), scale, _COLOUR)
        return canvas


@dataclass(frozen=True, eq=False)
class _Performance:
    label: str
    began: float
    """Capture time of the frame it began with"""
    motions: list[Motion]

    def weight(self, capture: float) -> float:
        passed = capture - self.began
        share = min(passed / FADE_IN_SECONDS, (SECONDS - passed) / FADE_OUT_SECONDS)
        share = min(max(share, 0.0), 1.0)
        return share * share * (3 - 2 * share)

    def expression(self, capture: float, rotation: FloatArray) -> FloatArray:
        """(K, 3) as performed by now, turned as the head is: a deformation is one in the picture's axes."""
        at = min(max(capture - self.began, 0.0) * PERFORMED_RATE, len(self.motions) - 1.0)
        first = min(int(at), max(len(self.motions) - 2, 0))
        now = between(self.motions[first], self.motions[min(first + 1, len(self.motions) - 1)], at - first)
        turn = rotation_matrix(rotation) @ rotation_matrix(now.rotation).T
        return np.asarray(now.expression @ turn.T, np.float32)


class ReactionPlayer:
    """The reactions of one call. Times are those of frames, by the sender's clock."""

    def __init__(self, performer: Performer | None = None) -> None:
        """Without a performer none is taken."""
        self.taken = 0
        self.refused = 0
        """That came too soon after another, while there was no face, or where none is taken."""
        self._performer = performer
        self._asked: int | None = None
        self._rest = RestingFace(REST_SECONDS)
        self._playing: deque[_Performance] = deque(maxlen=2)
        """One that fades out, and the one that follows it"""

    def ask(self, number: int) -> None:
        """A reaction came; it begins with the next frame."""
        if self._performer is None or self._asked is not None:
            self.refused += 1
        else:
            self._asked = number

    def begin_anew(self) -> None:
        """After a resume: captures may be those of another clock, and nothing from before goes on."""
        self._asked = None
        self._rest = RestingFace(REST_SECONDS)
        self._playing.clear()

    def begins(self, frame: DueFrame, canonical: FloatArray | None) -> str | None:
        """Begins what was asked for with this frame, of whose person (K, 3) keypoints are known, or not; its label if
        one began."""
        if frame.motion is not None:
            self._rest.see(frame.motion, frame.capture)
        asked, self._asked = self._asked, None
        if asked is None or self._performer is None:
            return None
        last = self._playing[-1].began if self._playing else None
        too_soon = last is not None and 0 <= frame.capture - last < SECONDS_APART
        if too_soon or frame.motion is None or canonical is None:
            self.refused += 1
            return None
        self.taken += 1
        label = label_of(asked)
        motions = self._performer.perform(label, self._at_rest(frame.motion), canonical, seed=self.taken)
        self._playing.append(_Performance(label, frame.capture, motions))
        return label

    def _at_rest(self, motion: Motion) -> Motion:
        """The same head with its face at rest: a mouth that is just open to speak would stay so to the end."""
        assert self._rest.expression is not None
        expression = self._rest.expression @ rotation_matrix(motion.rotation).T
        return replace(motion, expression=np.asarray(expression, np.float32))

    def reacting(self, frame: DueFrame) -> Reacting | None:
        """What a frame with a face shows of reactions; None: nothing."""
        if frame.motion is None:
            return None
        for each in [each for each in self._playing if not 0 <= frame.capture - each.began < SECONDS]:
            self._playing.remove(each)
        if not self._playing:
            return None
        expression, live = frame.motion.expression, 1.0
        for each in self._playing:
            weight = each.weight(frame.capture)
            live *= 1 - weight
            performed = each.expression(frame.capture, frame.motion.rotation)
            expression = np.asarray(expression + weight * (performed - expression), np.float32)
        expression = np.clip(expression, -EXPRESSION_LIMIT, EXPRESSION_LIMIT)  # as of all that is drawn
        return Reacting(self._playing[-1].label, replace(frame.motion, expression=expression), 1 - live)
