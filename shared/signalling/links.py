"""Join links: the one text that a sender needs to find a receiver, and its QR code for a terminal and for a page."""

from __future__ import annotations

import base64
import binascii
import io
import re
from dataclasses import dataclass, field
from typing import TextIO
from urllib.parse import SplitResult, urlsplit

from shared.signalling.offer_answer import SignallingError, clean
from shared.signalling.sealing import KEY_BYTES

BY_HAND = "by-hand"
"""What stands for a link where texts are copied by hand."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ROOM = re.compile(r"[A-Za-z0-9_-]{16}")
_COLOURS, _OWN_COLOURS = "\x1b[38;5;231;48;5;16m", "\x1b[0m"
"""White on black, fixed colours of the palette of 256: on a terminal with a light ground the code would otherwise be
inverted, which many readers cannot read."""


@dataclass(frozen=True)
class DirectLink:
    """To the receiver's own server."""

    url: str = field(repr=False)
    place: str
    """HOST:PORT, for errors."""

    def with_pass(self, resume: str) -> DirectLink:
        """The link by which a call is resumed. Raises SignallingError if the token cannot stand in one."""
        if not is_token(resume):
            raise SignallingError("the receiver's answer cannot be understood: it has no pass for the call")
        return DirectLink(self.url.rpartition("/")[0] + "/" + resume, self.place)

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class RoomLink:
    """To a room on a rendezvous server."""

    server: str
    """`https://HOST` or `http://HOST:PORT`."""
    place: str
    room: str
    key: bytes = field(repr=False)

    def with_pass(self, resume: str) -> RoomLink:
        """The link by which a call is resumed. Raises SignallingError if the token is no key."""
        return RoomLink(self.server, self.place, self.room, token_key(resume))

    def __str__(self) -> str:
        return f"{self.server}/r/{self.room}#{base64.urlsafe_b64encode(self.key).rstrip(b'=').decode()}"


def is_token(text: str) -> bool:
    """Whether a text may stand in a link as the receiver's token."""
    return _TOKEN.fullmatch(text) is not None


def is_room(text: str) -> bool:
    """Whether a text looks like the code of a room."""
    return _ROOM.fullmatch(text) is not None


def parse_link(text: str) -> DirectLink | RoomLink:
    """What a link means. Raises SignallingError on anything that is none, without repeating a key."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        place = _place(parts)
        _, kind, name = parts.path.rstrip("/").split("/")
    except ValueError:
        place, kind, name = "", "", ""
    if place and kind == "join" and is_token(name):
        return DirectLink(text.rstrip("/"), place)
    if place and kind == "r" and is_room(name):
        return RoomLink(f"{parts.scheme}://{parts.netloc}", place, name, _key(parts.fragment))
    shown = clean(text.partition("#")[0])
    raise SignallingError(
        f"{shown} is not a Pinhole URL: expected http://HOST:PORT/join/TOKEN, https://HOST/r/ROOM#KEY or {BY_HAND}"
    )


def parse_server(text: str) -> tuple[str, str]:
    """A rendezvous server's base URL, and HOST:PORT for errors. Raises ValueError."""
    parts = urlsplit(text.strip())
    place = _place(parts)
    if not place or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{clean(text)} is not a rendezvous server: expected https://HOST or http://HOST:PORT")
    return f"{parts.scheme}://{parts.netloc}", place


def _place(parts: SplitResult) -> str:
    """HOST:PORT; nothing if it is no web address, or one with a password. Raises ValueError on an impossible port."""
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return ""
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _key(fragment: str) -> bytes:
    key = _decoded(fragment)
    if len(key) != KEY_BYTES:
        raise SignallingError("the link ends with no key, or half of one, after the #: copy the whole link again")
    return key


def token_key(text: str) -> bytes:
    """A token (`tokens.new_pass`) as the key that it is in a room. Raises SignallingError if it is none."""
    key = _decoded(text)
    if len(key) != KEY_BYTES:
        raise SignallingError("the receiver's answer cannot be understood: it has no pass for the call")
    return key


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def show_qr(text: str, stream: TextIO) -> None:
    """Prints the code of a text, two rows to a line, where the stream is a terminal; nothing elsewhere."""
    if not stream.isatty():
        return
    import segno  # only where it is seen: it would be loaded for every call otherwise

    drawn = io.StringIO()
    segno.make(text, micro=False, error="l").terminal(drawn, compact=True)
    lines = [f"{_COLOURS}{line}{_OWN_COLOURS}" for line in drawn.getvalue().splitlines() if line]
    print("\n".join(lines), end="\n\n", file=stream, flush=True)


def qr_svg(text: str) -> bytes:
    """An SVG of a text's QR code: dark on light whatever the page's colours, since many readers take no other, with the
    quiet zone that the standard asks for."""
    import segno  # only where it is seen, as in the terminal

    drawn = io.BytesIO()
    code = segno.make(text, micro=False, error="m")
    code.save(drawn, kind="svg", border=4, dark="#000", light="#fff", omitsize=True, svgclass=None, lineclass=None)
    return drawn.getvalue()
