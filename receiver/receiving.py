"""The receiving part of a running call: incoming half, drawing, where pictures and sound go, and figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from receiver.decoder import CallDecoder
from receiver.output.byte_log import CallRecording, TapeWorker
from receiver.output.indicators import Gauges, Indicators, Sample
from receiver.output.outputs import Sinks
from receiver.output.page.view import WebView
from receiver.output.recorder import check_place
from receiver.output.speaker import listen
from receiver.output.window import face_changed
from receiver.player import Player
from receiver.reactions import Reacts
from receiver.settings import ReceiverContext, ReceiverSettings
from shared.audio.codec import Samples
from shared.audio.devices import open_speaker
from shared.call.report import Meter, Snapshot
from shared.files import WAVE
from shared.models.engine import Picture
from shared.signalling.hello import SOUND, Hello
from shared.tasks import watched
from shared.transport.link import Link
from shared.trust.verified import Verified

PLAY_OUT_SECONDS = 3.0
"""How long the last frames may take to be shown after the goodbye."""


class CallStatistics:
    """Measures a running call, for status line, window and report."""

    def __init__(self, half: CallDecoder, link: Link) -> None:
        self._half, self._link = half, link
        self._meter = Meter(self._now, half.timing.delays_ms, "frames_shown", outgoing=False)
        self.text = ""
        """The status of the last look."""
        self._gauges = Gauges()
        self.indicators = self._gauges.read(self._sample(None))
        """The indicators of the last look."""

    def look(self) -> str:
        """Notes what is new and gives the status text."""
        half = self._half
        since = self._meter.look(steady=bool(half.gallery.sources))
        recent = half.timing.delays_ms(50)
        middle = sorted(recent)[len(recent) // 2] if recent else None
        self.indicators = self._gauges.read(self._sample(middle))
        delay = "?" if middle is None else f"{middle:.0f} ms"
        absence = self.indicators.absence
        face = f" | {absence}: holding the last picture" if absence else ""
        face += f" | {self.indicators.busyness}" if self.indicators.busyness else ""
        face += "" if half.face_changed is None else f" | {face_changed(half.face_changed)}"
        self.text = (
            f"{since['fps']:.1f} fps | {since['payload_kbps']:.1f} kbit/s payload | "
            f"wire {since['wire_kbps_in']:.1f} in {since['wire_kbps_out']:.1f} back | "
            f"{len(half.gallery.sources)} sources | delay {delay}{face}"
        )
        return self.text

    def report(self) -> dict[str, Any]:
        """Whole and steady figures."""
        return self._meter.report()

    def _sample(self, delay_ms: float | None) -> Sample:
        half, counts, wire, payload = self._half, self._half.counts, self._link.wire(), self._link.payload()
        return Sample(
            time=time.monotonic(), heard=half.heard, received=counts.frames_received, late=half.playout.late,
            shown=counts.frames_shown, sources_received=counts.sources_received,
            sources_held=len(half.gallery.sources), behind=half.playout.behind,
            extra_delay=half.playout.extra_delay, wire_in=wire.received.size, wire_back=wire.sent.size,
            payload_in=sum(each.size for each in payload.received.values()), delay_ms=delay_ms, face=half.face,
            camera_off=half.camera_off,
            with_base=0 if half.base is None else half.base.counts.frames, sends=half.peer_sends, busy=half.timing.busy,
            sender_busy=half.sender_busy,
        )  # fmt: skip

    def _now(self) -> Snapshot:
        counts = self._half.counts
        return Snapshot(
            time=time.monotonic(),
            frames=counts.frames_shown,
            sources=counts.sources_received,
            wire=self._link.wire(),
            payload=self._link.payload(),
            delays=self._half.timing.delays_known,
            first_frame=self._half.timing.first_shown,
            last_frame=self._half.timing.last_shown,
        )


@dataclass(frozen=True)
class Place:
    """Where a call's pictures and sound go."""

    out: Path | None = None
    window: bool = False
    record: Path | None = None
    virtual_camera: bool | str = False
    page: WebView | None = None
    audio: bool = True
    speaker: str | None = None
    out_audio: Path | None = None

    @staticmethod
    def of(settings: ReceiverSettings, page: WebView | None = None) -> Place:
        """That of the only call."""
        return Place(
            settings.out, settings.window, settings.record, settings.virtual_camera, page, settings.audio,
            settings.speaker or ("default" if settings.window else None), settings.out_audio,
        )  # fmt: skip

    @staticmethod
    def check(settings: ReceiverSettings) -> None:
        """Raises RecordError, DisplayError, VirtualCameraError or SoundDeviceError for what could not be had later."""
        Sinks.check(settings.out, settings.window, settings.virtual_camera)
        if settings.record is not None:
            CallRecording.check(settings.record)
        if settings.out_audio is not None:
            check_place(settings.out_audio, WAVE)
        if settings.audio and settings.speaker is not None:
            open_speaker(settings.speaker).close()


class OwnSide(Reacts, Protocol):
    """This side's own sending, in a two-way call, as the window shows and switches it."""

    @property
    def can_be_muted(self) -> bool:
        """Whether there is sound to send."""

    def mute(self, muted: bool) -> None:
        """Sends no sound, or sends it again."""

    def cancel_echo(self, played: Callable[[], list[tuple[float, Samples]]], say: Callable[[str], None]) -> None:
        """Sends nothing of what a speaker on this side plays; if it cannot be helped, `say` tells."""

    def turn_camera_off(self, off: bool) -> None:
        """Sends no motion, or sends it again."""

    def view(self) -> Picture | None:
        """This side's own picture, (S, S, 3); None if there is none now."""


