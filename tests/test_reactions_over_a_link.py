"""Reactions over a real link: negotiated in the hello, pressed in preview and window, performed and reported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from reaction_examples import StepPerformer
from receiving_examples import Texts, joined_by

import sender.call
from receiver.output import window as display
from receiver.receiving import Place, Receiving
from receiver.server import Receiver
from receiver.settings import ReceiverContext, ReceiverSettings
from receiver.upscale import Bicubic
from sender.call import SenderSettings, prepare_aside, send_call
from shared.models.engine import Engine
from shared.models.registry import load_basis

WITHIN = 120.0
"""Seconds, on a busy machine."""


class Presses:
    """In the place of a preview: presses a key once the other side has a picture, and keeps what the user reads."""

    def __init__(self) -> None:
        self.with_base = False
        self.on_reaction: Any = None
        self.own_note: Callable[[], str] = str
        self.notes: set[str] = set()

    async def show_soon(self, *_: object) -> None:
        if self.on_reaction.__self__.half.gallery.sources and not self.notes:
            self.on_reaction(3)
        self.notes |= {self.own_note()} - {""}

    def close(self) -> None:
        """Nothing is open."""


def context(engine: Engine, performer: StepPerformer | None) -> ReceiverContext:
    return ReceiverContext(engine, load_basis("compact"), Bicubic(), performer=performer)


async def until(condition: Callable[[], bool], *calls: asyncio.Future[Any]) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():
            assert not any(call.done() for call in calls)
            await asyncio.sleep(0.01)


class Called:
    """A receiver that waits for a call; `url` once it does."""

    def __init__(self, context: ReceiverContext, capsys: pytest.CaptureFixture[str], **more: Any) -> None:
        settings = ReceiverSettings("127.0.0.1", 0, device="cpu", audio=False, window=bool(more), sends=bool(more))
        self.call = asyncio.ensure_future(Receiver(settings, context, Texts(), **more).run())
        self._capsys = capsys

    async def url(self) -> str:
        return await joined_by(self.call, self._capsys)


@pytest.mark.parametrize("performs", [True, False])
async def test_a_key_in_the_preview(
    engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, performs: bool
) -> None:
    preview, performer = Presses(), StepPerformer()
    monkeypatch.setattr(sender.call, "Preview", lambda: preview)
    called = Called(context(engine, performer if performs else None), capsys)
    settings = SenderSettings(await called.url(), "sample", framing="none", device="cpu", preview=True)
    sending = asyncio.ensure_future(send_call(settings))
    answer = "they see your reaction: surprise" if performs else "the other side takes no reactions"
    await until(lambda: answer in preview.notes, sending, called.call)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    shown = await asyncio.wait_for(called.call, WITHIN)
    assert (shown["reactions"], shown["reactions_refused"], shown["malformed"]) == (performs, 0, 0)
    assert [label for label, _, _ in performer.asked] == ["surprise"] * performs
    assert preview.notes == ({answer, "your reaction: surprise"} if performs else {answer})


async def test_a_key_in_the_window_of_who_was_called(
    engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    performers = {"caller": StepPerformer(), "called": StepPerformer()}
    fakes = {
        "namedWindow": lambda *_: None, "resizeWindow": lambda *_: None, "destroyWindow": lambda *_: None,
        "getWindowProperty": lambda *_: 1.0, "imshow": lambda *_: None,
        "waitKey": lambda _: ord("q" if performers["caller"].asked else "5"),
    }  # fmt: skip
    for name, fake in fakes.items():
        monkeypatch.setattr(display.cv2, name, fake)
    monkeypatch.setattr(display, "require_display", lambda _: None)
    at_caller, at_called = (context(engine, performers[each]) for each in ("caller", "called"))
    back = SenderSettings(None, "sample", framing="none", device="cpu", receives=True)
    called = Called(at_called, capsys, send_back=lambda: prepare_aside(back, engine))
    settings = SenderSettings(await called.url(), "sample", framing="none", device="cpu", receives=True)

    def receive(link: Any, theirs: Any, own: Any, say: Any) -> Receiving:
        return Receiving(at_caller, link, theirs, Place(), say, own)

    async with asyncio.timeout(WITHIN):
        sent = await send_call(settings, receive, at_caller.capabilities)
        shown = await called.call
    assert {label for label, _, _ in performers["caller"].asked} == {"disgust"} and not performers["called"].asked
    assert shown["sent"]["reactions_sent"] >= sent["received"]["reactions"] == len(performers["caller"].asked)
    assert (sent["reactions_sent"], shown["reactions"]) == (0, 0)
    assert shown["malformed"] == shown["sent"]["malformed"] == sent["malformed"] == sent["received"]["malformed"] == 0
