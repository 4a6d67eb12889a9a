"""python -m receiver: be called. See --help."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from receiver.output.page.server import page
from receiver.output.recorder import RecordError
from receiver.output.virtual_camera import VirtualCameraError
from receiver.replay import replay_call
from receiver.server import CannotSend, Receiver
from receiver.settings import ReceiverContext, ReceiverSettings, add_showing_options, idle_showing, showing_settings
from sender.call import SenderSettings, load_sending, prepare_aside
from sender.capture import SourceError
from sender.options import add_sending_options, idle_echo, sending_settings
from sender.sending import Prepared
from shared.audio.devices import SoundDeviceError
from shared.call.call_file import CallFileError
from shared.call.exit_status import FAILED, OUT_OF_MEMORY, WELL, sentence
from shared.call.loop import TooManyErrors
from shared.call.options import NETWORK, TRUST, add_options, check_apart, check_endings, check_free, chosen, idle
from shared.call.report import StatusLine
from shared.desktop import DisplayError
from shared.files import CALL, FILM, WAVE
from shared.loading import INTERRUPTED
from shared.models.engine import Engine, EngineError
from shared.rendezvous.stun_server import with_stun_of
from shared.signalling.direct import CannotListen
from shared.signalling.hello import Incompatible
from shared.signalling.links import parse_server
from shared.signalling.offer_answer import SignallingError
from shared.signals import ended_by_signals, interruptible
from shared.transport.ice import IceSettings
from shared.transport.link import LinkClosed
from shared.trust.certificate import add_server_options, https_settings
from shared.trust.identity import add_trust_options, trust_settings

EXAMPLES = """\
examples:
  python -m receiver --window                          show the caller in a window
  python -m receiver --window --send camera:0          both ways: the caller runs with --receive
  python -m receiver --rendezvous https://HOST         be reachable from behind a router, by a join link
  python -m receiver --calls 4 --out call.mp4 --keep   four senders at a time, each recorded: call-1.mp4, call-2.mp4...
  python -m receiver --record call.pinhole             keep what came over the wire: a few megabytes an hour
  python -m receiver --play call.pinhole --out o.mp4   draw a call that was kept, as often as you like

It prints a join link: give it to the sender. Whoever has it may call.
"""
ABOUT = "The receiving half of a Pinhole call: redraws the caller from motion and a few small pictures."


def listen_address(text: str) -> tuple[str, int]:
    """HOST:PORT."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 0.0.0.0:8765")
    return host.strip("[]"), int(port)


class Asked(NamedTuple):
    """What the command line asks for."""

    receiving: ReceiverSettings
    sending: SenderSettings | None
    """None: the call is one-way."""


def parse(arguments: list[str] | None = None) -> Asked:
    """Settings from the command line. Raises PlaceError for a file that would be lost."""
    parser = argparse.ArgumentParser(
        prog="python -m receiver", usage="python -m receiver [options]", description=f"{ABOUT}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--listen", type=listen_address, default=("0.0.0.0", 8765), metavar="HOST:PORT",
                        help="where to wait for the sender; port 0: any free one (default: 0.0.0.0:8765)")  # fmt: skip
    meeting = parser.add_mutually_exclusive_group()
    meeting.add_argument("--rendezvous", metavar="https://HOST",
                         help="wait at a rendezvous server instead, which works from behind a router; it sees who "
                         "meets, not what they say (run one: python -m shared.rendezvous)")  # fmt: skip
    meeting.add_argument("--by-hand", action="store_true",
                         help="no server at all: you and the sender paste two short texts to each other")  # fmt: skip
    parser.add_argument("--no-qr", dest="qr", action="store_false",
                        help="do not draw the join link as a QR code (which only a terminal is shown)")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE.mp4", help="record what is shown")
    parser.add_argument("--no-audio", action="store_true", help="no sound at all")
    parser.add_argument("--no-base", action="store_true", help="no base layer, a tiny video that travels with the "
                        "motion: only the face is then as it was")  # fmt: skip
    add_showing_options(parser)
    parser.add_argument("--send", metavar="SOURCE", help="both ways: send camera:N, camera:NAME, a video file or "
                        "sample to a caller who receives (sender --receive); wear headphones if sender "
                        "--list-devices has no echo cancellation")  # fmt: skip
    add_sending_options(parser.add_argument_group("with --send", "as the sender has them"))
    parser.add_argument("--keep", action="store_true", help="wait for the next call after a goodbye")
    parser.add_argument("--calls", type=int, default=1, metavar="N",
                        help="take up to N calls at a time, drawn together where that is faster; files of --out and "
                        "--report are numbered (call-1.mp4), --window shows the first (default: 1)")  # fmt: skip
    parser.add_argument("--play", type=Path, metavar="CALL.pinhole", help="draw a recorded call; needs no network")
    add_options(parser)
    add_trust_options(parser)
    add_server_options(parser)
    args = parser.parse_args(arguments)
    if args.calls < 1:
        parser.error("--calls must be at least 1")
    if args.keep and (args.out or args.record or args.out_audio) and args.calls == 1:
        parser.error("--keep would write every call over the one before: leave out --keep, or what records")
    if args.send is None and (option := chosen(parser, args, "with --send")):
        parser.error(f"{option} is for what this side sends: add --send camera:0, or leave it out")
    if args.send is not None and (args.calls > 1 or args.play is not None):
        parser.error("--send goes with one call at a time, and not with --play")
    if args.enhance is not None and args.calls > 1:
        parser.error("--enhance goes with one call at a time: leave out --calls")
    if args.who is not None and args.calls > 1:
        parser.error("--who is one person, and --calls takes several: leave out one of them")
    if args.by_hand and (args.keep or args.calls > 1):
        parser.error("--by-hand takes one call: leave out --keep and --calls, or use --rendezvous")
    if args.by_hand and args.state is not None:
        parser.error("a call joined by hand cannot be resumed: leave out --state, or use --rendezvous")
    if problem := _idle(parser, args):
        parser.error(problem)
    if args.play is not None and args.out is None:
        args.out = Path("replay.mp4")
    try:
        check_apart(args)
        check_endings(out=(args.out, FILM), record=(args.record, CALL), out_audio=(args.out_audio, WAVE))
        check_free(args)
        if args.rendezvous is not None:
            parse_server(args.rendezvous)
        ice = IceSettings.parse(args.stun, args.turn, args.relay_only)
        sending = None if args.send is None else replace(sending_settings(args, args.send, ice), receives=True)
        trust = trust_settings(args)
    except ValueError as error:
        parser.error(str(error))
    host, port = args.listen
    receiving = replace(
        showing_settings(args, args.out), host=host, port=port, keep=args.keep, calls=args.calls, ice=ice,
        report=args.report, play=args.play, rendezvous=args.rendezvous, by_hand=args.by_hand, qr=args.qr,
        trust=trust, https=https_settings(parser, args), state=args.state, wait=args.wait, sends=sending is not None,
    )  # fmt: skip
    return Asked(receiving, sending)


