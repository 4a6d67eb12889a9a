"""Offers and answers as short texts that people can copy into any chat or mail.

    [pinhole offer 1: base64, wrapped as it likes]

Within: 4 bytes of checksum, in an answer 4 more that name the offer it answers (its checksum), and deflated JSON.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import textwrap
import zlib
from dataclasses import dataclass
from typing import Literal

from shared.session.exchange import BODY_LIMIT

VERSION = 1
"""Of the texts. Changes with the layout and with the dictionary."""
TEXT_LIMIT = 2 * BODY_LIMIT
"""Characters that are looked through for a text."""
WIDTH = 76
"""Columns: whole lines survive mail, and terminals that take no line of more than 1024 characters."""

Kind = Literal["offer", "answer"]

_BLOCK = re.compile(r"\[\s*pinhole\s+(offer|answer)\s+(\d{1,4})\s*:([^\[\]]*)\]", re.IGNORECASE)
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=]+")  # line ends, quoting marks of mails, invisible spaces
_CHECK = 4
_LONG_FINGERPRINTS = re.compile(rb"a=fingerprint:sha-(?:384|512) [0-9A-F:]+\\r\\n")

# What nearly every offer says, the commonest last, so that only the rest has to be written down.
_DICTIONARY = (
    b'{"error":"the receiver ","file","sample","receiver"0123456789abcdef:A1:B2:C3:D4:E5:F6:07:18:29'
    b" tcp 1518280447 tcptype passive relay 192.168.1. 10.0.0. fd00:: 2a0"
    b' 1 udp 1694498815  typ srflx raddr  rport a=setup:active\\r\\n"}{"hello":{"engine":"compact","engine_hash":"",'
    b'"role":"sender","source_kind":"camera","fps":25.0,"keypoints":28,"picture_size":256,"capabilities":{},'
    b'"version":1},"sdp":"v=0\\r\\no=- 3 3 IN IP4 0.0.0.0\\r\\ns=-\\r\\nt=0 0\\r\\na=group:BUNDLE 0\\r\\n'
    b"a=msid-semantic:WMS *\\r\\nm=application  UDP/DTLS/SCTP webrtc-datachannel\\r\\nc=IN IP4 \\r\\na=mid:0\\r\\n"
    b"a=sctp-port:5000\\r\\na=max-message-size:262144\\r\\na=candidate: 1 udp 2130706431  typ host\\r\\n"
    b"a=end-of-candidates\\r\\na=ice-ufrag:\\r\\na=ice-pwd:\\r\\na=fingerprint:sha-256 \\r\\n"
    b'a=setup:actpass\\r\\n"}'
)


class Unreadable(ValueError):
    """A pasted text that is not what was asked for. The text says why and what to do."""


@dataclass(frozen=True)
class Text:
    """A text that has been read."""

    body: bytes
    """JSON, at most BODY_LIMIT bytes."""
    name: bytes
    """Checksum; an answer names the offer by it."""


def write_text(kind: Kind, body: bytes, to: bytes = b"") -> str:
    """The text of an offer, or of the answer to the offer named `to`; several lines."""
    if b"a=fingerprint:sha-256 " in body:
        body = _LONG_FINGERPRINTS.sub(b"", body)  # one is enough; they are what does not compress
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zdict=_DICTIONARY)
    packed = to + deflate.compress(body) + deflate.flush()
    encoded = base64.b64encode(_check(kind, packed) + packed).decode()
    return "\n".join(textwrap.wrap(f"[pinhole {kind} {VERSION}: {encoded}]", WIDTH))


def find_text(pasted: str) -> str | None:
    """The last whole text in what was pasted, None if there is none yet."""
    blocks = list(_BLOCK.finditer(pasted[-TEXT_LIMIT:]))
    return blocks[-1].group() if blocks else None


def read_text(kind: Kind, text: str, to: bytes = b"") -> Text:
    """What `find_text` found. Raises Unreadable if it is not whole, of another kind or version, or answers another."""
    match = _BLOCK.fullmatch(text)
    if match is None:
        raise Unreadable("this is not a whole Pinhole text: copy it from [ to ]")
    if int(match[2]) != VERSION:
        raise Unreadable(f"the text is of version {match[2]}, this side reads {VERSION}: update the older side")
    theirs = match[1].lower()
    if theirs != kind:
        raise Unreadable(f"this is an {theirs}, but the {kind} of the other side is wanted here")
    packed = _decoded(match[3])
    name, packed = packed[:_CHECK], packed[_CHECK:]
    if len(packed) <= len(to) or _check(kind, packed) != name:
        raise Unreadable(f"the {kind} was damaged on its way: copy it again, from [ to ]")
    if packed[: len(to)] != to:
        raise Unreadable("this answers another offer: give the other side the newest one")
    return Text(_inflated(packed[len(to) :]), name)


def text_name(text: str) -> bytes:
    """The checksum of a text that `write_text` wrote."""
    match = _BLOCK.fullmatch(text)
    assert match is not None
    return _decoded(match[3])[:_CHECK]


def _check(kind: Kind, packed: bytes) -> bytes:
    return hashlib.sha256(kind.encode() + packed).digest()[:_CHECK]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(_NOT_BASE64.sub("", text), validate=True)
    except binascii.Error:
        return b""


def _inflated(packed: bytes) -> bytes:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS, zdict=_DICTIONARY)
    try:
        body = inflate.decompress(packed, BODY_LIMIT)
    except zlib.error as error:
        raise Unreadable("the text is not from Pinhole: its checksum is right, but not what is in it") from error
    if not inflate.eof or inflate.unused_data:
        raise Unreadable(f"the text is not from Pinhole: it holds more than {BODY_LIMIT} bytes, or not all of them")
    return body
