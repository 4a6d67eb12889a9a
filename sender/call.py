"""The sender's shell around `OutgoingHalf`: camera, worker thread, link, status line and report."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sender.analysis import Analysis
from sender.budget import Budget, budget_for
from sender.capture import Capture, SourceError, open_source
from sender.first_source import FirstSource
from sender.outgoing import OutgoingHalf, OutgoingSettings
from sender.preview import Preview
from sender.profile import DEFAULT_PROFILE, PROFILES
from sender.refresh import PoseMoved, RefreshPolicy, WhenWorse
from sender.sound import Sound, SoundSettings, bundle_with_sound, open_sound
from sender.sources import Job, Result, SourceJob
from shared.codec.picture import Quality
from shared.link.base import Link, LinkClosed
from shared.link.ice import IceSettings
from shared.link.pacing import FIRST_RATE, PicturePacer
from shared.link.webrtc import BadDescription, Peer
from shared.models.engine import NATIVE_SIZE, Engine, Picture
from shared.models.registry import draws_quickly, load_basis, load_engine, wire_hash
from shared.session.call import TooManyErrors, run_call
from shared.session.exchange import SignallingError
from shared.session.hello import SOUND, Hello, SourceKind
from shared.session.join_link import BY_HAND
from shared.session.joining import check_peer, meet
from shared.session.report import Meter, Snapshot, write_report
from shared.session.status import StatusLine

logger = logging.getLogger(__name__)

LATE_SECONDS = 0.15
"""Behind its clock by more than this, the sender repeats the last motion instead of analysing a frame."""
HOLD_SECONDS = 20.0
"""How long a file waits for its first source to be held before it plays all the same."""


@dataclass(frozen=True)
class SenderSettings:
    """One call, as asked for on the command line."""

    peer: str | None
    source: str = "camera:0"
    refresh: RefreshPolicy = field(default_factory=WhenWorse)
    budget: float | None = None
    """kbit/s out and back; None: the profile's for the default policy, no bound for the others."""
    profile: str = DEFAULT_PROFILE
    picture_size: int | None = None
    """None: the profile's."""
    picture_quality: Quality | None = None
    """None: the profile's."""
    bundle: int | None = None
    """None: the profile's."""
    framing: str = "auto"
    seconds: float | None = None
    engine: str = "compact"
    device: str = "auto"
    ice: IceSettings = field(default_factory=IceSettings)
    report: Path | None = None
    out: Path | None = None
    preview: bool = False
    """Show the caller's own picture with hints."""
    sound: SoundSettings = field(default_factory=SoundSettings)

    def byte_budget(self, with_sound: bool = False) -> Budget | None:
        """The budget for sources, None if there is none. Raises ValueError if it is not positive."""
        return budget_for(self.refresh, self.budget, PROFILES[self.profile].budget, with_sound)


