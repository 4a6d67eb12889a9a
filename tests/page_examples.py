"""What tests of the page share: a call on a web view, with pictures of a person, sound and figures that are known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Self

import numpy as np
from call_examples import FPS, KEYPOINTS, incoming_half, make_basis, make_motion
from memory_link import memory_pair

from receiver.output.indicators import Indicators
from receiver.output.page.view import WebView
from receiver.playout import DueFrame
from receiver.reactions import Reacts
from receiver.synthesis import PreparedSource
from shared.audio.codec import PACKET_MS, PACKET_SAMPLES, Samples, SpeechEncoder
from shared.codec.bundle import Bundle, encode_bundle
from shared.gallery import Held
from shared.models.engine import Picture
from shared.motion import FloatArray, Motion
from shared.signalling.hello import SOUND, Hello, SourceKind
from shared.transport.link import Channel

INDICATORS = Indicators("good", "motion only", 24.04, 6.94, 2.71, 2.93, 1, 398.4, True)
MESSAGE = 40
"""Bytes of each of the messages that the call gets."""
AHEAD = 0.5
"""Seconds by which sound is there before its picture."""


def make_hello(kind: SourceKind = "camera", sound: bool = False) -> Hello:
    """The sender's."""
    capabilities = {SOUND: True} if sound else {}
    return Hello("compact", "0123456789abcdef", "sender", kind, FPS, KEYPOINTS, 256, capabilities)


def packets(samples: Samples) -> list[bytes]:
    """Opus packets of a sound, as a sender makes them."""
    encoder = SpeechEncoder(16_000)
    whole = range(0, len(samples) - PACKET_SAMPLES + 1, PACKET_SAMPLES)
    return [encoder.encode(samples[i : i + PACKET_SAMPLES]) for i in whole]


def make_canonical() -> FloatArray:
    """(KEYPOINTS, 3) keypoints on a diagonal."""
    return np.linspace(-0.5, 0.5, 3 * KEYPOINTS, dtype=np.float32).reshape(KEYPOINTS, 3)


class ShownCall:
    """A call that is on as long as the block; `pictures` are shown in a loop at 25 frames a second.

    So is `sound`, packets that last as long as the pictures, in step with them.
    """

    def __init__(
        self,
        view: WebView,
        pictures: Sequence[Picture],
        kind: SourceKind = "camera",
        canonical: FloatArray | None = None,
        motions: Sequence[Motion] | None = None,
        sound: Sequence[bytes] = (),
        own: Reacts | None = None,
    ) -> None:
        self.half, self.indicators = incoming_half(), INDICATORS
        self._view, self._pictures, self._kind, self._sound = view, pictures, kind, sound
        self._own = own
        self.canonical = make_canonical() if canonical is None else canonical
        self._motions = motions or [make_motion(yaw=number % 20) for number in range(len(pictures))]
        self.reason = "the other side ended the call: the end"

    async def __aenter__(self) -> Self:
        self._there, self.here = memory_pair()
        self.here.on_message(lambda channel, data: None)
        hello = make_hello(self._kind, bool(self._sound))
        self._view.begin(self.half, self.here, hello, lambda: self.indicators, time.monotonic(), own=self._own)
        self.hold(1, self._pictures[0])
        self._playing = asyncio.ensure_future(self._play())
        return self

    async def pause(self) -> None:
        """No more pictures are shown."""
        self._playing.cancel()
        await asyncio.gather(self._playing, return_exceptions=True)

    async def __aexit__(self, *exc: object) -> None:
        await self.pause()
        self._view.end(self.reason)
        await self.here.close()
        await self._there.close()

    def hold(self, source_id: int, picture: Picture) -> None:
        """Has the half hold another source."""
        held = Held(source_id, 0, self.canonical, self._motions[0])
        self.half.add_source(PreparedSource(held, None, picture))

    async def _play(self) -> None:
        begun, number, said = time.monotonic(), 0, 0
        if self._sound:  # makes the delay known
            first = Bundle(0, 0, self.half.gallery.epoch, 1000 / FPS, (self._motions[0],))
            self.half.receive(Channel.MOTION, encode_bundle(first, make_basis()), begun)
        while True:
            now, which = time.monotonic(), number % len(self._pictures)
            self.half.shown(DueFrame(number, now, self.half.gallery.epoch, self._motions[which]), now)
            self._view.show(number, self._pictures[which], now)
            self._there.send(Channel.MOTION, bytes(MESSAGE))
            while self._sound and begun + said * PACKET_MS / 1000 < now + AHEAD:
                assert self.half.timing.sound_delay is not None
                for ear in self.half.audio_listeners:
                    ear(
                        self._sound[said % len(self._sound)],
                        begun + said * PACKET_MS / 1000 - self.half.timing.sound_delay,
                    )
                said += 1
            await asyncio.sleep(max(0.0, begun + (number + 1) / FPS - time.monotonic()))
            number = max(number + 1, int((time.monotonic() - begun) * FPS))  # late: the next that is due
