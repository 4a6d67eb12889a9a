"""What a receiver is asked to do, and what it needs for it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from receiver.incoming import IncomingHalf
from receiver.tape import Tape
from receiver.upscale import DEFAULT_UPSCALER, Upscaler, load_upscaler
from shared.codec.av1 import decodable
from shared.codec.motion_basis import MotionBasis
from shared.cores import ONE_CORE, Shares, Work, settle
from shared.link.ice import IceSettings
from shared.models.appearance import Appearances, load_appearances
from shared.models.batching import Batcher
from shared.models.engine import Engine
from shared.models.registry import choose_device, draws_quickly, load_basis, load_engine, usual_size
from shared.models.warmup import warm_up
from shared.session.certificate import Https
from shared.session.trust import TrustSettings


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
    sends: bool = False
    """Whether this process sends in the same call: they share its cores."""
    backend: str = "auto"
    precision: str = "auto"
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
    base: bool = True
    """False: no base layer is announced or taken in."""
    out_audio: Path | None = None
    """A WAV file for the sound."""
    page: int | None = None
    """Port on which browsers can watch."""
    page_host: str = "127.0.0.1"
    trust: TrustSettings = field(default_factory=TrustSettings)
    https: Https = field(default_factory=Https)
    """For the join link and the page, and whose certificates are trusted."""
    state: Path | None = None
    """Where to keep what resumes calls after this program was started again."""
    wait: bool = False
    """Whether a call waits for a sender that is silent until it is interrupted."""


def takes_base(settings: ReceiverSettings) -> bool:
    """Whether a base layer may come: it is wanted, and this machine's PyAV can decode it."""
    return settings.base and decodable()


@dataclass(frozen=True)
class Studio:
    """What outlives a call, and what several calls share: the engine and all it needs."""

    engine: Engine
    basis: MotionBasis
    upscaler: Upscaler
    appearances: Appearances | None = None
    """None: nobody notices when a face is changed."""
    base: bool = True
    """Whether a base layer can be taken in, and is wanted."""
    threads: Shares = ONE_CORE
    """That draw and prepare."""

    @staticmethod
    def open(settings: ReceiverSettings) -> Studio:
        """Loads and warms up. Raises EngineError."""
        device = choose_device(settings.device)
        quick = draws_quickly(settings.engine, device)
        work = Work(draws=True, extracts=settings.sends, calls=settings.calls, quick=quick, on_gpu=device == "cuda")
        threads = settle(work)
        size = settings.size or usual_size(settings.engine, device)
        engine = load_engine(
            settings.engine, device, size=size, generator=settings.generator, backend=settings.backend,
            precision=settings.precision,
        )  # fmt: skip
        upscaler = load_upscaler(settings.upscaler, settings.upscaler_weights, device)
        if quick:
            warm_up(engine, calls=settings.calls)
        if settings.calls > 1:
            engine = Batcher(engine, at_once=threads.drawers)
        basis, base = load_basis(settings.engine), takes_base(settings)
        return Studio(engine, basis, upscaler, load_appearances(), base, threads)

    def half(self, fps: float, tape: Tape | None = None) -> IncomingHalf:
        """A fresh half for a call at `fps` frames a second."""
        return IncomingHalf(self.engine, self.basis, self.upscaler, fps, tape, self.appearances, self.base)

    def call(self) -> AbstractContextManager[None]:
        """The time of a call, for an engine that calls share."""
        return self.engine.call() if isinstance(self.engine, Batcher) else nullcontext()
