"""A receiver that is killed and started again goes on with its call: two real processes, as a user would start them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from call_examples import Program, read_clip

PATIENCE = 240.0
"""Seconds after which something that was waited for counts as failed."""


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def part(path: Path) -> Path:
    """Where a recording is until it is whole."""
    return path.with_suffix(".part.mp4")


@pytest.mark.slow
def test_a_receiver_that_is_killed_and_started_again_goes_on_with_the_call(tmp_path: Path) -> None:
    before, after, state = tmp_path / "before.mp4", tmp_path / "after.mp4", tmp_path / "state"
    ours, theirs = tmp_path / "s.json", tmp_path / "r.json"
    common = ("--config", tmp_path / "config")

    def receiver(out: Path) -> Program:
        options = ("--listen", "127.0.0.1:0", "--out", out, "--state", state, "--report", theirs, "--no-qr")
        return Program("receiver", *options, *common)

    with receiver(before) as first:
        arguments = ("--peer", first.join_url(), "--source", "sample", "--framing", "none", "--report", ours)
        with Program("sender", *arguments, "--profile", "thin", *common) as sender:
            until(lambda: size(part(before)) > 20_000, "nothing was recorded before the receiver was killed")
            first.signal(signal.SIGKILL)
            assert first.end(PATIENCE)[0] == -signal.SIGKILL
            with receiver(after) as second:
                until(lambda: size(part(after)) > 20_000, "nothing was recorded after the receiver was started again")
                sender.signal(signal.SIGINT)
                code, said = second.end(PATIENCE)
                assert code == 0, said
            sender.end(PATIENCE)
    assert len(read_clip(part(before))[0]) > 0 and len(read_clip(after)[0]) > 0
    report = json.loads(ours.read_text())
    assert report["sources_sent"] >= 2  # the second receiver held none
    assert json.loads(theirs.read_text())["frames_shown"] > 0
    assert state.stat().st_mode & 0o777 == 0o600
