"""The two programs behind a router each, with nothing but a rendezvous server between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from call_examples import ROOT
from two_routers import SERVER, TwoRouters

WITHIN = 240.0
"""Seconds for a program to end, on a busy machine."""


@contextmanager
def running(place: list[str], *arguments: str | Path, home: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m ...` somewhere in the network, with a home folder of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    process = subprocess.Popen(
        [*place, sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def printed(stream: IO[str] | None, words: str) -> str:
    """The last word of the line that begins with these words, once it is there."""
    assert stream is not None
    line = next((line for line in stream if line.startswith(words)), "")
    assert line, f"{words!r} was never printed"
    return line.split()[-1]


@contextmanager
def met(network: TwoRouters, folder: Path) -> Iterator[tuple[subprocess.Popen[str], subprocess.Popen[str]]]:
    """A rendezvous server in the middle, a receiver at one home and a sender at the other."""
    for name in ("one", "two"):
        (folder / name).mkdir()
    server = running(network.inside("net"), "shared.rendezvous.server", "--host", SERVER, home=folder)
    with server as meeting:
        url = printed(meeting.stdout, "receivers wait with")
        waiting = running(
            network.inside("home-1"), "receiver", "--rendezvous", url, "--no-audio", "--report", folder / "r.json",
            home=folder / "one",
        )  # fmt: skip
        with waiting as receiver:
            link = printed(receiver.stdout, "join with")
            calling = running(
                network.inside("home-2"), "sender", "--peer", link, "--source", "sample", "--seconds", "2",
                "--framing", "none", home=folder / "two",
            )  # fmt: skip
            with calling as sender:
                yield receiver, sender


@pytest.mark.slow
def test_a_rendezvous_server_is_enough_for_a_call_through_two_routers(tmp_path: Path) -> None:
    with TwoRouters() as network, met(network, tmp_path) as (receiver, sender):
        _, said = sender.communicate(timeout=WITHIN)
        assert sender.returncode == 0, said
        _, heard = receiver.communicate(timeout=WITHIN)
        assert receiver.returncode == 0, heard
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["sources_received"] >= 1 and report["frames_received"] > 0


@pytest.mark.slow
def test_where_every_connection_gets_another_port_a_relay_is_asked_for(tmp_path: Path) -> None:
    with TwoRouters(symmetric=True) as network, met(network, tmp_path) as (receiver, sender):
        _, said = sender.communicate(timeout=WITHIN)
        assert sender.returncode == 1
        last = said.strip().splitlines()[-1]
        assert "lets nothing through directly, so name a relay with --turn" in last, said
        assert "Traceback" not in said
        assert receiver.poll() is None  # it waits for the next
