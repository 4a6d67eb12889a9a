"""Options of whoever receives: the receiver, and a sender in a two-way call."""

from __future__ import annotations

import argparse
from pathlib import Path

from receiver.call import ReceiverSettings
from receiver.upscale import DEFAULT_UPSCALER, UPSCALERS
from shared.models.engine import BACKENDS, SIZES
from shared.models.registry import GENERATORS

DEFAULT_PAGE_PORT = 8766


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


def showing_settings(args: argparse.Namespace, out: Path | None) -> ReceiverSettings:
    """The settings that these options give; the others are as they are by default."""
    return ReceiverSettings(
        out=out, window=args.window, device=args.device, engine=args.engine, size=args.size, generator=args.generator,
        upscaler=args.upscaler, upscaler_weights=args.upscaler_weights, backend=args.backend,
        precision=args.precision, base=not args.no_base,
        audio=not args.no_audio, speaker=args.speaker, out_audio=args.out_audio, record=args.record,
        virtual_camera=args.virtual_camera, page=args.page, page_host=args.page_host,
    )  # fmt: skip
