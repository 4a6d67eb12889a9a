"""python -m sender: call someone. See --help."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from receiver.output.page.server import page
from receiver.output.recorder import RecordError
from receiver.output.virtual_camera import VirtualCameraError
from receiver.receiving import Place, Receiving
from receiver.settings import ReceiverContext, ReceiverSettings, add_showing_options, idle_showing, showing_settings
from sender.call import SenderSettings, send_call
from sender.call_recording import record_call
from sender.capture import SourceError, open_source
from sender.devices import cameras, listing
from sender.hints import WITHOUT_FACE, no_face
from sender.options import SENDING, add_sending_options, idle_echo, sending_settings
from sender.preview import Preview, preview_alone
from sender.sending import Sending
from shared.audio.devices import SoundDeviceError
from shared.call.call_file import CallFileError
from shared.call.directions import Direction
from shared.call.exit_status import FAILED, OUT_OF_MEMORY, WELL, sentence
from shared.call.loop import TooManyErrors
from shared.call.options import (
    NETWORK,
    TRUST,
    add_options,
    check_apart,
    check_endings,
    check_free,
    chosen,
    idle,
    seconds,
)
from shared.desktop import DisplayError
from shared.files import CALL, FILM, WAVE
from shared.loading import INTERRUPTED
from shared.models.engine import EngineError
from shared.signalling.direct import CannotListen
from shared.signalling.hello import Hello
from shared.signalling.offer_answer import SignallingError
from shared.signals import ended_by_signals, interruptible
from shared.transport.ice import IceSettings
from shared.transport.link import Link, LinkClosed
from shared.trust.certificate import https_settings
from shared.trust.identity import add_trust_options, trust_settings

EXAMPLES = """\
examples:
  python -m sender --preview                                       see yourself first, and how to sit better
  python -m sender --peer http://192.168.1.7:8765/join/TOKEN       call from the first camera
  python -m sender --peer https://HOST/r/ROOM#KEY --receive        both ways: the receiver runs with --send camera:0
  python -m sender --peer LINK --source talk.mp4 --profile thin    a file, for a link that carries 8 kbit/s
  python -m sender --source talk.mp4 --out talk.pinhole            no network: write the call to a file

