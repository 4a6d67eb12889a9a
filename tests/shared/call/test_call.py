from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass, field

import pytest
from call_examples import FPS, incoming_half, make_basis, outgoing_half, picture
from memory_link import FAR_CLOSED, memory_pair
from virtual_time import in_virtual_time

from receiver.decoder import CallDecoder
from sender.encoder import CallEncoder
from sender.refresh import EveryN
from shared.call import loop as module
from shared.call.loop import Silence, TooManyErrors, run_call
from shared.codec.bundle import decode_bundle
from shared.transport.link import Channel, LinkClosed


@dataclass
class Talker:
    """A half that says a word each tick, and goodbye; it takes `b"bye"` for one."""

    words: int = 0
    heard: list[bytes] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    peer_bye: str | None = None

    def receive(self, channel: Channel, data: bytes, now: float) -> None:
        self.heard.append(data)
        if data == b"bye":
            self.peer_bye = "it had enough"
        if data == b"garbage":
            raise TooManyErrors("all garbage")

    def tick(self, now: float, link_queued: int) -> list[tuple[Channel, bytes]]:
        self.words += 1
        return [(Channel.MOTION, b"word")]

    def finish(self, reason: str, now: float) -> list[tuple[Channel, bytes]]:
        self.finished.append(reason)
        return [(Channel.CONTROL, b"bye")]


def now_set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@in_virtual_time
async def test_who_ends_says_goodbye_and_both_know_why() -> None:
    a, b = memory_pair(delay=0.005)
    one, other, ended = Talker(), Talker(), asyncio.Event()
    calls = asyncio.gather(run_call(a, one, ended), run_call(b, other, asyncio.Event()))
    await asyncio.sleep(0.1)
    ended.set()
    assert await calls == ["this side ended the call", "the other side ended the call: it had enough"]
    assert (one.finished, other.finished) == (["the end"], ["goodbye"])
    assert b"word" in other.heard


@in_virtual_time
async def test_both_may_end_at_once() -> None:
    a, b = memory_pair(delay=0.005)
    halves = Talker(), Talker()
    results = await asyncio.gather(*(run_call(link, h, now_set()) for link, h in zip((a, b), halves, strict=True)))
    assert all("ended the call" in each for each in results)


@in_virtual_time
async def test_a_goodbye_counts_even_if_the_link_is_gone_before_the_answer() -> None:
    a, b = memory_pair()
    half = Talker()
    calling = asyncio.ensure_future(run_call(a, half, asyncio.Event()))
    await asyncio.sleep(0.05)
    b.send(Channel.CONTROL, b"bye")
    await b.close()
    assert await calling == "the other side ended the call: it had enough"


@in_virtual_time
async def test_a_link_that_breaks_is_an_error_with_its_reason() -> None:
    a, b = memory_pair()
    calling = asyncio.ensure_future(run_call(a, Talker(), asyncio.Event()))
    await asyncio.sleep(0.05)
    await b.close()
    with pytest.raises(LinkClosed, match=FAR_CLOSED):
        await calling


@in_virtual_time
async def test_garbage_ends_the_call_with_a_goodbye() -> None:
    a, b = memory_pair()
    heard: list[bytes] = []
    b.on_message(lambda channel, data: heard.append(data))
    half = Talker(peer_bye=None)
    calling = asyncio.ensure_future(run_call(a, half, asyncio.Event()))
    b.send(Channel.PICTURES, b"garbage")
    await asyncio.sleep(0.05)
    b.send(Channel.CONTROL, b"bye")
    with pytest.raises(TooManyErrors, match="all garbage"):
        await calling
    assert half.finished == ["too many malformed messages"]
    assert b"bye" in heard


@in_virtual_time
async def test_an_interrupted_call_says_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GOODBYE_SECONDS", 0.05)
    a, b = memory_pair()
    heard: list[bytes] = []
    b.on_message(lambda channel, data: heard.append(data))
    half = Talker()
    calling = asyncio.ensure_future(run_call(a, half, asyncio.Event()))
    await asyncio.sleep(0.05)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert half.finished == ["interrupted"]
    assert heard[-1] == b"bye"


@in_virtual_time
async def test_silence_is_told_forgiven_and_in_the_end_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Silence", functools.partial(Silence, silent_after=0.15, dead_after=0.5))
    a, b = memory_pair()
    told: list[bool] = []
    calling = asyncio.ensure_future(run_call(a, Talker(), asyncio.Event(), told.append))
    while told != [True]:
        await asyncio.sleep(0.01)
    while told != [True, False]:
        b.send(Channel.CONTROL, b"still here")
        await asyncio.sleep(0.01)
    with pytest.raises(LinkClosed, match="silent"):
        await calling
    assert told == [True, False, True]


