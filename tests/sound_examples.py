"""A whole call with sound in simulated time: camera, sound file, a link that loses, display and speaker."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from call_examples import FPS, SIDE, incoming_half, outgoing_half, picture
from speech_examples import onsets

from receiver.listening import Listening
from receiver.playout import Frame
from receiver.sinks import Sinks
from sender.sound import FileSound
from shared.link.base import Channel
from shared.models.engine import Picture
from shared.sound.codec import RATE, Samples

DARK, FLASH = -60.0, 60.0
"""Yaws of the pictures of the colour engine."""
STEP = 0.01


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


class SimulatedCall:
    """A call of the colour engine in simulated time: camera and sound file here, display and speaker there.

    A lost bundle is repeated 0.4 s later, as the link does it.
    """

    def __init__(self, sound: Path, loss: float = 0.0, jitter: float = 0.02, drawing: float = 0.05) -> None:
        self.sender, self.receiver = outgoing_half(bundle=3), incoming_half()
        self.speaker = SimulatedSpeaker()
        self.listening = Listening(self.receiver, self.speaker)
        self.sizes: list[int] = []
        """Bytes of each bundle."""
        self.shown: list[tuple[float, Frame]] = []
        """When each frame was on display."""
        self._sound = FileSound(sound)
        self._chance = random.Random(1)
        self._loss, self._jitter, self._drawing = loss, jitter, drawing
        self._flying: list[tuple[float, Channel, bytes]] = []

    async def run(self, seconds: float, yaw_at: Callable[[float], float], sinks: Sinks | None = None) -> None:
        """Runs so long; `yaw_at` says what the camera sees."""
        frames = 0
        drawn: list[tuple[float, Frame, Picture | None]] = []
        if sinks is not None and sinks.sound is not None:
            self.receiver.ears.append(sinks.sound.push)
        for step in range(round((seconds + 1.5) / STEP)):
            now = step * STEP
            if frames / FPS <= now < seconds:
                self._capture(frames / FPS, yaw_at(frames / FPS), now)
                frames += 1
            self._exchange(now)
            item = self.receiver.due(now)
            if item is not None:
                frame, sources = item
                drawn.append((now + self._drawing, frame, self.receiver.draw(frame, sources) if sources else None))
            while drawn and drawn[0][0] <= now:
                _, frame, shown = drawn.pop(0)
                if shown is not None:
                    self.receiver.shown(frame, now)
                    self.shown.append((now, frame))
                if sinks is not None:
                    await sinks.show(frame.number, shown, "", frame.capture)
            self.speaker.at(now)
            self.listening.play(now)
        self._sound.close()

    def flashes(self) -> list[float]:
        """When the picture on display turned from dark to bright, from one frame to the very next one captured."""
        seen = [(t, f.number, 0.0 if f.motion is None else float(f.motion.rotation[0])) for t, f in self.shown]
        return [t for (_, n, before), (t, number, yaw) in pairwise(seen) if yaw > 0 >= before and number == n + 1]

    def beeps(self) -> list[float]:
        """When a beep began to be heard."""
        return [self.speaker.began + t for t in onsets(self.speaker.heard)]

    def _capture(self, stamp: float, yaw: float, now: float) -> None:
        self.sender.add_sound(self._sound.take(stamp, 0.0))
        job = self.sender.push(self.sender.analyse(picture(yaw, 0, SIDE)), stamp, now)
        if job is not None:
            self.sender.done(job.perform(), now)

    def _exchange(self, now: float) -> None:
        for channel, data in self.sender.tick(now, 0):
            lost = channel is Channel.MOTION and self._chance.random() < self._loss
            if channel is Channel.MOTION:
                self.sizes.append(len(data))
            self._flying.append((now + 0.05 + self._chance.random() * self._jitter + 0.4 * lost, channel, data))
        landed = [each for each in self._flying if each[0] <= now]
        self._flying = [each for each in self._flying if each[0] > now]
        for _, channel, data in landed:
            self.receiver.receive(channel, data, now)
        while (job := self.receiver.next_job()) is not None:
            self.receiver.add_source(self.receiver.prepare(job))
        for channel, data in self.receiver.tick(now):
            self.sender.receive(channel, data, now)
