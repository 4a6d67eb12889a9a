"""A recorded call: the hello and every message from the sender, with its time; `CALL.pinhole`.

    magic "PINHOLE" and a version byte, length (2 bytes) and checksum (4) of the hello, hello as JSON, then records of
    time in ms since the start (4 bytes), kind (1), length (4), checksum of these (2) and of the content (4), content
All numbers are big-endian, checksums are CRC-32 or its lower half. A file that breaks off is good up to its last whole
record; the two checksums tell that from a damaged one. Files of version 2 are read, too: they lack one kind of mark.

The sender's own recording holds messages only. A receiver's has marks between them: which frames it drew, when it
took a source, and where it resumed. With those, a replay draws the very frames that were shown, however late the
machine then was.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self
from zlib import crc32

from shared.errors import PinholeError
from shared.files import PartFile, PlaceError
from shared.signalling.hello import Hello, MalformedHello
from shared.transport.link import Channel

LARGEST_MESSAGE = 1 << 20
"""Bytes of a message at most."""
LARGEST_STEP = 255
"""From one frame number to the next in one mark; also the frames of a mark at most, but for its first."""

_MAGIC = b"PINHOLE\x03"
_READ = (b"PINHOLE\x02", _MAGIC)
_HELLO = struct.Struct(">HI")
_RECORD = struct.Struct(">IBI")
_CHECKSUMS = struct.Struct(">HI")
_SHOWN_HEAD = struct.Struct(">Bi")
_TAKEN_BODY = struct.Struct(">I")
_RESUMED_BODY = struct.Struct(">?I")
_CHANNELS = tuple(Channel)
_SHOWN, _TAKEN, _RESUMED = 64, 65, 66
"""Kinds of the marks; kinds below are channels."""
_SCAN = 1 << 16


class CallFileError(PinholeError):
    """A call file could not be read or written; the message says why and what to do."""


class FiledMessage(NamedTuple):
    """One recorded message."""

    time: float
    """Seconds since the start of the call."""
    channel: Channel
    data: bytes


class FiledFrame(NamedTuple):
    """The receiver drew these frames, from at most so many sources but for those that fade out."""

    time: float
    """Of the message before, seconds."""
    most: int
    """1..255"""
    numbers: tuple[int, ...]
    """Frame numbers as the playout counts them; each at most LARGEST_STEP above the one before. A recording with marks
    begins with an empty one."""


class Taken(NamedTuple):
    """The receiver took a source into its gallery."""

    time: float
    """Of the message before, seconds."""
    source_id: int


class Resumed(NamedTuple):
    """The call went on after its connection was lost."""

    time: float
    """Seconds since the start of the call."""
    replaced: bool
    """Whether the sender was started again, so that nothing of before holds."""
    skip: int
    """Frame numbers left out, as the playout counts them; 32 bits."""


Mark = FiledFrame | Taken | Resumed
Entry = FiledMessage | Mark


class CallStream:
    """Writes a call to a binary stream, which stays open."""

    def __init__(self, stream: BinaryIO, hello: Hello) -> None:
        """Writes the beginning. Raises OSError, and MalformedHello for a hello that no reader would take."""
        self._file = stream
        self._file.write(_beginning(hello))

    def write(self, time: float, channel: Channel, data: bytes) -> None:
        """Appends one message sent `time` seconds after the start. Raises OSError, and ValueError if it is too long."""
        if len(data) > LARGEST_MESSAGE:
            raise ValueError(f"a message of {len(data)} bytes cannot be recorded, at most {LARGEST_MESSAGE} can")
        self._append(time, _CHANNELS.index(channel), data)

    def mark(self, mark: Mark) -> None:
        """Appends a mark. Raises OSError, and ValueError for one that no reader would take."""
        if isinstance(mark, Taken):
            self._append(mark.time, _TAKEN, _TAKEN_BODY.pack(mark.source_id))
            return
        if isinstance(mark, Resumed):
            self._append(mark.time, _RESUMED, _RESUMED_BODY.pack(mark.replaced, mark.skip))
            return
        numbers = mark.numbers
        if not 1 <= mark.most <= 255 or len(numbers) > LARGEST_STEP + 1:
            raise ValueError(f"a mark of {len(numbers)} frames drawn from {mark.most} sources cannot be recorded")
        steps = bytes(b - a for a, b in pairwise(numbers))
        self._append(mark.time, _SHOWN, _SHOWN_HEAD.pack(mark.most, numbers[0]) + steps if numbers else b"")

    def _append(self, time: float, kind: int, content: bytes) -> None:
        head = _RECORD.pack(round(time * 1000) & 0xFFFFFFFF, kind, len(content))
        record = head + _CHECKSUMS.pack(crc32(head) & 0xFFFF, crc32(content)) + content
        written = self._file.write(record)
        if written != len(record):  # a full disk takes a part without a word, and says so then
            self._file.write(record[written or 0 :])


class CallWriter(CallStream):
    """Writes a call file; use as a context manager. What was written is on its way to the disk at once.

    It comes to its place when it is closed; after an error in the block there is none.
    """

    def __init__(self, path: Path, hello: Hello) -> None:
        """Opens the file. Raises CallFileError if it cannot be written, and for a hello that no reader would take."""
        self.path = path
        try:
            _beginning(hello)
        except MalformedHello as error:
            raise CallFileError(f"cannot write {path}: {error}") from error
        try:
            self._part = PartFile(path)
        except PlaceError as error:
            raise CallFileError(str(error)) from error
        try:
            super().__init__(self._part.path.open("wb", buffering=0), hello)
        except OSError as error:
            self._part.discard()
            raise CallFileError(f"'{path}' cannot be written ({error.strerror}); choose another place.") from error

    @property
    def written(self) -> Path:
        """Where the file is before it is closed."""
        return self._part.path

    def close(self) -> None:
        """Ends the file and puts it in its place. May be called more than once. Raises CallFileError."""
        self._file.close()
        try:
            self._part.keep()
        except PlaceError as error:
            raise CallFileError(str(error)) from error

    def leave(self) -> None:
        """Ends the file where it was written: it is not whole, but what is there can be played."""
        self._file.close()

    def discard(self) -> None:
        """Ends the file and takes it away. May be called more than once."""
        self._file.close()
        self._part.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):  # Ctrl-C is none: what was recorded until then plays
            self.discard()
        else:
            self.close()


def read_call(path: Path) -> tuple[Hello, Iterator[Entry]]:
    """The hello and the entries of a call file, which may break off anywhere after the hello.

    Raises CallFileError for anything that is not one, and for one that is damaged in the middle.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise CallFileError(f"cannot read {path} ({error.strerror})") from error
    try:
        return read_stream(file, str(path))
    except CallFileError:
        file.close()
        raise


