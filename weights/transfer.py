"""One request for a file over HTTP, or for the rest of it where a part has come already."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from shared.progress import bytes_bar
from weights.digest import size_text
from weights.published import LARGEST, safe_url

_CHUNK = 1 << 18
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)")


class Unusable(Exception):
    """An address does not give the file; asking again would not help."""


class CutOff(Exception):
    """A transfer ended too early, or the server is busy; asking again may help."""


@dataclass(frozen=True)
class Wanted:
    """What is known of a file before it comes."""

    sha256: str | None
    size: int | None

    @property
    def largest(self) -> int:
        """Bytes at most."""
        return LARGEST if self.size is None else self.size


def transfer(url: str, part: Path, wanted: Wanted, seconds: float = 30.0) -> None:
    """Appends to `part` until the file is whole; what has come stays there, whatever happens.

    A server that does not give ranges, or has another file by now, starts again at the first byte. seconds: how long
    the server may be silent. Raises Unusable, CutOff, or OSError where the file cannot be written.
    """
    have = _usable_part(url, part, wanted)
    if have and have == wanted.size:
        return
    headers = {"User-Agent": "pinhole", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        origin = _origin(part)
        if origin.address == _digest(url) and origin.validator:
            headers["If-Range"] = origin.validator
    try:
        with _opener().open(urllib.request.Request(url, headers=headers), timeout=seconds) as response:
            _receive(response, url, part, have, wanted)
    except urllib.error.HTTPError as error:
        _judge(error, part, have)
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise Unusable(f"its certificate is not valid: {error.reason.verify_message}") from error
        raise CutOff(f"no answer: {error.reason}") from error
    except HTTPException as error:
        raise CutOff(f"its answer is not HTTP: {error or type(error).__name__}") from error


def forget(part: Path) -> None:
    """Removes what has come, and what is known about it."""
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Origin:
    address: str = ""
    """A digest, since addresses may hold secrets."""
    validator: str = ""


def _usable_part(url: str, part: Path, wanted: Wanted) -> int:
    """Bytes there that the next request may go on from; drops the others.

    Without a known SHA-256 nothing would notice two halves of different files, so the server must be able to.
    """
    have = part.stat().st_size if part.exists() else 0
    origin = _origin(part)
    same = wanted.sha256 is not None or (origin.address == _digest(url) and origin.validator)
    if have > wanted.largest or not same:
        forget(part)
        return 0
    return have


def _receive(response: HTTPResponse, url: str, part: Path, have: int, wanted: Wanted) -> None:
    start, total = _extent(response, have)
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise Unusable("it answered with a web page instead of the file")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Unusable("it answered with a compressed file that was not asked for")
    if wanted.size is not None and total not in (None, wanted.size):
        raise Unusable(f"its file has {total} bytes, expected {wanted.size}")
    if total is not None and total > wanted.largest:
        raise Unusable(f"its file has {size_text(total)}, at most {size_text(wanted.largest)} are accepted")
    _note(part, _Origin(_digest(url), _validator(response.headers)))
    total = wanted.size if total is None else total
    done = start
    with bytes_bar(f"fetching {part.stem}", total, start) as bar, part.open("ab" if start else "wb") as file:
        while chunk := _next(response):
            done += len(chunk)
            if done > wanted.largest or (total is not None and done > total):
                raise Unusable(f"it sent more than {total or wanted.largest} bytes")
            file.write(chunk)
            bar.update(len(chunk))
    if total is not None and done < total:
        raise CutOff(f"the connection broke after {done} of {total} bytes")


def _next(response: HTTPResponse) -> bytes:
    """Bytes as they come; none at the end. Raises CutOff, so that errors of the disk stay apart from the network's."""
    try:
        return response.read1(_CHUNK)
    except (HTTPException, OSError) as error:
        raise CutOff(f"the connection broke: {error or type(error).__name__}") from error


def _extent(response: HTTPResponse, have: int) -> tuple[int, int | None]:
    """First byte that comes, and bytes of the whole file where the server says so."""
    if response.status == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if re.fullmatch(r"\d{1,15}", length) else None
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if response.status != 206 or match is None or int(match[1]) != have:
        raise Unusable(f"it answered with status {response.status} and another part of the file than asked for")
    return have, None if match[3] == "*" else int(match[3])


def _judge(error: urllib.error.HTTPError, part: Path, have: int) -> None:
    """What an error status means. Raises unless it says that the file is whole already."""
    error.close()
    if error.code == 416 and have:
        if error.headers.get("Content-Range", "").strip() == f"bytes */{have}":
            return
        forget(part)
        raise CutOff("what had come before does not fit the file") from error
    if error.code in _TRANSIENT:
        raise CutOff(f"it answered with status {error.code}") from error
    if 300 <= error.code < 400:
        raise Unusable("it leads to an address that is not allowed, or nowhere") from error
    raise Unusable(f"it answered with status {error.code}") from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or not safe_url(newurl):
            raise Unusable(f"it leads to an address that is neither http nor https ({newurl[:60]!r})")
        if urlsplit(req.full_url).scheme == "https" and scheme != "https":
            raise Unusable("it leads from https to http, where anyone on the way could change the file")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Without the handlers of ftp, file and data addresses that the usual opener has."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
        urllib.request.UnknownHandler, urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPErrorProcessor,
        _Redirects,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _validator(headers: Message) -> str:
    """What If-Range may name: a strong ETag, else the date."""
    tag = headers.get("ETag", "")
    if tag.startswith('"') and len(tag) <= 200:
        return tag
    date = headers.get("Last-Modified", "")
    return date if len(date) <= 60 else ""


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _note(part: Path, origin: _Origin) -> None:
    fields = {"address": origin.address, "validator": origin.validator}
    _notes(part).write_text(json.dumps(fields), encoding="utf-8")


def _origin(part: Path) -> _Origin:
    """Where the bytes there came from; nowhere if that was not noted."""
    try:
        fields = json.loads(_notes(part).read_text(encoding="utf-8"))
        address, validator = fields["address"], fields["validator"]
    except (OSError, ValueError, KeyError, TypeError):
        return _Origin()
    plain = isinstance(address, str) and isinstance(validator, str) and validator.isprintable()
    return _Origin(address, validator) if plain else _Origin()


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
