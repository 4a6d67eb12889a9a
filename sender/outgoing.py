"""The outgoing half of a call: camera frames in, messages out. No clock, no socket, no thread of its own.

A frame goes through `analyse` (slow: framing and motion; a worker may run it), then `push` (quick). `push` may hand
back a `SourceJob`, which `encode` (slow) turns into a message for `send_source`. `tick` gives what is due on the link.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sender.framing import Crop, Framer, cut, whole_square
from sender.refresh import RefreshPolicy
from shared.codec import control
from shared.codec.bundle import MAX_FRAMES, Bundle, encode_bundle
from shared.codec.errors import MalformedMessage
from shared.codec.motion_basis import MotionBasis
from shared.codec.picture import DEFAULT_QUALITY, Quality, encode_picture
from shared.codec.picture import Picture as PictureMessage
from shared.codec.pieces import split
from shared.gallery import Gallery, Held
from shared.link.base import Channel
from shared.link.pacing import PicturePacer
from shared.models.engine import Engine, Picture
from shared.motion import FloatArray, Motion, keypoints
from shared.session.call import Outgoing, TooManyErrors

HEARTBEAT_SECONDS = 2.0
"""Silence after which a sign of life is sent; motion is one too."""
_RESEND_SECONDS = 20.0
"""A source not acknowledged by then is given up and another one sent."""
_IN_FLIGHT = 64
"""Unacknowledged sources remembered: one that was given up may still arrive, after a tunnel for one."""
_MAX_MALFORMED = 20


@dataclass(frozen=True)
class OutgoingSettings:
    """What the sender is asked to do."""

    fps: float
    bundle: int = 5
    picture_size: int = 256
    picture_quality: Quality = DEFAULT_QUALITY
    framing: str = "auto"

    def __post_init__(self) -> None:
        if not 1 <= self.bundle <= MAX_FRAMES:
            raise ValueError(f"--bundle is 1 to {MAX_FRAMES} frames a message, not {self.bundle}")
        if self.picture_size not in (64, 128, 256, 512):
            raise ValueError(f"--picture-size is 64, 128, 256 or 512, not {self.picture_size}")
        if self.picture_quality == "max" and self.picture_size > 256:
            raise ValueError("a lossless picture of more than 256 px is too large for a call: lower size or quality")


@dataclass(frozen=True, eq=False)
class Analysis:
    """What was found in one camera frame."""

    picture: Picture
    """The square crop, (S, S, 3)."""
    crop: Crop
    crop_number: int
    canonical: FloatArray
    motion: Motion


@dataclass(frozen=True, eq=False)
class SourceJob:
    """A frame that is to become a source."""

    source_id: int
    analysis: Analysis


@dataclass
class OutgoingCounts:
    """Figures for the report."""

    frames_sent: int = 0
    no_face: int = 0
    sources_sent: int = 0
    sources_held: int = 0
    malformed: int = 0


class OutgoingHalf:
    """Turns frames into motion bundles and sources, and follows what the receiver says it holds."""

    def __init__(
        self,
        settings: OutgoingSettings,
        engine: Engine,
        basis: MotionBasis,
        policy: RefreshPolicy,
        pacer: PicturePacer | None = None,
    ) -> None:
        self.settings, self.counts = settings, OutgoingCounts()
        self.gallery = Gallery()
        self.statistics: control.Stats | None = None
        self.peer_bye: str | None = None
        self.first_frame: float | None = None
        self.last_frame: float | None = None
        """When the first and the last frame were taken in for sending."""
        self.on_held: Callable[[int], None] = lambda source_id: None
        self._engine, self._basis, self._policy = engine, basis, policy
        self._pacer = pacer or PicturePacer()
        self._framer = Framer(settings.fps) if settings.framing == "auto" else None
        self._cut_size = max(engine.size, settings.picture_size)
        self._crop_number = 0
        self._out: list[Outgoing] = []
        self._bundle: list[Motion | None] = []
        self._bundle_clock = 0.0
        self._in_flight: dict[int, tuple[Held, Crop, float]] = {}
        self._crops: dict[int, Crop] = {}
        self._next_source = 0
        self._since_source = 0
        self.face: bool | None = None
        """Whether there is one in the picture; None before the first frame."""
        self._last_sent = float("-inf")
        self._source_wanted = False

    def analyse(self, frame: Picture) -> Analysis | None:
        """The person in a camera frame (H, W, 3); None if there is no face. Slow."""
        if self._framer is None:
            crop = whole_square(frame)
            picture = cut(frame, crop, self._cut_size)
            canonical, motion = self._engine.extract(picture)
            return Analysis(picture, crop, 0, canonical, motion)
        framed = self._framer.update(frame)
        if framed.crop is None:
            return None
        if framed.moved:
            self._crop_number = (self._crop_number + 1) % 256
        picture = cut(frame, framed.crop, self._cut_size)
        canonical, motion = self._engine.extract(picture)
        self._framer.follow(keypoints(canonical, motion))
        return Analysis(picture, framed.crop, self._crop_number, canonical, motion)

    def push(self, analysis: Analysis | None, clock: float, now: float) -> SourceJob | None:
        """Takes in one analysed frame, captured at `clock` seconds; a job comes back if it is to become a source."""
        self._say_whether_face(analysis is not None)
        if self.gallery.sources:
            self._append(analysis, clock, now)
        if analysis is None:
            return None
        self._since_source += 1
        if not self._wants_source(analysis, now):
            return None
        self._since_source, self._source_wanted = 0, False
        self._next_source = (self._next_source + 1) % (1 << 16)
        held = Held(self._next_source, analysis.crop_number, analysis.canonical, analysis.motion)
        self._in_flight[held.source_id] = (held, analysis.crop, now)
        while len(self._in_flight) > _IN_FLIGHT:
            del self._in_flight[next(iter(self._in_flight))]
        return SourceJob(held.source_id, analysis)

    def encode(self, job: SourceJob) -> bytes:
        """The picture message of a source. Slow; touches nothing of this object's state."""
        size, analysis = self.settings.picture_size, job.analysis
        small = cut(analysis.picture, whole_square(analysis.picture), size)
        codec, data = encode_picture(small, self.settings.picture_quality)
        return PictureMessage(
            job.source_id, analysis.crop_number, codec, size, size, analysis.canonical, analysis.motion, data
        ).pack()

    def send_source(self, job: SourceJob, message: bytes) -> None:
        """Queues an encoded source; unsent pieces of older ones are dropped, as it supersedes them."""
        self._pacer.drop_all_but(job.source_id)
        self._pacer.add(job.source_id, split(message, job.source_id))
        self.counts.sources_sent += 1

    def receive(self, channel: Channel, data: bytes, now: float) -> None:
        """Takes in a message of the receiver. Raises TooManyErrors when it sends garbage again and again."""
        try:
            if channel is not Channel.CONTROL:
                raise MalformedMessage(f"a receiver sends control messages only, {len(data)} bytes came on {channel}")
            self._handle(control.unpack_control(data), now)
        except MalformedMessage as error:
            self.counts.malformed += 1
            if self.counts.malformed > _MAX_MALFORMED:
                raise TooManyErrors(f"the receiver sent {self.counts.malformed} malformed messages; {error}") from error

    def tick(self, now: float, link_queued: int) -> list[Outgoing]:
        """Everything to send at `now`, while `link_queued` bytes wait in the link."""
        out, self._out = self._out, []
        out += [(Channel.PICTURES, piece) for piece in self._pacer.pop_due(now, link_queued)]
        if not out and now - self._last_sent >= HEARTBEAT_SECONDS:
            out.append((Channel.CONTROL, control.pack_control(control.Heartbeat(_clock_ms(now), None))))
        if out:
            self._last_sent = now
        return out

    def finish(self, reason: str, now: float) -> list[Outgoing]:
        """The last messages at `now`: what was gathered, and the goodbye."""
        self._flush()
        out, self._out = self._out, []
        return [*out, (Channel.CONTROL, control.pack_control(control.Bye(reason)))]

    @property
    def pictures_waiting(self) -> bool:
        """Whether pieces of a source are still to be sent."""
        return self._pacer.pending > 0

    def assume_held(self, source_id: int) -> None:
        """Goes on as if the receiver had said that it holds this source: for calls into a file."""
        double = Gallery(self.gallery.bound, self.gallery.epoch, self.gallery.sources)
        double.add(self._in_flight[source_id][0])
        self._mirror(double.epoch, tuple(s.source_id for s in double.sources))

    def _append(self, analysis: Analysis | None, clock: float, now: float) -> None:
        if not self._bundle:
            self._bundle_clock = clock
        self._bundle.append(None if analysis is None else self._as_held(analysis))
        self.counts.frames_sent += 1
        self.first_frame = now if self.first_frame is None else self.first_frame
        self.last_frame = now
        self.counts.no_face += analysis is None
        if len(self._bundle) >= self.settings.bundle:
            self._flush()

    def _flush(self) -> None:
        if not self._bundle:
            return
        bundle = Bundle(
            first_frame=(self.counts.frames_sent - len(self._bundle)) & 0xFFFF,
            clock_ms=_clock_ms(self._bundle_clock),
            epoch=self.gallery.epoch,
            frame_interval_ms=1000 / self.settings.fps,
            frames=tuple(self._bundle),
        )
        self._bundle = []
        self._out.append((Channel.MOTION, encode_bundle(bundle, self._basis)))

    def _as_held(self, analysis: Analysis) -> Motion:
        """The motion in the crop that the receiver draws, which changes only when a new source is held."""
        crop = self._crops.get(self.gallery.sources[-1].source_id, analysis.crop)
        zoom = analysis.crop.side / crop.side
        centre = np.array([analysis.crop.x + analysis.crop.side / 2, analysis.crop.y + analysis.crop.side / 2])
        shift = 2 * (centre - [crop.x + crop.side / 2, crop.y + crop.side / 2]) / crop.side
        return analysis.motion.zoomed(zoom, (float(shift[0]), float(shift[1])))

    def _wants_source(self, analysis: Analysis, now: float) -> bool:
        flying = [held.crop for held, _, sent in self._in_flight.values() if now - sent <= _RESEND_SECONDS]
        if analysis.crop_number in flying:
            return False
        sources = self.gallery.sources
        if self._source_wanted or not sources or sources[-1].crop != analysis.crop_number:
            return True
        return self._policy.wants(self._since_source, analysis.motion, [s.motion for s in sources])

    def _handle(self, message: control.Control, now: float) -> None:
        match message:
            case control.Held(epoch=epoch, sources=ids):
                self._mirror(epoch, ids)
            case control.Request():
                self._source_wanted = True
            case control.Stats():
                self.statistics = message
                if message.clock_ms is not None:
                    reply = control.Heartbeat(_clock_ms(now), message.clock_ms)
                    self._out.append((Channel.CONTROL, control.pack_control(reply)))
            case control.Bye(reason=reason):
                self.peer_bye = reason
            case _:
                pass

    def _mirror(self, epoch: int, ids: tuple[int, ...]) -> None:
        """The receiver says what it holds; that is the truth from here on."""
        known = {s.source_id: s for s in self.gallery.sources}
        if any(source_id not in known and source_id not in self._in_flight for source_id in ids):
            raise MalformedMessage(f"the receiver says it holds sources {list(ids)}, some were never sent")
        for source_id in ids:
            if source_id in self._in_flight:
                held, crop, _ = self._in_flight.pop(source_id)
                known[source_id], self._crops[source_id] = held, crop
                self.counts.sources_held += 1
                self.on_held(source_id)
        self._flush()  # frames gathered so far belong to the epoch before
        self.gallery.mirror(epoch, tuple(known[source_id] for source_id in ids))
        self._crops = {source_id: self._crops[source_id] for source_id in ids if source_id in self._crops}

    def _say_whether_face(self, face: bool) -> None:
        if face != self.face:
            if not (self.face is None and face):  # the first face needs no announcement
                self._out.append(
                    (Channel.CONTROL, control.pack_control(control.Note(control.FACE if face else control.NO_FACE)))
                )
            self.face = face


def _clock_ms(seconds: float) -> int:
    return round(seconds * 1000) & 0xFFFFFFFF
