"""Files of this machine: whole or not there at all, and for their owner alone where they are secret.

A file comes to its place only when it is whole; until then it lies beside it, as `call.part.mp4`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

FILM, CALL, WAVE = (".mp4", ".m4v"), (".pinhole",), (".wav",)
"""How the names of recordings end, by what is in them."""
_LONGEST_STEM = 200
"""Bytes of a name that are kept in the one of the part: file systems take 255, with what is added."""
LARGEST = 1 << 20
"""Bytes read of a file: none of these is as large."""
_OPTIONS = {
    "protocol_whitelist": "file",  # a playlist must not make us fetch addresses that a file from elsewhere names
    "pattern_type": "none",
}


class PlaceError(OSError):
    """A place that cannot be written. The text says why, and what to do."""


class PartFile:
    """A file being written: write `path`, then `keep` or `discard` it.

    A place that is no ordinary file, such as /dev/null, is written as it is.
    """

    def __init__(self, place: Path) -> None:
        """Makes an empty file in the folder of `place`, under a name that nothing there has. Raises PlaceError."""
        self.place = place
        self._target = place.resolve()  # of a link, what it points at is replaced
        self._direct = place.exists() and not place.is_file()
        self._over = self._direct
        if self._target.is_dir():
            raise PlaceError(f"'{place}' is a folder; give the name of a file in it.")
        self.path = place if self._direct else self._made()

    def keep(self) -> None:
        """Moves the file to its place, over what is there. Raises PlaceError; the file stays where it is then."""
        if self._over:
            return
        try:
            with self.path.open("rb") as file:
                os.fsync(file.fileno())  # the name must not be there before the content, if the machine stops now
            self.path.replace(self._target)
        except OSError as error:
            raise PlaceError(
                f"'{self.place}' cannot be written ({error.strerror}); what was to be there is '{self.path}'."
            ) from error
        self._over = True

    def discard(self) -> None:
        """Takes the file away, unless it was kept. May be called more than once."""
        if not self._over:
            self._over = True
            self.path.unlink(missing_ok=True)

    def _made(self) -> Path:
        folder, stem, suffix = self._target.parent, self._target.stem, self._target.suffix
        stem = os.fsdecode(os.fsencode(stem)[:_LONGEST_STEM])
        for number in count(1):
            part = folder / f"{stem}.part{'' if number == 1 else f'-{number}'}{suffix}"
            try:
                part.open("xb").close()
            except FileExistsError:
                continue
            except OSError as error:
                if not folder.is_dir():
                    raise PlaceError(f"the folder '{self.place.parent}' does not exist; create it first.") from error
                raise PlaceError(
                    f"'{self.place}' cannot be written ({error.strerror}); choose another place."
                ) from error
            return part
        raise AssertionError("numbers never end")


def write_whole(place: Path, data: bytes) -> None:
    """Writes a small file, whole or not at all. Raises PlaceError."""
    part = PartFile(place)
    try:
        part.path.write_bytes(data)
        part.keep()
    except PlaceError:
        part.discard()
        raise
    except OSError as error:
        part.discard()
        raise PlaceError(f"'{place}' cannot be written ({error.strerror}); is the disk full?") from error


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
