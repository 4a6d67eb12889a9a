"""What a file holds, frame by frame: the stream that is meant, and all of it that is not damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from shared.local_media import open_media

_BROKEN_READS = 64
"""Failures in a row after which nothing more of a file can be read."""
_STAMPS_LOOKED_AT = 250
"""Of a file's packets, to know at which rate its frames usually come."""
_NO_FILMS = (Disposition.attached_pic, Disposition.timed_thumbnails)


def picture_stream(container: InputContainer) -> VideoStream | None:
    """The stream of moving pictures, or of the one picture of a photograph; None if there is none.

    The cover of a song is none, and neither is text, which FFmpeg draws as pictures.
    """
    if container.format.name == "tty":
        return None
    films = (each for each in container.streams.video if each.width > 0 and not _is_cover(each))
    return next(films, None)


def first_stamps(path: Path) -> list[float]:
    """Seconds of the first frames of a file, as its packets have them; none if it has no time stamps."""
    stamps: list[float] = []
    try:
        with open_media(path) as container:
            for packet in container.demux(picture_stream(container) or ()):
                if packet.pts is not None and packet.time_base is not None:
                    stamps.append(float(packet.pts * packet.time_base))
                if len(stamps) == _STAMPS_LOOKED_AT:
                    break
    except (av.error.FFmpegError, OSError, ValueError):
        pass  # what is damaged shows when it is played
    return stamps


class Decoding:
    """Iterate over the frames of a stream; packets that cannot be read or decoded are left out and counted."""

    def __init__(self, container: InputContainer, stream: Any) -> None:
        """`stream`: of pictures or of sound, of this container."""
        self.lost = 0
        """Packets that were left out so far."""
        self._container, self._stream = container, stream

    def __iter__(self) -> Iterator[Any]:
        for packet in self._packets():
            try:
                yield from packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                self.lost += 1
        # Where the last packet could not be decoded, what the decoder still holds is behind it.
        for _ in range(_BROKEN_READS):
            try:
                yield from self._stream.decode(None)
                return
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                self.lost += 1

    def _packets(self) -> Iterator[Packet[Any]]:
        """Every packet that can be read, the one that empties the decoder included."""
        packets, failures = self._container.demux(self._stream), 0
        while failures < _BROKEN_READS:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, ValueError):
                self.lost, failures = self.lost + 1, failures + 1
                packets = self._container.demux(self._stream)  # goes on behind what could not be read
                continue
            if packet is None:
                return
            failures = 0
            yield packet


def _is_cover(stream: VideoStream) -> bool:
    return any(each in stream.disposition for each in _NO_FILMS)
