"""Programs that a signal ends: in a call, and while they write a file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from call_examples import ROOT, Program, read_clip

from shared.call.call_file import FiledMessage, read_call
from shared.call.exit_status import INTERRUPTED, WELL


def wait_for_bytes(path: Path, size: int) -> None:
    """Until a file is that large."""
    for _ in range(1200):
        if path.exists() and path.stat().st_size > size:
            return
        time.sleep(0.1)
    raise AssertionError("nothing was written within two minutes")


@pytest.mark.parametrize(
    ("side", "number"), [("sender", signal.SIGTERM), ("receiver", getattr(signal, "SIGHUP", signal.SIGTERM))]
)
def test_a_side_that_is_ended_says_goodbye(side: str, number: signal.Signals, tmp_path: Path) -> None:
    out, report = tmp_path / "o.mp4", tmp_path / "r.json"
    with Program("receiver", "--listen", "127.0.0.1:0", "--out", out, "--report", report) as receiver:
        arguments = ("--peer", receiver.join_url(), "--source", "sample", "--framing", "none")
        with Program("sender", *arguments, "--report", tmp_path / "s.json") as sender:
            wait_for_bytes(out.with_suffix(".part.mp4"), 4000)
            both = {"sender": sender, "receiver": receiver}
            both[side].signal(number)
            ended = {name: program.end() for name, program in both.items()}
    other = "receiver" if side == "sender" else "sender"
    assert [ended[side][0], ended[other][0]] == [INTERRUPTED, WELL], ended
    assert all("Traceback" not in said for _, said in ended.values())
    assert sum("interrupted" in line for line in ended[side][1].splitlines()) == 1
    theirs = json.loads((tmp_path / f"{other[0]}.json").read_text())
    assert theirs["ended"] == "the other side ended the call: interrupted"
    frames, _ = read_clip(out)
    assert len(frames) == json.loads(report.read_text())["recorded_frames"] > 10


def test_files_are_whole_when_a_signal_ends_what_writes_them(tmp_path: Path) -> None:
    call, film = tmp_path / "o.pinhole", tmp_path / "o.mp4"
    with Program("sender", "--source", "sample", "--framing", "none", "--out", call) as sender:
        wait_for_bytes(call.with_suffix(".part.pinhole"), 5_000)
        sender.signal(signal.SIGINT)
        code, said = sender.end()
    assert (code, said.splitlines()[-1]) == (INTERRUPTED, "python -m sender: interrupted")
    assert "Traceback" not in said
    assert sum(isinstance(each, FiledMessage) for each in read_call(call)[1]) > 10
    assert sorted(each.name for each in tmp_path.iterdir()) == ["o.pinhole"]
    with Program("receiver", "--play", call, "--out", film) as receiver:
        wait_for_bytes(film.with_suffix(".part.mp4"), 500)
        receiver.signal(signal.SIGTERM)
        code, said = receiver.end()
    assert "Traceback" not in said
    assert code in (INTERRUPTED, WELL)  # it may have been at its end
    assert len(read_clip(film)[0]) > 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["o.mp4", "o.pinhole"]


def test_a_rendezvous_server_is_stopped() -> None:
    command = [sys.executable, "-m", "shared.rendezvous", "--host", "127.0.0.1", "--port", "0", "--no-stun"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert "receivers wait with" in server.stdout.readline()
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=60)
    assert (server.returncode, said) == (INTERRUPTED, "\npython -m shared.rendezvous: stopped\n")
