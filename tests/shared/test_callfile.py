from __future__ import annotations

from pathlib import Path

import pytest

from shared.callfile import CallFileError, CallWriter, Message, read_call
from shared.link.base import Channel
from shared.session.hello import Hello

HELLO = Hello("compact", "0123456789abcdef", "sender", "file", 29.97, 28, 256, {"codec": "av1"})
MESSAGES = [
    Message(0.0, Channel.PICTURES, b"piece"),
    Message(0.04, Channel.MOTION, bytes(range(256))),
    Message(3.5, Channel.CONTROL, b""),
]


def written(folder: Path) -> Path:
    path = folder / "call.pinhole"
    with CallWriter(path, HELLO) as file:
        for message in MESSAGES:
            file.write(*message)
    return path


def test_round_trip(tmp_path: Path) -> None:
    hello, messages = read_call(written(tmp_path))
    assert hello == HELLO
    assert list(messages) == MESSAGES


def test_a_file_cut_anywhere_is_good_up_to_there_or_refused(tmp_path: Path) -> None:
    whole = written(tmp_path).read_bytes()
    counts = set()
    for length in range(len(whole)):
        path = tmp_path / "cut.pinhole"
        path.write_bytes(whole[:length])
        try:
            messages = list(read_call(path)[1])
        except CallFileError:
            counts.add(-1)
            continue
        assert messages == MESSAGES[: len(messages)]
        counts.add(len(messages))
    assert counts == {-1, 0, 1, 2}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a call",
        b"PINHOLE\x02" + bytes(50),
        b"PINHOLE\x01",
        b"PINHOLE\x01\x00\x04nope",
        b"PINHOLE\x01\x00\x02{}",
        b"PINHOLE\x01\x00\x02\xff\xfe",
        b"PINHOLE\x01\xff\xff" + b"[" * 0xFFFF,
    ],
)
def test_other_files_are_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.pinhole"
    path.write_bytes(content)
    with pytest.raises(CallFileError, match="record it"):
        read_call(path)


def test_wild_records_end_the_file(tmp_path: Path) -> None:
    good = written(tmp_path).read_bytes()
    for bad in (b"\0\0\0\0\x09\0\0\0\x01x", b"\0\0\0\0\x00\xff\xff\xff\xff"):
        path = tmp_path / "bad.pinhole"
        path.write_bytes(good + bad)
        assert list(read_call(path)[1]) == MESSAGES


def test_places_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(CallFileError, match="cannot write"):
        CallWriter(tmp_path / "missing" / "call.pinhole", HELLO)
    with pytest.raises(CallFileError, match="cannot read"):
        read_call(tmp_path / "missing.pinhole")
    with pytest.raises(CallFileError, match="cannot read"):
        read_call(tmp_path)
