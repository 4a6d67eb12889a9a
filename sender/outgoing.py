"""The outgoing half of a call: camera frames in, messages out. No clock, no socket, no thread of its own.

A frame goes through `analyse` (slow: framing and motion; a worker may run it), then `push` (quick). `push` may hand
back a job; what its `perform` (slow) gives is for `done`. `tick` gives what is due on the link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sender.adaptation import BACKLOG, BUSY_MS, LinkAdaptation
from sender.analysis import Analysis
from sender.base_layer import BaseCounts, BaseLayer, Cutter
from sender.budget import Budget
from sender.bundling import Bundler, clock_ms
from sender.cadence import Cadence
from sender.effort import Effort, Spare
from sender.first_source import FirstSource
from sender.framing import Crop, Framer, Sight, cut, whole_square
from sender.portrait import face_extent
from sender.profile import LARGEST_BUNDLE, BasePoint, words
from sender.refresh import RefreshPolicy
from sender.source_coder import SourceCoder
from sender.sources import Job, Result, Sources, code_source
from sender.voice import Packet
from shared.codec import control
from shared.codec.errors import MalformedMessage
from shared.codec.motion_basis import MotionBasis
from shared.codec.picture import DEFAULT_QUALITY, Quality
from shared.codec.picture import Picture as PictureMessage
from shared.codec.pieces import split
from shared.gallery import Gallery
from shared.link.base import MAX_USER_DATA, PACKET_HEADERS, Channel, chunk_cost
from shared.link.pacing import FIRST_PIECE, PIECE, PicturePacer
from shared.link.resuming import Change
from shared.models.engine import Engine, Picture
from shared.motion import FloatArray, Motion, keypoints
from shared.session.call import Outgoing, TooManyErrors

HEARTBEAT_SECONDS = 2.0
"""Silence after which a sign of life is sent; motion is one too."""
_IN_CROP = 0.6
"""Share of the face, in width and height, that must be in the crop that is drawn."""
_COUNT_EVERY = 0.1
"""Seconds between two looks at the bytes that the budget has spent."""
_MAX_MALFORMED = 20
_REST = 2.0
"""From one source to the next on a link that carries less than usual, as a multiple of the time that one takes."""


@dataclass(frozen=True)
class OutgoingSettings:
    """What the sender is asked to do."""

    fps: float
    bundle: int = 5
    picture_size: int = 256
    picture_quality: Quality = DEFAULT_QUALITY
    framing: str = "auto"
    step: int = 1
    """Of how many camera frames the motion of one is sent."""
    base: BasePoint | None = None
    """The base layer, where the other side takes one."""
    base_always: bool = False
    """Whether it goes on without a face."""
    base_beside_budget: bool = True
    """Whether its bytes are none of the budget's: it has a bound of its own."""

    def __post_init__(self) -> None:
        if not 1 <= self.bundle <= LARGEST_BUNDLE:
            raise ValueError(f"--bundle is 1 to {LARGEST_BUNDLE} frames a message, not {self.bundle}")
        if self.picture_size not in (64, 128, 256, 512):
            raise ValueError(f"--picture-size is 64, 128, 256 or 512, not {self.picture_size}")
        if self.picture_quality == "max" and self.picture_size > 256:
            raise ValueError("a lossless picture of more than 256 px is too large for a call: lower size or quality")


class SentSource(NamedTuple):
    """A source that goes out."""

    source_id: int
    size: int
    """Bytes of its message."""


@dataclass
class OutgoingCounts:
    """Figures for the report."""

    frames_sent: int = 0
    frames_dropped: int = 0
    """Frames that never went because newer ones took their place while the link was stuck."""
    no_face: int = 0
    sources_sent: int = 0
    sources_held: int = 0
    malformed: int = 0
    sound_packets: int = 0
    sound_bytes: int = 0


