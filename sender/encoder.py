"""The outgoing half of a call: camera frames in, messages out. No clock, no socket, no thread of its own.

A frame goes through `analyse` (slow: framing and motion; a worker may run it), then `push` (quick). `push` may hand
back a job; what its `perform` (slow) gives is for `done`. `tick` gives what is due on the link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sender.adaptation import BACKLOG, BUSY_MS, LinkAdaptation
from sender.analysis import Analyser, Analysis, cutter
from sender.base_layer import BaseLayerEncoder, BaseSentCounts
from sender.bundler import clock_ms
from sender.cpu_load import LoadControl, Spare
from sender.framing import Framer
from sender.motion_stream import EncoderCounts, MotionStream
from sender.profiles import LARGEST_BUNDLE, BasePoint, words
from sender.reactions import ReactionsSent
from sender.refresh import Budget, FirstSource, RefreshPolicy
from sender.source_scheduler import Job, Result, SentSource, SourceScheduler
from shared.audio.packetizer import Packet
from shared.call.loop import Outgoing, TooManyErrors
from shared.codec import MalformedMessage, control
from shared.codec.motion_basis import MotionBasis
from shared.codec.picture import DEFAULT_QUALITY, Quality
from shared.gallery import Gallery
from shared.models.engine import Engine, Picture
from shared.transport.link import MAX_USER_DATA, PACKET_HEADERS, Channel, chunk_cost
from shared.transport.pacing import PicturePacer
from shared.transport.resuming import Change

HEARTBEAT_SECONDS = 2.0
"""Silence after which a sign of life is sent; motion is one too."""
_COUNT_EVERY = 0.1
"""Seconds between two looks at the bytes that the budget has spent."""
_MAX_MALFORMED = 20


@dataclass(frozen=True)
class EncoderSettings:
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
    still: bool = False
    """Whether no expression travels: of the face as the newest source has it only the pose changes."""

    def __post_init__(self) -> None:
        if not 1 <= self.bundle <= LARGEST_BUNDLE:
            raise ValueError(f"--bundle is 1 to {LARGEST_BUNDLE} frames a message, not {self.bundle}")
        if self.picture_size not in (64, 128, 256, 512):
            raise ValueError(f"--picture-size is 64, 128, 256 or 512, not {self.picture_size}")
        if self.picture_quality == "max" and self.picture_size > 256:
            raise ValueError("a lossless picture of more than 256 px is too large for a call: lower size or quality")


class CallEncoder:
    """Turns frames into motion bundles and sources, and follows what the receiver says it holds."""

    def __init__(
        self, settings: EncoderSettings, engine: Engine, basis: MotionBasis, policy: RefreshPolicy,
        pacer: PicturePacer | None = None, budget: Budget | None = None, first: FirstSource | None = None,
    ) -> None:  # fmt: skip
        """See `SourceScheduler` for `policy`, `budget` and `first`."""
        self.settings, self.counts = settings, EncoderCounts()
        self.reactions = ReactionsSent()
        self.statistics: control.Stats | None = None
        self.peer_bye: str | None = None
        self.precision = engine.precision
        """What the engine draws in, for a policy that looks at what the receiver sees."""
        self.effort = LoadControl()
        """What is left out where the processor has too much to do."""
        self.face: bool | None = None
        """Whether there is one in the picture; None before the first frame."""
        self.face_seen: bool | None = None
        """Whether there was one in any; None while no picture was looked at, but for those of a camera turned off."""
        self.camera_off = False
        """Set it when it is by the user's will that frames have no face."""
        self.counted: Callable[[], tuple[int, int]] | None = None
        """Gives the bytes on the wire so far, out and back, for the budget; without it `spent` is told."""
        framer = Framer(settings.fps) if settings.framing == "auto" else None
        self._analyser = Analyser(engine, framer, max(engine.size, settings.picture_size))
        self._pacer = pacer or PicturePacer()
        self.sources = SourceScheduler(engine, policy, settings.picture_quality, self._pacer, budget, first)
        """Which frames become sources, and which of them the receiver holds."""
        self._base = BaseLayerEncoder(settings.base, settings.base_always, self.sources.probes)
        self.motion = MotionStream(
            basis, settings.fps, settings.step, self.gallery, self._base, self._pacer, self.counts, settings.still
        )
        """The frames that go."""
        self._link = self._fresh_link()
        self._out: list[Outgoing] = []
        self._link_queued = 0
        self._bundles = self._loaded_bundles = self._late = 0
        self._noted = control.FACE  # what the other side takes for granted
        self._told_busy = False
        self._told: BasePoint | None = None
        """The base layer that the other side was told of in words."""
        self._last_sent = self._counted_at = float("-inf")

    def analyse(self, frame: Picture) -> Analysis | None:
        """The person in a camera frame (H, W, 3); None if there is no face. Slow."""
        return self._analyser.analyse(frame)

    def push(self, analysis: Analysis | None, clock: float, now: float, picture: Picture | None = None) -> Job | None:
        """Takes in one analysed frame, captured at `clock` seconds; a job comes back if there is something to do.

        `picture`: the camera frame (H, W, 3), for the base layer; without it only what the analysis shows can be coded.
        """
        self.effort.note(now - clock, now)
        self._say_what_is_new(analysis is not None)
        if self.camera_off:  # no picture that it saw goes any more
            self._base.stop()
            self._pacer.drop_keys()
        drawn = self.sources.crop_drawn()
        if drawn is not None or self.motion.waiting:  # what is said goes over although there is nobody to draw yet
            self._out += self.motion.add(
                None if drawn is None else analysis, clock, now, self._link, drawn=drawn,
                cutter=None if self.camera_off else cutter(analysis, picture),
                codes_base=self.sources.connected and self.effort.spare < Spare.BASE,
                stuck=self._link_queued > BACKLOG,
            )  # fmt: skip
        if analysis is None:
            return None
        self.reactions.look(analysis.motion, analysis.canonical, now)
        base = self._base.shown(clock, analysis.crop_number)
        return self.sources.consider(analysis, clock, now, self._link, base, self.effort.spare)

    def add_sound(self, packets: Sequence[Packet]) -> None:
        """Takes in what was said, on the clock of the frames; it goes with the next bundle."""
        self.motion.add_sound(packets)

    def push_no_more(self, now: float) -> Job | None:
        """The last frame was pushed: the job of a first source, if a better frame was still waited for."""
        return self.sources.first_of_those_offered(now, self._link)

    def done(self, result: Result, now: float) -> SentSource | None:
        """Takes in what a job gave; what goes out now, if a source does. Raises ValueError if it is too large."""
        sent = self.sources.done(result, now, self._link)
        self.counts.sources_sent += sent is not None
        return sent

    def spent(self, out: int, back: int, now: float) -> None:
        """So many bytes have been on the wire so far: for the budget."""
        counts = self._base.counts
        beside = counts.section_bytes + counts.key_bytes if self.settings.base_beside_budget else 0
        self.sources.spent(max(0, out - beside), back, now)

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
        self.sources.disconnect()
        self._base.stop()
        if change is Change.LOST:
            return
        self.motion.clear()  # they are late by now
        self._link = self._fresh_link()  # what was learnt of another path says nothing of this one
        self._follow_link(now)
        self._last_sent = float("-inf")  # a sign of life goes at once
        if self._noted != control.FACE:
            self._say(control.Note(self._noted))

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
        out, self._out = [*self._out, *self.reactions.messages()], []
        rides = any(channel is Channel.MOTION for channel, _ in out)
        pieces = [] if self._link.pictures_wait(now) else self._pacer.pop_due(now, link_queued, rides)
        self._bundles += rides
        self._loaded_bundles += rides and bool(pieces)
        out += [(Channel.PICTURES, piece) for piece in pieces]
        chunks = sum(chunk_cost(len(data)) for _, data in out)  # in one packet, or as few as hold them
        size, flushed = chunks + PACKET_HEADERS * -(-chunks // MAX_USER_DATA), self.motion.take_flushed()
        self._link.sent(size, flushed.first_frame, flushed.frames, flushed.payload, now - flushed.clock)
        if not out and now - self._last_sent >= HEARTBEAT_SECONDS:
            out.append((Channel.CONTROL, control.pack_control(control.Heartbeat(clock_ms(now), None))))
        if out:
            self._last_sent = now
        return out

    def finish(self, reason: str, now: float) -> list[Outgoing]:
        """The last messages at `now`: what was gathered, and the goodbye."""
        out, self._out = self._out + self.motion.flush(), []
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
        return self.sources.gallery

    def assume_held(self, source_id: int) -> None:
        """Goes on as if the receiver had said that it holds this source: for calls into a file."""
        self._out += self.motion.flush()
        self.sources.assume_held(source_id)
        self.counts.sources_held += 1

    def assume_base_held(self) -> None:
        """Goes on as if the receiver had said that it holds the keys of the base layer that went."""
        if not self._pacer.keys_pending:
            self._base.assume_held()

    @property
    def base_counts(self) -> BaseSentCounts:
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

    def _say(self, message: control.Control) -> None:
        self._out.append((Channel.CONTROL, control.pack_control(message)))

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
            self._say(control.Note(control.SENDS + words(self._told)))

    def _handle(self, message: control.Control, now: float) -> None:
        match message:
            case control.SourceHeld(epoch=epoch, sources=ids):
                self._out += self.motion.flush()  # frames gathered so far belong to the epoch before
                self.counts.sources_held += self.sources.held(epoch, ids, now)
            case control.BaseHeld(generation=generation, asks=asks):
                self._base.held(generation, asks, now)
            case control.SourceRequest(reason=control.BASE_KEY, source=None):
                self._base.request(now)
            case control.SourceRequest():
                self.sources.requested = True
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
                    self._say(control.Heartbeat(clock_ms(now), message.clock_ms))
            case control.Note(text=text):
                self.reactions.told(text, now)
            case control.Bye(reason=reason):
                self.peer_bye = reason

    def _say_what_is_new(self, face: bool) -> None:
        """Tells the other side whether this one is busy, and whether there is a face in the picture."""
        self.face = face
        if face or not self.camera_off:
            self.face_seen = bool(self.face_seen) or face
        busy = self.effort.spare is not Spare.NOTHING
        if busy != self._told_busy and self.gallery.sources:
            self._told_busy = busy
            self._say(control.Note(control.BUSY if busy else control.KEEPS_UP))
        note = control.FACE if face else control.CAMERA_OFF if self.camera_off else control.NO_FACE
        if note != self._noted:
            self._noted = note
            self._say(control.Note(note))
