"""Settings of whoever receives, the receiver or a sender in a two-way call: options, what is asked, what it takes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from receiver.decoder import CallDecoder
from receiver.enhance import ENHANCERS, Enhancement, EnhanceSettings, load_enhancement
from receiver.output.byte_log import Tape
from receiver.upscale import DEFAULT_UPSCALER, UPSCALERS, Upscaler, load_upscaler
from shared.call.options import idle
from shared.codec.av1 import decodable
from shared.codec.motion_basis import MotionBasis
from shared.cores import ONE_CORE, Shares, Work, settle
from shared.models.appearance import Appearances, load_appearances
from shared.models.batching import Batcher, warm_up
from shared.models.engine import BACKENDS, SIZES, Engine
from shared.models.facenhance.diffusion import SAMPLERS, STEPS
from shared.models.facenhance.enhancer import USUAL_STEPS
from shared.models.performer import ENGINE as PERFORMED_ENGINE
from shared.models.performer import Performer, load_performer
from shared.models.registry import GENERATORS, choose_device, draws_quickly, load_basis, load_engine, usual_size
from shared.signalling.hello import BASE, REACTIONS, Capability
from shared.transport.ice import IceSettings
from shared.trust.certificate import Https
from shared.trust.identity import TrustSettings

DEFAULT_PAGE_PORT = 8766


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
    enhance: EnhanceSettings | None = None
    """FacEnhance in the engine's place; None: the engine draws."""
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
    reactions: bool = True
    """False: none is announced or performed."""
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
class ReceiverContext:
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
    performer: Performer | None = None
    """Of reactions; None: none is taken."""
    enhancement: Callable[[int], Enhancement] | None = None
    """Makes one for each call; None: the engine's pictures are shown."""

    @staticmethod
    def open(settings: ReceiverSettings) -> ReceiverContext:
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
        performer = load_performer(settings.engine) if settings.reactions else None
        enhancement = None
        if settings.enhance is not None:
            enhancement = load_enhancement(settings.enhance, device, live=settings.play is None)
        return ReceiverContext(engine, basis, upscaler, load_appearances(), base, threads, performer, enhancement)

    @property
    def capabilities(self) -> dict[str, Capability]:
        """What the hello says of it."""
        return {name: 1 for name, there in ((BASE, self.base), (REACTIONS, self.performer is not None)) if there}

    def half(self, fps: float, tape: Tape | None = None) -> CallDecoder:
        """A fresh half for a call at `fps` frames a second."""
        enhancement = None if self.enhancement is None else self.enhancement(self.engine.size)
        return CallDecoder(
            self.engine, self.basis, self.upscaler, fps, tape, self.appearances, self.base, self.performer, enhancement
        )

    def call(self) -> AbstractContextManager[None]:
        """The time of a call, for an engine that calls share."""
        return self.engine.call() if isinstance(self.engine, Batcher) else nullcontext()