The receiver prints the join link. Motion costs a few kbit/s; a source picture costs about 2 to 3 KB. By default the
sender draws now and then what the receiver draws, and sends a new source where one would repair the picture.
"""
ABOUT = "The sending half of a Pinhole call: films you, and sends the motion of your face and a few small pictures."


class ListDevices(argparse.Action):
    """Prints what there is to choose from, and ends."""

    def __call__(self, *_: object) -> None:
        print(listing(cameras()))
        sys.exit(0)


class Asked(NamedTuple):
    """What the command line asks for."""

    sending: SenderSettings
    receiving: ReceiverSettings | None
    """None: the call is one-way."""


def parse(arguments: list[str] | None = None) -> Asked:
    """Settings from the command line. Raises PlaceError for a file that would be lost."""
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
    parser.add_argument("--receive", action="store_true", help="see and hear the other side, too, if it sends (its "
                        "receiver runs with --send): in a window, unless an option below says where else; "
                        "wear headphones if --list-devices has no echo cancellation")  # fmt: skip
    parser.add_argument("--seconds", type=seconds, metavar="S", help="end the call after this much of the source")
    parser.add_argument("--out", type=Path, metavar="FILE", help="without --peer: write the call to FILE.pinhole "
                        "instead of calling; with --receive: record what is shown as FILE.mp4")  # fmt: skip
    parser.add_argument("--no-audio", action="store_true", help="no sound at all")
    parser.add_argument("--no-base", action="store_true", help="no base layer, a tiny video that travels with the "
                        "motion: only the face is then as it was")  # fmt: skip
    add_sending_options(parser.add_argument_group("sending"))
    add_showing_options(parser.add_argument_group("with --receive", "what to do with the other side's picture"))
    add_options(parser)
    add_trust_options(parser)
    args = parser.parse_args(arguments)
    problem = _nonsense(parser, args)
    if problem:
        parser.error(problem)
    try:
        check_apart(args)
        check_endings(out=(args.out, FILM if args.receive else CALL), record=(args.record, CALL),
                      out_audio=(args.out_audio, WAVE))  # fmt: skip
        check_free(args)
        ice = IceSettings.parse(args.stun, args.turn, args.relay_only)
        out = None if args.receive else args.out
        sending = sending_settings(args, args.source, ice, args.peer, args.seconds, out, args.preview)
        sending = replace(
            sending,
            trust=trust_settings(args),
            https=https_settings(parser, args),
            state=args.state,
            wait=args.wait,
            receives=args.receive,
        )
    except ValueError as error:
        parser.error(str(error))
    return Asked(sending, _receiving(args))


def _nonsense(parser: argparse.ArgumentParser, args: argparse.Namespace) -> str:
    """What is wrong with a combination of options; nothing if it makes sense."""
    if args.peer is None and args.out is None and not args.preview:
        return (
            "give --peer LINK to call someone, or --out CALL.pinhole to write a call to a file; "
            "--preview alone shows your own picture"
        )
    if args.receive and args.peer is None:
        return "--receive needs somebody to receive from: give --peer LINK"
    if args.peer is not None and args.out is not None and not args.receive:
        return "--out goes without --peer, to write a call to a file, or with --receive, to record the other side"
    if args.preview and args.peer is None and args.out is not None:
        return "--preview goes with --peer or alone: a call into a file is faster than the eye"
    if not args.receive and (option := chosen(parser, args, "with --receive")):
        return f"{option} is for the other side's picture: add --receive"
    return _idle(parser, args)


def _idle(parser: argparse.ArgumentParser, args: argparse.Namespace) -> str:
    """What of the options would do nothing."""
    problems = []
    if args.peer is None and args.out is not None:
        problems.append(idle(parser, args, (*NETWORK, *TRUST), "without a call: add --peer LINK, or leave it out"))
        if args.microphone is not None and not args.source.startswith("camera:"):
            problems.append("--microphone has no time to speak while a file is written: give --audio FILE")
    if args.peer is None and args.out is None:
        unseen = ("report", "engine", "device", "no_audio", *SENDING, *NETWORK, *TRUST)
        problems.append(idle(parser, args, unseen, "in a preview alone: add --peer LINK or --out CALL.pinhole"))
    if args.peer is not None and not args.peer.startswith("https:"):
        problems.append(idle(parser, args, ("ca",), "with this link, which is not an https one"))
    if args.receive:
        problems.append(idle_showing(parser, args))
    plays = args.receive and (args.speaker is not None or _in_window(args))
    problems.append(idle_echo(parser, args, args.source, plays))
    if args.no_identity:
        problems.append(idle(parser, args, ("config",), "with --no-identity, which keeps nothing: leave out one"))
    if args.no_audio:
        problems.append(idle(parser, args, ("mute",), "with --no-audio: leave out one of them"))
    return next((each for each in problems if each), "")


def _in_window(args: argparse.Namespace) -> bool:
    """Whether the other side is shown in a window: if asked, or if it is shown nowhere else."""
    elsewhere = args.out or args.record or args.virtual_camera or args.page is not None
    return args.window or not elsewhere


def _receiving(args: argparse.Namespace) -> ReceiverSettings | None:
    if not args.receive:
        return None
    return replace(showing_settings(args, args.out), window=_in_window(args), sends=True)


@ended_by_signals("sender")
def main() -> int:
    """Runs a call; its exit status comes back, as `shared.call.exit_status` has it."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        return _run(*parse())
    except (
        CallFileError, CannotListen, DisplayError, EngineError, LinkClosed, RecordError, SignallingError,
        SoundDeviceError, SourceError, TooManyErrors, ValueError, VirtualCameraError, OSError, *OUT_OF_MEMORY,
    ) as error:  # fmt: skip
        print(f"\npython -m sender: {sentence(error)}", file=sys.stderr)
        return FAILED


def _run(sending: SenderSettings, receiving: ReceiverSettings | None) -> int:
    if sending.out is not None:
        record_call(sending)
    elif sending.peer is None:
        _preview(sending)
    elif receiving is None:
        return asyncio.run(_make_call(send_call(sending), sending.source))
    else:
        Place.check(receiving)
        return asyncio.run(_make_call(_both_ways(sending, receiving, ReceiverContext.open(receiving)), sending.source))
    return WELL


def _preview(sending: SenderSettings) -> None:
    with closing(Preview()) as window:
        capture = open_source(sending.source, sending.seconds)
        preview_alone(capture, window, sending.seconds, sending.base_point() is not None)


async def _make_call(call: Coroutine[None, None, dict[str, Any]], source: str) -> int:
    report = await interruptible(call)
    if report is None:
        print("\npython -m sender: the call was interrupted", file=sys.stderr)
        return INTERRUPTED
    seen = f", {report['received']['frames_shown']} frames of the other side shown" if "received" in report else ""
    print(
        f"\nthe call is over ({report['ended']}): {report['frames_sent']} frames, {report['sources_sent']} sources, "
        f"{report['payload_bytes']} bytes of payload, {report['wire_bytes_out']} out and "
        f"{report['wire_bytes_in']} back on the wire{seen}",
        file=sys.stderr,
    )
    if report["face_seen"] is False and not report.get("received", {}).get("frames_shown"):
        print(f"{no_face(source)}, so the other side saw nobody: {WITHOUT_FACE}", file=sys.stderr)
        return FAILED
    return WELL


async def _both_ways(sending: SenderSettings, receiving: ReceiverSettings, context: ReceiverContext) -> dict[str, Any]:
    async with nullcontext() if receiving.page is None else page(receiving) as view:

        def receive(link: Link, theirs: Hello, own: Sending, say: Callable[[str], None]) -> Direction:
            return Receiving(context, link, theirs, Place.of(receiving, view), say, own)

        return await send_call(sending, receive, context.capabilities)


if __name__ == "__main__":
    sys.exit(main())
