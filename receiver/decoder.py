"""The incoming half of a call: messages in, frames to draw out. No clock, no socket, no thread of its own.

`receive` takes messages. A completed picture becomes a `SourceJob`, which `prepare` (slow; a worker may run it) turns
into a source for `add_source`. `due` says which frame to draw from which sources; `draw` (slow) draws it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from receiver.base_layer import BaseLayerDecoder
from receiver.enhance import Enhancement
from receiver.output.byte_log import Tape
from receiver.playout import DueFrame, Playout
from receiver.reactions import ReactionPlayer
from receiver.synthesis import Mixed, PreparedSource, Synthesis
from receiver.timing import Timing
from receiver.upscale import Upscaler
from shared.call.loop import Outgoing, TooManyErrors
from shared.codec import MalformedBase, MalformedMessage, control
from shared.codec.base_key import is_base_key
from shared.codec.bundle import decode_bundle
from shared.codec.motion_basis import MotionBasis
from shared.codec.picture import PictureMessage
from shared.codec.pieces import Reassembler
from shared.models.appearance import FaceWatch
from shared.models.engine import Engine, Picture
from shared.models.performer import Performer
from shared.motion import FloatArray
from shared.transport.link import Channel
from shared.transport.resuming import Change

_MAX_MALFORMED = 50
_MAX_JOBS = 4
_LEAST_STEP = 0.001
"""Seconds: frames that are due closer together are one."""
_LONG_AWAY = 300.0
"""Seconds of silence after which frame numbers and clocks, which wrap, may not be followed from where they were."""


@dataclass
class DecoderCounts:
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


class CallDecoder:
    """Follows what the sender sends and says what to show."""

    def __init__(
        self, engine: Engine, basis: MotionBasis, upscaler: Upscaler, fps: float = 25.0, tape: Tape | None = None,
        appearances: Callable[[Picture], FloatArray] | None = None, base: bool = True,
        performer: Performer | None = None, enhancement: Enhancement | None = None,
    ) -> None:  # fmt: skip
        """`fps`: frames a second that the sender captures; as many are shown, however few motions travel.

        `tape` is told everything that decides which pictures are drawn. `appearances` reads faces, to notice when one
        is changed; without it nobody does. `base`: whether the base layer is taken in, if one comes. `performer`
        performs reactions; without it none is taken. `enhancement` draws in the engine's place, but for reactions.
        """
        self._tape = tape
        self.counts, self.playout = DecoderCounts(), Playout(fps)
        self.timing, self.synthesis = Timing(self.playout), Synthesis(engine, upscaler, appearances)
        self.gallery = self.synthesis.gallery
        self.base = BaseLayerDecoder(engine.size, self.playout, self.gallery) if base else None
        self._enhancement = enhancement
        self.reactions = ReactionPlayer(performer)
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
        self.audio_listeners: list[Callable[[bytes, float], None]] = []
        """Each is called with every packet of sound and its capture in seconds, as `DueFrame` has it."""
        self.faces = FaceWatch()
        """Whether all sources showed one face."""
        self._basis, self._reassembler = basis, Reassembler()
        self._jobs: list[PictureMessage] = []
        self._out: list[Outgoing] = []

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
        return self.synthesis.prepare(message)

    def add_source(self, source: PreparedSource) -> None:
        """Takes a prepared source into the gallery and tells the sender; one of an earlier run of it is dropped."""
        if not self.synthesis.is_current(source):
            return
        if self._tape is not None:
            self._tape.taken(source.held.source_id)
        self.counts.sources_received += 1
        if source.appearance is not None and self.heard is not None:
            self.faces.take(source.appearance, self.heard)
        self.synthesis.add(source)
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
            self.sender_busy = False
            self.synthesis.begin_anew()
            if self._enhancement is not None:
                self._enhancement.begin_anew()
            self._jobs.clear()
            self._reassembler = Reassembler()
        if self.base is not None:
            self.base.begin_anew()
        self.reactions.begin_anew()
        self.timing.reconnected(now, change is Change.REPLACED)
        self._say_what_is_held()

    def refuse(self, message: PictureMessage, error: MalformedMessage) -> None:
        """Counts a source that could not be prepared and asks for another one."""
        self._out.append((Channel.CONTROL, control.pack_control(control.SourceRequest(None, "undecodable"))))
        self._count_malformed(error)

    def due(self, now: float) -> tuple[DueFrame, Mixed] | None:
        """The frame to show at `now` and the sources to draw it from; no source means: hold the last picture."""
        return self._with_sources(self.playout.due(now))

    def each_due(self, began: float, end: float) -> Iterator[tuple[DueFrame, Mixed, float]]:
        """Every frame that becomes due between two times, with the time: for who can draw all of them.

        In small steps, or a newer frame would take the place of one before it.
        """
        now = began
        while now < end:
            following = self.playout.next_time()
            now = min(max(now + _LEAST_STEP, end if following is None else following), end)
            while (item := self.due(now)) is not None:
                yield *item, now

    def due_again(self, number: int) -> tuple[DueFrame, Mixed] | None:
        """The frame of this number and its sources, in a replay of what `due` gave; None if it is not there."""
        return self._with_sources(self.playout.take(number))

    def _with_sources(self, frame: DueFrame | None) -> tuple[DueFrame, Mixed] | None:
        if frame is None:
            return None
        if self._tape is not None:
            self._tape.shown(frame.number, self.synthesis.mixture.most)
        if frame.motion is None:
            self.face = False
            self.reactions.begins(frame, None)
            self.counts.frames_without_face += 1
            return frame, Mixed(alone=None if self.base is None else self.base.alone(frame))
        self.face, self.camera_off = True, False
        sources = self.synthesis.mix(frame.epoch, frame.motion, frame.number)
        self.counts.not_drawable += not self.gallery.at(frame.epoch)
        base = self.base.picture(frame) if self.base is not None and sources else None
        label = self.reactions.begins(frame, sources[0][0].held.canonical if sources else None)
        if label is not None:
            self._out.append((Channel.CONTROL, control.pack_control(control.Note(control.PERFORMS + label))))
        reacting = self.reactions.reacting(frame)
        return frame, Mixed(sources, base if reacting is None else reacting.faded(base), reacting=reacting)

    def held(self) -> list[PreparedSource]:
        """The sources held, oldest first."""
        return self.synthesis.held

    @property
    def face_changed(self) -> float | None:
        """Seconds into the call when the first source came that shows another face; None while there is none."""
        changed = self.faces.changed
        return None if changed is None or self._began is None else changed - self._began

    def draw_from(self, most: int) -> None:
        """Frames are to be drawn from so many sources, but for those that fade out."""
        self.synthesis.mixture.most = most

    def draw(self, frame: DueFrame, mixed: Mixed) -> Picture:
        """(size, size, 3) the person under the frame's motion, from at least one source, or what is there. Slow."""
        if mixed.alone is not None:
            return mixed.alone
        assert frame.motion is not None
        if mixed.reacting is not None:
            return mixed.reacting.marked(self.synthesis.draw(mixed.sources, mixed.reacting.motion, mixed.base))
        motion = frame.motion
        if self._enhancement is None:
            return self.synthesis.draw(mixed.sources, motion, mixed.base)
        base = None if mixed.base is None else mixed.base.picture
        newest = max((source for source, _ in mixed.sources), key=lambda source: source.held.source_id)
        return self._enhancement.draw(
            base, newest.picture, lambda: self.synthesis.draw(mixed.sources, motion, mixed.base)
        )

    def shown(self, frame: DueFrame, now: float) -> None:
        """Notes that a frame was put on display at `now`."""
        self.counts.frames_shown += 1
        self.timing.shown(frame, now)

    def tick(self, now: float, link_queued: int = 0) -> list[Outgoing]:
        """Everything to send at `now`; it is little, so what waits in the link does not matter."""
        self.timing.look(now)
        out, self._out = self._out, []
        if self.base is not None:
            out += [(Channel.CONTROL, control.pack_control(each)) for each in self.base.messages(now)]
        if self.timing.statistics_due(now):
            out.append((Channel.CONTROL, control.pack_control(self._statistics(now))))
        return out

    def finish(self, reason: str, now: float) -> list[Outgoing]:
        """The last statistics and the goodbye."""
        out, self._out = self._out, []
        last = (control.pack_control(self._statistics(now)), control.pack_control(control.Bye(reason)))
        return [*out, *((Channel.CONTROL, data) for data in last)]

    def _say_what_is_held(self) -> None:
        ids = tuple(s.source_id for s in self.gallery.sources)
        self._out.append((Channel.CONTROL, control.pack_control(control.SourceHeld(self.gallery.epoch, ids))))

    def _take_bundle(self, data: bytes, now: float) -> None:
        bundle = decode_bundle(data, self._basis)
        self.counts.bundles += 1
        self.counts.frames_received += len(bundle.frames)
        waited = self.timing.waited(now)
        placed = self.playout.add(bundle, now, waited)
        clock = placed.capture
        self.timing.bundle(clock + (len(bundle.frames) - 1) * bundle.frame_interval_ms / 1000, now, waited)
        self.counts.sound_packets += sum(1 for each in bundle.sound if each.data)
        for packet in bundle.sound:
            for ear in self.audio_listeners:
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
                self.timing.clock_told(theirs, echo, now)
            case control.Note(text=text):
                if text in (control.FACE, control.NO_FACE, control.CAMERA_OFF):
                    self.face, self.camera_off = text == control.FACE, text == control.CAMERA_OFF
                elif text.startswith(control.SENDS):
                    self.peer_sends = text.removeprefix(control.SENDS)
                elif text in (control.BUSY, control.KEEPS_UP):
                    self.sender_busy = text == control.BUSY
                if self.base is not None:
                    self.base.note(text)
            case control.Reaction(number=number):
                self.reactions.ask(number)
            case control.Bye(reason=reason):
                self.peer_bye = reason
            case _:
                pass

    def _statistics(self, now: float) -> control.Stats:
        counts = self.counts
        return self.timing.statistics(counts.frames_received, counts.frames_shown, counts.bundles, now)

    def _count_malformed(self, error: MalformedMessage) -> None:
        self.counts.malformed += 1
        if self.counts.malformed > _MAX_MALFORMED:
            raise TooManyErrors(f"the sender sent {self.counts.malformed} malformed messages; {error}") from error
