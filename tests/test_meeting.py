"""Sender and receiver find each other without the receiver's own server, and the call runs: real WebRTC."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from call_examples import FPS, ColourEngine, make_basis, outgoing_half, picture
from desk_examples import Desk

from receiver import __main__ as receiver_main
from receiver import registry, server
from receiver.server import Receiver
from receiver.settings import ReceiverContext, ReceiverSettings
from receiver.upscale import Bicubic
from sender import __main__ as sender_main
from sender.call import SenderSettings, send_call
from shared.call.loop import run_call
from shared.call.report import StatusLine
from shared.rendezvous.rooms import Limits
from shared.rendezvous.server import RendezvousServer
from shared.signalling.hello import Hello
from shared.signalling.offer_answer import SignallingError
from shared.signalling.pasting import Terminal, join_by_hand
from shared.signalling.reconnect import meet
from shared.signalling.tokens import AccessTokens
from shared.transport.webrtc import Peer

HELLO = Hello("compact", "0123456789abcdef", "sender", "camera", FPS, 4, 64)

MakeOffer = Callable[[], Any]
Join = Callable[[MakeOffer], Any]


@asynccontextmanager
async def receiving(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> AsyncIterator[asyncio.Task[dict[str, Any]]]:
    """A receiver with the colour engine."""
    monkeypatch.setattr(server, "wire_hash", lambda engine: HELLO.engine_hash)
    context = ReceiverContext(ColourEngine(), make_basis(), Bicubic())
    work = asyncio.create_task(Receiver(ReceiverSettings(**settings), context, StatusLine()).run())
    try:
        yield work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def printed(capsys: pytest.CaptureFixture[str], words: str) -> str:
    """What stands behind the words on standard output, once it is there."""
    text = ""
    async with asyncio.timeout(60):
        while words not in text:
            await asyncio.sleep(0.01)
            text += capsys.readouterr().out
    return text.partition(words)[2].split()[0]


async def call(join: Join, by_hand: bool = False) -> None:
    """Twenty frames, and goodbye once the receiver holds the source."""
    peer, half, ended = Peer(by_hand=by_hand), outgoing_half(), asyncio.Event()
    try:
        _, answer = await join(peer.create_offer)
        await peer.accept_answer(answer)
        await peer.wait_open()
        talking, loop = asyncio.create_task(run_call(peer, half, ended)), asyncio.get_running_loop()
        n = 0
        while n < 20 or not half.gallery.sources:
            job = half.push(half.analyse(picture(n % 20)), loop.time(), loop.time())
            if job is not None:
                half.done(job.perform(), loop.time())
            n += 1
            await asyncio.sleep(1 / FPS)
        ended.set()
        await asyncio.wait_for(talking, 60)
    finally:
        await peer.close()


async def test_a_call_by_a_rendezvous_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        RendezvousServer("127.0.0.1", 0) as server,
        receiving(monkeypatch, rendezvous=server.url) as work,
    ):
        link = await printed(capsys, "join with: python -m sender --peer ")
        assert link.startswith(f"{server.url}/r/") and "#" in link
        await call(lambda make_offer: meet(link, HELLO, make_offer))
        report = await asyncio.wait_for(work, 60)
        assert report["ended"].startswith("the other side ended the call")
        assert report["frames_shown"] > 0 and report["sources_received"] == 1


async def test_a_call_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    there, here = Desk(), Desk()

    async def join(make_offer: MakeOffer) -> Any:
        joining = asyncio.create_task(join_by_hand(Terminal(here.source, here.texts, here.words), HELLO, make_offer))
        there.type(await here.shows("2. Paste the receiver's answer"))
        here.type(await there.shows("Waiting for the connection"))
        return await joining

    monkeypatch.setattr(registry, "Terminal", there.terminal)
    try:
        async with receiving(monkeypatch, by_hand=True) as work:
            await call(join, by_hand=True)
            assert (await asyncio.wait_for(work, 60))["frames_shown"] > 0
    finally:
        there.end()
        here.end()


async def test_nothing_pasted_ends_the_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    desk.end()
    monkeypatch.setattr(registry, "Terminal", desk.terminal)
    async with receiving(monkeypatch, by_hand=True) as work:
        with pytest.raises(SignallingError, match="the input ended before an offer was pasted"):
            await asyncio.wait_for(work, 60)


async def test_a_room_that_expires_ends_a_receiver_without_a_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    async with (
        RendezvousServer("127.0.0.1", 0, limits=Limits(idle=60.0), clock=lambda: now) as server,
        receiving(monkeypatch, rendezvous=server.url, keep=True) as work,
    ):
        await printed(capsys, "join with:")
        now = 60.0
        await server.sweep()
        with pytest.raises(SignallingError, match="the room has expired"):
            await asyncio.wait_for(work, 60)


async def test_a_link_that_leads_nowhere_is_told_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sender.call.prepare_sending", lambda settings: pytest.fail("the camera was opened"))
    with pytest.raises(
        SignallingError, match="expected http://HOST:PORT/join/TOKEN, https://HOST/r/ROOM#KEY or by-hand"
    ):
        await send_call(SenderSettings("https://meet.example"))


def test_the_receivers_options(capsys: pytest.CaptureFixture[str]) -> None:
    settings = receiver_main.parse(["--rendezvous", "https://meet.example", "--no-qr"]).receiving
    assert (settings.rendezvous, settings.by_hand, settings.qr) == ("https://meet.example", False, False)
    settings = receiver_main.parse(["--by-hand"]).receiving
    assert (settings.rendezvous, settings.by_hand, settings.qr) == (None, True, True)
    for arguments, sentence in [
        (["--rendezvous", "https://meet.example", "--by-hand"], "not allowed with"),
        (["--rendezvous", "meet.example"], "is not a rendezvous server: expected https://HOST"),
        (["--by-hand", "--keep"], "--by-hand takes one call"),
        (["--relay-only"], "--relay-only needs a relay"),
    ]:
        with pytest.raises(SystemExit):
            receiver_main.parse(arguments)
        assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parse", "words"),
    [
        (receiver_main.parse, ("--rendezvous https://HOST", "--by-hand", "--no-qr", "--relay-only", "join link")),
        (sender_main.parse, ("--peer LINK", "https://HOST/r/ROOM#KEY", "or by-hand:", "--relay-only")),
    ],
)
def test_help_teaches_how_to_meet(
    parse: Callable[[list[str]], object], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    shown = capsys.readouterr().out
    for word in words:
        assert word in shown


@pytest.mark.parametrize("keep", [False, True])
async def test_a_link_that_nobody_used_ends_in_a_room_too(
    keep: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1e9
    monkeypatch.setattr("receiver.registry.AccessTokens", functools.partial(AccessTokens, clock=lambda: now))
    monkeypatch.setattr(registry, "expire", functools.partial(registry.expire, look=0.01))
    async with (
        RendezvousServer("127.0.0.1", 0) as server,
        receiving(monkeypatch, rendezvous=server.url, keep=keep) as work,
    ):
        link = await printed(capsys, "--peer")
        now += 24 * 3600
        if keep:
            assert await printed(capsys, "--peer") != link
            assert not work.done()
        else:
            with pytest.raises(SignallingError, match="within 24 hours, and the join link has expired"):
                await asyncio.wait_for(work, 60)
