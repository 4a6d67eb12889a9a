"""A program that imports the package keeps what is its own."""

from __future__ import annotations

import signal
import sys

import pytest

from shared.loading import end_while_loading


@pytest.mark.parametrize(("program", "ends"), [("sender", True), ("shared.rendezvous.server", True), ("app", False)])
def test_signals_of_another_program_stay_as_they_are(monkeypatch: pytest.MonkeyPatch, program: str, ends: bool) -> None:
    changed = []
    monkeypatch.setattr(signal, "signal", lambda number, _: changed.append(number))
    monkeypatch.setattr(sys, "argv", ["-m"])
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-m", program])
    end_while_loading()
    assert (signal.SIGINT in changed) == ends
