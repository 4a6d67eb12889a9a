"""A receiver in this process, as far as a test looks at it from outside."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

from receiver.server import Receiver
from receiver.settings import ReceiverContext, ReceiverSettings
from shared.call.report import StatusLine


class Texts(StatusLine):
    """Keeps every status text, where a terminal would show one a while."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.texts: list[str] = []

    def show(self, text: str, now: float) -> None:
        self.texts.append(text)

    def say(self, text: str) -> None:
        self.texts.append(text)


class Listening:
    """It listens; `url` once it does."""

    def __init__(
        self, context: ReceiverContext, capsys: pytest.CaptureFixture[str], out: Path | None = None,
        report: Path | None = None,
        **more: Any,
    ) -> None:  # fmt: skip
        self.status = Texts()
        settings = ReceiverSettings("127.0.0.1", 0, out=out, device="cpu", report=report)
        self.call = asyncio.ensure_future(Receiver(settings, context, self.status, **more).run())
        self._capsys = capsys

    async def url(self) -> str:
        """To join with."""
        return await joined_by(self.call, self._capsys)


async def joined_by(call: asyncio.Future[Any], capsys: pytest.CaptureFixture[str]) -> str:
    """The link that a receiver which runs as `call` prints."""
    printed = ""
    while "join with" not in printed:
        assert not call.done()
        await asyncio.sleep(0.01)
        printed += capsys.readouterr().out
    return printed.split()[-1]
