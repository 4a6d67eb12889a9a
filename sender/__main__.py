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
from sender.capture import SourceError, open_source
from sender.devices import cameras, listing
from sender.preview import Preview, preview_alone
from sender.profile import DEFAULT_PROFILE, LARGEST_BUNDLE, PROFILES
from sender.recording import record_call
from sender.refresh import DEFAULT_POSE_THRESHOLD, RefreshPolicy, WhenWorse, parse_policy
from sender.sound import SoundSettings
from shared.callfile import CallFileError
from shared.codec.picture import Quality
from shared.desktop import DisplayError
from shared.link.base import LinkClosed
from shared.link.ice import IceSettings
from shared.models.engine import EngineError
from shared.session.call import TooManyErrors
from shared.session.command import add_options
from shared.session.exchange import SignallingError
from shared.session.interrupt import interruptible

EXAMPLES = """\
examples:
  python -m sender --preview                                       see yourself first, and how to sit better
  python -m sender --peer http://192.168.1.7:8765/join/TOKEN       call from the first camera
  python -m sender --peer https://HOST/r/ROOM#KEY                  the receiver waits at a rendezvous server
  python -m sender --peer LINK --source talk.mp4 --profile thin    a file, for a link that carries 8 kbit/s
  python -m sender --source talk.mp4 --out talk.pinhole            no network: write the call to a file

The receiver prints the join link. Motion costs a few kbit/s; a source picture costs about 2 to 3 KB. By default the
sender draws now and then what the receiver draws, and sends a new source where one would repair the picture.
"""
ABOUT = "The sending half of a Pinhole call: films you, and sends the motion of your face and a few small pictures."


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


class ListDevices(argparse.Action):
    """Prints what there is to choose from, and ends."""

    def __call__(self, *_: object) -> None:
        print(listing(cameras()))
        sys.exit(0)


def by_profile(knob: str) -> str:
    """What each profile has for a knob, for the help."""
    return ", ".join(f"{name} {getattr(each, knob):g}" for name, each in PROFILES.items())


def parse(arguments: list[str] | None = None) -> SenderSettings:
    """Settings from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sender", usage="python -m sender [options]", description=f"{ABOUT}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--peer", metavar="LINK", help="join link that the receiver printed, or by-hand: paste two "
                        "short texts to each other (the receiver runs with --by-hand)")  # fmt: skip
    parser.add_argument("--source", default="camera:0", metavar="SOURCE",
                        help="camera:N, camera:NAME (a part of it will do), a video file, or sample "
                        "(default: camera:0)")  # fmt: skip
    parser.add_argument("--list-devices", action=ListDevices, nargs=0,
                        help="list cameras and microphones with their names, and end")  # fmt: skip
    parser.add_argument("--preview", action="store_true", help="show your own picture, what of it is sent, and how to "
                        "sit better; without --peer only that")  # fmt: skip
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
                        f"by profile: {by_profile('budget')}; inf with any refresh but quality)")  # fmt: skip
    parser.add_argument("--profile", choices=tuple(PROFILES), default=DEFAULT_PROFILE,
                        help="; ".join(f"{name}: {each.about}" for name, each in PROFILES.items())
                        + f" (default: {DEFAULT_PROFILE})")  # fmt: skip
    parser.add_argument("--picture-size", type=int, choices=(64, 128, 256, 512), metavar="PX",
                        help="side of the source pictures sent: 64, 128, 256 or 512, the last for a receiver with "
                        f"--size 512 (default: by profile: {by_profile('picture_size')})")  # fmt: skip
    parser.add_argument("--picture-quality", type=picture_quality, metavar="Q",
                        help="0 to 100, less where the budget asks for it, or max for lossless "
                        f"(default: by profile: {by_profile('picture_quality')})")  # fmt: skip
    parser.add_argument(
        "--bundle",
        type=int,
        choices=range(1, LARGEST_BUNDLE + 1),
        metavar="N",
        help=f"frames of motion a message, 1 to {LARGEST_BUNDLE}: few are fast and dear; a link that "
        f"does not keep up gets more (default: by profile, as seconds: {by_profile('bundle_seconds')})",
    )
    parser.add_argument("--framing", choices=("auto", "none"), default="auto",
                        help="auto: follow the head; none: the centre square as it is (default: auto)")  # fmt: skip
    sound = parser.add_argument_group("sound", "A camera comes with the default microphone, a file with its own sound; "
                                      "silence is not sent, speech takes about 10 kbit/s")  # fmt: skip
    sound.add_argument("--microphone", nargs="?", const="default", metavar="NAME|N",
                       help="a microphone by its number or a part of its name; pip install 'pinhole[audio]' for it "
                       "(default: the system's)")  # fmt: skip
    sound.add_argument("--audio", type=Path, metavar="FILE", help="the sound of a WAV or another file instead")
    sound.add_argument("--mute", action="store_true", help="begin with the sound off")
    sound.add_argument("--no-audio", action="store_true", help="no sound at all")
    parser.add_argument("--seconds", type=float, metavar="S", help="end the call after this much of the source")
    parser.add_argument("--out", type=Path, metavar="CALL.pinhole", help="write the call to a file instead of calling")
    add_options(parser)
    args = parser.parse_args(arguments)
    if (args.peer is None) == (args.out is None) and (args.peer is not None or not args.preview):
        parser.error("give --peer LINK to call someone, or --out CALL.pinhole to write a call to a file; "
                     "--preview alone shows your own picture")  # fmt: skip
    if args.preview and args.out is not None:
        parser.error("--preview goes with --peer or alone: a call into a file is faster than the eye")
    if args.no_audio + (args.microphone is not None) + (args.audio is not None) > 1:
        parser.error("--microphone, --audio and --no-audio exclude each other: give one of them")
    try:
        ice = IceSettings.parse(args.stun, args.turn, args.relay_only)
        settings = SenderSettings(
            peer=args.peer, source=args.source, refresh=args.refresh, budget=args.budget,
            profile=args.profile, picture_size=args.picture_size, picture_quality=args.picture_quality,
            bundle=args.bundle, framing=args.framing, seconds=args.seconds, engine=args.engine,
            device=args.device, ice=ice, report=args.report, out=args.out,
            preview=args.preview,
            sound=SoundSettings(not args.no_audio, args.microphone, args.audio, args.mute),
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
        elif settings.peer is None:
            preview_alone(open_source(settings.source), Preview(), settings.seconds)
        else:
            asyncio.run(_make_call(settings))
    except (
        CallFileError, DisplayError, EngineError, LinkClosed, SignallingError, SourceError, TooManyErrors, ValueError,
        OSError,
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
