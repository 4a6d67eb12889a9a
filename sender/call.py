"""The sending part of a call, and the call that the sender makes: settings, sources, engine, link and report."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sender.capture import open_source
from sender.encoder import CallEncoder, EncoderSettings
from sender.expression_reader import ExpressionReader
from sender.microphone import SoundSettings, bundle_with_sound, open_sound
from sender.preview import Preview
from sender.profiles import DEFAULT_PROFILE, PROFILES, USUAL_BASE, BasePoint
from sender.refresh import Budget, First, FirstSource, PoseMoved, RefreshPolicy, WhenWorse, budget_for
from sender.sending import Prepared, Sending
from shared.call.directions import Direction, run_directions, status_text
from shared.call.report import StatusLine
from shared.codec.motion_basis import MotionBasis
from shared.codec.picture import Quality
from shared.cores import Work, settle
from shared.models.engine import NATIVE_SIZE, Engine
from shared.models.performer import load_performer
from shared.models.registry import choose_device, draws_quickly, load_basis, load_engine, wire_hash
from shared.rendezvous.stun_server import with_stun_of_link
from shared.signalling.hello import SOUND, Capability, Hello, SourceKind
from shared.signalling.reconnect import calling, check_peer
from shared.tasks import aside, watched
from shared.transport.ice import IceSettings
from shared.transport.link import Link
from shared.transport.pacing import FIRST_RATE, PicturePacer
from shared.trust.certificate import Https
from shared.trust.identity import Trust, TrustSettings

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1


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
    base: str = "auto"
    """auto: a base layer while there is a face; always: without one, too; off: none."""
    base_size: int | None = None
    """None, as of the next two: the profile's, or `USUAL_BASE`'s if that has no base layer."""
    base_crf: int | None = None
    base_rate: float | None = None
    framing: str = "auto"
    seconds: float | None = None
    engine: str = "compact"
    device: str = "auto"
    precision: str = "auto"
    """What the receiver's picture is drawn in here, for the default refresh."""
    ice: IceSettings = field(default_factory=IceSettings)
    report: Path | None = None
    out: Path | None = None
    preview: bool = False
    """Show the caller's own picture with hints."""
    sound: SoundSettings = field(default_factory=SoundSettings)
    trust: TrustSettings = field(default_factory=TrustSettings)
    https: Https = field(default_factory=Https)
    """Whose certificates are trusted."""
    state: Path | None = None
    """Where to keep what resumes the call after this program was started again."""
    wait: bool = False
    """Whether the call waits for a receiver that is silent until it is interrupted."""
    receives: bool = False
    """Whether this process draws the other side in the same call: they share its cores."""

    def byte_budget(self, with_sound: bool = False) -> Budget | None:
        """The budget for sources, None if there is none. Raises ValueError if it is not positive."""
        return budget_for(self.refresh, self.budget, PROFILES[self.profile].budget, with_sound)

    def base_point(self) -> BasePoint | None:
        """How the base layer is coded, None if there is none. Raises ValueError if none can be like that."""
        if self.base == "off":
            return None
        usual = PROFILES[self.profile].base
        if usual is None and (self.base_size, self.base_crf, self.base_rate) == (None, None, None):
            return None
        return (usual or USUAL_BASE).changed(self.base_size, self.base_crf, self.base_rate)


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


def load_sending(settings: SenderSettings) -> Engine:
    """The engine for what is sent: calls that come one after the other can share it. Raises EngineError."""
    quick = draws_quickly(settings.engine, settings.device)
    draws = quick and isinstance(settings.refresh, WhenWorse)
    engine: Engine = load_engine(
        settings.engine, settings.device, draws=draws, backend="auto", precision=settings.precision
    )
    if quick:
        engine.extract(np.zeros((NATIVE_SIZE, NATIVE_SIZE, 3), np.uint8))  # the first takes long: not in the call
    return engine


def prepare_sending(settings: SenderSettings, engine: Engine | None = None) -> Prepared:
    """Opens the sources of pictures and sound, and loads the engine if none is given, which takes seconds.

    What was opened is closed if anything fails. Raises SourceError, EngineError or ValueError.
    """
    with ExitStack() as opened:
        prepared = _prepare(settings, engine, opened)
        opened.pop_all()
    return prepared


async def prepare_aside(settings: SenderSettings, engine: Engine | None = None) -> Prepared:
    """The same, while the event loop goes on; if the caller is cancelled, what was opened is closed, too."""
    return await aside(lambda: prepare_sending(settings, engine), Prepared.give_back)


def _prepare(settings: SenderSettings, engine: Engine | None, opened: ExitStack) -> Prepared:
    settings.byte_budget()
    quick = draws_quickly(settings.engine, settings.device)
    on_gpu = choose_device(settings.device) == "cuda"
    threads = settle(Work(draws=settings.receives, extracts=True, quick=quick, on_gpu=on_gpu))
    capture = open_source(settings.source, settings.seconds)
    opened.callback(capture.close)
    sound = open_sound(settings.sound, settings.source, capture)
    if sound is not None:
        opened.callback(sound.close)
    engine = load_sending(settings) if engine is None else engine
    basis, kind = load_basis(settings.engine), capture.source_kind
    half, hello = assemble(settings, engine, basis, capture.fps, kind, sound is not None)
    return Prepared(settings.source, capture, sound, half, hello, threads.extracting)


