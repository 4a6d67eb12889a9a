"""What tests of pasting share: a terminal with a pipe in the place of the person."""

from __future__ import annotations

import asyncio
import io
import os

from shared.signalling.pasting import Terminal


class Desk:
    """A terminal, and someone who types into it."""

    def __init__(self) -> None:
        self.source, self._keyboard = os.pipe()
        self.texts, self.words = io.StringIO(), io.StringIO()
        self.open = True

    def terminal(self) -> Terminal:
        return Terminal(self.source, self.texts, self.words)

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def end(self) -> None:
        if self.open:
            os.close(self._keyboard)
            self.open = False

    async def shows(self, words: str) -> str:
        async with asyncio.timeout(60):
            while words not in self.words.getvalue():
                await asyncio.sleep(0.01)
        return self.texts.getvalue()
