"""Fetches published weights: licence, download, check, conversion, record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from shared.models.stored_weights import folder, stored
from weights.convert import Converter, Origin, converted, keep, store_names
from weights.download import Arrived, check, download, local_file
from weights.errors import WeightsError
from weights.published import Published, safe_url
from weights.record import Record
from weights.transfer import Unusable, Wanted, forget
from weights.verify import damage


@dataclass(frozen=True)
class FetchSettings:
    """How to fetch."""

    source: str | None = None
    """A file or an address to take it from, in the place of the catalogue's."""
    accept_licence: bool = False
    keep_original: bool = False
    again: bool = False
    """Fetch even what is there and whole."""
    new_version: bool = False
    """Take a file that differs from the first one fetched, where the catalogue does not know its SHA-256."""


def fetch(
    entry: Published, settings: FetchSettings, say: Callable[[str], None], ask: Callable[[str], bool] | None = None,
    known: Mapping[str, Converter] | None = None,
) -> list[Path]:  # fmt: skip
    """The files in the store, fetched and converted if they are not there yet.

    say: hears what happens. ask: puts a yes-or-no question to the user; None where nobody is there to answer. known:
    the converters by family (default: ours). Raises WeightsError or OSError; then what was in the store is still there.
    """
    record = Record.load()
    here = record.of(entry.name)
    if here and not settings.again and not any(damage(file) for file in here):
        say(f"{entry.name} is here and whole (from {here[0].origin}); --again puts a fresh download in its place")
        return [stored(file.file) for file in here]
    _check_reachable(entry, settings)
    accepted = _accepted(entry, settings, ask, say)
    first = here[0].origin_sha256 if here and not settings.new_version else None
    arrived = _obtain(entry, Wanted(entry.sha256 or first, entry.size), settings.source, say)
    if entry.sha256 is None and first is None:
        say(f"nobody has published a SHA-256 of {entry.name}; this file's is recorded: {arrived.sha256}")
    return _take_in(entry, arrived, settings, accepted, say, known)


def _check_reachable(entry: Published, settings: FetchSettings) -> None:
    if not entry.urls and settings.source is None:
        raise WeightsError(
            f"{entry.name} cannot be downloaded without a browser: open {entry.page}, download the file there, then "
            f"run python -m weights fetch {entry.name} --from FILE"
        )


def _accepted(
    entry: Published, settings: FetchSettings, ask: Callable[[str], bool] | None, say: Callable[[str], None]
) -> bool | None:  # fmt: skip
    """Whether the licence was accepted, None where none needs to be. Raises WeightsError for a refusal."""
    say(f"{entry.name}: {entry.purpose}\nlicence: {entry.licence}\nfrom:    {entry.page}")
    if entry.note:
        say(f"note:    {entry.note}")
    if not entry.non_commercial:
        return None
    if settings.accept_licence:
        return True
    if ask is None:
        raise WeightsError(
            f"{entry.name} is for non-commercial use only, and nobody is at a terminal to accept its licence "
            f"({entry.licence}): read it and add --accept-licence"
        )
    if not ask("These weights are for non-commercial use only. Do you accept the licence? [y/N] "):
        raise WeightsError(f"the licence of {entry.name} was not accepted: nothing was fetched")
    return True


def _obtain(entry: Published, wanted: Wanted, source: str | None, say: Callable[[str], None]) -> Arrived:
    if source is None or urlsplit(source).scheme in ("http", "https"):
        urls = entry.urls if source is None else (source,)
        if not all(safe_url(url) for url in urls):
            raise WeightsError(f"{source!r} is not an address of http or https")
        folder().mkdir(parents=True, exist_ok=True)
        return download(urls, stored(entry.name + ".part"), wanted, say)
    path = local_file(source) or Path(source)
    if not path.is_file():
        raise WeightsError(f"there is no file {path}: give the downloaded file as --from FILE")
    try:
        return Arrived(path, path.name, *check(path, wanted))
    except Unusable as error:
        raise WeightsError(
            f"{path.name} was refused: {error}; what was in the store is still there. Another version of these weights "
            f"goes in by: python -m weights convert {path} --name {entry.name}"
        ) from error


def _take_in(
    entry: Published, arrived: Arrived, settings: FetchSettings, accepted: bool | None, say: Callable[[str], None],
    known: Mapping[str, Converter] | None,
) -> list[Path]:  # fmt: skip
    """Converts what has arrived; the download stays where that fails, so that it need not come again."""
    result = converted(arrived.path, entry.kind, known, say)
    if result.name != entry.kind:
        raise WeightsError(f"the file holds {result.name}, not {entry.kind}: fetch it by that name")
    files = entry.gives if len(result.files) == len(entry.gives) == 1 else store_names(result, entry.name)
    if set(files) != set(entry.gives):
        raise WeightsError(
            f"the file gives {', '.join(files)}, and the catalogue says {', '.join(entry.gives)}: correct the catalogue"
        )
    origin = Origin(_public(arrived.url), arrived.sha256, entry.licence, accepted)
    paths = keep(result, entry.name, files, origin, say)
    del result  # it may still map the file that goes now
    part = stored(entry.name + ".part")
    if arrived.path == part:
        if settings.keep_original:
            part.replace(stored(entry.file))
            say(f"kept the original: {stored(entry.file)}")
        forget(part)
    return paths


def _public(url: str) -> str:
    """An address without what may be secret in it: a signature, a user's folders."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return Path(parts.path).name
