"""A sender with a base layer, in simulated time: bundles of five frames, 25 a second, a base frame every second one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from base_examples import scene
from call_examples import FPS, KEYPOINTS, SIDE, ColourEngine, make_basis, make_motion, picture

from receiver.decoder import CallDecoder
from receiver.output.byte_log import Tape
from receiver.upscale import Bicubic
from shared.call.loop import Outgoing
from shared.codec import MalformedMessage, control
from shared.codec.base_key import BaseKey
from shared.codec.base_section import SEQUENCES, BasePacket
from shared.codec.base_video import BaseEncoder
from shared.codec.bundle import Bundle, encode_bundle
from shared.codec.picture import PictureMessage, encode_picture
from shared.codec.pieces import split
from shared.models.base_fusion import BasePicture, exchange
from shared.models.engine import Picture, Weighted
from shared.motion import FloatArray, Motion
from shared.transport.link import Channel

STEP = 1 / FPS
CRF = 55
PER_BUNDLE = 5
CANONICAL: FloatArray = np.zeros((KEYPOINTS, 3), np.float32)


@dataclass
class ExchangingEngine(ColourEngine):
    """A colour engine whose pictures show their base."""

    bases: list[BasePicture | None] = field(default_factory=list)

    def draw(self, sources: Weighted, driving: Motion, base: BasePicture | None = None) -> Picture:
        self.bases.append(base)
        drawn = super().draw(sources, driving)
        return drawn if base is None else exchange(drawn, base)


def taking_half(tape: Tape | None = None, base: bool = True) -> CallDecoder:
    """A receiver's half that draws with the base."""
    return CallDecoder(ExchangingEngine(), make_basis(), Bicubic(), FPS, tape, base=base)


def yaw(frame: int) -> float:
    """Of the motion of a frame."""
    return float(frame % 40)


def source(source_id: int, crop: int = 0) -> list[Outgoing]:
    """A picture of a crop, in pieces."""
    codec, data = encode_picture(picture(0, source_id), "max")
    whole = PictureMessage(source_id, crop, codec, SIDE, SIDE, CANONICAL, make_motion(), data).pack()
    return [(Channel.PICTURES, piece) for piece in split(whole, source_id)]


def note(text: str) -> list[Outgoing]:
    """What the sender says of its person."""
    return [(Channel.CONTROL, control.pack_control(control.Note(text)))]


class Filming:
    """What a sender sends, bundle by bundle; the base as it would be if every key were held at once."""

    def __init__(self, began: float = 0.0, repeat: bool = False, step: int = 1) -> None:
        """`began`: when frame 0 is captured; `repeat`: each bundle has the references of the one before, too; `step`:
        of motion."""
        self.began, self.frame, self.epoch, self.crop, self.generation = began, 0, 1, 0, 0
        self._pictures, self._repeat, self._step = scene(SIDE, 40), repeat, step
        self._sequence = 0
        self._before: list[BasePacket] = []
        self._encoder: BaseEncoder | None = None

    @property
    def now(self) -> float:
        """When the next frame is captured."""
        return self.began + self.frame * STEP

    def wait(self, until: float) -> None:
        """Frames until then are not filmed."""
        while self.now < until - 1e-9:
            self.frame += 2

    def begin(self, crop: int = 0) -> list[Outgoing]:
        """A new key, of the frame that comes next; packets go on from it."""
        self.generation, self.crop, self._sequence, self._before = (self.generation + 1) % 16, crop, 0, []
        self._encoder = BaseEncoder(SIDE, CRF)
        coded = self._encoder.encode(self._picture(self.frame))
        assert coded is not None and coded.key
        key = BaseKey(self.generation, crop, SIDE, CRF, self.frame & 0xFFFF, self._clock(self.frame), coded.data)
        return [(Channel.PICTURES, piece) for piece in split(key.pack(), key.pieces_id)]

    def bundle(self, faces: bool = True, base: bool = True) -> list[Outgoing]:
        """The next frames."""
        first, count = self.frame, PER_BUNDLE * self._step
        own: list[BasePacket] = []
        for frame in range(first, first + count):
            if base and self._encoder is not None and frame % 2 == 0:
                coded = self._encoder.encode(self._picture(frame))
                assert coded is not None and not coded.key
                own.append(
                    BasePacket(self.generation, self._sequence % SEQUENCES, coded.droppable, frame - first, coded.data)
                )
                self._sequence += not coded.droppable
        moved = [
            BasePacket(p.generation, p.sequence, p.droppable, p.frame - count, p.data)
            for p in self._before
            if not p.droppable
        ]
        self._before, self.frame = (own if self._repeat else []), first + count
        frames = tuple(make_motion(yaw(n)) if faces else None for n in range(first, first + count, self._step))
        interval = 1000 * STEP * self._step
        made = Bundle(first & 0xFFFF, self._clock(first), self.epoch, interval, frames, (), (*moved, *own))
        return [(Channel.MOTION, encode_bundle(made, make_basis()))]

    def _picture(self, frame: int) -> Picture:
        return self._pictures[frame // 2 % len(self._pictures)]

    @staticmethod
    def _clock(frame: int) -> int:
        return round(1000 * frame * STEP) % (1 << 20)


@dataclass
class Watching:
    """A receiver's half and what it draws."""

    half: CallDecoder
    now: float = 0.0
    drawn: dict[int, BasePicture | None] = field(default_factory=dict)
    """Base of each frame drawn, by number."""
    pictures: list[tuple[int, Picture]] = field(default_factory=list)
    said: list[control.Control] = field(default_factory=list)

    def take(self, messages: Sequence[Outgoing]) -> None:
        """Messages arrive now."""
        for channel, data in messages:
            self.half.receive(channel, data, self.now)
        while (job := self.half.next_job()) is not None:
            try:
                self.half.add_source(self.half.prepare(job))
            except MalformedMessage as error:
                self.half.refuse(job, error)
        self.tick()

    def tick(self) -> None:
        """What the half says now."""
        self.said += [control.unpack_control(data) for _, data in self.half.tick(self.now)]

    def until(self, end: float) -> None:
        """Time passes and frames are drawn."""
        while self.now < end - 1e-9:
            self.now = min(end, self.now + 0.01)
            while (item := self.half.due(self.now)) is not None:
                frame, mixed = item
                if mixed:
                    self.drawn[frame.number] = mixed.base
                    self.pictures.append((frame.number, self.half.draw(frame, mixed)))
                    self.half.shown(frame, self.now)
            self.tick()

    @property
    def held(self) -> list[control.BaseHeld]:
        """What was said of keys."""
        return [each for each in self.said if isinstance(each, control.BaseHeld)]
