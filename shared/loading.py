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


def end_while_loading() -> None:
    """From here on a signal ends a program that `python -m` is loading at once, with one line; in others nothing is
    done."""
    if sys.argv[:1] != ["-m"]:  # which it is as long as Python looks for the module
        return
    for name in NAMES:
        number = getattr(signal, name, None)
        if number is not None and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):  # nohup
            signal.signal(number, _end)


def _end(*_: object) -> None:
    given = sys.orig_argv
    program = f"python -m {given[given.index('-m') + 1]}: " if "-m" in given[:-1] else ""
    try:
        os.write(2, f"\n{program}interrupted\n".encode())
    finally:  # there may be no terminal to write to any more
        os._exit(INTERRUPTED)
