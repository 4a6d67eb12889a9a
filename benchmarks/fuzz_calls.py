"""Both halves of a call, driven with the traffic of a real one in which every other message is damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import cycle

import numpy as np

from receiver.base_track import OLDEST
from receiver.decoder import CallDecoder
from receiver.upscale import Bicubic
from sender.encoder import CallEncoder, EncoderSettings
from sender.refresh import EveryN
from shared.call.loop import Outgoing, TooManyErrors
from shared.codec import MalformedMessage
from shared.codec.av1 import available
from shared.codec.base_key import BaseKey
from shared.codec.base_section import SEQUENCES, BasePacket
from shared.codec.base_video import BaseEncoder
from shared.codec.bundle import decode_bundle, encode_bundle
from shared.codec.motion_basis import ANGLE_LIMIT, EXPRESSION_LIMIT, MotionBasis
from shared.codec.pieces import split
from shared.codec.range_coder import TOTAL
from shared.models.base_fusion import BasePicture
from shared.models.engine import Picture, Weighted
from shared.motion import FloatArray, Motion
from shared.transport.link import Channel

KEYPOINTS = 4
MB = 1 << 20
_SIDE = 64
_FPS = 25.0
_FRAMES = 100
_SYMBOLS = 16
_LONGEST_LIFE = 2000
"""Messages after which a half is replaced by a new one, if it did not end before."""
_CHANNELS = tuple(Channel)


def plain_basis() -> MotionBasis:
    """Codes the pose and one number of expression."""
    flat = np.full((7, _SYMBOLS), TOTAL // _SYMBOLS, np.uint16)
    one = np.zeros((1, 3 * KEYPOINTS), np.float32)
    one[0, 0] = 1
    return MotionBasis(
        pose_mean=np.zeros(7, np.float32), pose_steps=np.array([0.5, 0.5, 0.5, 2**-6, 2**-8, 2**-8, 0], np.float32),
        expression_mean=np.zeros(3 * KEYPOINTS, np.float32), components=one, analysis=one,
        component_steps=np.full(1, 2**-6, np.float32), intra_frequencies=flat, inter_frequencies=flat[None],
        activity=np.full(7, 16, np.uint16), context_edges=np.zeros(0, np.uint16),
    )  # fmt: skip


@dataclass
class PlainEngine:
    """Takes the mean colour for the pose, and draws nothing but that."""

    name: str = "compact"
    size: int = _SIDE
    keypoint_count: int = KEYPOINTS
    precision: str = "fp32"

    def extract(self, picture: Picture) -> tuple[FloatArray, Motion]:
        """See `Engine`."""
        rotation = np.array([(float(picture[..., 0].mean()) - 128) / 2, 0, 0], np.float32)
        canonical = np.linspace(-0.5, 0.5, 3 * KEYPOINTS, dtype=np.float32).reshape(KEYPOINTS, 3)
        return canonical, Motion(rotation, 1.0, np.zeros(3, np.float32), np.zeros((KEYPOINTS, 3), np.float32))

    def prepare(self, picture: Picture, canonical: FloatArray, motion: Motion) -> int:
        """See `Engine`."""
        if picture.shape != (self.size, self.size, 3):
            raise AssertionError(f"a source of shape {picture.shape} got through")
        return 0

    def draw(self, sources: Weighted, driving: Motion, base: BasePicture | None = None) -> Picture:
        """See `Engine`."""
        return np.zeros((self.size, self.size, 3), np.uint8)


class PlainPerformer:
    """Opens everything by a tenth."""

    def perform(
        self, label: str, motion: Motion, canonical: FloatArray, *, frames: int = 32, intensity: float = 1.0,
        seed: int = 0, returns: bool = False,
    ) -> list[Motion]:  # fmt: skip
        """See `Performer`."""
        return [motion, replace(motion, expression=motion.expression + np.float32(0.1 * intensity))]


def new_halves() -> tuple[CallEncoder, CallDecoder]:
    """Both ends of a call."""
    settings = EncoderSettings(_FPS, 5, _SIDE, "max", "none")
    basis = plain_basis()
    outgoing = CallEncoder(settings, PlainEngine(), basis, EveryN(20))
    outgoing.reactions.accepted = True
    return outgoing, CallDecoder(PlainEngine(), basis, Bicubic(), performer=PlainPerformer())


@dataclass
class Traffic:
    """What the two sides of a call said to each other, each message with its channel's number before it."""

    to_receiver: list[bytes] = field(default_factory=list)
    to_sender: list[bytes] = field(default_factory=list)


class _Based:
    """Puts a base layer of every second frame into a sender's traffic, where this machine can code one."""

    def __init__(self) -> None:
        self._basis, self._sequence = plain_basis(), 0
        self._encoder = BaseEncoder(_SIDE, 60) if available() else None

    def add(self, messages: Iterable[Outgoing]) -> Iterator[Outgoing]:
        """The messages with base packets in them, and the key after the first bundle."""
        for channel, data in messages:
            if self._encoder is None or channel is not Channel.MOTION:
                yield channel, data
                continue
            bundle = decode_bundle(data, self._basis)
            keys, packets = [], []
            for index in range(bundle.first_frame % 2, len(bundle.frames), 2):
                level = 100 + (bundle.first_frame + index) % 50
                coded = self._encoder.encode(np.full((_SIDE, _SIDE, 3), level, np.uint8))
                assert coded is not None
                if coded.key:
                    clock = bundle.clock_ms + round(index * bundle.frame_interval_ms)
                    keys.append(BaseKey(0, 0, _SIDE, 60, bundle.first_frame + index, clock, coded.data))
                else:
                    packets.append(BasePacket(0, self._sequence % SEQUENCES, coded.droppable, index, coded.data))
                    self._sequence += not coded.droppable
            yield channel, encode_bundle(replace(bundle, base=tuple(packets)), self._basis)
            for key in keys:
                yield from ((Channel.PICTURES, piece) for piece in split(key.pack(), key.pieces_id))


