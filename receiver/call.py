"""One call's shell around `IncomingHalf`: link, worker threads, display, recording and report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from receiver.incoming import IncomingHalf
from receiver.indicators import Gauges, Indicators, Sample
from receiver.listening import listen
from receiver.page.stage import Stage
from receiver.player import DRAWERS, Player, share_cores
from receiver.recording import CallRecording
from receiver.sinks import Sinks
from receiver.tape import Tape
from receiver.upscale import DEFAULT_UPSCALER, Upscaler, load_upscaler
from shared.codec.motion_basis import MotionBasis
from shared.link.base import Link, LinkClosed
from shared.link.ice import IceSettings
from shared.models.batching import Batcher
from shared.models.engine import Engine
from shared.models.registry import choose_device, draws_quickly, load_basis, load_engine, usual_size
from shared.models.warmup import warm_up
from shared.session.call import TooManyErrors, run_call
from shared.session.hello import SOUND, Hello
from shared.session.report import Meter, Snapshot, write_report

PLAY_OUT_SECONDS = 3.0
"""How long the last frames may take to be shown after the goodbye."""


@dataclass(frozen=True)
class ReceiverSettings:
    """What the receiver is asked to do, from the command line."""

    host: str = "0.0.0.0"
    port: int = 8765
    out: Path | None = None
    window: bool = False
    device: str = "auto"
    engine: str = "compact"
    size: int | None = None
    """Side of the picture shown; None: `registry.usual_size`."""
    generator: str = "auto"
    upscaler: str = DEFAULT_UPSCALER
    upscaler_weights: Path | None = None
    keep: bool = False
    rendezvous: str | None = None
    """URL of a rendezvous server to wait at, in the place of `host` and `port`."""
    by_hand: bool = False
    """Whether offer and answer are pasted in the terminal instead."""
    qr: bool = True
    calls: int = 1
    """Calls taken at a time, of which each has a recording and a report of its own."""
    backend: str = "auto"
    ice: IceSettings = field(default_factory=IceSettings)
    report: Path | None = None
    play: Path | None = None
    record: Path | None = None
    """Where the bytes received are kept."""
    virtual_camera: bool | str = False
    """Whether, or the name of the device."""
    audio: bool = True
    """False: sound is neither heard nor recorded."""
    speaker: str | None = None
    """Name or number of one, "default" for the system's; None: the default one with a window, else none."""
    out_audio: Path | None = None
    """A WAV file for the sound."""
    page: int | None = None
    """Port on which browsers can watch."""
    page_host: str = "127.0.0.1"


@dataclass(frozen=True)
class Studio:
    """What outlives a call, and what several calls share: the engine and all it needs."""

    engine: Engine
    basis: MotionBasis
    upscaler: Upscaler

    @staticmethod
    def open(settings: ReceiverSettings) -> Studio:
        """Loads and warms up. Raises EngineError."""
        device = choose_device(settings.device)
        share_cores()
        size = settings.size or usual_size(settings.engine, device)
        engine = load_engine(settings.engine, device, size=size, generator=settings.generator, backend=settings.backend)
        upscaler = load_upscaler(settings.upscaler, settings.upscaler_weights, device)
        if draws_quickly(settings.engine, device):
            warm_up(engine, calls=settings.calls)
        if settings.calls > 1:
            engine = Batcher(engine, at_once=1 if device == "cuda" else DRAWERS)
        return Studio(engine, load_basis(settings.engine), upscaler)

    def half(self, fps: float, tape: Tape | None = None) -> IncomingHalf:
        """A fresh half for a call at `fps` frames a second."""
        return IncomingHalf(self.engine, self.basis, self.upscaler, fps, tape)

    def call(self) -> AbstractContextManager[None]:
        """The time of a call, for an engine that calls share."""
        return self.engine.call() if isinstance(self.engine, Batcher) else nullcontext()


