"""python -m receiver: be called. See --help."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads of two busy processes stall each other

from receiver.call import ReceiverSettings, Studio
from receiver.page.server import PageServer
from receiver.page.stage import Stage
from receiver.reception import Receiver
from receiver.record import RecordError
from receiver.replay import replay_call
from receiver.upscale import DEFAULT_UPSCALER, UPSCALERS
from receiver.virtual_camera import VirtualCameraError
from shared.callfile import CallFileError
from shared.desktop import DisplayError
from shared.link.base import LinkClosed
from shared.link.ice import IceSettings
from shared.link.viewers import Viewers
from shared.models.engine import BACKENDS, SIZES, EngineError
from shared.models.registry import GENERATORS
from shared.session.call import TooManyErrors
from shared.session.command import add_options
from shared.session.exchange import SignallingError
from shared.session.hello import Incompatible
from shared.session.interrupt import interruptible
from shared.session.join_link import parse_server
from shared.session.signalling import CannotListen
from shared.session.status import StatusLine
from shared.sound.devices import SoundDeviceError

EXAMPLES = """\
examples:
  python -m receiver --window                          show the caller in a window
  python -m receiver --rendezvous https://HOST         be reachable from behind a router, by a join link
  python -m receiver --virtual-camera                  give the caller's picture to other programs as a webcam
  python -m receiver --calls 4 --out call.mp4 --keep   four senders at a time, each recorded: call-1.mp4, call-2.mp4...
  python -m receiver --record call.pinhole             keep what came over the wire: a few megabytes an hour
  python -m receiver --play call.pinhole --out o.mp4   draw a call that was kept, as often as you like

It prints a join link: give it to the sender. Whoever has it may call.
"""
DEFAULT_PAGE_PORT = 8766
ABOUT = "The receiving half of a Pinhole call: redraws the caller from motion and a few small pictures."


def listen_address(text: str) -> tuple[str, int]:
    """HOST:PORT."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 0.0.0.0:8765")
    return host.strip("[]"), int(port)