def read_stream(stream: BinaryIO, name: str) -> tuple[Hello, Iterator[Entry]]:
    """The same of a binary stream that can seek, which is closed after its last entry; errors call it by `name`."""
    hello = _hello(name, stream)
    begin = stream.tell()
    for _ in _entries(name, stream):  # damage shows before anything is drawn
        pass
    stream.seek(begin)
    return hello, _closing(name, stream)


def _beginning(hello: Hello) -> bytes:
    """What a call begins with. Raises MalformedHello."""
    text = json.dumps(hello.to_dict()).encode()
    Hello.from_dict(json.loads(text))
    return _MAGIC + _HELLO.pack(len(text), crc32(text)) + text


def _hello(path: str, file: BinaryIO) -> Hello:
    if file.read(len(_MAGIC)) not in _READ:
        raise CallFileError(f"{path} is not a Pinhole call of this version: record it with this one")
    try:
        length, checksum = _HELLO.unpack(file.read(_HELLO.size))
        text = file.read(length)
        if crc32(text) != checksum:
            raise ValueError("its checksum is wrong")
        return Hello.from_dict(json.loads(text))
    except (struct.error, ValueError, RecursionError, MalformedHello) as error:
        raise CallFileError(f"{path} is damaged at its start ({error}): record it again") from error


def _closing(path: str, file: BinaryIO) -> Iterator[Entry]:
    with file:
        yield from _entries(path, file)


def _entries(path: str, file: BinaryIO) -> Iterator[Entry]:
    """Up to the end or the cut. Raises CallFileError at the first damage."""
    now = 0.0
    while True:
        begin = file.tell()
        head = file.read(_RECORD.size + _CHECKSUMS.size)
        if len(head) < _RECORD.size + _CHECKSUMS.size:
            return
        milliseconds, kind, length = _RECORD.unpack_from(head)
        of_head, of_content = _CHECKSUMS.unpack_from(head, _RECORD.size)
        entry = None
        if crc32(head[: _RECORD.size]) & 0xFFFF == of_head and length <= LARGEST_MESSAGE:
            content = file.read(length)
            if len(content) < length:
                return
            if crc32(content) == of_content:
                entry = _entry(milliseconds / 1000, kind, content)
        if entry is None:
            if _only_zeros(file, begin):  # a machine that lost power leaves a length without content
                return
            raise CallFileError(
                f"{path} is damaged after {now:.1f} s: get an undamaged copy, or cut it to its first {begin} bytes to "
                "have what comes before"
            )
        now = entry.time
        yield entry


def _entry(time: float, kind: int, content: bytes) -> Entry | None:
    """The entry of a whole record; None if there is no such."""
    if kind < len(_CHANNELS):
        return FiledMessage(time, _CHANNELS[kind], content)
    if kind == _TAKEN and len(content) == _TAKEN_BODY.size:
        return Taken(time, *_TAKEN_BODY.unpack(content))
    if kind == _RESUMED and len(content) == _RESUMED_BODY.size:
        return Resumed(time, *_RESUMED_BODY.unpack(content))
    if kind == _SHOWN and not content:
        return FiledFrame(time, 1, ())
    if kind == _SHOWN and 0 <= len(content) - _SHOWN_HEAD.size <= LARGEST_STEP:
        most, number = _SHOWN_HEAD.unpack_from(content)
        numbers = [number]
        for step in content[_SHOWN_HEAD.size :]:
            numbers.append(numbers[-1] + step)
        return FiledFrame(time, most, tuple(numbers)) if most else None
    return None


def _only_zeros(file: BinaryIO, begin: int) -> bool:
    file.seek(begin)
    while part := file.read(_SCAN):
        if any(part):
            return False
    return True
