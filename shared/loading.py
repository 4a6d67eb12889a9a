"""What ends a program while its modules are loaded, which takes seconds: at once, since nothing is open yet.

It is loaded before everything else, so it imports as little as can be.
"""

import os
import signal
import sys

INTERRUPTED = 130
"""Exit status: what a shell gives for Ctrl-C."""
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Of the signals that ask for an end; no system has all."""
_OURS = ("benchmarks", "receiver", "sender", "shared", "weights")
"""Packages that `python -m` runs and that end by their own handlers once they are loaded."""


def end_while_loading() -> None:
    """From here on a signal ends a program of ours that `python -m` is loading at once, with one line; in others, such
    as one that imports `pinhole`, nothing is done."""
    looking = sys.argv[:1] == ["-m"]  # for the module, and for as long as it does
    if not looking or _program().partition(".")[0] not in ("", *_OURS):
        return
    for name in NAMES:
        number = getattr(signal, name, None)
        if number is not None and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):  # nohup
            signal.signal(number, _end)


def _program() -> str:
    """What `python -m` runs; nothing where it does not say."""
    given = sys.orig_argv
    return given[given.index("-m") + 1] if "-m" in given[:-1] else ""


def _end(*_: object) -> None:
    program = f"python -m {_program()}: " if _program() else ""
    try:
        os.write(2, f"\n{program}interrupted\n".encode())
    finally:  # there may be no terminal to write to any more
        os._exit(INTERRUPTED)
