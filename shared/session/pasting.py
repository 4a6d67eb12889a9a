"""Meeting without any server: two people copy texts between their terminals."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import TextIO

from shared.session.by_hand import TEXT_LIMIT, Kind, Text, Unreadable, find_text, read_text, text_name, write_text
from shared.session.exchange import Answerer, OnOffer, SignallingError, clean, read_answer, write_offer
from shared.session.hello import Hello

PASTE_SECONDS = 900.0
"""For two people to get a text from one machine to the other."""


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
