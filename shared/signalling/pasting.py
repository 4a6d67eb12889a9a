"""Signalling by hand: two people copy offer and answer, as short texts, between their terminals. No server at all."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
import re
import sys
import textwrap
import threading
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TextIO

from shared.signalling.hello import Hello
from shared.signalling.offer_answer import (
    BODY_LIMIT,
    Answerer,
    OnOffer,
    SignallingError,
    clean,
    read_answer,
    write_offer,
)

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
PASTE_SECONDS = 900.0
"""For two people to get a text from one machine to the other."""


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


class Terminal:
    """Lines that someone pastes, and what is shown: texts to copy on standard output, words on standard error."""

    def __init__(self, source: int | None = None, texts: TextIO | None = None, words: TextIO | None = None) -> None:
        """Needs a running loop. `source` is a file descriptor; without one: standard input."""
        self._texts, self._words = texts or sys.stdout, words or sys.stderr
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        # A thread of its own that nobody waits for: no read of a terminal can be called off. It reads the descriptor,
        # since sys.stdin is locked while it is read, and Python cannot end then.
        descriptor = 0 if source is None else source
        threading.Thread(target=self._read, args=(descriptor,), daemon=True, name="pasting").start()

    async def line(self) -> str | None:
        """The next line, None at the end of the input."""
        return await self._lines.get()

    def give(self, text: str) -> None:
        """Shows a text to copy."""
        print(f"\n{text}\n", file=self._texts, flush=True)

    def say(self, words: str) -> None:
        """Tells the user something."""
        print(words, file=self._words, flush=True)

    def _read(self, descriptor: int) -> None:
        rest = b""
        while True:
            try:
                piece = os.read(descriptor, 65536)
            except OSError:
                piece = b""
            *lines, rest = (rest + piece).replace(b"\r", b"\n").split(b"\n") if piece else (rest, b"")
            if len(rest) > TEXT_LIMIT:
                rest = b""  # nothing that is pasted has such a line
            try:
                for line in lines:
                    self._loop.call_soon_threadsafe(self._lines.put_nowait, line.decode(errors="replace"))
                if not piece:
                    self._loop.call_soon_threadsafe(self._lines.put_nowait, None)
            except RuntimeError:  # the loop has been closed: nobody reads any more
                return
            if not piece:
                return


async def join_by_hand(terminal: Terminal, hello: Hello, make_offer: Callable[[], Awaitable[str]]) -> tuple[Hello, str]:
    """The receiver's hello and SDP answer. Raises SignallingError, and whatever `make_offer` raises."""
    offer = write_text("offer", write_offer(hello, await make_offer()))
    terminal.say("1. Give this offer to the receiver, who pastes it into: python -m receiver --by-hand")
    terminal.give(offer)
    terminal.say("2. Paste the receiver's answer here, from [ to ], and press Enter:")
    answer = await _pasted(terminal, "answer", text_name(offer))
    terminal.say("Thank you. Connecting ...")
    return read_answer("the other end of the answer", answer.body, hello)


async def answer_by_hand(terminal: Terminal, on_offer: OnOffer) -> None:
    """Takes one offer and shows the answer. Raises SignallingError, also where the offer is refused."""
    terminal.say("1. The sender runs: python -m sender --peer by-hand")
    terminal.say("2. Paste the sender's offer here, from [ to ], and press Enter:")
    offer = await _pasted(terminal, "offer")
    reply = await Answerer(on_offer).answer(offer.body)
    terminal.say("3. Give this answer to the sender, who pastes it:")
    terminal.give(write_text("answer", reply.to_bytes(), to=offer.name))
    if reply.status != 200:
        raise SignallingError(f"the offer was refused: {clean(str(reply.data['error']))}")
    terminal.say(f"Waiting for the connection, for {PASTE_SECONDS / 60:g} minutes at the most ...")


async def _pasted(terminal: Terminal, kind: Kind, to: bytes = b"") -> Text:
    try:
        async with asyncio.timeout(PASTE_SECONDS):
            return await _wait_for(terminal, kind, to)
    except TimeoutError as error:
        raise SignallingError(f"no {kind} was pasted within {PASTE_SECONDS / 60:g} minutes: start again") from error


async def _wait_for(terminal: Terminal, kind: Kind, to: bytes) -> Text:
    pasted = ""
    while (line := await terminal.line()) is not None:
        if not line.strip():
            if pasted:
                terminal.say(f"This is not a whole text yet: it goes from [pinhole {kind} to ]. Paste it again:")
            continue
        pasted = (pasted + "\n" + line)[-TEXT_LIMIT:]
        if (text := find_text(pasted)) is None:
            continue
        try:
            return read_text(kind, text, to)
        except Unreadable as error:
            terminal.say(f"{error}. Paste it here:")
            pasted = ""
    raise SignallingError(f"the input ended before an {kind} was pasted: run this in a terminal, and paste it there")
