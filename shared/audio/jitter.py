"""The jitter buffer of sound: packets come in any order, samples leave in theirs; what is missing is made up.

Due is the sound of the picture on display. Small differences are taken up by speaking a little faster or slower, large
ones and those in silence at once.
"""

from __future__ import annotations

import numpy as np

from shared.audio.codec import CONCEAL_MS, DECODER_DELAY, RATE, Samples, SpeechDecoder
from shared.codec.audio_section import packet_ms

CONCEAL_AT_MOST = 10
"""Pieces of CONCEAL_MS made up in a row: 0.2 s. By then the decoder has faded them out."""
_TOLERANCE = 0.02
"""Seconds that a packet of running speech may be away from its place without being moved there: clocks drift."""
_BOUND = 512
"""Packets held at most, half a minute of speech. A peer that sends further ahead loses the oldest."""
_SILENCE = RATE * CONCEAL_MS // 1000
_JOIN = RATE // 400
"""Samples over which a step in the sound is smoothed: 2.5 ms."""
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


class AudioJitterBuffer:
    """One continuous stream of samples from packets that may be late, doubled or lost, or not sent in silence."""

    def __init__(self) -> None:
        self.late = 0
        """Packets whose place had been played already."""
        self.played = 0
        """Packets played."""
        self.concealed = 0
        """Pieces of CONCEAL_MS that were made up."""
        self._decoder = SpeechDecoder()
        self._packets: dict[int, bytes] = {}
        """By start in ms."""
        self._ready: Samples = np.zeros(0, np.float32)
        self._at = 0.0
        """Capture of the first sample in `_ready`, or of what comes next."""
        self._speaking = False
        self._in_a_row = 0
        self._last = 0.0

    @property
    def at(self) -> float:
        """Capture of the sample that `read` gives next."""
        return self._at - len(self._ready) / RATE

    @property
    def silent(self) -> bool:
        """Whether nothing was being said at `at`, so that going elsewhere is not heard."""
        return not self._speaking and not len(self._ready)

    @property
    def newest(self) -> float | None:
        """Where the newest packet that waits begins; None if none waits."""
        return (max(self._packets) / 1000 - DECODER_DELAY) if self._packets else None

    def push(self, data: bytes, clock: float) -> None:
        """Takes in a packet, or an empty one where silence begins, captured at `clock` seconds."""
        self._packets[round(1000 * clock)] = data
        while len(self._packets) > _BOUND:
            del self._packets[min(self._packets)]

    def seek(self, at: float) -> None:
        """Goes on at another place: back only into what is not played yet."""
        self._ready = self._ready[:0]
        self._at = at

    def read(self, count: int) -> Samples:
        """The next `count` samples."""
        while len(self._ready) < count:
            piece = self._next()
            self._ready = np.concatenate([self._ready, piece])
            self._at += len(piece) / RATE
        samples, self._ready = self._ready[:count], self._ready[count:]
        return samples

    def give_back(self, samples: Samples) -> None:
        """Puts samples that were read last back in front of the others."""
        self._ready = np.concatenate([samples, self._ready])

    def _next(self) -> Samples:
        """The next piece, of any length."""
        start = self._first_in_time()
        if start is None:
            return self._missing(_SILENCE)
        ahead = start / 1000 - DECODER_DELAY - self._at
        if ahead > (_TOLERANCE if self._speaking else 1 / RATE):
            return self._missing(min(round(ahead * RATE) or 1, _SILENCE))
        data = self._packets.pop(start)
        if not data:
            self._speaking, self._in_a_row = False, 0
            return self._missing(_SILENCE)
        piece = self._decoder.decode(data)
        self.played += 1
        if -ahead > (_TOLERANCE if self._speaking else 0.0):
            piece = piece[round(-ahead * RATE) :]
        joins = self._in_a_row > 0 or not self._speaking
        self._speaking, self._in_a_row = True, 0
        return self._joined(piece) if joins else self._kept(piece)

    def _first_in_time(self) -> int | None:
        """The start of the first packet that is not over already, or of a mark of silence; those that are go."""
        for start in sorted(self._packets):
            lasts = packet_ms(self._packets[start]) / 1000
            left = start / 1000 - DECODER_DELAY + lasts - self._at
            if left > min(_TOLERANCE, lasts / 2) or (not lasts and left > -1):
                return start
            self.late += lasts > 0
            del self._packets[start]
        return None

    def _missing(self, count: int) -> Samples:
        """Something in the place of a packet that is not there."""
        if self._speaking and self._in_a_row < CONCEAL_AT_MOST:
            self._in_a_row += 1
            self.concealed += 1
            return self._kept(self._decoder.conceal()[:count])
        self._speaking = False
        return self._joined(np.zeros(count, np.float32))

    def _joined(self, piece: Samples) -> Samples:
        """The piece with the step from what was played before smoothed out."""
        piece = piece.copy()
        count = min(_JOIN, len(piece))
        if count:
            piece[:count] += (self._last - piece[0]) * np.linspace(1, 0, count, endpoint=False, dtype=np.float32)
        return self._kept(piece)

    def _kept(self, piece: Samples) -> Samples:
        if len(piece):
            self._last = float(piece[-1])
        return piece


class AudioPlayout:
    """Gives a speaker its samples."""

    def __init__(self) -> None:
        self.track = AudioJitterBuffer()
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
