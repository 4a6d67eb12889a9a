"""Options that would do nothing in what a command line asks for: better refused than taken without effect."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable

NETWORK = ("stun", "turn", "relay_only", "ca", "wait", "state")
"""Those of a call over a network, as argparse has them."""
TRUST = ("who", "no_identity", "config")


def idle(parser: argparse.ArgumentParser, args: argparse.Namespace, options: Iterable[str], why: str) -> str:
    """A sentence on the first of these options that is given; nothing if none is. One that says what is so anyway
    counts as not given.

    `why`: what makes it do nothing, and what to do.
    """
    for option in options:
        if getattr(args, option) != parser.get_default(option):
            return f"{_written(parser, option)} does nothing {why}"
    return ""


def seconds(text: str) -> float:
    """A time for argument parsers. Raises ArgumentTypeError unless it is a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: give seconds, more than 0")
    return value


def _written(parser: argparse.ArgumentParser, option: str) -> str:
    """As a user writes it; of several that set the same, the first."""
    action = next(each for each in parser._actions if each.dest == option)
    return max(action.option_strings, key=len)
