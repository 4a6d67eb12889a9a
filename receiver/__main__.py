"""python -m receiver: be called. See --help."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads of two busy processes stall each other

from receiver.call import ReceiverSettings, Studio
from receiver.display import DisplayError
from receiver.reception import Receiver
from receiver.record import RecordError
from receiver.replay import replay_call
from receiver.upscale import DEFAULT_UPSCALER, UPSCALERS
from shared.callfile import CallFileError
from shared.link.base import LinkClosed
from shared.link.ice import IceSettings
from shared.models.engine import BACKENDS, SIZES, EngineError
from shared.models.registry import GENERATORS
from shared.session.call import TooManyErrors
from shared.session.command import add_options, interruptible
from shared.session.hello import Incompatible
from shared.session.signalling import CannotListen
from shared.session.status import StatusLine

EXAMPLES = """\
examples:
  python -m receiver --window                          show the caller in a window
  python -m receiver --out call.mp4 --report r.json    record the call and write its figures
  python -m receiver --calls 4 --out call.mp4 --keep   four senders at a time, each recorded: call-1.mp4, call-2.mp4...
  python -m receiver --play talk.pinhole --out o.mp4   draw a call that the sender wrote to a file

It prints a join URL: give it to the sender. Whoever has it may call.
"""


def listen_address(text: str) -> tuple[str, int]:
    """HOST:PORT."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 0.0.0.0:8765")
    return host.strip("[]"), int(port)


def parse(arguments: list[str] | None = None) -> ReceiverSettings:
    """Settings from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m receiver", description="The receiving half of a Pinhole call.", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--listen", type=listen_address, default=("0.0.0.0", 8765), metavar="HOST:PORT",
                        help="where to wait for the sender; port 0: any free one (default: 0.0.0.0:8765)")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE.mp4", help="record what is shown")
    parser.add_argument("--window", action="store_true", help="show the call in a window; q or Esc ends it")
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
    if args.keep and args.out and args.calls == 1:
        parser.error("--keep would write every call over the one before: leave out --keep or --out")
    try:
        ice = IceSettings.parse(args.stun, args.turn)
    except ValueError as error:
        parser.error(str(error))
    host, port = args.listen
    return ReceiverSettings(
        host=host, port=port, out=args.out, window=args.window, device=args.device, engine=args.engine, size=args.size,
        generator=args.generator, upscaler=args.upscaler, upscaler_weights=args.upscaler_weights, keep=args.keep,
        calls=args.calls, backend=args.backend, ice=ice, report=args.report, play=args.play,
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
        OSError,
    ) as error:  # fmt: skip
        print(f"\npython -m receiver: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\npython -m receiver: interrupted", file=sys.stderr)
    return 0


async def _take_calls(settings: ReceiverSettings) -> None:
    status = StatusLine()
    report = await interruptible(Receiver(settings, Studio.open(settings), status).run())
    if report is None:
        status.say("interrupted")
        return
    wrote = f"; wrote {settings.out}" if settings.out and settings.calls == 1 else ""
    which = "the call" if settings.calls == 1 else "the last call"
    status.say(f"{which} is over ({report['ended']}): {report['frames_shown']} frames shown{wrote}")


if __name__ == "__main__":
    sys.exit(main())
