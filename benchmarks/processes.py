"""A call between two processes of this machine, with the commands a user would type: all of WebRTC, on loopback."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

POLL_SECONDS = 0.1
_START_SECONDS = 120.0
"""That the receiver may take to load and to listen."""
_END_SECONDS = 30.0
"""That the receiver may take to end once the sender has."""
_GOODBYE_SECONDS = 5.0
"""That a side may take to say goodbye when it is to stop."""

T = TypeVar("T")


class CallFailed(Exception):
    """There was no call, or it broke; the message says which side failed and what it printed."""


def call(
    sending: Sequence[str | Path],
    receiving: Sequence[str | Path] = (),
    *,
    show_sender: bool = False,
    waiting: Callable[[], object] = lambda: None,
) -> dict[str, dict[str, Any]]:
    """Makes a call; the reports of `sender` and `receiver` come back.

    `sending` and `receiving` are options of either beside --peer, --listen and --report. With `show_sender` its status
    goes to this process's own output. `waiting` is called every `POLL_SECONDS`. Both processes have ended when this
    returns or raises. Raises CallFailed.
    """
    with tempfile.TemporaryDirectory() as folder:
        pair = _Pair(Path(folder), waiting)
        try:
            receiver = pair.start("receiver", ["--listen", "127.0.0.1:0", *receiving])
            url = pair.wait(receiver.join_url, _START_SECONDS, "the receiver printed no join URL")
            sender = pair.start("sender", ["--peer", url, *sending], shown=show_sender)
            pair.wait(lambda: sender.over, float("inf"), "")
            pair.wait(lambda: receiver.over, _END_SECONDS, "the receiver did not end after the sender's goodbye")
            return {side.name: side.report() for side in pair.sides}
        except KeyboardInterrupt:
            pair.end(_GOODBYE_SECONDS)  # a terminal sends Ctrl-C to them too
            raise
        finally:
            pair.end(0)


class _Side:
    """`python -m sender` or `python -m receiver`, running."""

    def __init__(self, name: str, arguments: Sequence[str | Path], folder: Path, shown: bool) -> None:
        self.name = name
        self._log, self._report = folder / f"{name}.log", folder / f"{name}.json"
        options = ["--report", str(self._report), "--no-identity"]  # the user's own key is not for this
        command = [sys.executable, "-m", name, *map(str, arguments), *options]
        with self._log.open("w") as log:
            into = None if shown else log
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=into, stderr=into)

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace").strip()

    def join_url(self) -> str | None:
        """What a receiver prints once it listens; None until then."""
        found = re.search(r"(http://\S+)\s", self._log.read_text(errors="replace"))
        return found and found[1]

    def report(self) -> dict[str, Any]:
        if not self._report.exists():
            raise CallFailed(f"the {self.name} ended without a report{_quoted(self.said)}")
        figures: dict[str, Any] = json.loads(self._report.read_text(encoding="utf-8"))
        return figures


class _Pair:
    """Both sides, as they are started."""

    def __init__(self, folder: Path, waiting: Callable[[], object]) -> None:
        self.sides: list[_Side] = []
        self._folder, self._waiting = folder, waiting

    def start(self, name: str, arguments: Sequence[str | Path], shown: bool = False) -> _Side:
        self.sides.append(_Side(name, arguments, self._folder, shown))
        return self.sides[-1]

    def wait(self, result: Callable[[], T | None], seconds: float, failure: str) -> T:
        """The first result that is true. Raises CallFailed if a side fails, or with `failure` after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            found = result()
            for side in self.sides:
                if code := side.process.poll():
                    raise CallFailed(f"the {side.name} failed (exit status {code}){_quoted(side.said)}")
            if found:
                return found
            if time.monotonic() > deadline:
                said = "".join(f"\nthe {side.name}{_quoted(side.said)}" for side in self.sides)
                raise CallFailed(f"{failure} within {seconds:g} s{said}")
            time.sleep(POLL_SECONDS)
            self._waiting()

    def end(self, patience: float) -> None:
        """Waits so many seconds for both sides, then asks them to stop, then makes them."""
        processes = [side.process for side in self.sides]
        try:
            _wait_for(processes, patience)
            for process in processes:
                process.terminate()
            _wait_for(processes, _GOODBYE_SECONDS)
        finally:  # a second Ctrl-C may come in above
            for process in processes:
                process.kill()
                process.wait()


def _wait_for(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))


def _quoted(text: str) -> str:
    return f"; it printed:\n{text}" if text else ""
