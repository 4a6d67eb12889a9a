"""A recorded call: the hello and every message the sender sent, with its time; `CALL.pinhole`.

    magic "PINHOLE" and a version byte, hello as JSON (2-byte length), then per message:
    time in ms since the start (4 bytes), channel (1), length (4), message
All numbers are big-endian. A file that breaks off is good up to its last whole message.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from shared.link.base import Channel
from shared.session.hello import Hello, MalformedHello

_MAGIC = b"PINHOLE\x01"
_LENGTH = struct.Struct(">H")
_RECORD = struct.Struct(">IBI")
_MAX_MESSAGE = 1 << 20
_CHANNELS = tuple(Channel)


class CallFileError(Exception):
    """A call file could not be read or written; the message says why and what to do."""


class Message(NamedTuple):
    """One recorded message."""

    time: float
    """Seconds since the start of the call."""
    channel: Channel
    data: bytes


class CallWriter:
    """Writes a call file; use as a context manager."""

    def __init__(self, path: Path, hello: Hello) -> None:
        """Opens the file. Raises CallFileError if it cannot be written."""
        try:
            self._file: BinaryIO = path.open("wb")
        except OSError as error:
            raise CallFileError(f"cannot write {path} ({error.strerror}): choose another place") from error
        text = json.dumps(hello.to_dict()).encode()
        self._file.write(_MAGIC + _LENGTH.pack(len(text)) + text)

    def write(self, time: float, channel: Channel, data: bytes) -> None:
        """Appends one message sent `time` seconds after the start."""
        self._file.write(_RECORD.pack(round(time * 1000), _CHANNELS.index(channel), len(data)) + data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


def read_call(path: Path) -> tuple[Hello, Iterator[Message]]:
    """The hello and the messages of a call file. Raises CallFileError for anything that is not one."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise CallFileError(f"cannot read {path} ({error.strerror})") from error
    if file.read(len(_MAGIC)) != _MAGIC:
        file.close()
        raise CallFileError(f"{path} is not a Pinhole call of this version: record it with `python -m sender --out`")
    try:
        (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
        hello = Hello.from_dict(json.loads(file.read(length)))
    except (struct.error, ValueError, RecursionError, MalformedHello) as error:
        file.close()
        raise CallFileError(f"{path} is damaged at its start ({error}): record it again") from error
    return hello, _messages(file)


def _messages(file: BinaryIO) -> Iterator[Message]:
    with file:
        while len(head := file.read(_RECORD.size)) == _RECORD.size:
            time, channel, length = _RECORD.unpack(head)
            if channel >= len(_CHANNELS) or length > _MAX_MESSAGE:
                return
            data = file.read(length)
            if len(data) < length:
                return
            yield Message(time / 1000, _CHANNELS[channel], data)