def page_port(text: str) -> int:
    """A TCP port, 0 to 65535."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a number from 0 (any free one) to 65535")
    return int(text)


def add_showing_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Where the other side's picture and sound go, and how it is drawn; `--out` is the caller's own option."""
    parser.add_argument("--window", action="store_true", help="show the call in a window; h shows its keys, q ends it")
    parser.add_argument("--virtual-camera", nargs="?", const=True, default=False, metavar="DEVICE",
                        help="show the call as a webcam to other programs (pip install 'pinhole[camera]' and its "
                        "driver); DEVICE: which one, if there are several")  # fmt: skip
    parser.add_argument("--page", type=page_port, nargs="?", const=DEFAULT_PAGE_PORT, metavar="PORT",
                        help="show the call on a web page, whose address is printed; 0: any free port "
                        f"(default: {DEFAULT_PAGE_PORT})")  # fmt: skip
    parser.add_argument("--page-host", default="127.0.0.1", metavar="HOST",
                        help="where the page can be reached from; 0.0.0.0: other machines too, not encrypted but with "
                        "--certificate (default: 127.0.0.1)")  # fmt: skip
    parser.add_argument("--no-reactions", action="store_true",
                        help="the other side's keys 1 to 6 do not have its picture perform an expression")  # fmt: skip
    parser.add_argument("--record", type=Path, metavar="FILE.pinhole",
                        help="keep the bytes received, which --play draws again exactly")  # fmt: skip
    parser.add_argument("--speaker", nargs="?", const="default", metavar="NAME|N",
                       help="hear the caller on the system's speaker, or another one by its number or a part of its "
                       "name; comes with --window (pip install 'pinhole[audio]')")  # fmt: skip
    parser.add_argument("--out-audio", type=Path, metavar="FILE.wav",
                       help="record the sound alone; --out FILE.mp4 has it too")  # fmt: skip
    parser.add_argument("--size", type=int, choices=SIZES, metavar="PX",
                        help=f"side of the picture, {' or '.join(map(str, SIZES))}; the larger one takes its detail "
                        "from the sources (default: 256 on a CPU, the largest of the engine on a GPU)")  # fmt: skip
    parser.add_argument("--generator", default="auto", metavar="NAME|FILE",
                        help=f"what draws: {', '.join(GENERATORS)}, or a file of weights on the same motion network "
                        "(default: auto, by the device)")  # fmt: skip
    parser.add_argument("--backend", choices=BACKENDS, default="auto",
                        help="what computes on a CPU: auto takes OpenVINO for pictures of 256 px if it is installed "
                        "(pip install 'pinhole[fast]'), which takes a quarter less time (default: auto)")  # fmt: skip
    parser.add_argument("--upscaler", choices=UPSCALERS, default=DEFAULT_UPSCALER,
                        help=f"how small sources are enlarged: compact (embedded), esrgan (python -m weights fetch "
                        "esrgan), tfhub (pip install 'pinhole[tfhub]'), bicubic (no network) "
                        f"(default: {DEFAULT_UPSCALER})")  # fmt: skip
    parser.add_argument("--upscaler-weights", type=Path, metavar="FILE",
                        help="for --upscaler esrgan: x4 weights of ESRGAN or Real-ESRGAN as safetensors; for "
                        "--upscaler tfhub: a SavedModel folder (default: what was fetched)")  # fmt: skip
    parser.add_argument("--enhance", choices=ENHANCERS,
                        help="draw by recurrent diffusion over the base layer instead, slowly; live it needs a machine "
                        "that keeps up, with --play any does (docs/facenhance.md)")  # fmt: skip
    parser.add_argument("--enhance-weights", type=Path, metavar="FILE",
                        help="of python -m weights.training.facenhance (default: the embedded ones)")  # fmt: skip
    parser.add_argument("--enhance-steps", type=int, default=USUAL_STEPS, metavar="N",
                        help=f"of diffusion for a picture (default: {USUAL_STEPS})")  # fmt: skip
    parser.add_argument("--enhance-sampler", choices=SAMPLERS, default=SAMPLERS[0],
                        help="dpm needs pip install 'pinhole[diffusion]' (default: auto, which is DDIM)")  # fmt: skip


def idle_showing(parser: argparse.ArgumentParser, args: argparse.Namespace) -> str:
    """A sentence on an option of `add_showing_options` that would do nothing; nothing if there is none."""
    problems = []
    if args.page is None:
        problems.append(idle(parser, args, ("page_host",), "without a page: add --page"))
    if args.no_audio:
        problems.append(idle(parser, args, ("speaker", "out_audio"), "with --no-audio: leave out one of them"))
    if args.upscaler in ("compact", "bicubic"):
        why = f"with --upscaler {args.upscaler}, which takes none: use --upscaler esrgan"
        problems.append(idle(parser, args, ("upscaler_weights",), why))
    if args.enhance is None:
        why = "without --enhance facenhance: add it"
        problems.append(idle(parser, args, ("enhance_weights", "enhance_steps", "enhance_sampler"), why))
    elif not 1 <= args.enhance_steps <= STEPS:
        problems.append(f"--enhance-steps is 1 to {STEPS}")
    if args.engine != PERFORMED_ENGINE:
        problems.append(
            idle(parser, args, ("no_reactions",), f"with --engine {args.engine}, which performs none: leave it out")
        )
    return next((each for each in problems if each), "")


def showing_settings(args: argparse.Namespace, out: Path | None) -> ReceiverSettings:
    """The settings that these options give; the others are as they are by default."""
    return ReceiverSettings(
        out=out, window=args.window, device=args.device, engine=args.engine, size=args.size, generator=args.generator,
        upscaler=args.upscaler, upscaler_weights=args.upscaler_weights, backend=args.backend,
        precision=args.precision, base=not args.no_base, reactions=not args.no_reactions,
        audio=not args.no_audio, speaker=args.speaker, out_audio=args.out_audio, record=args.record,
        virtual_camera=args.virtual_camera, page=args.page, page_host=args.page_host,
        enhance=None if args.enhance is None else EnhanceSettings(
            args.enhance_weights, args.enhance_steps, args.enhance_sampler
        ),
    )  # fmt: skip