class Watch:
    """Measures a running call, for status line, window and report."""

    def __init__(self, half: IncomingHalf, link: Link) -> None:
        self._half, self._link = half, link
        self._meter = Meter(self._now, half.delays_ms, "frames_shown", outgoing=False)
        self.text = ""
        """The status of the last look."""
        self._gauges = Gauges()
        self.indicators = self._gauges.read(self._sample(None))
        """The indicators of the last look."""

    def look(self) -> str:
        """Notes what is new and gives the status text."""
        half = self._half
        since = self._meter.look(steady=bool(half.gallery.sources))
        recent = half.delays_ms(50)
        middle = sorted(recent)[len(recent) // 2] if recent else None
        self.indicators = self._gauges.read(self._sample(middle))
        delay = "?" if middle is None else f"{middle:.0f} ms"
        face = "" if half.face else " | no face at the other end: holding the last picture"
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
        )  # fmt: skip

    def _now(self) -> Snapshot:
        counts = self._half.counts
        return Snapshot(
            time=time.monotonic(),
            frames=counts.frames_shown,
            sources=counts.sources_received,
            wire=self._link.wire(),
            payload=self._link.payload(),
            delays=self._half.delays_known,
            first_frame=self._half.first_shown,
            last_frame=self._half.last_shown,
        )


@dataclass(frozen=True)
class Place:
    """Where a call's pictures and figures go."""

    out: Path | None = None
    window: bool = False
    report: Path | None = None
    record: Path | None = None
    virtual_camera: bool | str = False
    page: Stage | None = None
    audio: bool = True
    speaker: str | None = None
    out_audio: Path | None = None


class Conversation:
    """One call over an open link."""

    def __init__(self, studio: Studio, link: Link, hello: Hello, place: Place, say: Callable[[str], None]) -> None:
        self._studio, self._link, self._hello, self._place, self._say = studio, link, hello, place, say
        self._recording = None if place.record is None else CallRecording(place.record, hello)
        self._half = studio.half(hello.fps, self._recording)
        self._watch = Watch(self._half, link)

    def look(self) -> str:
        """Notes what is new and gives the status text."""
        return self._watch.look()

    @property
    def indicators(self) -> Indicators:
        """How the call was doing at the last look."""
        return self._watch.indicators

    async def run(self) -> dict[str, Any]:
        """The report, once the call is over.

        Raises RecordError, DisplayError, VirtualCameraError, LinkClosed, TooManyErrors.
        """
        what = "" if self._hello.source_kind == "camera" else f" (not a camera: a {self._hello.source_kind})"
        self._say(f"connected; receiving {self._hello.fps:g} fps{what}")
        half, place, ended = self._half, self._place, asyncio.Event()
        report: dict[str, Any] = {"source_kind": self._hello.source_kind, "ended": "interrupted"}
        size = self._studio.engine.size
        kind, camera = self._hello.source_kind, place.virtual_camera
        sound = place.audio and bool(self._hello.capabilities.get(SOUND))
        out_audio = place.out_audio if sound else None
        sinks = Sinks(place.out, place.window, self._hello.fps, size, kind, camera, place.page, sound, out_audio)
        if sinks.sound is not None:
            half.ears.append(sinks.sound.push)
        listening = listen(half, place.speaker, self._say) if sound and place.speaker is not None else None
        hearing = None if listening is None else asyncio.ensure_future(listening.run())
        if listening is not None:
            sinks.on_mute(listening.mute)
        player = Player(half, sinks, lambda: self._watch.indicators.line())
        playing = asyncio.ensure_future(player.run())
        playing.add_done_callback(lambda _: ended.set())
        if place.page is not None:
            place.page.begin(half, self._link, self._hello, lambda: self._watch.indicators, time.monotonic())
        try:
            with self._studio.call():
                report["ended"] = await run_call(self._link, half, ended, self._silence)
                player.call_ended = True
                await asyncio.wait([playing], timeout=PLAY_OUT_SECONDS)
        except (LinkClosed, TooManyErrors) as error:
            report["ended"] = str(error)
            raise
        finally:
            playing.cancel()
            results = await asyncio.gather(playing, return_exceptions=True)
            if hearing is not None:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
            if place.page is not None:
                place.page.end(report["ended"])
            await sinks.close()
            if self._recording is not None:
                self._recording.close()
            report |= self._watch.report() | vars(half.counts) | {
                "frames_late": half.playout.late, "frames_skipped": half.playout.skipped,
                "jitter_hidden_ms": round(1000 * half.playout.extra_delay, 1),
                "recorded_frames": sinks.recorded,
            }  # fmt: skip
            if place.report is not None:
                write_report(place.report, report)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return report

    def _silence(self, silent: bool) -> None:
        self._say("nothing heard from the sender for 5 s" if silent else "the sender is back")