class Pump:
    """Plays a capture into a half: a frame at its time, analysed in a worker thread.

    A file waits, from its first face on, until its first source is held; the frames until then are kept, and played
    afterwards.
    """

    def __init__(self, half: OutgoingHalf, capture: Capture, seconds: float | None, sound: Sound | None = None) -> None:
        self.half, self.capture, self.sound = half, capture, sound
        self.repeated = 0
        """Frames whose motion was repeated because the sender was late."""
        self.on_frame: Callable[[Picture, Analysis | None], None] | None = None
        """Called with each frame analysed: for the caller's own window."""
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(1, "analysis")
        self._workshop = ThreadPoolExecutor(1, "sources")
        self._jobs: set[asyncio.Task[None]] = set()
        self._held = asyncio.Event()
        self._failed: BaseException | None = None
        self._last: Analysis | None = None
        self._start = 0.0  # of the clock by which the capture's stamps are played
        self._kept: list[tuple[float, Analysis | None]] = []
        self._opened = capture.kind == "camera"
        half.on_held = lambda source_id: self._held.set()

    async def run(self) -> None:
        """Plays until the source ends or its time is up.

        Raises SourceError if the source fails, ValueError if a picture is too large to be sent.
        """
        loop, frames = asyncio.get_running_loop(), iter(self.capture)
        started = False
        try:
            while (item := await loop.run_in_executor(self._pool, next, frames, None)) is not None:
                stamp, picture = item
                if self._seconds is not None and stamp >= self._seconds:
                    break
                if self._failed is not None:
                    raise self._failed
                if not started or self.capture.kind == "camera":
                    started, self._start = True, time.monotonic() - stamp  # a camera's frames are as fresh as they come
                if self._opened:
                    await self._play(picture, stamp)
                else:
                    await self._keep(picture, stamp)
            if self._kept:
                self._do(self.half.push_no_more(time.monotonic()))
                await self._open()
            await asyncio.gather(*self._jobs)
            if self._failed is not None:
                raise self._failed
        finally:
            self.capture.close()
            self._pool.shutdown(wait=False)
            self._workshop.shutdown(wait=False)

    async def _play(self, picture: Picture, stamp: float) -> None:
        await self._wait_for(stamp)
        if time.monotonic() - self._start - stamp > LATE_SECONDS and self.capture.kind != "camera":
            self.repeated += 1
            analysis = self._last
        else:
            analysis = await self._analyse(picture)
        self._hear(stamp)
        self._push(analysis, stamp)

    async def _keep(self, picture: Picture, stamp: float) -> None:
        """Takes a frame of a file whose first source is not held yet: looks ahead from the first face on."""
        analysis = await self._analyse(picture)
        if analysis is None and not self._kept:
            await self._wait_for(stamp)
            self._hear(stamp)
        else:
            self._kept.append((stamp, analysis))
        if isinstance(self._push(analysis, stamp), SourceJob):
            await self._open()

    async def _open(self) -> None:
        """Waits until the first source is held, then plays what was kept."""
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                await self._held.wait()
        except TimeoutError:
            logger.warning("the receiver has not taken the first source within %g s", HOLD_SECONDS)
        self._opened, kept, self._kept = True, self._kept, []
        self._start = time.monotonic() - kept[0][0]
        for stamp, analysis in kept:
            await self._wait_for(stamp)
            self._hear(stamp)
            self._push(analysis, stamp)

    def _hear(self, stamp: float) -> None:
        """What was said up to a frame goes with it."""
        if self.sound is not None:
            self.half.add_sound(self.sound.take(stamp, self._start))

    async def _wait_for(self, stamp: float) -> None:
        await asyncio.sleep(max(0.0, self._start + stamp - time.monotonic()))

    async def _analyse(self, picture: Picture) -> Analysis | None:
        loop = asyncio.get_running_loop()
        self._last = await loop.run_in_executor(self._pool, self.half.analyse, picture)
        if self.on_frame is not None:
            self.on_frame(picture, self._last)
        return self._last

    def _push(self, analysis: Analysis | None, stamp: float) -> Job | None:
        job = self.half.push(analysis, self._start + stamp, time.monotonic())
        self._do(job)
        return job

    def _do(self, job: Job | None) -> None:
        if job is not None:
            task = asyncio.ensure_future(self._perform(job))
            self._jobs.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failed = task.exception()
            self._held.set()  # nothing will be held: do not wait for it

    async def _perform(self, job: Job) -> None:
        work: Callable[[], Result] = job.perform
        result = await asyncio.get_running_loop().run_in_executor(self._workshop, work)
        self.half.done(result, time.monotonic())


class Watch:
    """Measures a running call, for status line and report."""

    def __init__(self, half: OutgoingHalf, link: Link) -> None:
        self._half, self._link = half, link
        self._delays: list[float] = []  # those the receiver reported, a median every two seconds
        self._statistics: object = None
        self._meter = Meter(self._now, lambda: self._delays, "frames_sent", outgoing=True)

    def look(self) -> str:
        """Notes what is new and gives the status text."""
        statistics = self._half.statistics
        if statistics is not None and statistics is not self._statistics:
            self._statistics = statistics
            if statistics.delay_ms:
                self._delays.append(statistics.delay_ms)
        wire = self._link.wire()
        self._half.spent(wire.sent.size, wire.received.size, time.monotonic())
        since = self._meter.look(steady=bool(self._half.gallery.sources))
        delay = f"{self._delays[-1]:.0f} ms" if self._delays else "?"
        face = "" if self._half.face is not False else " | no face in the picture"
        return (
            f"{since['fps']:.1f} fps | {since['payload_kbps']:.1f} kbit/s payload | "
            f"wire {since['wire_kbps_out']:.1f} out {since['wire_kbps_in']:.1f} back | "
            f"{self._half.counts.sources_sent} sources | delay {delay}{face}"
        )

    def report(self) -> dict[str, Any]:
        """Whole and steady figures."""
        return self._meter.report()

    def _now(self) -> Snapshot:
        counts = self._half.counts
        return Snapshot(
            time=time.monotonic(),
            frames=counts.frames_sent,
            sources=counts.sources_sent,
            wire=self._link.wire(),
            payload=self._link.payload(),
            delays=len(self._delays),
            first_frame=self._half.first_frame,
            last_frame=self._half.last_frame,
        )


def affordable(policy: RefreshPolicy, engine: str, quick: bool) -> RefreshPolicy:
    """The policy, or the pose's where the sender cannot draw what the receiver draws; that is said."""
    if quick or not isinstance(policy, WhenWorse):
        return policy
    instead = PoseMoved()
    logger.warning(
        "%s draws too slowly on a CPU to look at what the receiver sees: a new source goes when the head pose is %g "
        "degrees from every one held (--pose-threshold); a GPU at the sender does better (--device cuda)",
        engine, instead.threshold,
    )  # fmt: skip
    return instead


