"""Small files that only their owner may read: mode 600, and whole or not there at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LARGEST = 1 << 20
"""Bytes read of a file: none of these is as large."""


class PrivateFileError(OSError):
    """A file that cannot be used as it is. The text says why, and what to do."""


def read_private(path: Path) -> bytes | None:
    """What is in the file, None if there is none.

    Raises PrivateFileError if it cannot be read, is too large, or others than its owner may read or change it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PrivateFileError(f"{path} cannot be read: {error.strerror}") from error
    if mode & 0o077 and sys.platform != "win32":  # where modes say nothing
        raise PrivateFileError(
            f"{path} is open to other users of this machine (mode {mode:o}): close it by chmod 600, or delete it if "
            "somebody may have read it"
        )
    if len(data) > LARGEST:
        raise PrivateFileError(f"{path} has more than {LARGEST} bytes and is none of Pinhole's: put it away")
    return data


def write_private(path: Path, data: bytes) -> None:
    """Puts the file in the place of one that was there; its folder is made. Raises PrivateFileError."""
    with _beside(path, data) as temporary:
        temporary.replace(path.resolve())


def create_private(path: Path, data: bytes) -> bool:
    """Writes a file that is not there yet; False if another program was quicker. Raises PrivateFileError."""
    created = True
    with _beside(path, data) as temporary:
        try:
            os.link(temporary, path)  # fails if there is one, which a rename does not
        except FileExistsError:
            created = False
    return created


@contextmanager
def _beside(path: Path, data: bytes) -> Iterator[Path]:
    """The data in a file of the same folder, which is gone afterwards."""
    try:
        path = path.resolve()  # of a link, what it points at is replaced
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with mode 600
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise PrivateFileError(f"{path} cannot be written: {error.strerror}") from error
