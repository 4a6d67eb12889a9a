from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from shared.call.state import (
    ReceiverState,
    SenderState,
    StateError,
    forget_state,
    peer_name,
    read_receiver,
    read_sender,
    write_state,
)
from shared.files import PrivateFileError
from shared.signalling.tokens import new_token

RECEIVER = ReceiverState(new_token(), (new_token(), new_token()), "room-secret_24_characters", 8765)
SENDER = SenderState(peer_name("http://h:1/join/abc"), "http://h:1/join/" + new_token())


def test_what_was_kept_is_read(tmp_path: Path) -> None:
    for state in (RECEIVER, ReceiverState()):
        write_state(tmp_path / "r", state)
        assert read_receiver(tmp_path / "r") == state
    write_state(tmp_path / "s", SENDER)
    assert read_sender(tmp_path / "s") == SENDER
    assert read_receiver(tmp_path / "none") is None and read_sender(tmp_path / "none") is None


def test_only_the_owner_can_read_it_and_no_other_file_is_left(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        for _ in range(2):
            write_state(tmp_path / "s", SENDER)
    finally:
        os.umask(before)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_one_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_state(tmp_path / "s", SENDER)
    (tmp_path / "s").chmod(0o644)
    with pytest.raises(PrivateFileError, match="chmod 600"):
        read_sender(tmp_path / "s")


@pytest.mark.parametrize(
    "change",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 10000,
        b"x" * 20000,
        {"invitation": 5},
        {"invitation": "short"},
        {"calls": "text"},
        {"calls": [1]},
        {"calls": [new_token()] * 65},
        {"room": "/ /"},
        {"port": 0},
        {"port": True},
        {"port": None, "calls": None},
    ],
)
def test_a_damaged_one_is_told(tmp_path: Path, change: bytes | dict[str, object]) -> None:
    path = tmp_path / "r"
    write_state(path, RECEIVER)
    path.write_bytes(
        change if isinstance(change, bytes) else json.dumps(json.loads(path.read_bytes()) | change).encode()
    )
    with pytest.raises(StateError, match="is no state of a call, or a damaged one: remove it"):
        read_receiver(path)


@pytest.mark.parametrize("change", [{"link": "ftp://h/x"}, {"link": 5}, {"link": None}, {"peer": 5}])
def test_a_damaged_one_of_a_sender_is_told(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "s"
    write_state(path, SENDER)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change))
    with pytest.raises(StateError, match="is no state of a call, or a damaged one: remove it"):
        read_sender(path)


def test_sides_and_versions_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "s"
    write_state(path, SENDER)
    with pytest.raises(StateError, match="holds the state of a sender, this is a receiver: give each its own file"):
        read_receiver(path)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"version": 2}))
    with pytest.raises(StateError, match="is of version 2, this program reads 1: remove it"):
        read_sender(path)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PrivateFileError, match="cannot be written"):
        write_state(tmp_path / "file" / "s", SENDER)


def test_it_can_be_forgotten_twice(tmp_path: Path) -> None:
    write_state(tmp_path / "s", SENDER)
    forget_state(tmp_path / "s")
    forget_state(tmp_path / "s")
    assert read_sender(tmp_path / "s") is None


def test_a_link_is_named_without_being_told() -> None:
    assert peer_name("http://h:1/join/abc ") == peer_name("http://h:1/join/abc") != peer_name("http://h:1/join/abd")
    assert "abc" not in peer_name("http://h:1/join/abc")


def test_when_the_link_was_made_is_kept_and_older_files_do_not_say(tmp_path: Path) -> None:
    path = tmp_path / "r"
    write_state(path, replace(RECEIVER, invited_at=1.5e9))
    assert read_receiver(path) == replace(RECEIVER, invited_at=1.5e9)
    data = json.loads(path.read_text())
    del data["invited_at"]
    path.write_text(json.dumps(data))
    assert read_receiver(path) == RECEIVER
    for wrong in (True, "1500000000", float("nan"), [1]):
        path.write_text(json.dumps(data | {"invited_at": wrong}))
        with pytest.raises(StateError, match="damaged"):
            read_receiver(path)
