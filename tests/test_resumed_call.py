"""Calls that go on by themselves after their connection was lost: real WebRTC and HTTP on this machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from call_examples import FPS, ColourEngine, make_basis, outgoing_half, picture
from receiving_examples import Texts

from receiver import server
from receiver.server import Receiver
from receiver.settings import ReceiverContext, ReceiverSettings
from receiver.upscale import Bicubic
from sender.encoder import CallEncoder
from shared.call.loop import follow, run_call
from shared.call.state import read_receiver, read_sender
from shared.rendezvous.server import RendezvousServer
from shared.signalling import reconnect as module
from shared.signalling.hello import Hello
from shared.signalling.offer_answer import RefusedForGood
from shared.signalling.reconnect import calling
from shared.transport.aiortc_patches.private_state import ice_connection
from shared.transport.ice import IceSettings
from shared.transport.link import Channel
from shared.transport.resuming import ResumingLink
from shared.transport.webrtc import Peer

HELLO = Hello("compact", "0123456789abcdef", "sender", "camera", FPS, 4, 64)


@pytest.fixture(autouse=True)
def _loss_is_noticed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET_SECONDS", 1.0)
    monkeypatch.setattr(server, "wire_hash", lambda engine: HELLO.engine_hash)


def unplug(link: ResumingLink) -> None:
    """The network is gone: nothing leaves this end's present connection, and nothing comes in."""
    assert isinstance(link.carrier, Peer)
    connection = ice_connection(link.carrier._pc)
    assert connection is not None
    for protocol in connection._protocols:
        protocol.datagram_received = lambda data, addr: None
        protocol.transport.sendto = lambda data, addr=None: None