class Receiving:
    """The receiving part of a running call (see `shared.call.directions.Direction`)."""

    name = "received"

    def __init__(
        self, context: ReceiverContext, link: Link, hello: Hello, place: Place, say: Callable[[str], None],
        own: OwnSide | None = None,
    ) -> None:  # fmt: skip
        """`hello` is the other side's. Raises RecordError, DisplayError, VirtualCameraError."""
        self._context, self._hello, self._page, self._say = context, hello, place.page, say
        self._verified: Verified | None = None
        self._playing: asyncio.Task[None] | None = None
        with ExitStack() as opened:
            self._open(context, link, hello, place, own, opened)
            opened.pop_all()

    def _open(
        self, context: ReceiverContext, link: Link, hello: Hello, place: Place, own: OwnSide | None, opened: ExitStack
    ) -> None:
        say = self._say
        self._recording = None if place.record is None else TapeWorker(CallRecording(place.record, hello))
        if self._recording is not None:
            opened.callback(self._recording.discard)
        self.half = context.half(hello.fps, self._recording)
        self._watch = CallStatistics(self.half, link)
        kind, sound = hello.source_kind, place.audio and bool(hello.capabilities.get(SOUND))
        self._sinks = Sinks(
            place.out, place.window, hello.fps, context.engine.size, kind, place.virtual_camera, place.page, sound,
            place.out_audio if sound else None,
        )  # fmt: skip
        opened.callback(self._sinks.give_back)
        if place.out_audio is not None and not sound:
            say(f"the other side sends no sound: {place.out_audio} is not written")
        self.half.faces.on_change = self._face_changed
        if self._sinks.sound is not None:
            self.half.audio_listeners.append(self._sinks.sound.push)
        heard = sound and place.speaker is not None
        self._listening = listen(self.half, place.speaker, say) if heard and place.speaker else None
        if self._listening is not None:
            opened.callback(self._listening.close)
            if own is not None:
                own.cancel_echo(self._listening.played, say)
        self._connect_window(own)
        self._player = Player(self.half, self._sinks, lambda: self._watch.indicators.line(), context.threads.drawing)
        if place.page is not None:
            place.page.begin(
                self.half, link, hello, lambda: self._watch.indicators, time.monotonic(), self._state_of_trust, own
            )

    def _connect_window(self, own: OwnSide | None) -> None:
        window = self._sinks.window
        if window is None:
            return
        if own is None:
            window.on_mute = None if self._listening is None else self._listening.mute
            return
        window.own_view, window.on_camera_off = own.view, own.turn_camera_off
        window.on_mute = own.mute if own.can_be_muted else None
        window.on_reaction, window.own_note = own.react, own.reaction_line

    async def run(self) -> None:
        """Plays until the user closes the window, or to the end after `play_out`.

        Raises RecordError, DisplayError, VirtualCameraError, TooManyErrors.
        """
        hearing = None if self._listening is None else watched(self._listening.run(), "the sound is not heard any more")
        self._playing = asyncio.ensure_future(self._player.run())
        try:
            with self._context.call():
                await self._playing
        finally:
            self._playing.cancel()
            await asyncio.gather(self._playing, return_exceptions=True)
            if hearing is not None:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    async def play_out(self) -> None:
        """Shows what has come and is not due yet, but not for longer than `PLAY_OUT_SECONDS`."""
        self._player.call_ended = True
        if self._playing is not None:
            await asyncio.wait([self._playing], timeout=PLAY_OUT_SECONDS)

    def look(self) -> str:
        """Notes what is new and gives the status text."""
        return self._watch.look()

    def brief(self) -> str:
        """A few words on how it goes."""
        self._watch.look()
        now = self._watch.indicators
        return now.absence or f"receiving {now.fps:.1f} fps, {now.sources_held} sources"

    @property
    def indicators(self) -> Indicators:
        """How the call was doing at the last look."""
        return self._watch.indicators

    async def close(self, ended: str) -> None:
        """Ends the recordings properly. Raises RecordError."""
        async with AsyncExitStack() as closing:
            if self._recording is not None:
                closing.push_async_callback(self._recording.close)
            closing.push_async_callback(self._sinks.close)
            if self._listening is not None:
                closing.callback(self._listening.close)
            if self._page is not None:
                closing.callback(self._page.end, ended)

    def watch_over(self, verified: Verified) -> None:
        """Window and page show what is known of the other side; the window takes that the words were compared."""
        self._verified = verified
        window = self._sinks.window
        if window is not None:
            window.banner, window.on_compared = lambda: verified.banner, verified.compare

    def _state_of_trust(self) -> dict[str, object]:
        return {} if self._verified is None else self._verified.state()

    def _face_changed(self) -> None:
        seconds = self.half.face_changed or 0.0
        self._sinks.face_changed(seconds)
        self._say(f"{face_changed(seconds)}: the new picture shows somebody else, or the same person much changed")

    def report(self) -> dict[str, Any]:
        """The figures of what was received."""
        half, origin = self.half, {"source_kind": self._hello.source_kind}
        return origin | self._watch.report() | vars(half.counts) | {
            "precision": self._context.engine.precision,
            **({} if half.base is None else half.base.report()),
            "frames_late": half.playout.late, "frames_late_here": half.playout.late_here,
            "frames_skipped": half.playout.skipped,
            "jitter_hidden_ms": round(1000 * half.playout.extra_delay, 1),
            "recorded_frames": self._sinks.recorded, "face": half.face,
            "reactions": half.reactions.taken, "reactions_refused": half.reactions.refused,
            "face_changed_s": half.face_changed, "face_changes": half.faces.changes,
        }  # fmt: skip
