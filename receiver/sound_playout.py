"""Which sound is due: that of the picture on display. Small differences are taken up by speaking a little faster or
slower, large ones and those in silence at once.
"""

from __future__ import annotations

import numpy as np

from receiver.sound_track import SoundTrack
from shared.sound.codec import RATE, Samples

TOLERANCE = 0.02
"""Seconds of difference that are left alone."""
JUMP = 0.25
"""Seconds of difference from which speech is cut: picture and sound are far apart."""
_LONGEST, _SHORTEST = RATE // 100, RATE // 400
"""Samples taken out or put in at a time, 2.5 to 10 ms: a period of a voice."""
_OVERLAP = RATE // 100
_FOLLOW = 0.2
_EVERY = 3
"""Of so many blocks one is made shorter or longer, so that the voice keeps its pace within a sixth."""
_FAR = 0.06
"""Seconds of difference from which every block is: lips and voice are seen to be apart."""


class SoundPlayout:
    """Gives a speaker its samples."""

    def __init__(self) -> None:
        self.track = SoundTrack()
        self._since = 0
        self._behind = 0.0
        """Seconds by which sound lately came behind its picture; single times tremble as devices take their blocks."""

    def push(self, data: bytes, clock: float) -> None:
        """Takes in a packet captured at `clock` seconds, of the sender's clock as the frames' playout counts it."""
        self.track.push(data, clock)

    def pull(self, wanted: float, count: int) -> Samples:
        """The next `count` samples, of which the first should have been captured at `wanted` seconds.

        `wanted` is the time at which it will be heard, less the delay of the pictures. `count` is at least 20 ms.
        """
        behind = wanted - self.track.at
        self._behind += _FOLLOW * (behind - self._behind)
        self._since += 1
        if abs(behind) > JUMP or (self.track.silent and abs(behind) > 1 / RATE):
            self.track.seek(wanted)
            self._behind = 0.0
        elif abs(self._behind) > TOLERANCE and self._since >= (_EVERY if abs(self._behind) < _FAR else 1):
            self._since = 0
            return self._shorter(count) if self._behind > 0 else self._longer(count)
        return self.track.read(count)

    def _shorter(self, count: int) -> Samples:
        """`count` samples of more: a period is left out where the voice repeats itself."""
        heard = self.track.read(count + _LONGEST)
        lag = _period(heard[:_OVERLAP], heard)
        self._behind -= lag / RATE
        self.track.give_back(heard[count + lag :])
        return np.concatenate([_faded(heard[:_OVERLAP], heard[lag : lag + _OVERLAP]), heard[lag + _OVERLAP :]])[:count]

    def _longer(self, count: int) -> Samples:
        """`count` samples of fewer: a period is played twice."""
        heard = self.track.read(count)
        lag = _period(heard[:_OVERLAP], heard)
        self._behind += lag / RATE
        self.track.give_back(heard[count - lag :])
        again = _faded(heard[lag : lag + _OVERLAP], heard[:_OVERLAP])
        return np.concatenate([heard[:lag], again, heard[_OVERLAP:]])[:count]


def _period(part: Samples, heard: Samples) -> int:
    """The lag, _SHORTEST to _LONGEST samples, at which what was heard is most like its own beginning."""
    lags = range(_SHORTEST, _LONGEST + 1, 8)
    windows = np.stack([heard[lag : lag + len(part)] for lag in lags])
    likeness = windows @ part / (np.linalg.norm(windows, axis=1) + 1e-6)
    return lags[int(np.argmax(likeness))]


def _faded(out: Samples, into: Samples) -> Samples:
    ramp = np.linspace(0, 1, len(out), dtype=np.float32)
    return np.asarray(out + ramp * (into - out), np.float32)
