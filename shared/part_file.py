"""A file that comes to its place only when it is whole; until then it lies beside it, as `call.part.mp4`.

So a full disk, a crash or a killed process leaves what was there before as it was, and what had been written under the
other name.
"""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

FILM, CALL, WAVE = (".mp4", ".m4v"), (".pinhole",), (".wav",)
"""How the names of recordings end, by what is in them."""
_LONGEST_STEM = 200
"""Bytes of a name that are kept in the one of the part: file systems take 255, with what is added."""


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
