"""A file from the first of several addresses that gives it, whole and right."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from weights.digest import sha256_of, size_text
from weights.errors import WeightsError
from weights.transfer import CutOff, Unusable, Wanted, forget, transfer

_TRIES = 5
_LONGEST_WAIT = 30.0
_PROGRESS = 1 << 20
"""Bytes that make a broken transfer count as progress and not as another failure."""


@dataclass(frozen=True)
class Arrived:
    """A file that is there and is what was expected."""

    path: Path
    url: str
    sha256: str
    size: int


def download(
    urls: tuple[str, ...], part: Path, wanted: Wanted, say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Arrived:  # fmt: skip
    """Fetches into `part`, going on from what is there already; `say` hears of every failure.

    Raises WeightsError if no address gives the file: it says what each of them did.
    """
    failures = []
    for url in urls:
        try:
            return _from(url, part, wanted, say, sleep)
        except Unusable as error:
            failures.append(f"{urlsplit(url).netloc or url}: {error}")
            say(failures[-1])
    raise WeightsError(
        f"no address gave the file ({'; '.join(failures)}): try again later, or get the file by hand and give it by "
        "--from FILE"
    )


def local_file(url: str) -> Path | None:
    """The path that a file address names; None for other addresses."""
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def check(path: Path, wanted: Wanted) -> tuple[str, int]:
    """SHA-256 and bytes of a file that is as wanted. Raises Unusable with what was expected and found, or OSError."""
    size = path.stat().st_size
    if wanted.size not in (None, size):
        raise Unusable(f"the file has {size} bytes, expected {wanted.size}: it is cut off or another one")
    if size > wanted.largest:
        raise Unusable(f"the file has {size_text(size)}, at most {size_text(wanted.largest)} are accepted")
    found = sha256_of(path)
    if wanted.sha256 not in (None, found):
        raise Unusable(f"the file's SHA-256 is {found}, expected {wanted.sha256}: it is damaged or another one")
    return found, size


def _from(
    url: str, part: Path, wanted: Wanted, say: Callable[[str], None], sleep: Callable[[float], None]
) -> Arrived:  # fmt: skip
    local = local_file(url)
    if local is not None:
        if not local.is_file():
            raise Unusable("there is no such file")
        return Arrived(local, url, *check(local, wanted))
    resumed = part.exists()
    _persist(url, part, wanted, say, sleep)
    try:
        return Arrived(part, url, *check(part, wanted))
    except Unusable as error:
        forget(part)
        if not resumed:
            raise
        say(f"{error}; fetching it again from the beginning")  # the part that was there may be of another file
    _persist(url, part, wanted, say, sleep)
    try:
        return Arrived(part, url, *check(part, wanted))
    except Unusable:
        forget(part)
        raise


def _persist(
    url: str, part: Path, wanted: Wanted, say: Callable[[str], None], sleep: Callable[[float], None]
) -> None:  # fmt: skip
    """Transfers until the file is whole, as long as there is progress. Raises Unusable."""
    failures = 0
    while True:
        before = _size(part)
        try:
            return transfer(url, part, wanted)
        except CutOff as error:
            failures = 1 if _size(part) - before >= _PROGRESS else failures + 1
            if failures == _TRIES:
                raise Unusable(f"{error}, {_TRIES} times in a row") from error
            wait = min(_LONGEST_WAIT, 2.0 ** (failures - 1))
            say(f"{urlsplit(url).netloc}: {error}; trying again in {wait:.0f} s")
            sleep(wait)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
