"""A whole call with sound in simulated time: camera, sound file, a link that loses, display and speaker."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from call_examples import FPS, SIDE, incoming_half, outgoing_half, picture
from simulated_call import SimulatedCall, even
from speech_examples import onsets

from benchmarks.line import Conditions
from receiver.output.outputs import Sinks
from receiver.output.speaker import Listening
from receiver.playout import DueFrame
from receiver.synthesis import Mixed
from sender.analysis import Analysis
from sender.microphone import FileSound
from shared.audio.codec import RATE, Samples

DARK, FLASH = -60.0, 60.0
"""Yaws of the pictures of the colour engine."""


class SimulatedSpeaker:
    """Plays in simulated time, and keeps what was heard and when."""

    def __init__(self, latency: float = 0.03) -> None:
        self.latency, self.heard, self._begun, self._now = latency, np.zeros(0, np.float32), 0.0, 0.0

    @property
    def queued(self) -> float:
        played = (self._now - self._begun) * RATE
        return max(0.0, (len(self.heard) - played) / RATE)

    @property
    def began(self) -> float:
        """When the first sample was heard."""
        return self._begun + self.latency

    def at(self, now: float) -> None:
        """It is `now`. An empty device plays silence."""
        if not len(self.heard):
            self._begun = now
        self._now = now
        missing = round((now - self._begun) * RATE) - len(self.heard)
        if missing > 0 and len(self.heard):
            self.heard = np.concatenate([self.heard, np.zeros(missing, np.float32)])

    def write(self, samples: Samples) -> None:
        self.heard = np.concatenate([self.heard, samples])

    def close(self) -> None:
        pass


class SoundingCall(SimulatedCall):
    """A call of the colour engine with a sound file, and a speaker on the other side.

    A lost bundle is repeated 0.4 s later, as the link does it.
    """

    def __init__(self, sound: Path, seconds: float, yaw_at: Callable[[float], float], loss: float = 0.0) -> None:
        """`yaw_at` says what the camera sees; `loss`: share of packets."""
        sender, receiver = outgoing_half(bundle=3), incoming_half()
        there = Conditions(delay=0.05, jitter=0.02, reorder=loss, held_up=0.4)

        def look(clock: float) -> Analysis | None:
            return sender.analyse(picture(yaw_at(clock), 0, SIDE))

        super().__init__(sender, receiver, look, even(FPS, seconds), there=there, back=Conditions())
        self.drawing = 0.05
        self.speaker = SimulatedSpeaker()
        self.listening = Listening(self.incoming, self.speaker)
        self._seconds, self._sound = seconds, FileSound(sound)
        self._displayed: list[tuple[DueFrame, Mixed]] = []

    async def play(self, sinks: Sinks | None = None) -> None:
        """Runs to its end, and a little longer."""
        if sinks is not None and sinks.sound is not None:
            self.incoming.audio_listeners.append(sinks.sound.push)
        while self.now < self._seconds + 1.5:
            self.step()
            for frame, sources in self._displayed:
                if sinks is not None:
                    drawn = self.incoming.draw(frame, sources) if sources else None
                    await sinks.show(frame.number, drawn, "", frame.capture)
            self._displayed.clear()
            self.speaker.at(self.now)
            self.listening.play(self.now)
        self._sound.close()

    def flashes(self) -> list[float]:
        """When the picture on display turned from dark to bright, from one frame to the very next one captured."""
        seen = [
            (each.at, each.number, 0.0 if each.frame.motion is None else float(each.frame.motion.rotation[0]))
            for each in self.shown
        ]
        return [t for (_, n, before), (t, number, yaw) in pairwise(seen) if yaw > 0 >= before and number == n + 1]

    def beeps(self) -> list[float]:
        """When a beep began to be heard."""
        return [self.speaker.began + t for t in onsets(self.speaker.heard)]

    def take(self, clock: float) -> None:
        self.outgoing.add_sound(self._sound.take(clock, 0.0))
        super().take(clock)

    def show(self, frame: DueFrame, sources: Mixed) -> None:
        super().show(frame, sources)
        self._displayed.append((frame, sources))
