"""What the commands in this folder have in common: how they end."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from shared.signals import ended_by_signals

P = ParamSpec("P")


def command(name: str, *errors: type[Exception]) -> Callable[[Callable[P, None]], Callable[P, int]]:
    """Makes a function the main one of `python -m benchmarks.NAME`: it then gives the exit status.

    0; 1 with a sentence on stderr if it raised one of `errors`; 130 after Ctrl-C, SIGTERM or SIGHUP, with the text that
    the KeyboardInterrupt carries, if it does. Other errors are bugs, and go through.
    """

    def decorate(function: Callable[P, None]) -> Callable[P, int]:
        @ended_by_signals(f"benchmarks.{name}")
        @functools.wraps(function)
        def main(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                function(*args, **kwargs)
            except errors as error:
                print(f"python -m benchmarks.{name}: {error}", file=sys.stderr)
                return 1
            return 0

        return main

    return decorate
