"""The sender's shell around `OutgoingHalf`: camera, worker thread, link, status line and report."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sender.capture import Capture, open_source
from sender.outgoing import Analysis, OutgoingHalf, OutgoingSettings, SourceJob
from sender.refresh import DEFAULT_POSE_THRESHOLD, EveryN, PoseMoved, RefreshPolicy
from shared.codec.picture import DEFAULT_QUALITY, Quality
from shared.link.base import Link, LinkClosed
from shared.link.ice import IceSettings
from shared.link.pacing import FIRST_RATE, PicturePacer
from shared.link.webrtc import BadDescription, Peer
from shared.models.engine import Engine, Picture
from shared.models.registry import load_basis, load_engine, wire_hash
from shared.session.call import TooManyErrors, run_call
from shared.session.hello import Hello, SourceKind
from shared.session.report import Meter, Snapshot, write_report
from shared.session.signalling import SignallingError, join
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
    freq: int | None = None
    pose_threshold: float | None = None
    picture_size: int = 256
    picture_quality: Quality = DEFAULT_QUALITY
    bundle: int = 5
    framing: str = "auto"
    seconds: float | None = None
    engine: str = "compact"
    device: str = "auto"
    ice: IceSettings = field(default_factory=IceSettings)
    report: Path | None = None
    out: Path | None = None

    def policy(self) -> RefreshPolicy:
        """The refresh policy asked for."""
        if self.freq is not None:
            return EveryN(self.freq)
        return PoseMoved(DEFAULT_POSE_THRESHOLD if self.pose_threshold is None else self.pose_threshold)


class Pump:
    """Plays a capture into a half: a frame at its time, analysed in a worker thread."""

    def __init__(self, half: OutgoingHalf, capture: Capture, seconds: float | None) -> None:
        self.half, self.capture = half, capture
        self.repeated = 0
        """Frames whose motion was repeated because the sender was late."""
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(1, "analysis")
        self._encoder = ThreadPoolExecutor(1, "pictures")
        self._encoding: set[asyncio.Task[None]] = set()
        self._held = asyncio.Event()
        self._failed: BaseException | None = None
        self._last: Analysis | None = None
        half.on_held = lambda source_id: self._held.set()

    async def run(self) -> None:
        """Plays until the source ends or its time is up.

        Raises SourceError if the source fails, ValueError if a picture is too large to be sent.
        """
        loop, frames = asyncio.get_running_loop(), iter(self.capture)
        start: float | None = None
        try:
            while (item := await loop.run_in_executor(self._pool, next, frames, None)) is not None:
                stamp, picture = item
                if self._seconds is not None and stamp >= self._seconds:
                    break
                if self._failed is not None:
                    raise self._failed
                if start is None:
                    start = time.monotonic() - stamp + await self._hold_for_first_source(picture)
                if self.capture.kind == "camera":
                    start = time.monotonic() - stamp  # its frames are as fresh as they come
                await asyncio.sleep(max(0.0, start + stamp - time.monotonic()))
                await self._play(picture, start + stamp)
            await asyncio.gather(*self._encoding)
            if self._failed is not None:
                raise self._failed
        finally:
            self.capture.close()
            self._pool.shutdown(wait=False)
            self._encoder.shutdown(wait=False)

    async def _play(self, picture: Picture, due: float) -> None:
        if time.monotonic() - due > LATE_SECONDS and self.capture.kind != "camera":
            self.repeated += 1
            analysis = self._last
        else:
            analysis = await self._analyse(picture)
        self._push(analysis, due)

    async def _analyse(self, picture: Picture) -> Analysis | None:
        loop = asyncio.get_running_loop()
        self._last = await loop.run_in_executor(self._pool, self.half.analyse, picture)
        return self._last

    def _push(self, analysis: Analysis | None, clock: float) -> None:
        job = self.half.push(analysis, clock, time.monotonic())
        if job is not None:
            task = asyncio.ensure_future(self._send_source(job))
            self._encoding.add(task)
            task.add_done_callback(self._encoded)

    def _encoded(self, task: asyncio.Task[None]) -> None:
        self._encoding.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failed = task.exception()
            self._held.set()  # nothing will be held: do not wait for it

    async def _send_source(self, job: SourceJob) -> None:
        loop = asyncio.get_running_loop()
        message = await loop.run_in_executor(self._encoder, self.half.encode, job)
        self.half.send_source(job, message)

    async def _hold_for_first_source(self, picture: Picture) -> float:
        """A file's first frame goes over as a source before the file plays; the seconds that took come back."""
        began = time.monotonic()
        if self.capture.kind == "camera":
            return 0.0
        self._push(await self._analyse(picture), began)
        if self._last is not None:
            try:
                async with asyncio.timeout(HOLD_SECONDS):
                    await self._held.wait()
            except TimeoutError:
                logger.warning("the receiver has not taken the first source within %g s", HOLD_SECONDS)
        return time.monotonic() - began


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


def prepare(settings: SenderSettings) -> tuple[Capture, OutgoingHalf, Hello]:
    """Opens the source and loads the engine. Raises SourceError, EngineError or ValueError."""
    policy = settings.policy()
    torch.set_num_threads(1)  # the motion network is too small to share between cores
    capture = open_source(settings.source)
    engine: Engine = load_engine(settings.engine, settings.device, draws=False)
    outgoing = OutgoingSettings(
        capture.fps, settings.bundle, settings.picture_size, settings.picture_quality, settings.framing
    )
    half = OutgoingHalf(outgoing, engine, load_basis(settings.engine), policy, PicturePacer(later_rate=FIRST_RATE))
    kind: SourceKind = capture.kind
    hello = Hello(
        settings.engine, wire_hash(settings.engine), "sender", kind, capture.fps, engine.keypoint_count,
        settings.picture_size,
    )  # fmt: skip
    return capture, half, hello


async def send_call(settings: SenderSettings) -> dict[str, Any]:
    """Makes the call; its report comes back. Raises SignallingError, LinkClosed and what `prepare` raises."""
    assert settings.peer is not None
    status = StatusLine()
    capture, half, hello = prepare(settings)
    peer = Peer(settings.ice)
    try:
        _, answer = await join(settings.peer, hello, peer.create_offer)
        try:
            await peer.accept_answer(answer)
        except BadDescription as error:
            raise SignallingError(str(error)) from error
        await peer.wait_open()
        return await _converse(settings, capture, half, peer, status)
    finally:
        capture.close()
        await peer.close()


async def _converse(
    settings: SenderSettings, capture: Capture, half: OutgoingHalf, link: Link, status: StatusLine
) -> dict[str, Any]:
    status.say(f"connected; sending {capture.kind} {settings.source}")
    watch, pump, ended = Watch(half, link), Pump(half, capture, settings.seconds), asyncio.Event()
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
        await asyncio.gather(playing, watching, return_exceptions=True)
        watch.look()
        report |= watch.report() | {
            "frames_repeated": pump.repeated,
            "frames_without_face": half.counts.no_face,
            "sources_held": half.counts.sources_held,
            "malformed": half.counts.malformed,
        }
        if settings.report is not None:
            write_report(settings.report, report)
    return report