def assemble(
    settings: SenderSettings, engine: Engine, basis: MotionBasis, fps: float, kind: SourceKind, sound: bool = False
) -> tuple[CallEncoder, Hello]:
    """The outgoing half for a source of so many frames a second, and what the other side is told of it.

    Raises ValueError for settings that make no sense.
    """
    budget = settings.byte_budget(sound)
    quick = draws_quickly(settings.engine, settings.device)
    profile = PROFILES[settings.profile]
    refresh = affordable(settings.refresh, settings.engine, quick)
    if profile.still and isinstance(refresh, WhenWorse):
        refresh = First()  # it would see that the face is another one, which no source repairs for long
    bundle = profile.bundle(fps)
    if sound:
        bundle = min(bundle, bundle_with_sound(fps))
    outgoing = EncoderSettings(
        fps, settings.bundle or bundle, settings.picture_size or profile.picture_size,
        profile.picture_quality if settings.picture_quality is None else settings.picture_quality,
        settings.framing, profile.step(fps),
        settings.base_point(), settings.base == "always", settings.budget is None, profile.still,
    )  # fmt: skip
    pacer = PicturePacer(later_rate=FIRST_RATE) if settings.peer is None else None  # a file carries what it is given
    half = CallEncoder(outgoing, engine, basis, refresh, pacer, budget, FirstSource())
    performer = load_performer(settings.engine) if profile.still else None
    half.reactions.reader = None if performer is None else ExpressionReader(performer)
    hello = Hello(
        settings.engine, wire_hash(settings.engine), "sender", kind, fps, engine.keypoint_count,
        outgoing.picture_size, {SOUND: True} if sound else {},
    )  # fmt: skip
    return half, hello


Receive = Callable[[Link, Hello, Sending, Callable[[str], None]], Direction]
"""Makes the receiving part of a two-way call, for what the other side's hello says."""


async def send_call(
    settings: SenderSettings, receive: Receive | None = None, takes: Mapping[str, Capability] | None = None
) -> dict[str, Any]:
    """Makes the call, both ways if `receive` is given and the other side sends, too; its report comes back.

    `takes`: what `receive` makes can do, as its hello says it.

    Raises SignallingError, LinkClosed, what `prepare_sending` raises and what the receiving part does.
    """
    assert settings.peer is not None
    check_peer(settings.peer)
    trust = Trust(settings.trust)
    status = StatusLine()
    async with AsyncExitStack() as opened:
        preview = Preview() if settings.preview else None  # if there is no desktop, that is said at once
        if preview is not None:
            opened.callback(preview.close)
        prepared = await prepare_aside(settings)
        opened.push_async_callback(prepared.close)
        hello = prepared.hello if receive is None else replace(prepared.hello, role="both")
        hello = replace(hello, capabilities={**hello.capabilities, **(takes or {})})
        tls = settings.https.trusting()
        ice = await with_stun_of_link(settings.peer, settings.ice, tls)
        made = calling(settings.peer, hello, ice, state=settings.state, say=status.say, tls=tls)
        async with made as (link, theirs):
            both = receive is not None and theirs.role == "both"
            prepared.half.accept_base(theirs.takes_base)
            prepared.half.reactions.accepted = theirs.takes_reactions
            sending = Sending(prepared, link, preview, seconds=settings.seconds, two_way=both)
            parts: list[Direction] = [sending]
            if receive is not None and both:
                parts.append(receive(link, theirs, sending, status.say))
            status.say(_connected(settings, prepared, theirs, receive is not None))
            call = run_directions(
                link, parts, "the receiver", status.say, settings.report,
                trust=trust, offerer=True, waits=settings.wait,
            )  # fmt: skip
            return await _watched(call, parts, status)


def _connected(settings: SenderSettings, prepared: Prepared, theirs: Hello, wants_both: bool) -> str:
    sound = prepared.sound
    heard = "no sound" if sound is None else "muted" if sound.voice.muted else "with sound"
    text = f"connected; sending {prepared.capture.source_kind} {settings.source}, {heard}"
    if wants_both and theirs.role != "both":
        text += "; the other side sends no picture (python -m receiver --send camera:0 would)"
    return text


async def _watched(call: Awaitable[dict[str, Any]], parts: Sequence[Direction], status: StatusLine) -> dict[str, Any]:
    """The result of a call, whose status is shown meanwhile."""

    async def look() -> None:
        while True:
            status.show(status_text(parts), time.monotonic())
            await asyncio.sleep(LOOK_SECONDS)

    watching = watched(look(), "the status of the call is not shown any more")
    try:
        return await call
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)  # Ctrl-C may come in here