def page_port(text: str) -> int:
    """A TCP port, 0 to 65535."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a number from 0 (any free one) to 65535")
    return int(text)


def parse(arguments: list[str] | None = None) -> ReceiverSettings:
    """Settings from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m receiver", usage="python -m receiver [options]", description=f"{ABOUT}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--listen", type=listen_address, default=("0.0.0.0", 8765), metavar="HOST:PORT",
                        help="where to wait for the sender; port 0: any free one (default: 0.0.0.0:8765)")  # fmt: skip
    meeting = parser.add_mutually_exclusive_group()
    meeting.add_argument("--rendezvous", metavar="https://HOST",
                         help="wait at a rendezvous server instead, which works from behind a router; it sees who "
                         "meets, not what they say (run one: python -m shared.session.rendezvous)")  # fmt: skip
    meeting.add_argument("--by-hand", action="store_true",
                         help="no server at all: you and the sender paste two short texts to each other")  # fmt: skip
    parser.add_argument("--no-qr", dest="qr", action="store_false",
                        help="do not draw the join link as a QR code (which only a terminal is shown)")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE.mp4", help="record what is shown")
    parser.add_argument("--window", action="store_true", help="show the call in a window; h shows its keys, q ends it")
    parser.add_argument("--virtual-camera", nargs="?", const=True, default=False, metavar="DEVICE",
                        help="show the call as a webcam to other programs (pip install 'pinhole[camera]' and its "
                        "driver); DEVICE: which one, if there are several")  # fmt: skip
    parser.add_argument("--page", type=page_port, nargs="?", const=DEFAULT_PAGE_PORT, metavar="PORT",
                        help="show the call on a web page, whose address is printed; 0: any free port "
                        f"(default: {DEFAULT_PAGE_PORT})")  # fmt: skip
    parser.add_argument("--page-host", default="127.0.0.1", metavar="HOST",
                        help="where the page can be reached from; 0.0.0.0: other machines too, without encryption of "
                        "the page itself (default: 127.0.0.1)")  # fmt: skip
    parser.add_argument("--record", type=Path, metavar="FILE.pinhole",
                        help="keep the bytes received, which --play draws again exactly")  # fmt: skip
    sound = parser.add_argument_group("sound")
    sound.add_argument("--speaker", nargs="?", const="default", metavar="NAME|N",
                       help="hear the caller on the system's speaker, or another one by its number or a part of its "
                       "name; comes with --window (pip install 'pinhole[audio]')")  # fmt: skip
    sound.add_argument("--out-audio", type=Path, metavar="FILE.wav",
                       help="record the sound alone; --out FILE.mp4 has it too")  # fmt: skip
    sound.add_argument("--no-audio", action="store_true", help="neither hear nor record sound")
    parser.add_argument("--keep", action="store_true", help="wait for the next call after a goodbye")
    parser.add_argument("--calls", type=int, default=1, metavar="N",
                        help="take up to N calls at a time, drawn together where that is faster; files of --out and "
                        "--report are numbered (call-1.mp4), --window shows the first (default: 1)")  # fmt: skip
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
    parser.add_argument("--play", type=Path, metavar="CALL.pinhole", help="draw a recorded call; needs no network")
    add_options(parser)
    args = parser.parse_args(arguments)
    if args.calls < 1:
        parser.error("--calls must be at least 1")
    if args.keep and (args.out or args.record or args.out_audio) and args.calls == 1:
        parser.error("--keep would write every call over the one before: leave out --keep, or what records")
    if args.by_hand and (args.keep or args.calls > 1):
        parser.error("--by-hand takes one call: leave out --keep and --calls, or use --rendezvous")
    try:
        if args.rendezvous is not None:
            parse_server(args.rendezvous)
        ice = IceSettings.parse(args.stun, args.turn, args.relay_only)
    except ValueError as error:
        parser.error(str(error))
    host, port = args.listen
    return ReceiverSettings(
        host=host, port=port, out=args.out, window=args.window, device=args.device, engine=args.engine, size=args.size,
        generator=args.generator, upscaler=args.upscaler, upscaler_weights=args.upscaler_weights, keep=args.keep,
        calls=args.calls, backend=args.backend, ice=ice, report=args.report, play=args.play,
        audio=not args.no_audio, speaker=args.speaker, out_audio=args.out_audio,
        record=args.record, virtual_camera=args.virtual_camera, page=args.page, page_host=args.page_host,
        rendezvous=args.rendezvous, by_hand=args.by_hand, qr=args.qr,
    )  # fmt: skip


def main() -> int:
    """Takes a call; 0 if it went well, 1 with a sentence on stderr if not."""
    settings = parse()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    logging.getLogger("shared.models").setLevel(logging.INFO)  # what takes its time before the call
    try:
        if settings.play is not None:
            replay_call(settings)
        else:
            asyncio.run(_take_calls(settings))
    except (
        CallFileError, CannotListen, DisplayError, EngineError, Incompatible, LinkClosed, RecordError, TooManyErrors,
        SignallingError, SoundDeviceError, VirtualCameraError, OSError,
    ) as error:  # fmt: skip
        print(f"\npython -m receiver: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\npython -m receiver: interrupted", file=sys.stderr)
    return 0


async def _take_calls(settings: ReceiverSettings) -> None:
    status = StatusLine()
    report = await interruptible(_run(settings, Studio.open(settings), status))
    if report is None:
        status.say("interrupted")
        return
    wrote = f"; wrote {settings.out}" if settings.out and settings.calls == 1 else ""
    which = "the call" if settings.calls == 1 else "the last call"
    status.say(f"{which} is over ({report['ended']}): {report['frames_shown']} frames shown{wrote}")


async def _run(settings: ReceiverSettings, studio: Studio, status: StatusLine) -> dict[str, Any]:
    if settings.page is None:
        return await Receiver(settings, studio, status).run()
    stage = Stage(Viewers())
    async with PageServer(settings.page_host, settings.page, stage) as page:
        print(f"watch at: {page.url}", flush=True)
        return await Receiver(settings, studio, status, stage).run()


if __name__ == "__main__":
    sys.exit(main())