def recorded() -> Traffic:
    """The traffic of a short call in simulated time."""
    outgoing, incoming = new_halves()
    traffic, based = Traffic(), _Based()
    for tick in range(2 * _FRAMES):
        now = tick * 0.02
        if tick % 130 == 60:
            outgoing.reactions.react(1 + tick % 6, now)
        if tick % 2 == 0:
            frame = np.full((_SIDE, _SIDE, 3), 100 + tick % 50, np.uint8)
            job = outgoing.push(outgoing.analyse(frame), now, now)
            if job is not None:
                outgoing.done(job.perform(), now)
        last = outgoing.finish("the end", now) if tick == 2 * _FRAMES - 1 else []
        for each in based.add((*outgoing.tick(now, 0), *last)):
            traffic.to_receiver.append(_numbered(each))
            incoming.receive(*each, now)
        while (picture := incoming.next_job()) is not None:
            incoming.add_source(incoming.prepare(picture))
        for each in incoming.tick(now):
            traffic.to_sender.append(_numbered(each))
            outgoing.receive(*each, now)
    return traffic


class HostileSender:
    """A receiver's half that gets a damaged message, then the next of a real call, and so on."""

    def __init__(self, traffic: Traffic) -> None:
        self._real = cycle(traffic.to_receiver)
        self._half, self._life, self._now = new_halves()[1], 0, 0.0

    def __call__(self, damaged: bytes) -> object:
        """Raises TooManyErrors where the half does."""
        self._life += 1
        if self._life > _LONGEST_LIFE:
            self._begin()
        try:
            self._take(damaged)
            self._take(next(self._real))
        except TooManyErrors:
            self._begin()
            raise
        return self._half.counts.bundles

    def _begin(self) -> None:
        self._half, self._life, self._now = new_halves()[1], 0, 0.0

    def _refused(self) -> int:
        """Messages of which nothing was taken in."""
        return self._half.counts.malformed - self._half.counts.malformed_base

    def _take(self, numbered: bytes) -> None:
        half, self._now = self._half, self._now + 0.02
        before = self._refused(), half.counts.bundles, half.playout.waiting
        half.receive(*_message(numbered), self._now)
        if self._refused() > before[0] and (half.counts.bundles, half.playout.waiting) != before[1:]:
            raise AssertionError("a malformed message left frames to show")
        while (picture := half.next_job()) is not None:
            try:
                half.add_source(half.prepare(picture))
            except MalformedMessage as error:
                half.refuse(picture, error)
        while (item := half.due(self._now)) is not None:
            frame, mixed = item
            if frame.motion is not None:
                check_motion(frame.motion if mixed.reacting is None else mixed.reacting.motion)
            if mixed.base is not None and not 0 <= mixed.base.age <= OLDEST + 0.001:
                raise AssertionError(f"a base {mixed.base.age} s old is to be shown")
            if mixed:
                half.draw(frame, mixed)
                half.shown(frame, self._now)
        half.tick(self._now)


class HostileReceiver:
    """A sender's half that gets a damaged message, then the next of a real call, and so on."""

    def __init__(self, traffic: Traffic) -> None:
        self._real = cycle(traffic.to_sender)
        self._frame = np.full((_SIDE, _SIDE, 3), 100, np.uint8)
        self._half, self._life, self._now = new_halves()[0], 0, 0.0

    def __call__(self, damaged: bytes) -> object:
        """Raises TooManyErrors where the half does."""
        self._life += 1
        if self._life > _LONGEST_LIFE:
            self._begin()
        half, self._now = self._half, self._now + 0.04
        try:
            for each in (damaged, next(self._real)):
                half.receive(*_message(each), self._now)
        except TooManyErrors:
            self._begin()
            raise
        job = half.push(half.analyse(self._frame), self._now, self._now)
        if job is not None:
            half.done(job.perform(), self._now)
        half.tick(self._now, 0)
        return half.gallery.epoch

    def _begin(self) -> None:
        self._half, self._life, self._now = new_halves()[0], 0, 0.0


def check_motion(motion: Motion) -> None:
    """Raises AssertionError for a motion that no head can do."""
    vector = motion.vector()
    if not np.isfinite(vector).all() or np.abs(motion.rotation).max() > ANGLE_LIMIT:
        raise AssertionError(f"a frame with motion {vector} is to be shown")
    if np.abs(motion.expression).max() > EXPRESSION_LIMIT or motion.scale <= 0:
        raise AssertionError(f"a frame with motion {vector} is to be shown")


def hostile_sender() -> tuple[tuple[bytes, ...], Callable[[bytes], object]]:
    """Valid messages, and what takes damaged ones."""
    traffic = recorded()
    return tuple(traffic.to_receiver), HostileSender(traffic)


def hostile_receiver() -> tuple[tuple[bytes, ...], Callable[[bytes], object]]:
    """Valid messages, and what takes damaged ones."""
    traffic = recorded()
    return tuple(traffic.to_sender), HostileReceiver(traffic)


def _numbered(message: Outgoing) -> bytes:
    return bytes([_CHANNELS.index(message[0])]) + message[1]


def _message(numbered: bytes) -> Outgoing:
    number = numbered[0] if numbered else 0
    return _CHANNELS[number % len(_CHANNELS)], numbered[1:]