async def until(condition: Callable[[], bool], *tasks: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            for task in tasks:
                assert not task.done(), task
            await asyncio.sleep(0.01)


class Receiving:
    """A receiver with the colour engine."""

    def __init__(self, capsys: pytest.CaptureFixture[str], **settings: Any) -> None:
        self._capsys, self._settings, self._printed = capsys, settings, ""

    async def __aenter__(self) -> Receiving:
        self.engine, self.status = ColourEngine(), Texts()
        context = ReceiverContext(self.engine, make_basis(), Bicubic())
        settings = replace(ReceiverSettings("127.0.0.1", 0, qr=False), **self._settings)
        self.receiver = Receiver(settings, context, self.status)
        self.work = asyncio.create_task(self.receiver.run())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.kill()

    async def kill(self) -> None:
        self.work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(self.work, return_exceptions=True)

    async def links(self, count: int) -> list[str]:
        """The join links printed, once there are so many."""

        def printed() -> list[str]:
            self._printed += self._capsys.readouterr().out
            return [line.split()[-1] for line in self._printed.splitlines() if line.startswith("join with")]

        await until(lambda: len(printed()) >= count, self.work)
        return printed()

    @property
    def shown(self) -> int:
        """Frames drawn so far."""
        return len(self.engine.drawn)


class Sending:
    """A sender that turns its head from side to side."""

    def __init__(self, link: ResumingLink) -> None:
        self.link, self.half, self.ended = link, outgoing_half(), asyncio.Event()
        follow(link, self.half)
        self.work = asyncio.create_task(run_call(link, self.half, self.ended))
        self._filming = asyncio.create_task(film(self.half))

    async def stop(self) -> None:
        self._filming.cancel()
        await asyncio.gather(self._filming, return_exceptions=True)
        self.ended.set()
        await asyncio.wait_for(asyncio.gather(self.work, return_exceptions=True), 60)

    @property
    def pieces(self) -> int:
        return self.link.payload().sent[Channel.PICTURES].messages


async def film(half: CallEncoder) -> None:
    loop = asyncio.get_running_loop()
    start, n = loop.time(), 0
    while True:
        job = half.push(half.analyse(picture(n % 40, 50)), start + n / FPS, loop.time())
        if job is not None:
            half.done(job.perform(), loop.time())
        n += 1
        await asyncio.sleep(max(0.0, start + n / FPS - loop.time()))


@asynccontextmanager
async def sending(url: str, state: Path | None = None) -> AsyncIterator[Sending]:
    said: list[str] = []
    async with calling(url, HELLO, IceSettings(), state=state, say=said.append) as (link, _):
        call = Sending(link)
        try:
            yield call
        finally:
            await call.stop()


@asynccontextmanager
async def place(rendezvous: bool) -> AsyncIterator[dict[str, Any]]:
    """What tells a receiver where to wait."""
    if not rendezvous:
        yield {}
        return
    async with RendezvousServer("127.0.0.1", 0) as server:
        yield {"rendezvous": server.url}


@pytest.mark.parametrize("rendezvous", [False, True])
async def test_a_call_goes_on_after_the_network_was_gone_and_sends_no_source_again(
    capsys: pytest.CaptureFixture[str], rendezvous: bool
) -> None:
    async with place(rendezvous) as where, Receiving(capsys, **where) as receiving:
        (url,) = await receiving.links(1)
        async with sending(url) as call:
            await until(lambda: receiving.shown > 5, call.work, receiving.work)
            pieces, before = call.pieces, call.link.payload().received[Channel.CONTROL].messages
            unplug(call.link)
            await until(lambda: call.link.renewals == 1, call.work, receiving.work)
            shown = receiving.shown
            await until(lambda: receiving.shown > shown + 5, call.work, receiving.work)
            assert call.pieces == pieces and call.half.counts.sources_sent == 1
            assert call.link.payload().received[Channel.CONTROL].messages > before
        report = await asyncio.wait_for(receiving.work, 60)
        assert report["ended"].startswith("the other side ended the call")
        assert report["sources_received"] == 1 and report["malformed"] == 0
        assert report["frames_shown"] > shown  # one call's


async def test_a_connection_that_the_receiver_drops_is_made_anew(capsys: pytest.CaptureFixture[str]) -> None:
    async with Receiving(capsys) as receiving:
        (url,) = await receiving.links(1)
        async with sending(url) as call:
            await until(lambda: receiving.shown > 5, call.work, receiving.work)
            for n in range(2):
                (line,) = receiving.receiver._registry.resumable._calls.values()
                assert line.link is not None
                await line.link.carrier.close()
                await until(lambda n=n: call.link.renewals == n + 1, call.work, receiving.work)  # type: ignore[misc]
                shown = receiving.shown
                await until(lambda shown=shown: receiving.shown > shown + 5, call.work, receiving.work)  # type: ignore[misc]
            assert call.half.counts.sources_sent == 1


async def test_a_link_is_good_for_one_call_and_another_one_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    async with Receiving(capsys, keep=True) as receiving:
        (url,) = await receiving.links(1)
        async with sending(url) as call:
            await until(lambda: receiving.shown > 0, call.work, receiving.work)
            _, following = await receiving.links(2)
        with pytest.raises(RefusedForGood, match="the link was used for a call already"):
            async with sending(url):
                pass
        await until(lambda: "waiting for the next call" in receiving.status.texts, receiving.work)
        shown = receiving.shown
        async with sending(following) as call:
            await until(lambda: receiving.shown > shown, call.work, receiving.work)


async def test_a_sender_that_was_killed_comes_back_into_the_same_call(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    state = tmp_path / "sender.state"
    async with Receiving(capsys) as receiving:
        (url,) = await receiving.links(1)
        gone = calling(url, HELLO, IceSettings(), state=state, say=lambda text: None)
        link, _ = await gone.__aenter__()
        first = Sending(link)
        await until(lambda: receiving.shown > 5, first.work, receiving.work)
        unplug(first.link)  # the same as SIGKILL, seen from outside
        kept = state.read_bytes()
        first.work.cancel()
        await asyncio.gather(first.work, return_exceptions=True)
        await first.stop()
        await gone.__aexit__(None, None, None)
        state.write_bytes(kept)
        state.chmod(0o600)

        shown = receiving.shown
        async with sending(url, state) as second:
            await until(lambda: receiving.shown > shown + 5, second.work, receiving.work)
            assert second.half.counts.malformed == 0
        report = await asyncio.wait_for(receiving.work, 60)
        assert report["sources_received"] == 2 and report["malformed"] == 0
        assert not state.exists()  # the call is over


@pytest.mark.parametrize("rendezvous", [False, True])
async def test_a_receiver_that_was_started_again_is_called_back(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rendezvous: bool
) -> None:
    state = tmp_path / "receiver.state"
    async with place(rendezvous) as where, Receiving(capsys, state=state, **where) as before:
        (url,) = await before.links(1)
        async with sending(url) as call:
            await until(lambda: before.shown > 5, call.work, before.work)
            unplug(call.link)  # no goodbye arrives
            kept = state.read_bytes()
            await before.kill()
            state.write_bytes(kept)
            async with Receiving(capsys, state=state, **where) as after:
                await until(lambda: after.shown > 5, call.work, after.work)
                assert call.half.counts.sources_sent == 2
                assert call.half.counts.malformed == 0


async def test_a_receiver_that_knows_no_call_refuses_for_good(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    state = tmp_path / "receiver.state"
    async with Receiving(capsys, state=state) as before:
        (url,) = await before.links(1)
        port = int(url.split(":")[2].split("/")[0])
        async with sending(url) as call:
            await until(lambda: before.shown > 0, call.work, before.work)
            unplug(call.link)
            await before.kill()
            async with Receiving(capsys, port=port):
                (outcome,) = await asyncio.wait_for(asyncio.gather(call.work, return_exceptions=True), 60)
    assert "the call cannot be resumed, the receiver refused: the token is not the receiver's" in str(outcome)


async def test_what_is_kept_is_for_the_owner_alone_and_without_the_link(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "shared")
    theirs, ours = tmp_path / "receiver.state", tmp_path / "sender.state"
    async with Receiving(capsys, state=theirs) as receiving:
        (url,) = await receiving.links(1)
        async with sending(url, ours) as call:
            await until(lambda: receiving.shown > 0, call.work, receiving.work)
            assert {path.stat().st_mode & 0o777 for path in (theirs, ours)} == {0o600}
            kept, sender = read_receiver(theirs), read_sender(ours)
            assert kept is not None and sender is not None
            assert kept.invitation is None and len(kept.calls) == 1
            assert sender.link.endswith(kept.calls[0])
            assert url.rpartition("/")[2] not in ours.read_text() + theirs.read_text()
            assert kept.calls[0] not in caplog.text
        await asyncio.wait_for(receiving.work, 60)
    after = read_receiver(theirs)
    assert after is not None and after.calls == ()
