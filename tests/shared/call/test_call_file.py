from __future__ import annotations

from pathlib import Path
from zlib import crc32

import pytest

from shared.call.call_file import (
    LARGEST_MESSAGE,
    CallFileError,
    CallWriter,
    Entry,
    FiledFrame,
    FiledMessage,
    Resumed,
    Taken,
    read_call,
)
from shared.signalling.hello import Hello
from shared.transport.link import Channel

HELLO = Hello("compact", "0123456789abcdef", "sender", "file", 29.97, 28, 256, {"codec": "av1"})
MESSAGES: list[Entry] = [
    FiledFrame(0.0, 1, ()),
    FiledMessage(0.0, Channel.PICTURES, b"piece"),
    Taken(0.0, 65535),
    FiledMessage(0.04, Channel.MOTION, bytes(range(256))),
    FiledFrame(0.04, 2, (-3, -2, 0, 255, 256)),
    FiledMessage(3.5, Channel.CONTROL, b""),
    FiledFrame(3.5, 1, (2**31 - 1,)),
    Resumed(7.25, False, 0),
    Resumed(7.5, True, 2**32 - 1),
]


def written(folder: Path) -> Path:
    path = folder / "call.pinhole"
    with CallWriter(path, HELLO) as file:
        for entry in MESSAGES:
            if isinstance(entry, FiledMessage):
                file.write(*entry)
            else:
                file.mark(entry)
    return path


def test_round_trip(tmp_path: Path) -> None:
    hello, messages = read_call(written(tmp_path))
    assert hello == HELLO
    assert list(messages) == MESSAGES


def test_a_file_of_the_version_before_is_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"PINHOLE\x03", b"PINHOLE\x02", 1))
    assert list(read_call(path)[1]) == MESSAGES
    path.write_bytes(path.read_bytes().replace(b"PINHOLE\x02", b"PINHOLE\x04", 1))
    with pytest.raises(CallFileError, match="not a Pinhole call of this version"):
        read_call(path)


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
    assert counts == {-1, *range(len(MESSAGES))}


def test_a_changed_byte_anywhere_is_refused(tmp_path: Path) -> None:
    whole = written(tmp_path).read_bytes()
    path = tmp_path / "changed.pinhole"
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        with pytest.raises(CallFileError, match=r"record it|is damaged after"):
            read_call(path)


def test_damage_is_told_with_its_place(tmp_path: Path) -> None:
    whole = written(tmp_path).read_bytes()
    path = tmp_path / "changed.pinhole"
    path.write_bytes(whole[:-1] + b"?")
    with pytest.raises(CallFileError, match=r"is damaged after 7\.2 s: .* cut it to its first (\d+) bytes") as info:
        read_call(path)
    first = int(str(info.value).split("first ")[1].split()[0])
    path.write_bytes(whole[:first])
    assert list(read_call(path)[1]) == MESSAGES[:-1]


def test_zeros_at_the_end_are_a_cut(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes() + bytes(5000))
    assert list(read_call(path)[1]) == MESSAGES


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a call",
        b"PINHOLE\x01" + bytes(50),
        b"PINHOLE\x02",
        b"PINHOLE\x02\x00\x04\x00\x00\x00\x00nope",
        *(
            b"PINHOLE\x02" + len(text).to_bytes(2, "big") + crc32(text).to_bytes(4, "big") + text
            for text in (b"{}", b"\xff\xfe", b"[" * 0xFFFF)
        ),
    ],
)
def test_other_files_are_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.pinhole"
    path.write_bytes(content)
    with pytest.raises(CallFileError, match="record it"):
        read_call(path)


def test_a_message_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "call.pinhole"
    with CallWriter(path, HELLO) as file, pytest.raises(ValueError, match="at most"):
        file.write(0.0, Channel.MOTION, bytes(LARGEST_MESSAGE + 1))
    assert list(read_call(path)[1]) == []


def test_after_an_error_what_was_there_stays_and_after_ctrl_c_what_was_recorded_plays(tmp_path: Path) -> None:
    before = written(tmp_path).read_bytes()

    def write(error: BaseException) -> None:
        with CallWriter(tmp_path / "call.pinhole", HELLO) as file:
            file.write(0.0, Channel.MOTION, b"new")
            raise error

    with pytest.raises(ValueError, match="wrong"):
        write(ValueError("wrong"))
    assert (tmp_path / "call.pinhole").read_bytes() == before
    with pytest.raises(KeyboardInterrupt):
        write(KeyboardInterrupt())
    assert list(read_call(tmp_path / "call.pinhole")[1]) == [FiledMessage(0.0, Channel.MOTION, b"new")]
    assert [each.name for each in tmp_path.iterdir()] == ["call.pinhole"]


def test_places_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(CallFileError, match="create it first"):
        CallWriter(tmp_path / "missing" / "call.pinhole", HELLO)
    with pytest.raises(CallFileError, match="cannot read"):
        read_call(tmp_path / "missing.pinhole")
    with pytest.raises(CallFileError, match="cannot read"):
        read_call(tmp_path)
