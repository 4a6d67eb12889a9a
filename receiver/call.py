"""The receiver's shell around `IncomingHalf`: signalling, link, worker threads, display, recording and report."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from receiver.incoming import IncomingHalf
from receiver.player import Player, share_cores
from receiver.sinks import Sinks
from receiver.upscale import DEFAULT_UPSCALER, Upscaler, load_upscaler
from shared.codec.motion_basis import MotionBasis
from shared.link.base import Link, LinkClosed
from shared.link.ice import IceSettings
from shared.link.webrtc import BadDescription, Peer
from shared.models.engine import NATIVE_SIZE, SIZES, Engine
from shared.models.registry import choose_device, load_basis, load_engine, wire_hash
from shared.models.warmup import warm_up
from shared.session.call import TooManyErrors, run_call
from shared.session.hello import Hello, check
from shared.session.report import Meter, Snapshot, write_report
from shared.session.signalling import Busy, SignallingServer
from shared.session.status import StatusLine

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
    """Side of the picture shown; None: 512 px on a GPU, 256 px on a CPU."""
    generator: str = "auto"
    upscaler: str = DEFAULT_UPSCALER
    upscaler_weights: Path | None = None
    keep: bool = False
    ice: IceSettings = field(default_factory=IceSettings)
    report: Path | None = None
    play: Path | None = None


@dataclass(frozen=True)
class Studio:
    """What outlives a call: the engine and all it needs."""

    engine: Engine
    basis: MotionBasis
    upscaler: Upscaler

    @staticmethod
    def open(settings: ReceiverSettings) -> Studio:
        """Loads and warms up. Raises EngineError."""
        device = choose_device(settings.device)
        share_cores()
        size = settings.size or (SIZES[-1] if device == "cuda" else NATIVE_SIZE)
        engine = load_engine(settings.engine, device, size=size, generator=settings.generator)
        upscaler = load_upscaler(settings.upscaler, settings.upscaler_weights, device)
        warm_up(engine)
        return Studio(engine, load_basis(settings.engine), upscaler)

    def half(self, fps: float) -> IncomingHalf:
        """A fresh half for a call at `fps` frames a second."""
        return IncomingHalf(self.engine, self.basis, self.upscaler, fps)


class Watch:
    """Measures a running call, for status line, window and report."""

    def __init__(self, half: IncomingHalf, link: Link) -> None:
        self._half, self._link = half, link
        self._meter = Meter(self._now, half.delays_ms, "frames_shown", outgoing=False)
        self.text = ""
        """The status of the last look."""

    def look(self) -> str:
        """Notes what is new and gives the status text."""
        half = self._half
        since = self._meter.look(steady=bool(half.gallery.sources))
        recent = half.delays_ms(50)
        delay = f"{sorted(recent)[len(recent) // 2]:.0f} ms" if recent else "?"
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


class Receiver:
    """Listens, and takes one call after the other."""

    def __init__(self, settings: ReceiverSettings, studio: Studio, status: StatusLine) -> None:
        self._settings, self._studio, self._status = settings, studio, status
        self._waiting: asyncio.Queue[tuple[Peer, Hello]] = asyncio.Queue(1)
        self._busy = False

    async def run(self) -> dict[str, Any]:
        """Serves until the call is over (with `keep`: until cancelled); the last call's report comes back.

        Raises CannotListen, RecordError, DisplayError, LinkClosed, TooManyErrors.
        """
        settings = self._settings
        Sinks.check(settings.out, settings.window)
        async with SignallingServer(settings.host, settings.port, self._answer) as server:
            print(f"join with: python -m sender --peer {server.join_url}", flush=True)
            while True:
                peer, hello = await self._waiting.get()
                try:
                    try:
                        await peer.wait_open()
                    except LinkClosed as error:
                        self._status.say(f"a caller did not connect: {error}; waiting for the next")
                        continue
                    report = await self._converse(peer, hello)
                    if not settings.keep:
                        return report
                except (LinkClosed, TooManyErrors) as error:
                    if not settings.keep:
                        raise
                    self._status.say(f"the call ended: {error}")
                finally:
                    await peer.close()
                    self._busy = False
                self._status.say("waiting for the next call")

    async def _answer(self, theirs: Hello, sdp: str) -> tuple[Hello, str]:
        engine = self._studio.engine
        mine = Hello(
            engine.name, wire_hash(engine.name), "receiver", "camera", theirs.fps, engine.keypoint_count, engine.size
        )
        check(mine, theirs)
        if self._busy:
            raise Busy("the receiver is in a call already")
        self._busy = True
        peer = Peer(self._settings.ice)
        try:
            answer = await peer.accept_offer(sdp)
        except BaseException as error:
            self._busy = False
            await peer.close()
            if isinstance(error, BadDescription):
                raise ValueError(str(error)) from error
            raise
        self._waiting.put_nowait((peer, theirs))
        return mine, answer

    async def _converse(self, link: Link, hello: Hello) -> dict[str, Any]:
        what = "" if hello.source_kind == "camera" else f" (not a camera: a {hello.source_kind})"
        self._status.say(f"connected; receiving {hello.fps:g} fps{what}")
        half, settings = self._studio.half(hello.fps), self._settings
        watch, ended = Watch(half, link), asyncio.Event()
        report: dict[str, Any] = {"source_kind": hello.source_kind, "ended": "interrupted"}
        size = self._studio.engine.size
        sinks = Sinks(settings.out, settings.window, hello.fps, size, hello.source_kind)
        player = Player(half, sinks, lambda: watch.text)
        playing = asyncio.ensure_future(player.run())
        playing.add_done_callback(lambda _: ended.set())

        async def look() -> None:
            while True:
                self._status.show(watch.look(), time.monotonic())
                await asyncio.sleep(0.1)

        watching = asyncio.ensure_future(look())
        try:
            report["ended"] = await run_call(link, half, ended, self._silence)
            player.call_ended = True
            await asyncio.wait([playing], timeout=PLAY_OUT_SECONDS)
        except (LinkClosed, TooManyErrors) as error:
            report["ended"] = str(error)
            raise
        finally:
            playing.cancel()
            watching.cancel()
            results = await asyncio.gather(playing, watching, return_exceptions=True)
            await sinks.close()
            report |= watch.report() | vars(half.counts) | {
                "frames_late": half.playout.late, "frames_skipped": half.playout.skipped,
                "jitter_hidden_ms": round(1000 * half.playout.extra_delay, 1),
                "recorded_frames": sinks.recorded,
            }  # fmt: skip
            if settings.report is not None:
                write_report(settings.report, report)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return report

    def _silence(self, silent: bool) -> None:
        self._status.say("nothing heard from the sender for 5 s" if silent else "the sender is back")
