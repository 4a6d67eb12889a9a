"""Options that the two commands have in common."""

from __future__ import annotations

import argparse

from shared.models.precision import PRECISIONS
from shared.models.registry import ENGINES
from shared.session.certificate import add_trust_option
from shared.session.ending import EXIT_STATUSES
from shared.session.report import report_path


def chosen(parser: argparse.ArgumentParser, args: argparse.Namespace, group: str) -> str:
    """The first option of a group that has not its default value; nothing if there is none."""
    actions = [action for each in parser._action_groups if each.title == group for action in each._group_actions]
    changed = [action for action in actions if getattr(args, action.dest) != parser.get_default(action.dest)]
    return max(changed[0].option_strings, key=len) if changed else ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that both sides of a call take, and what the exit statuses mean."""
    parser.epilog = EXIT_STATUSES
    parser.add_argument("--engine", choices=ENGINES, default="compact", help="must be the same on both sides")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where the networks run")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto",
                        help="what --engine compact draws in: auto takes bf16 on a CPU that multiplies it, fp16 on a "
                        "GPU, else fp32 (default: auto)")  # fmt: skip
    parser.add_argument("--stun", metavar="URL", help="STUN server, stun:HOST:PORT: finds the way through "
                        "most routers; give one on both sides (default: the rendezvous server's own, where you meet "
                        "at one)")  # fmt: skip
    parser.add_argument("--turn", metavar="URL", help="TURN server, turn:USER:PASSWORD@HOST:PORT: a "
                        "relay, for routers that let nothing else through")  # fmt: skip
    parser.add_argument("--relay-only", action="store_true",
                        help="send everything through the TURN server, so that the other side does not learn this "
                        "machine's address")  # fmt: skip
    add_trust_option(parser)
    parser.add_argument("--wait", action="store_true",
                        help="wait for the other side for ever; without it a call ends after 90 s of silence. A call "
                        "whose network was gone goes on by itself, unless it was joined by hand")  # fmt: skip
    parser.add_argument("--state", type=report_path, metavar="FILE",
                        help="keep in a file what this program needs to go on with the call when it is started again, "
                        "on the receiver also the join link; give it a file of its own")  # fmt: skip
    parser.add_argument("--report", type=report_path, metavar="FILE", help="write the figures of the call as JSON")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace files that are there already, which stay without it")  # fmt: skip