def prepare(settings: SenderSettings) -> tuple[Capture, Sound | None, OutgoingHalf, Hello]:
    """Opens the sources of pictures and sound, and loads the engine. Raises SourceError, EngineError or ValueError."""
    settings.byte_budget()
    quick = draws_quickly(settings.engine, settings.device)
    if quick:
        torch.set_num_threads(1)  # the motion network is too small to share between cores
    capture = open_source(settings.source)
    try:
        sound = open_sound(settings.sound, settings.source, capture)
    except SourceError:
        capture.close()
        raise
    budget = settings.byte_budget(sound is not None)
    draws = quick and isinstance(settings.refresh, WhenWorse)
    engine: Engine = load_engine(settings.engine, settings.device, draws=draws, backend="auto")
    if quick:
        engine.extract(np.zeros((NATIVE_SIZE, NATIVE_SIZE, 3), np.uint8))  # the first takes long: not in the call
    refresh = affordable(settings.refresh, settings.engine, quick)
    profile = PROFILES[settings.profile]
    bundle = profile.bundle(capture.fps)
    if sound is not None:
        bundle = min(bundle, bundle_with_sound(capture.fps))
    outgoing = OutgoingSettings(
        capture.fps, settings.bundle or bundle, settings.picture_size or profile.picture_size,
        profile.picture_quality if settings.picture_quality is None else settings.picture_quality,
        settings.framing, profile.step(capture.fps),
    )  # fmt: skip
    pacer = PicturePacer(later_rate=FIRST_RATE) if settings.peer is None else None  # a file carries what it is given
    half = OutgoingHalf(outgoing, engine, load_basis(settings.engine), refresh, pacer, budget, FirstSource())
    kind: SourceKind = capture.kind
    hello = Hello(
        settings.engine, wire_hash(settings.engine), "sender", kind, capture.fps, engine.keypoint_count,
        outgoing.picture_size, {} if sound is None else {SOUND: True},
    )  # fmt: skip
    return capture, sound, half, hello


async def send_call(settings: SenderSettings) -> dict[str, Any]:
    """Makes the call; its report comes back. Raises SignallingError, LinkClosed and what `prepare` raises."""
    assert settings.peer is not None
    check_peer(settings.peer)
    status = StatusLine()
    preview = Preview() if settings.preview else None  # if there is no desktop, that is said at once
    capture, sound, half, hello = prepare(settings)
    peer = Peer(settings.ice, by_hand=settings.peer == BY_HAND)
    try:
        _, answer = await meet(settings.peer, hello, peer.create_offer)
        try:
            await peer.accept_answer(answer)
        except BadDescription as error:
            raise SignallingError(str(error)) from error
        await peer.wait_open()
        return await _converse(settings, capture, sound, half, peer, status, preview)
    finally:
        if preview is not None:
            preview.close()
        capture.close()
        if sound is not None:
            sound.close()
        await peer.close()


async def _converse(
    settings: SenderSettings,
    capture: Capture,
    sound: Sound | None,
    half: OutgoingHalf,
    link: Link,
    status: StatusLine,
    preview: Preview | None = None,
) -> dict[str, Any]:
    heard = "no sound" if sound is None else "muted" if sound.voice.muted else "with sound"
    status.say(f"connected; sending {capture.kind} {settings.source}, {heard}")
    watch, pump, ended = Watch(half, link), Pump(half, capture, settings.seconds, sound), asyncio.Event()
    if preview is not None:
        pump.on_frame = lambda picture, seen: preview.show(picture, None if seen is None else seen.crop)
    report: dict[str, Any] = {"source": settings.source, "source_kind": capture.kind, "ended": "interrupted"}

    async def look() -> None:
        while True:
            status.show(watch.look(), time.monotonic())
            await asyncio.sleep(0.1)

    def silence(silent: bool) -> None:
        status.say("nothing heard from the receiver for 5 s" if silent else "the receiver is back")

    playing, watching = asyncio.ensure_future(pump.run()), asyncio.ensure_future(look())
    playing.add_done_callback(lambda _: ended.set())
    try:
        report["ended"] = await run_call(link, half, ended, silence)
        if playing.done():
            playing.result()
    except (LinkClosed, TooManyErrors) as error:
        report["ended"] = str(error)
        raise
    finally:
        playing.cancel()
        watching.cancel()
        watch.look()
        report |= watch.report() | {
            "frames_repeated": pump.repeated,
            "frames_without_face": half.counts.no_face,
            "sources_held": half.counts.sources_held,
            "malformed": half.counts.malformed,
            "sound_packets": half.counts.sound_packets,
            "sound_bytes": half.counts.sound_bytes,
        }
        if settings.report is not None:
            write_report(settings.report, report)
        await asyncio.gather(playing, watching, return_exceptions=True)  # Ctrl-C may come in here
    return report