class OutgoingHalf:
    """Turns frames into motion bundles and sources, and follows what the receiver says it holds."""

    def __init__(
        self,
        settings: OutgoingSettings,
        engine: Engine,
        basis: MotionBasis,
        policy: RefreshPolicy,
        pacer: PicturePacer | None = None,
        budget: Budget | None = None,
        first: FirstSource | None = None,
    ) -> None:
        """See `Sources` for `policy`, `budget` and `first`."""
        self.settings, self.counts = settings, OutgoingCounts()
        self.statistics: control.Stats | None = None
        self.peer_bye: str | None = None
        self.first_frame: float | None = None
        self.last_frame: float | None = None
        """When the first and the last frame were taken in for sending."""
        self._engine, self._bundler = engine, Bundler(basis, settings.fps)
        self._cadence = Cadence(settings.fps, settings.step)
        self._coder = SourceCoder()
        self.effort = Effort()
        """What is left out where the processor has too much to do."""
        self._sources = Sources(self._code, engine, policy, budget, first)
        self._base = BaseLayer(settings.base, settings.base_always, self._sources.looks)
        self._link = self._fresh_link()
        self._pacer = pacer or PicturePacer()
        self._framer = Framer(settings.fps) if settings.framing == "auto" else None
        self.precision = engine.precision
        """What the engine draws in, for a policy that looks at what the receiver sees."""
        self._cut_size = max(engine.size, settings.picture_size)
        self._crop: Crop | None = None
        self._crop_number = 0
        self._out: list[Outgoing] = []
        self._step = settings.step
        self._taken_at = 0.0
        self._flushed: tuple[int, int, int] | None = None
        """Of the bundle that goes with the next `tick`: number of its first frame, frames that the announced rate has
        in its time, bytes."""
        self._flushed_clock = 0.0
        """Capture of its last frame."""
        self._rest_until = float("-inf")
        self._link_queued = 0
        self._bundles = self._loaded_bundles = 0
        self.face: bool | None = None
        """Whether there is one in the picture; None before the first frame."""
        self.face_seen: bool | None = None
        """Whether there was one in any; None while no picture was looked at, but for those of a camera turned off."""
        self.camera_off = False
        """Set it when it is by the user's will that frames have no face."""
        self._noted = control.FACE  # what the other side takes for granted
        self._told_busy = False
        self._told: BasePoint | None = None
        """The base layer that the other side was told of in words."""
        self._late = 0
        self._last_sent = float("-inf")
        self._connected = True
        """Whether it is known what the receiver holds: not from the loss of a connection until it says so."""
        self.counted: Callable[[], tuple[int, int]] | None = None
        """Gives the bytes on the wire so far, out and back, for the budget; without it `spent` is told."""
        self._counted_at = float("-inf")
        self._newest: tuple[int, list[bytes]] | None = None
        """Id and pieces of the last source that was made."""

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
        picture = cut(frame, framed.crop, self._cut_size)
        canonical, motion = self._engine.extract(picture)
        sight = self._framer.examine(frame, canonical, keypoints(canonical, motion))
        if sight is Sight.NONE:
            return None
        if framed.moved or framed.crop != self._crop:  # one in which no face was found needs no source
            self._crop, self._crop_number = framed.crop, (self._crop_number + 1) % 256
        return Analysis(picture, framed.crop, self._crop_number, canonical, motion, sight is Sight.CLEAR)

    def push(self, analysis: Analysis | None, clock: float, now: float, picture: Picture | None = None) -> Job | None:
        """Takes in one analysed frame, captured at `clock` seconds; a job comes back if there is something to do.

        `picture`: the camera frame (H, W, 3), for the base layer; without it only what the analysis shows can be coded.
        """
        self.effort.note(now - clock, now)
        self._say_whether_busy()
        self._say_whether_face(analysis is not None)
        if self.camera_off:
            self._stop_base()
        cutter = None if self.camera_off else _cutter(analysis, picture)
        if self.gallery.sources:
            self._append(analysis, clock, now, cutter)
        elif self._bundler.waiting:  # what is said goes over although there is nobody to draw yet
            self._append(None, clock, now, None)
        if analysis is None or not analysis.clear or not self._connected or self._sources_wait(now):
            return None
        base, spare = self._base.shown(clock, analysis.crop_number), self.effort.spare
        return self._sources.consider(
            analysis, clock, now, base, refresh=spare < Spare.SOURCES, looks=spare < Spare.LOOKS
        )

    def add_sound(self, packets: Sequence[Packet]) -> None:
        """Takes in what was said, on the clock of the frames; it goes with the next bundle."""
        self._bundler.add_sound(packets)

    def push_no_more(self, now: float) -> Job | None:
        """The last frame was pushed: the job of a first source, if a better frame was still waited for."""
        return self._sources.first_of_those_offered(now)

    def done(self, result: Result, now: float) -> SentSource | None:
        """Takes in what a job gave; what goes out now, if it does. Raises ValueError if it is too large to be sent.

        Unsent pieces of older sources are dropped, as a new one supersedes them.
        """
        message = self._sources.done(result, now)
        if message is None:
            return None
        data = message.pack()
        self._pacer.drop_all_but(message.source_id)
        pieces = split(data, message.source_id, PIECE if self.gallery.sources else FIRST_PIECE)
        self._newest = message.source_id, pieces
        if self._connected:
            self._pacer.add(message.source_id, pieces)
        self.counts.sources_sent += 1
        self._rest_until = now + _REST * len(data) / self._link.picture_rate
        return SentSource(message.source_id, len(data))

    def spent(self, out: int, back: int, now: float) -> None:
        """So many bytes have been on the wire so far: for the budget."""
        counts = self._base.counts
        beside = counts.section_bytes + counts.key_bytes if self.settings.base_beside_budget else 0
        self._sources.spent(max(0, out - beside), back, now)

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

    def link_changed(self, change: Change, now: float) -> None:
        """The connection was lost, or there is a new one: no source goes until the receiver has said what it holds.

        It says so at once. Then the source that had not arrived goes again from its beginning, and no other.
        """
        self._connected = False
        self._pacer.restart(nothing_held=False)
        self._base.stop()
        if change is Change.LOST:
            return
        self._forget(self._bundler.clear())  # they are late by now
        self._link = self._fresh_link()  # what was learnt of another path says nothing of this one
        self._follow_link(now)
        self._last_sent = float("-inf")  # a sign of life goes at once
        if self._noted != control.FACE:
            self._out.append((Channel.CONTROL, control.pack_control(control.Note(self._noted))))

    def accept_base(self, accepted: bool) -> None:
        """Whether the other side takes a base layer: until it is said that it does, none goes."""
        self._base.accepted = accepted
        self._link = self._fresh_link()

    def tick(self, now: float, link_queued: int) -> list[Outgoing]:
        """Everything to send at `now`, while `link_queued` bytes wait in the link."""
        self._link_queued = link_queued
        if self.counted is not None and now - self._counted_at >= _COUNT_EVERY:
            self._counted_at = now
            self.spent(*self.counted(), now)
        out, self._out = self._out, []
        rides = any(channel is Channel.MOTION for channel, _ in out)
        pieces = [] if self._link.pictures_wait(now) else self._pacer.pop_due(now, link_queued, rides)
        self._note_sent([len(data) for _, data in out] + [len(piece) for piece in pieces], now)
        self._bundles += rides
        self._loaded_bundles += rides and bool(pieces)
        out += [(Channel.PICTURES, piece) for piece in pieces]
        if not out and now - self._last_sent >= HEARTBEAT_SECONDS:
            out.append((Channel.CONTROL, control.pack_control(control.Heartbeat(clock_ms(now), None))))
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

    @property
    def adaptation(self) -> LinkAdaptation:
        """What is made of the link at present."""
        return self._link

    @property
    def gallery(self) -> Gallery:
        """What the receiver holds."""
        return self._sources.gallery

    @property
    def on_held(self) -> Callable[[int], None]:
        """Called with the id of each source that the receiver has taken."""
        return self._sources.on_held

    @on_held.setter
    def on_held(self, act: Callable[[int], None]) -> None:
        self._sources.on_held = act

    def assume_held(self, source_id: int) -> None:
        """Goes on as if the receiver had said that it holds this source: for calls into a file."""
        self._flush()
        self._sources.assume_held(source_id)
        self.counts.sources_held += 1

    def assume_base_held(self) -> None:
        """Goes on as if the receiver had said that it holds the keys of the base layer that went."""
        if not self._pacer.keys_pending:
            self._base.assume_held()

    @property
    def base_counts(self) -> BaseCounts:
        """Figures of the base layer."""
        return self._base.counts

    @property
    def base_goes(self) -> bool:
        """Whether a base layer goes, as far as link and face allow it."""
        return self._base.accepted and self.settings.base is not None and not self._base.given_up

    @property
    def sends(self) -> str:
        """What is sent now, in words; nothing where there is no base layer to speak of."""
        return words(self._link.base) if self.base_goes else ""

    def _code(self, analysis: Analysis, room: int | None) -> PictureMessage:
        size, quality = self._link.picture_size, self.settings.picture_quality
        return code_source(analysis, room, size=size, quality=quality, encode=self._coder.encode)

    @property
    def sources_stuck(self) -> int:
        """Times that the encoder of sources hung."""
        return self._coder.stuck

    def _sources_wait(self, now: float) -> bool:
        """On a link that carries less than usual, one source after the other goes whole, with a rest between them:
        newer ones would take its place again and again, and none arrive."""
        return bool(self.gallery.sources) and self._link.limited and (self.pictures_waiting or now < self._rest_until)

    def _note_sent(self, sizes: Sequence[int], now: float) -> None:
        """Messages of these sizes go in one packet, or as few as hold them, and with them what was flushed."""
        chunks = sum(map(chunk_cost, sizes))
        size = chunks + PACKET_HEADERS * -(-chunks // MAX_USER_DATA)
        bundle, frames, payload = self._flushed or (None, 0, 0)
        self._link.sent(size, bundle, frames, payload, now - self._flushed_clock)
        self._flushed = None

    def _append(self, analysis: Analysis | None, clock: float, now: float, cutter: Cutter | None) -> None:
        if self._step != self._link.step:
            self._flush()  # frames of a bundle are as far apart as each other
            self._step = self._link.step
        if not self._cadence.goes(clock, self._step):
            return
        stopped = self._bundler.since_last(clock) > self._cadence.span(self._link.bundle, self._step)
        if stopped:
            self._flush_unless_stuck()  # what the camera gave before must not grow older
        self._taken_at = now
        motion = None if analysis is None or self._has_left(analysis) else self._as_held(analysis)
        gone = self._bundler.add(clock, motion)
        self._forget(gone)
        if gone:
            self._base.drop_droppable()
        if self._connected and self._link_queued <= BACKLOG and not gone and self.effort.spare < Spare.BASE:
            self._code_base(analysis, motion, clock, now, cutter)
        self.counts.frames_sent += 1
        self.first_frame = now if self.first_frame is None else self.first_frame
        self.last_frame = now
        self.counts.no_face += analysis is None
        enough = self._cadence.bundle(self._link.bundle, self._step)
        if len(self._bundler) >= enough or stopped:
            self._flush_unless_stuck()

    def _flush_unless_stuck(self) -> None:
        if self._link_queued <= BACKLOG:
            self._flush()

    def _code_base(
        self, analysis: Analysis | None, motion: Motion | None, clock: float, now: float, cutter: Cutter | None
    ) -> None:
        """Codes a frame that was just taken in, in the crop that is drawn; and a key in one that is going to be."""
        crop, number = self._sources.crop_drawn(), self._sources.crop_number_drawn()
        drawn = None if crop is None else (crop, number)
        self._base.take(cutter, drawn, clock, now, self._cadence.interval(self._step), motion)
        if cutter is not None and drawn is not None and analysis is not None and analysis.crop_number != number:
            self._base.prepare(cutter, analysis.crop, analysis.crop_number, clock, now, analysis.motion)

    def _forget(self, frames: int) -> None:
        """So many frames that were taken in will never go."""
        self.counts.frames_sent -= frames
        self.counts.frames_dropped += frames

    def _flush(self) -> None:
        if not len(self._bundler):
            return
        packets, repeats = self._base.take_packets(), self._base.repeats(self._taken_at)
        every = self._bundler.take(self.gallery.epoch, self._cadence.interval(self._step), packets, repeats)
        seconds, size = sum(made.seconds for made in every), sum(len(made.data) - made.base_bytes for made in every)
        self._flushed_clock = every[-1].placed[-1].taken
        self._flushed = every[-1].first_frame, max(1, round(seconds * self.settings.fps / self._step)), size
        for made in every:
            self._out.append((Channel.MOTION, made.data))
            self.counts.sound_packets += sum(1 for each in made.sound if each.data)
            self.counts.sound_bytes += sum(len(each.data) for each in made.sound)
            self._base.spent(made.base_bytes, made.base, made.repeated)
            for each in made.placed:
                key = self._base.take_key(each.taken, each.number, each.clock_ms)
                if key is not None:
                    self._pacer.add_key(key.pieces_id, split(key.pack(), key.pieces_id, PIECE))
        self._base.settle()

    def _fresh_link(self) -> LinkAdaptation:
        settings = self.settings
        base = settings.base if self.base_goes else None
        return LinkAdaptation(settings.bundle, settings.step, settings.fps, settings.picture_size, base)

    def _follow_link(self, now: float) -> None:
        """Base layer and words follow what the link carries."""
        if self._base.given_up and self._link.base is not None:
            self._link.give_up_base(now)
        if not self._base.fits:
            self._link.base_is_too_dear(now)
        self._base.descend(self._link.base)
        self._pacer.freed_rate = 0.0 if self._link.base is None else 125 * self._link.base.kbps
        if self._base.accepted and self._link.base != self._told:
            self._told = self._link.base
            text = control.SENDS + words(self._told)
            self._out.append((Channel.CONTROL, control.pack_control(control.Note(text))))

    def _stop_base(self) -> None:
        """No picture that the camera saw goes any more."""
        self._base.stop()
        self._pacer.drop_keys()

    def _as_held(self, analysis: Analysis) -> Motion:
        """The motion in the crop that the receiver draws, which changes only when a new source is held."""
        zoom, shift = self._to_drawn(analysis)
        return analysis.motion.zoomed(zoom, (float(shift[0]), float(shift[1])))

    def _has_left(self, analysis: Analysis) -> bool:
        """Whether most of the face is beside the crop that the receiver draws: better hold the last picture with it."""
        if analysis.crop == (self._sources.crop_drawn() or analysis.crop):
            return False
        zoom, shift = self._to_drawn(analysis)
        low, high = (zoom * corner + shift for corner in face_extent(analysis.points))
        inside = np.minimum(high, 1) - np.maximum(low, -1)
        return bool((inside < _IN_CROP * (high - low)).any())

    def _to_drawn(self, analysis: Analysis) -> tuple[float, FloatArray]:
        """From coordinates in a frame's crop to those in the crop drawn: a zoom, and (2,) a shift after it."""
        crop = self._sources.crop_drawn() or analysis.crop
        centre = np.array([analysis.crop.x + analysis.crop.side / 2, analysis.crop.y + analysis.crop.side / 2])
        shift = 2 * (centre - [crop.x + crop.side / 2, crop.y + crop.side / 2]) / crop.side
        return analysis.crop.side / crop.side, np.asarray(shift, np.float32)

    def _handle(self, message: control.Control, now: float) -> None:
        match message:
            case control.Held(epoch=epoch, sources=ids):
                self._mirror(epoch, ids, now)
            case control.BaseHeld(generation=generation, asks=asks):
                self._base.held(generation, asks, now)
            case control.Request(reason=control.BASE_KEY, source=None):
                self._base.request(now)
            case control.Request():
                self._sources.requested = True
            case control.Stats():
                self.statistics = message
                self._link.judge(message, 2 * self._loaded_bundles > self._bundles, now)
                self._bundles = self._loaded_bundles = 0
                self._pacer.later_rate = self._link.picture_rate
                if message.late > self._late and message.behind_ms <= BUSY_MS:
                    self._base.lost(now)
                self._late = message.late
                self._follow_link(now)
                if message.clock_ms is not None:
                    reply = control.Heartbeat(clock_ms(now), message.clock_ms)
                    self._out.append((Channel.CONTROL, control.pack_control(reply)))
            case control.Bye(reason=reason):
                self.peer_bye = reason
            case _:
                pass

    def _mirror(self, epoch: int, ids: tuple[int, ...], now: float) -> None:
        self._flush()  # frames gathered so far belong to the epoch before
        held = self._sources.mirror(epoch, ids)
        self.counts.sources_held += held
        if held:
            self._pacer.arrived(now)
        if not self._connected:
            self._connected = True
            self._pacer.restart(nothing_held=not ids)
            if self._newest is not None and self._sources.goes_again(self._newest[0], now):
                self._pacer.add(*self._newest)

    def _say_whether_busy(self) -> None:
        busy = self.effort.spare is not Spare.NOTHING
        if busy != self._told_busy and self.gallery.sources:
            self._told_busy = busy
            note = control.BUSY if busy else control.KEEPS_UP
            self._out.append((Channel.CONTROL, control.pack_control(control.Note(note))))

    def _say_whether_face(self, face: bool) -> None:
        self.face = face
        if face or not self.camera_off:
            self.face_seen = bool(self.face_seen) or face
        note = control.FACE if face else control.CAMERA_OFF if self.camera_off else control.NO_FACE
        if note != self._noted:
            self._noted = note
            self._out.append((Channel.CONTROL, control.pack_control(control.Note(note))))


def _cutter(analysis: Analysis | None, picture: Picture | None) -> Cutter:
    """Cuts a crop from a frame, or from what was cut of it already."""

    def cut_out(crop: Crop, size: int) -> Picture | None:
        if analysis is not None and analysis.crop == crop:
            return cut(analysis.picture, whole_square(analysis.picture), size)
        return None if picture is None else cut(picture, crop, size)

    return cut_out
