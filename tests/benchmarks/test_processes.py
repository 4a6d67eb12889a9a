"""A call between two processes, played by two small programs: what comes back, and what goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.processes import CallFailed, call

COMMON = """
import json, pathlib, signal, sys, time

def option(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None

def stop(*_):
    pathlib.Path(NAME + ".asked_to_stop").touch()
    sys.exit(0)

def until(name):
    while not pathlib.Path(name).exists():
        time.sleep(0.01)

def report():
    pathlib.Path(option("--report")).write_text(json.dumps({"options": sys.argv[1:]}))

signal.signal(signal.SIGTERM, stop)
"""
RECEIVER = """
mode = option("--mode")
if mode == "broken":
    sys.exit("the lens is cracked")
if mode == "dumb":
    time.sleep(600)
print("join with: python -m sender --peer http://127.0.0.1:9/join/abc", flush=True)
until("over")
if mode == "deaf":
    time.sleep(600)
report()
pathlib.Path("receiver.ended").touch()
"""
SENDER = """
mode = option("--source")
print("looking at", mode, file=sys.stderr, flush=True)
if mode == "broken":
    sys.exit("there is no camera")
if mode == "long":
    pathlib.Path("calling").touch()
    until("enough")
if mode != "silent":
    report()
pathlib.Path("sender.ended").touch()
pathlib.Path("over").touch()
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which `python -m sender` and `python -m receiver` start the programs above."""
    for name, program in (("receiver", RECEIVER), ("sender", SENDER)):
        (tmp_path / f"{name}.py").write_text(f"NAME = {name!r}\n{COMMON}{program}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_both_reports_come_back(capfd: pytest.CaptureFixture[str]) -> None:
    polls: list[None] = []
    both = call(["--source", "talk.mp4"], ["--out", "o.mp4"], waiting=lambda: polls.append(None))
    assert list(both) == ["receiver", "sender"]
    assert both["receiver"]["options"][:-3] == ["--listen", "127.0.0.1:0", "--out", "o.mp4"]
    assert both["sender"]["options"][:-3] == ["--peer", "http://127.0.0.1:9/join/abc", "--source", "talk.mp4"]
    assert polls
    assert "looking" not in capfd.readouterr().err
    call(["--source", "talk.mp4"], show_sender=True)
    assert "looking at talk.mp4" in capfd.readouterr().err


def test_a_sender_that_fails_is_quoted_and_the_receiver_stopped(here: Path) -> None:
    with pytest.raises(CallFailed, match=r"(?s)the sender failed \(exit status 1\).*looking at.*there is no camera$"):
        call(["--source", "broken"])
    assert (here / "receiver.asked_to_stop").exists()


def test_a_receiver_that_does_not_start_is_quoted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CallFailed, match=r"(?s)the receiver failed \(exit status 1\).*the lens is cracked$"):
        call(["--source", "talk.mp4"], ["--mode", "broken"])
    monkeypatch.setattr(processes, "_START_SECONDS", 0.2)
    with pytest.raises(CallFailed, match=r"the receiver printed no join URL within 0\.2 s"):
        call(["--source", "talk.mp4"], ["--mode", "dumb"])
    assert not (here / "sender.ended").exists()


def test_a_receiver_that_does_not_end_is_stopped(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_END_SECONDS", 0.2)
    with pytest.raises(CallFailed, match="the receiver did not end after the sender's goodbye"):
        call(["--source", "talk.mp4"], ["--mode", "deaf"])
    assert (here / "receiver.asked_to_stop").exists()


def test_a_report_that_is_missing() -> None:
    with pytest.raises(CallFailed, match=r"the sender ended without a report; it printed:\nlooking at silent"):
        call(["--source", "silent"])


def test_after_ctrl_c_both_may_say_goodbye(here: Path) -> None:
    def interrupt() -> None:
        if (here / "calling").exists():
            (here / "enough").touch()  # a terminal sends the signal to all, and both sides end the call
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(["--source", "long"], waiting=interrupt)
    assert (here / "sender.ended").exists() and (here / "receiver.ended").exists()
    assert not list(here.glob("*.asked_to_stop"))
