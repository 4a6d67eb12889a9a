"""After a call nothing of its pictures is left: not on disk, not in logs, not in memory."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
from call_examples import outgoing_half

from receiver.decoder import CallDecoder
from receiver.output.outputs import Sinks
from receiver.output.page.view import WebCall, WebView
from receiver.receiving import Place
from receiver.server import Receiver
from receiver.settings import ReceiverContext, ReceiverSettings
from receiver.synthesis import PreparedSource
from receiver.upscale import Bicubic
from sender.analysis import Analysis
from sender.call import SenderSettings, send_call
from sender.encoder import CallEncoder
from sender.microphone import SoundSettings
from shared.call.report import StatusLine
from shared.models.engine import Engine
from shared.models.registry import load_basis
from shared.transport.viewers import Viewers

HOLDERS = (CallDecoder, CallEncoder, PreparedSource, Analysis, Sinks, WebCall)
"""What has pictures, keypoints or motions during a call."""
SHARED = (type, ModuleType, FunctionType)
"""Not followed: through these everything is reachable from everywhere."""


def alive() -> set[str]:
    """Which of them are in memory."""
    return {type(each).__name__ for each in gc.get_objects() if type(each) in HOLDERS}


def pictures_within(root: object) -> int:
    """Arrays of three dimensions, and long texts of bytes, that an object leads to."""
    found, seen, waiting = 0, set[int](), [root]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, SHARED):
            continue
        seen.add(id(each))
        found += isinstance(each, np.ndarray) and each.ndim == 3
        found += isinstance(each, bytes | bytearray) and len(each) > 1000
        waiting += gc.get_referents(each)
    return found


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, folder for temporary files and working folder."""
    for name in ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Texts(logging.Handler):
    """Keeps what is logged as text. pytest's own handlers keep records, and with them all that they name."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {self.format(record)}")


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Everything that is logged, at any level."""
    texts, root = Texts(), logging.getLogger()
    before = root.level
    monkeypatch.setattr(root, "handlers", [texts])
    root.setLevel(logging.DEBUG)
    yield texts.lines
    root.setLevel(before)


async def call(
    context: ReceiverContext, clip: Path, view: WebView, capsys: pytest.CaptureFixture[str]
) -> tuple[str, set[str], str]:
    """A call of two programs in this process: its join URL, what was in memory meanwhile, and all that was printed."""
    said, printed = io.StringIO(), ""
    settings = ReceiverSettings("127.0.0.1", 0, device="cpu", qr=False)
    receiving = asyncio.ensure_future(Receiver(settings, context, StatusLine(said), view).run())
    while "join with" not in printed:
        assert not receiving.done(), receiving.result()
        await asyncio.sleep(0.01)
        printed += capsys.readouterr().out
    url, during = printed.split()[-1], set[str]()

    async def watch() -> None:
        while len(during) < len(HOLDERS):  # looking through all of the memory takes its time
            await asyncio.sleep(0.5)
            during.update(alive())

    watching = asyncio.ensure_future(watch())
    sending = SenderSettings(url, str(clip), framing="none", device="cpu", sound=SoundSettings(False))
    async with asyncio.timeout(300):
        await send_call(sending)
        shown = await receiving
    watching.cancel()
    assert shown["frames_shown"] > 5
    return url, during, said.getvalue() + capsys.readouterr().err


async def test_a_call_leaves_nothing_behind(
    engine: Engine, clip: Path, scratch: Path, capsys: pytest.CaptureFixture[str], logged: list[str]
) -> None:
    gc.collect()
    assert not alive()
    view = WebView(Viewers())
    context = ReceiverContext(engine, load_basis("compact"), Bicubic())
    url, during, said = await call(context, clip, view, capsys)
    assert during == {each.__name__ for each in HOLDERS}  # so the question below is a real one
    await asyncio.sleep(0)  # tasks that are done let go of what they had
    gc.collect()
    assert not alive()
    assert not pictures_within(view)

    token = url.rsplit("/", 1)[-1]
    assert token not in said
    assert logged
    for line in logged:
        assert not any(secret in line for secret in (token, "ice-pwd", "fingerprint", "PRIVATE KEY", "array(")), line
    nothing_but_keys(scratch)


def nothing_but_keys(folder: Path) -> None:
    """Of a folder: who this user is and whom they met, for nobody else to read, and no pictures."""
    for path in (each for each in folder.rglob("*") if each.is_file()):
        assert path.suffix in (".pem", ".json"), path
        assert path.stat().st_size < 2000
        assert os.name == "nt" or path.stat().st_mode & 0o077 == 0


def test_the_search_finds_what_is_kept() -> None:
    half = outgoing_half()
    assert "CallEncoder" in alive()
    holder: Any = {"a": [(np.zeros((4, 4, 3)), {"b": bytes(2000)})]}
    assert pictures_within(holder) == 2
    assert not pictures_within(Place())
    del half
    gc.collect()
    assert "CallEncoder" not in alive()
