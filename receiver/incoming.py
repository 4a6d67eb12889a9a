"""The incoming half of a call: messages in, frames to draw out. No clock, no socket, no thread of its own.

`receive` takes messages. A completed picture becomes a `SourceJob`, which `prepare` (slow; a worker may run it) turns
into a source for `add_source`. `due` says which frame to draw from which sources; `draw` (slow) draws it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from receiver.appearance import FaceWatch
from receiver.attention import Attention
from receiver.base_layer import BaseLayer
from receiver.clock import ClockOffset
from receiver.delays import Delays
from receiver.lag import URGENT, URGENT_EVERY, LinkLag
from receiver.playout import Frame, Playout
from receiver.tape import Tape
from receiver.upscale import Upscaler
from shared.codec import control
from shared.codec.base_key import is_base_key
from shared.codec.bundle import CLOCK_WRAP_MS, decode_bundle
from shared.codec.errors import MalformedBase, MalformedMessage, MalformedPicture
from shared.codec.motion_basis import MotionBasis
from shared.codec.picture import Picture as PictureMessage
from shared.codec.picture import decode_picture
from shared.codec.pieces import Reassembler
from shared.gallery import Gallery, Held
from shared.link.base import Channel
from shared.link.resuming import Change
from shared.mixture import Mixture
from shared.models.engine import Engine, Picture
from shared.models.exchange import BasePicture
from shared.motion import FloatArray
from shared.session.call import Outgoing, TooManyErrors

STATISTICS_SECONDS = 2.0
_BUSY = 0.05
"""Seconds of this machine's own lateness from which the sender is told of it."""
_DRAWN_WITHIN = 0.08
"""Seconds that drawing may take on a machine that keeps up: two frames are drawn at a time."""
_CLOCK_EVERY = 5
"""The sender's clock is asked for in the first statistics and in every fifth after that."""
_CLOCK_AT_ONCE = 3
_MAX_MALFORMED = 50
_MAX_JOBS = 4
_RECENT = 50
_LAG_FOLLOWS = 0.05
"""Share of a frame's lag from due to shown in that which sound waits for: about the last second counts."""
_MAX_DISPLAY_LAG = 0.5
_LONG_AWAY = 300.0
"""Seconds of silence after which frame numbers and clocks, which wrap, may not be followed from where they were."""
_CLOCK_MASK = 0xFFFFFFFF
"""Clocks and delays travel as 32-bit milliseconds."""


@dataclass(frozen=True, eq=False)
class PreparedSource:
    """A source ready to draw from."""

    held: Held
    features: Any
    picture: Picture
    """Decoded and upscaled, as the engine got it."""
    run: int = 0
    """Which run of the sender's program it came from."""
    appearance: FloatArray | None = None
    """Of its face, if somebody looks at that."""


@dataclass(frozen=True, eq=False)
class Mixed:
    """What a frame is drawn from; nothing, which is false: the last picture is held."""

    sources: tuple[tuple[PreparedSource, float], ...] = ()
    """Each with its weight."""
    base: BasePicture | None = None
    alone: Picture | None = None
    """(size, size, 3) the base layer where nobody is in the picture and the sender goes on showing it."""

    def __len__(self) -> int:
        """Sources."""
        return len(self.sources)

    def __bool__(self) -> bool:
        return bool(self.sources) or self.alone is not None


@dataclass
class IncomingCounts:
    """Figures for the report."""

    bundles: int = 0
    frames_received: int = 0
    frames_shown: int = 0
    frames_without_face: int = 0
    sources_received: int = 0
    malformed: int = 0
    malformed_base: int = 0
    """Of the malformed messages: bundles whose motion was taken in but not their base, and keys."""
    sound_packets: int = 0
    not_drawable: int = 0
    """Frames that came while no source was held."""


