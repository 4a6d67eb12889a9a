"""Films and sound on this machine, through PyAV: a name is only ever a name.

FFmpeg takes `12:30.mp4` for an address of the protocol `12`, and `a%03d.png` for a sequence of pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer

_OPTIONS = {
    "protocol_whitelist": "file",  # a playlist must not make us fetch addresses that a file from elsewhere names
    "pattern_type": "none",
}


def open_media(path: Path) -> InputContainer:
    """A local file, to be read. Raises av.error.FFmpegError, OSError or ValueError."""
    return av.open(f"file:{path}", options=_OPTIONS)


def create_media(path: Path, form: str, options: Mapping[str, str] | None = None) -> OutputContainer:
    """A local file to be written in a container format, whatever its name. Raises av.error.FFmpegError or OSError."""
    return av.open(f"file:{path}", "w", format=form, options=dict(options or {}))