@in_virtual_time
async def test_a_call_that_waits_outlives_any_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Silence", functools.partial(Silence, silent_after=0.05, dead_after=0.1))
    a, b = memory_pair()
    told: list[bool] = []
    half, ended = Talker(), asyncio.Event()
    calling = asyncio.ensure_future(run_call(a, half, ended, told.append, waits=True))
    while half.words < 20:  # some 0.4 s
        await asyncio.sleep(0.01)
    assert told == [True] and not calling.done()
    ended.set()
    b.send(Channel.CONTROL, b"bye")
    assert "ended the call" in await calling


@dataclass
class Conversation:
    """What a receiver showed of a call."""

    drawn: list[tuple[int, int, float]] = field(default_factory=list)
    """Frame number, source it was drawn from, yaw."""
    held_then: list[bool] = field(default_factory=list)
    bundles: list[int] = field(default_factory=list)
    """Frames of each bundle that arrived."""


async def send_frames(half: CallEncoder, count: int, ended: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    for n in range(count):
        await asyncio.sleep(max(0.0, start + n / 100 - loop.time()))  # four times as fast as life
        job = half.push(half.analyse(picture(n % 40, 1)), start + n / FPS, loop.time())
        if job is not None:
            half.done(job.perform(), 0.0)
    ended.set()


async def show_frames(half: CallDecoder, talk: Conversation) -> None:
    loop = asyncio.get_running_loop()
    while True:
        while (job := half.next_job()) is not None:
            half.add_source(half.prepare(job))
        item = half.due(loop.time() + 1000)  # whatever has come
        if item is not None and item[1]:
            frame, sources = item
            assert frame.motion is not None
            half.draw(frame, sources)
            half.shown(frame, loop.time())
            newest = max(source.held.source_id for source, _ in sources.sources)
            talk.held_then.append(newest in {s.source_id for s in half.gallery.sources})
            talk.drawn.append((frame.number, newest, float(frame.motion.rotation[0])))
        await asyncio.sleep(0.005)


def spy(half: CallDecoder, talk: Conversation) -> None:
    receive = half.receive

    def count(channel: Channel, data: bytes, now: float) -> None:
        if channel is Channel.MOTION:
            talk.bundles.append(len(decode_bundle(data, make_basis()).frames))
        receive(channel, data, now)

    half.receive = count  # type: ignore[method-assign]


@pytest.mark.parametrize("seed", [1, 2])
@in_virtual_time
async def test_a_call_over_a_link_that_loses_and_reorders(seed: int) -> None:
    a, b = memory_pair(seed, loss=0.2, delay=0.01, jitter=0.06)
    outgoing, incoming, ended, talk = outgoing_half(EveryN(40), 2), incoming_half(), asyncio.Event(), Conversation()
    spy(incoming, talk)
    shower = asyncio.ensure_future(show_frames(incoming, talk))
    async with asyncio.timeout(30):
        sending, receiving, _ = await asyncio.gather(
            run_call(a, outgoing, ended), run_call(b, incoming, asyncio.Event()), send_frames(outgoing, 250, ended)
        )
    await asyncio.sleep(0.05)
    shower.cancel()
    await asyncio.gather(shower, return_exceptions=True)
    assert sending == "this side ended the call"
    assert receiving == "the other side ended the call: the end"
    sent = a.payload().sent[Channel.MOTION].messages
    assert 0.05 * sent < sent - len(talk.bundles) < 0.4 * sent
    counts, playout = incoming.counts, incoming.playout
    assert counts.bundles == len(talk.bundles)
    assert counts.frames_received == sum(talk.bundles)  # a lost bundle costs its own frames and no other
    late = playout.late + playout.late_here
    accounted = counts.frames_shown + late + playout.skipped + playout.waiting + counts.not_drawable
    assert accounted == counts.frames_received
    assert counts.malformed == outgoing.counts.malformed == 0
    assert len(talk.drawn) > 20
    assert all(talk.held_then)
    assert counts.sources_received >= 3
    assert {source for _, source, _ in talk.drawn} <= set(range(1, outgoing.counts.sources_sent + 1))
    assert outgoing.counts.sources_held >= 3
