"""Options of whoever sends: the sender, and a receiver in a two-way call."""

from __future__ import annotations

import argparse
from pathlib import Path

from sender.call import SenderSettings
from sender.microphone import SoundSettings
from sender.profiles import DEFAULT_PROFILE, LARGEST_BASE_RATE, LARGEST_BUNDLE, PROFILES
from sender.refresh import DEFAULT_POSE_THRESHOLD, RefreshPolicy, WhenWorse, parse_policy
from shared.call.options import idle
from shared.codec.base_video import MAX_CRF, SIZES
from shared.codec.picture import Quality
from shared.transport.ice import IceSettings

SENDING = (
    "refresh", "budget", "profile", "picture_size", "picture_quality", "bundle", "framing",
    "microphone", "audio", "mute", "echo_cancellation",
)  # fmt: skip
"""The options of `add_sending_options`, as argparse has them."""


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


def by_profile(knob: str) -> str:
    """What each profile has for a knob, for the help."""
    return ", ".join(f"{name} {getattr(each, knob):g}" for name, each in PROFILES.items())


def by_base(knob: str) -> str:
    """What each profile's base layer has for a knob, for the help."""
    bases = {name: each.base for name, each in PROFILES.items()}
    return ", ".join(f"{name} {getattr(each, knob) if each else 'none'}" for name, each in bases.items())


def add_sending_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """How to send, and what sound; what to send is the caller's own option."""
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
                        f"by profile: {by_profile('budget')}, and a base layer on top, which has its own bound; inf "
                        "with any refresh but quality)")  # fmt: skip
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
    parser.add_argument("--base", choices=("auto", "always", "off"), default="auto",
                        help="the base layer, a tiny video of what the camera sees under the motion. auto: frames "
                        "without a face are left out, and the last picture is held; always: they are shown; off: none "
                        "is sent; it always stops with the camera (default: auto)")  # fmt: skip
    parser.add_argument("--base-size", type=int, choices=SIZES, metavar="PX",
                        help=f"its side in pixels, {', '.join(map(str, SIZES))} (default: by profile: "
                        f"{by_base('size')})")  # fmt: skip
    parser.add_argument("--base-crf", type=int, choices=range(1, MAX_CRF + 1), metavar="N",
                        help=f"its quantiser, 1 (best) to {MAX_CRF} (default: by profile: "
                        f"{by_base('crf')})")  # fmt: skip
    parser.add_argument("--base-rate", type=float, metavar="HZ",
                        help=f"its pictures a second, 1 to {LARGEST_BASE_RATE:g} (default: by profile: "
                        f"{by_base('rate')})")  # fmt: skip
    parser.add_argument("--framing", choices=("auto", "none"), default="auto",
                        help="auto: follow the head; none: the centre square as it is (default: auto)")  # fmt: skip
    parser.add_argument("--microphone", nargs="?", const="default", metavar="NAME|N",
                        help="a microphone by its number or a part of its name; pip install 'pinhole[audio]' for it "
                       "(default: the system's)")  # fmt: skip
    parser.add_argument("--audio", type=Path, metavar="FILE", help="the sound of a WAV or another file instead")
    parser.add_argument("--mute", action="store_true", help="begin with the sound off")
    parser.add_argument("--no-echo-cancellation", dest="echo_cancellation", action="store_false",
                        help="send what the microphone hears as it is, the speaker too. Without it a two-way call "
                        "takes out what the speaker here plays, lessens noise and evens the level (pip install "
                        "'pinhole[audio]')")  # fmt: skip


def idle_echo(parser: argparse.ArgumentParser, args: argparse.Namespace, source: str, plays: bool) -> str:
    """A sentence if --no-echo-cancellation would do nothing; nothing if it does something.

    `plays`: whether the other side is heard on a speaker here.
    """
    hears = args.microphone is not None or (args.audio is None and not args.no_audio and source.startswith("camera:"))
    if not hears:
        return idle(parser, args, ("echo_cancellation",), "without a microphone: leave it out")
    return "" if plays else idle(parser, args, ("echo_cancellation",), "where no speaker plays: leave it out")


def sending_settings(
    args: argparse.Namespace, source: str, ice: IceSettings, peer: str | None = None, seconds: float | None = None,
    out: Path | None = None, preview: bool = False,
) -> SenderSettings:  # fmt: skip
    """Settings from a command line with `add_sending_options` and `add_options`. Raises ValueError for nonsense."""
    if args.no_audio + (args.microphone is not None) + (args.audio is not None) > 1:
        raise ValueError("--microphone, --audio and --no-audio exclude each other: give one of them")
    settings = SenderSettings(
        peer=peer, source=source, refresh=args.refresh, budget=args.budget, profile=args.profile,
        picture_size=args.picture_size, picture_quality=args.picture_quality, bundle=args.bundle,
        base="off" if args.no_base else args.base, base_size=args.base_size, base_crf=args.base_crf,
        base_rate=args.base_rate, framing=args.framing, seconds=seconds, engine=args.engine, device=args.device,
        ice=ice, report=args.report, precision=args.precision, out=out, preview=preview,
        sound=SoundSettings(not args.no_audio, args.microphone, args.audio, args.mute, args.echo_cancellation),
    )  # fmt: skip
    settings.byte_budget()
    settings.base_point()
    return settings