class IncomingHalf:
    """Follows what the sender sends and says what to show."""

    def __init__(
        self, engine: Engine, basis: MotionBasis, upscaler: Upscaler, fps: float = 25.0, tape: Tape | None = None,
        appearances: Callable[[Picture], FloatArray] | None = None, base: bool = True,
    ) -> None:  # fmt: skip
        """`fps`: frames a second that the sender captures; as many are shown, however few motions travel.

        `tape` is told everything that decides which pictures are drawn. `appearances` reads faces, to notice when one
        is changed; without it nobody does. `base`: whether the base layer is taken in, if one comes.
        """
        self._tape = tape
        self.counts, self.playout, self.gallery = IncomingCounts(), Playout(fps), Gallery()
        self.base = BaseLayer(engine.size, self.playout, self.gallery) if base else None
        self.peer_bye: str | None = None
        self.face: bool = True
        self.camera_off = False
        """Whether the other side said that it is by their will that there is no face."""
        self.peer_sends = ""
        """What the sender says it sends now."""
        self.sender_busy = False
        """Whether the other side said that its processor has too much to do."""
        self._began: float | None = None
        self.heard: float | None = None
        """When the last message came."""
        self.first_shown: float | None = None
        self.last_shown: float | None = None
        """When the first and the last frame were put on display."""
        self.on_display: Frame | None = None
        """The frame that was last put on display."""
        self.ears: list[Callable[[bytes, float], None]] = []
        """Each is called with every packet of sound and its capture in seconds, as `Frame` has it."""
        self.faces, self._appearances = FaceWatch(), appearances
        """Whether all sources showed one face."""
        self.display_lag = 0.0
        """Seconds from the moment a frame is due until it is on display, lately."""
        self._engine, self._basis, self._upscaler = engine, basis, upscaler
        self._prepared: dict[int, PreparedSource] = {}
        self._reassembler = Reassembler()
        self.mixture = Mixture()
        """Which sources frames are drawn from, and how they fade."""
        self._jobs: list[PictureMessage] = []
        self._out: list[Outgoing] = []
        self._lag, self._attention = LinkLag(), Attention()
        self._next_statistics, self._last_statistics = 0.0, float("-inf")
        self._statistics_sent = 0
        self._clock = ClockOffset()
        self._first_offset: float | None = None
        """Of the clocks when it became known: delays are kept as that one would have them."""
        self._delays = Delays()
        self._run = 0
        """How often the sender's program was started again."""

    def receive(self, channel: Channel, data: bytes, now: float) -> None:
        """Takes in a message of the sender. Raises TooManyErrors when it sends garbage again and again."""
        self.heard, self._began = now, now if self._began is None else self._began
        if self._tape is not None:
            self._tape.message(channel, data, now)
        try:
            match channel:
                case Channel.MOTION:
                    self._take_bundle(data, now)
                case Channel.PICTURES:
                    self._take_piece(data, now)
                case Channel.CONTROL:
                    self._handle(control.unpack_control(data), now)
        except MalformedMessage as error:
            self.counts.malformed_base += isinstance(error, MalformedBase)
            self._count_malformed(error)

    def next_job(self) -> PictureMessage | None:
        """The next picture to prepare, if one has come in whole."""
        return self._jobs.pop(0) if self._jobs else None

    def prepare(self, message: PictureMessage) -> PreparedSource:
        """Decodes, upscales and encodes a source. Slow. Raises MalformedPicture if it cannot be decoded."""
        run = self._run  # before anything that takes its time: the sender may be replaced meanwhile
        if message.canonical.shape != (self._engine.keypoint_count, 3):
            raise MalformedPicture(f"a source with {len(message.canonical)} keypoints came, this engine has others")
        if message.width != message.height:
            raise MalformedPicture(f"a source of {message.width}x{message.height} came, sources are square")
        picture = decode_picture(message.codec, message.data, message.width, message.height)
        picture = self._upscaler.upscale(picture, self._engine.size)
        features = self._engine.prepare(picture, message.canonical, message.motion)
        held = Held(message.source_id, message.crop, message.canonical, message.motion)
        # of the picture itself: what the message says of it is the sender's word
        appearance = None if self._appearances is None else self._appearances(picture)
        return PreparedSource(held, features, picture, run, appearance)

    def add_source(self, source: PreparedSource) -> None:
        """Takes a prepared source into the gallery and tells the sender; one of an earlier run of it is dropped."""
        if source.run != self._run:
            return
        if self._tape is not None:
            self._tape.taken(source.held.source_id)
        self.counts.sources_received += 1
        if source.appearance is not None and self.heard is not None:
            self.faces.take(source.appearance, self.heard)
        self._prepared[source.held.source_id] = source
        for source_id in self.gallery.add(source.held):
            self._prepared.pop(source_id, None)
        self._say_what_is_held()

    def link_changed(self, change: Change, now: float, skip: int | None = None) -> None:
        """The connection was lost, or there is a new one, on which the sender is told at once what is held.

        If it was started again, nothing is: it would not know of it. `skip`: in a replay, by how much frame numbers
        jumped then; 0 if they did not.
        """
        if change is Change.LOST:
            return
        self._out.clear()  # it was for the connection before
        away = self.heard is not None and now - self.heard > _LONG_AWAY if skip is None else skip > 0
        if change is Change.REPLACED or away:
            skip = self.playout.begin_anew(now, skip)
        if self._tape is not None:
            self._tape.resumed(change is Change.REPLACED, skip or 0, now)
        if change is Change.REPLACED:
            self._run += 1
            self.sender_busy = False
            self.gallery.begin_anew()
            self._prepared.clear()
            self._jobs.clear()
            self._reassembler, self.mixture = Reassembler(), Mixture(self.mixture.most)
            self._clock, self._statistics_sent = ClockOffset(), 0
        if self.base is not None:
            self.base.begin_anew()
        self._next_statistics, self._lag = now, LinkLag()
        self._say_what_is_held()

    def refuse(self, message: PictureMessage, error: MalformedMessage) -> None:
        """Counts a source that could not be prepared and asks for another one."""
        self._out.append((Channel.CONTROL, control.pack_control(control.Request(None, "undecodable"))))
        self._count_malformed(error)

    def due(self, now: float) -> tuple[Frame, Mixed] | None:
        """The frame to show at `now` and the sources to draw it from; no source means: hold the last picture."""
        return self._with_sources(self.playout.due(now))

    def due_again(self, number: int) -> tuple[Frame, Mixed] | None:
        """The frame of this number and its sources, in a replay of what `due` gave; None if it is not there."""
        return self._with_sources(self.playout.take(number))

    def _with_sources(self, frame: Frame | None) -> tuple[Frame, Mixed] | None:
        if frame is None:
            return None
        if self._tape is not None:
            self._tape.shown(frame.number, self.mixture.most)
        if frame.motion is None:
            self.face = False
            self.counts.frames_without_face += 1
            return frame, Mixed(alone=None if self.base is None else self.base.alone(frame))
        self.face, self.camera_off = True, False
        shares = self.mixture.step(self.gallery.at(frame.epoch), frame.motion, frame.number)
        if not shares:
            self.counts.not_drawable += 1
        # one that fades out may have been dropped meanwhile
        known = [(self._prepared.get(held.source_id), weight) for held, weight in shares]
        sources = tuple((source, weight) for source, weight in known if source is not None)
        return frame, Mixed(sources, self.base.picture(frame) if self.base is not None and sources else None)

    def held(self) -> list[PreparedSource]:
        """The sources held, oldest first."""
        return [self._prepared[held.source_id] for held in self.gallery.sources]

    @property
    def face_changed(self) -> float | None:
        """Seconds into the call when the first source came that shows another face; None while there is none."""
        changed = self.faces.changed
        return None if changed is None or self._began is None else changed - self._began

    def draw_from(self, most: int) -> None:
        """Frames are to be drawn from so many sources, but for those that fade out."""
        self.mixture.most = most

    def draw(self, frame: Frame, mixed: Mixed) -> Picture:
        """(size, size, 3) the person under the frame's motion, from at least one source, or what is there. Slow."""
        if mixed.alone is not None:
            return mixed.alone
        assert frame.motion is not None
        given = [(source.features, weight) for source, weight in mixed.sources]
        return self._engine.draw(given, frame.motion, mixed.base)

    def shown(self, frame: Frame, now: float) -> None:
        """Notes that a frame was put on display at `now`."""
        self.counts.frames_shown += 1
        self.first_shown = now if self.first_shown is None else self.first_shown
        self.last_shown, self.on_display = now, frame
        offset = self.clock_offset
        if offset is not None or self._first_offset is None:  # clocks drift apart in a call
            self._delays.add(now - frame.capture - ((offset or 0.0) - (self._first_offset or 0.0)))
        if self.playout.delay is not None:
            lag = min(max(0.0, now - frame.capture - self.playout.delay), _MAX_DISPLAY_LAG)
            self.display_lag += _LAG_FOLLOWS * (lag - self.display_lag)

    @property
    def busy(self) -> float:
        """Seconds by which pictures lately came on display, or messages were taken in, later than they should have for
        this machine's own sake; 0 where that is little."""
        late = max(self.display_lag - _DRAWN_WITHIN, self._attention.lately)
        return late if late >= _BUSY else 0.0

    @property
    def clock_offset(self) -> float | None:
        """Seconds to add to the sender's clock to have ours; None until it is known."""
        return self._clock.seconds

    @property
    def sound_delay(self) -> float | None:
        """Seconds from capture to the moment sound is to be heard, which is when its picture is on display."""
        return None if self.playout.delay is None else self.playout.delay + self.display_lag

    def delays_ms(self, last: int | None = None) -> list[float]:
        """Milliseconds from capture to display: of frames from the whole call (see `Delays`), or of the last up to 64.

        Empty until clocks are known.
        """
        offset = self._first_offset
        if offset is None:
            return []
        seconds = self._delays.all() if last is None else self._delays.latest(last)
        return [_wrapped(1000 * (each - offset)) for each in seconds]

    @property
    def delays_known(self) -> int:
        """How many delays `delays_ms` gives."""
        return 0 if self._first_offset is None else len(self._delays)

    def tick(self, now: float, link_queued: int = 0) -> list[Outgoing]:
        """Everything to send at `now`; it is little, so what waits in the link does not matter."""
        self._attention.look(now)
        out, self._out = self._out, []
        if self.base is not None:
            out += [(Channel.CONTROL, control.pack_control(each)) for each in self.base.messages(now)]
        if now >= self._next_statistics:
            self._next_statistics, self._last_statistics = now + STATISTICS_SECONDS, now
            out.append((Channel.CONTROL, control.pack_control(self._statistics(now))))
        return out

    def finish(self, reason: str, now: float) -> list[Outgoing]:
        """The last statistics and the goodbye."""
        out, self._out = self._out, []
        last = (control.pack_control(self._statistics(now)), control.pack_control(control.Bye(reason)))
        return [*out, *((Channel.CONTROL, data) for data in last)]

    def _say_what_is_held(self) -> None:
        ids = tuple(s.source_id for s in self.gallery.sources)
        self._out.append((Channel.CONTROL, control.pack_control(control.Held(self.gallery.epoch, ids))))

    def _take_bundle(self, data: bytes, now: float) -> None:
        bundle = decode_bundle(data, self._basis)
        self.counts.bundles += 1
        self.counts.frames_received += len(bundle.frames)
        waited = self._attention.waited(now)
        placed = self.playout.add(bundle, now, waited)
        clock = placed.capture
        self._lag.add(clock + (len(bundle.frames) - 1) * bundle.frame_interval_ms / 1000, now, waited)
        if self._lag.behind >= URGENT:
            self._next_statistics = min(self._next_statistics, self._last_statistics + URGENT_EVERY)
        self.counts.sound_packets += sum(1 for each in bundle.sound if each.data)
        for packet in bundle.sound:
            for ear in self.ears:
                ear(packet.data, clock + packet.start_ms / 1000)
        if self.base is not None:
            self.base.take_bundle(bundle, placed, now)

    def _take_piece(self, data: bytes, now: float) -> None:
        whole = self._reassembler.add(data)
        if whole is None:
            return
        if is_base_key(whole):
            if self.base is not None:
                self.base.take_key(whole, now)
            return
        self._jobs.append(PictureMessage.unpack(whole))
        del self._jobs[:-_MAX_JOBS]  # more than that waiting means a flood: the newest are worth most

    def _handle(self, message: control.Control, now: float) -> None:
        match message:
            case control.Heartbeat(clock_ms=theirs, echo_ms=echo) if echo is not None:
                age = ((round(now * 1000) - echo) & _CLOCK_MASK) / 1000  # the clock that travelled has wrapped
                self._clock.add(theirs / 1000, now - age, now)
                self._first_offset = self.clock_offset if self._first_offset is None else self._first_offset
            case control.Note(text=text):
                if text in (control.FACE, control.NO_FACE, control.CAMERA_OFF):
                    self.face, self.camera_off = text == control.FACE, text == control.CAMERA_OFF
                elif text.startswith(control.SENDS):
                    self.peer_sends = text.removeprefix(control.SENDS)
                elif text in (control.BUSY, control.KEEPS_UP):
                    self.sender_busy = text == control.BUSY
                if self.base is not None:
                    self.base.note(text)
            case control.Bye(reason=reason):
                self.peer_bye = reason
            case _:
                pass

    def _statistics(self, now: float) -> control.Stats:
        wants = self._statistics_sent < _CLOCK_AT_ONCE or self._statistics_sent % _CLOCK_EVERY == 0
        self._statistics_sent += 1
        return control.Stats(
            received=self.counts.frames_received,
            shown=self.counts.frames_shown,
            late=self.playout.late,
            bundles=self.counts.bundles,
            highest_frame=self.playout.highest_frame,
            delay_ms=min(max(0, round(statistics.median(self.delays_ms(_RECENT) or [0]))), _CLOCK_MASK),
            behind_ms=min(round(1000 * self._lag.behind), _CLOCK_MASK),
            clock_ms=round(now * 1000) & _CLOCK_MASK if wants else None,
            busy_ms=round(1000 * self.busy) or None,
        )

    def _count_malformed(self, error: MalformedMessage) -> None:
        self.counts.malformed += 1
        if self.counts.malformed > _MAX_MALFORMED:
            raise TooManyErrors(f"the sender sent {self.counts.malformed} malformed messages; {error}") from error


def _wrapped(delay_ms: float) -> float:
    """A delay between clocks of which one starts again every CLOCK_WRAP_MS."""
    half = CLOCK_WRAP_MS / 2
    return (delay_ms + half) % CLOCK_WRAP_MS - half
