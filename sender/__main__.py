"""python -m sender: call someone. See --help."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads of two busy processes stall each other

from sender.call import SenderSettings, send_call
from sender.capture import SourceError
from sender.profile import DEFAULT_PROFILE, LARGEST_BUNDLE, PROFILES
from sender.recording import record_call
from sender.refresh import DEFAULT_POSE_THRESHOLD, RefreshPolicy, WhenWorse, parse_policy
from shared.callfile import CallFileError
from shared.codec.picture import DEFAULT_QUALITY, Quality
from shared.link.base import LinkClosed
from shared.link.ice import IceSettings
from shared.models.engine import EngineError
from shared.session.call import TooManyErrors
from shared.session.command import add_options, interruptible
from shared.session.signalling import SignallingError

EXAMPLES = """\
examples:
  python -m sender --peer http://192.168.1.7:8765/join/TOKEN       call from the first camera
  python -m sender --peer URL --source talk.mp4 --freq 15          a file, a new source every 15 frames
  python -m sender --peer URL --budget 10                          fewer sources, for a thinner link
  python -m sender --source talk.mp4 --out talk.pinhole            no network: write the call to a file

The receiver prints the join URL. Motion costs a few kbit/s; a source picture costs about 2 to 3 KB. By default the
sender draws now and then what the receiver draws, and sends a new source where one would repair the picture.
"""


def picture_quality(text: str) -> Quality:
    """0 to 100, or max."""
    if text == "max":
        return "max"
    value = int(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError("a picture quality is 0 to 100, or max")
    return value


def refresh_policy(text: str) -> RefreshPolicy:
    """quality, pose:DEG, freq:N or first."""
    try:
        return parse_policy(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse(arguments: list[str] | None = None) -> SenderSettings:
    """Settings from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sender", description="The sending half of a Pinhole call.", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--peer", metavar="URL", help="join URL that the receiver printed")
    parser.add_argument("--source", default="camera:0", help="camera:N, a video file, or sample (default: camera:0)")
    refresh = parser.add_mutually_exclusive_group()
    refresh.add_argument("--refresh", type=refresh_policy, metavar="POLICY", default=WhenWorse(),
                         help="when to send a new source. quality: when the picture has become worse than it should be "
                         "and a new source would repair it; pose:DEG, freq:N: the next two options; first: never "
                         "(default: quality)")  # fmt: skip
    refresh.add_argument("--freq", dest="refresh", type=lambda n: refresh_policy(f"freq:{n}"), metavar="N",
                         help="send a new source every N frames")  # fmt: skip
    refresh.add_argument("--pose-threshold", dest="refresh", type=lambda degrees: refresh_policy(f"pose:{degrees}"),
                         metavar="DEG", help="send one when the head pose (turn, shift, size) is this far from every "
                         f"one held; {DEFAULT_POSE_THRESHOLD:g} is a good value")  # fmt: skip
    parser.add_argument("--budget", type=float, metavar="KBPS",
                        help="send sources only as far as all bytes on the wire, out and back together, keep to this "
                        "many kbit/s in the long run, and those out to 8/13 of it; motion and the first source always "
                        "go; inf: no bound (default: "
                        f"{' or '.join(f'{each.budget:g}' for each in PROFILES.values())}, by profile, and inf with "
                        "any refresh but quality)")  # fmt: skip
    parser.add_argument("--profile", choices=tuple(PROFILES), default=DEFAULT_PROFILE, help="balanced: 25 frames of "
                        "motion a second, quick; thin: half as many, in larger messages, for links that carry 8 kbit/s "
                        "(default: balanced)")  # fmt: skip
    parser.add_argument("--picture-size", type=int, choices=(64, 128, 256, 512), metavar="PX",
                        help="side of the source pictures sent: 64, 128, 256 or 512 (default: by profile, "
                        f"{' or '.join(str(each.picture_size) for each in PROFILES.values())})")  # fmt: skip
    parser.add_argument("--picture-quality", type=picture_quality, default=DEFAULT_QUALITY, metavar="Q",
                        help="0 to 100, less where the budget asks for it, or max for lossless "
                        f"(default: {DEFAULT_QUALITY})")  # fmt: skip
    parser.add_argument("--bundle", type=int, choices=range(1, LARGEST_BUNDLE + 1), metavar="N",
                        help=f"frames of motion a message, 1 to {LARGEST_BUNDLE}: few are fast and dear; a link that "
                        "does not keep up gets more (default: 5 at 25 frames/s, by profile)")  # fmt: skip
    parser.add_argument("--framing", choices=("auto", "none"), default="auto",
                        help="auto: follow the head; none: the centre square as it is (default: auto)")  # fmt: skip
    parser.add_argument("--seconds", type=float, metavar="S", help="end the call after this much of the source")
    parser.add_argument("--out", type=Path, metavar="CALL.pinhole", help="write the call to a file instead of calling")
    add_options(parser)
    args = parser.parse_args(arguments)
    if (args.peer is None) == (args.out is None):
        parser.error("give --peer URL to call someone, or --out CALL.pinhole to write a call to a file")
    try:
        ice = IceSettings.parse(args.stun, args.turn)
        settings = SenderSettings(
            peer=args.peer, source=args.source, refresh=args.refresh, budget=args.budget,
            profile=args.profile, picture_size=args.picture_size, picture_quality=args.picture_quality,
            bundle=args.bundle, framing=args.framing, seconds=args.seconds, engine=args.engine,
            device=args.device, ice=ice, report=args.report, out=args.out,
        )  # fmt: skip
        settings.byte_budget()
    except ValueError as error:
        parser.error(str(error))
    return settings


def main() -> int:
    """Runs a call; 0 if it went well, 1 with a sentence on stderr if not."""
    settings = parse()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        if settings.out is not None:
            record_call(settings)
        else:
            asyncio.run(_make_call(settings))
    except (
        CallFileError, EngineError, LinkClosed, SignallingError, SourceError, TooManyErrors, ValueError, OSError,
    ) as error:  # fmt: skip
        print(f"\npython -m sender: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\npython -m sender: interrupted", file=sys.stderr)
    return 0


async def _make_call(settings: SenderSettings) -> None:
    report = await interruptible(send_call(settings))
    if report is None:
        print("\nthe call was interrupted", file=sys.stderr)
        return
    print(
        f"\nthe call is over ({report['ended']}): {report['frames_sent']} frames, {report['sources_sent']} sources, "
        f"{report['payload_bytes']} bytes of payload, {report['wire_bytes_out']} out and "
        f"{report['wire_bytes_in']} back on the wire",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(main())