def _idle(parser: argparse.ArgumentParser, args: argparse.Namespace) -> str:
    """What of the options would do nothing."""
    problems = [idle_showing(parser, args)]
    if args.play is not None:
        live = ("window", "virtual_camera", "page", "record", "speaker", "keep", "calls", "listen", "rendezvous",
                "by_hand", "qr", "certificate", "key", *NETWORK, *TRUST)  # fmt: skip
        problems.append(idle(parser, args, live, "with --play, which draws into a film: leave it out"))
        problems.append(idle(parser, args, ("engine",), "with --play: the engine is the recording's"))
    if args.by_hand:
        problems.append(idle(parser, args, ("listen", "qr", "ca"), "with --by-hand, which needs no server"))
    elif args.rendezvous is not None:
        problems.append(idle(parser, args, ("listen",), "with --rendezvous, which is where the caller comes"))
    else:
        problems.append(idle(parser, args, ("ca",), "without --rendezvous https://HOST"))
    if (args.by_hand or args.rendezvous is not None) and args.page is None:
        problems.append(idle(parser, args, ("certificate",), "where this machine serves nothing: add --page"))
    if args.send is not None:
        problems.append(idle_echo(parser, args, args.send, args.speaker is not None or args.window))
    if args.no_identity:
        problems.append(idle(parser, args, ("config",), "with --no-identity, which keeps nothing: leave out one"))
    if args.no_audio:
        problems.append(idle(parser, args, ("mute",), "with --no-audio: leave out one of them"))
    return next((each for each in problems if each), "")


@ended_by_signals("receiver")
def main() -> int:
    """Takes a call; its exit status comes back, as `shared.call.exit_status` has it."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    logging.getLogger("shared.models").setLevel(logging.INFO)  # what takes its time before the call
    try:
        settings, sending = parse()
        if settings.play is not None:
            replay_call(settings)
            return WELL
        context = ReceiverContext.open(settings)
        engine = None if sending is None else load_sending(sending)  # now: a caller does not wait for it
        return asyncio.run(_take_calls(settings, sending, context, engine))
    except (
        CallFileError, CannotListen, DisplayError, EngineError, Incompatible, LinkClosed, RecordError, TooManyErrors,
        SignallingError, SoundDeviceError, SourceError, ValueError, VirtualCameraError, OSError, *OUT_OF_MEMORY,
    ) as error:  # fmt: skip
        print(f"\npython -m receiver: {sentence(error)}", file=sys.stderr)
        return FAILED


async def _take_calls(
    settings: ReceiverSettings, sending: SenderSettings | None, context: ReceiverContext, engine: Engine | None
) -> int:
    status = StatusLine()
    report = await interruptible(_run(settings, sending, context, engine, status))
    if report is None:
        status.say("python -m receiver: interrupted")
        return INTERRUPTED
    wrote = f"; wrote {settings.out}" if settings.out and settings.calls == 1 and report["recorded_frames"] else ""
    which = "the call" if settings.calls == 1 else "the last call"
    status.say(f"{which} is over ({report['ended']}): {report['frames_shown']} frames shown{wrote}")
    if settings.calls > 1 or report["frames_shown"] or report.get("sent", {}).get("sources_held"):
        return WELL
    nobody = "no picture of the caller came" if report["face"] else "no face was seen at the other end"
    status.say(f"python -m receiver: {nobody}, so nothing was shown or recorded")
    return FAILED


async def _run(
    settings: ReceiverSettings, sending: SenderSettings | None, context: ReceiverContext, engine: Engine | None,
    status: StatusLine,
) -> dict[str, Any]:  # fmt: skip
    async def send_back() -> Prepared:
        assert sending is not None
        try:
            return await prepare_aside(sending, engine)
        except (SourceError, EngineError, ValueError) as error:
            raise CannotSend(str(error)) from error

    if settings.rendezvous is not None:
        settings = replace(
            settings, ice=await with_stun_of(settings.rendezvous, settings.ice, settings.https.trusting())
        )
    back = None if sending is None else send_back
    async with nullcontext() if settings.page is None else page(settings) as view:
        if view is not None and sending is not None:
            view.note = f"You are sending {sending.source} to callers who receive."
        return await Receiver(settings, context, status, view, back).run()


if __name__ == "__main__":
    sys.exit(main())
