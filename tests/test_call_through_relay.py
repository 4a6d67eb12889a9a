"""Both halves of a call over real WebRTC, through a relay that counts and loses packets."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field, replace

import aioice.ice
import pytest
from call_examples import SIDE, ColourEngine, incoming_half, make_basis, picture

from benchmarks.relay import Relay
from receiver.decoder import CallDecoder
from sender.encoder import CallEncoder, EncoderSettings
from sender.refresh import EveryN
from shared.call.loop import run_call
from shared.transport.aiortc_patches.sack_bundling import MAX_DELAY
from shared.transport.link import Channel, Kind
from shared.transport.webrtc import Peer

FPS = 100.0
"""Four times as fast as life."""


@dataclass
class Shown:
    """What the receiver showed."""

    numbers: list[int] = field(default_factory=list)
    not_held: int = 0


async def send(half: CallEncoder, frames: int, sources: int, ended: asyncio.Event) -> None:
    """Sends so many frames at least, and until so many sources are held."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for n in itertools.count():
        if n >= frames and half.counts.sources_held >= sources:
            break
        while n == 1 and not half.gallery.sources:  # as a file waits for its first source
            await asyncio.sleep(0.01)
            start = loop.time()
        await asyncio.sleep(max(0.0, start + n / FPS - loop.time()))
        job = half.push(half.analyse(picture(n % 40, 1)), start + n / FPS, loop.time())
        if job is not None:
            half.done(job.perform(), loop.time())
    await asyncio.sleep(0.5)
    ended.set()


async def show(half: CallDecoder, shown: Shown) -> None:
    loop = asyncio.get_running_loop()
    while True:
        while (job := half.next_job()) is not None:
            half.add_source(half.prepare(job))
        while (item := half.due(loop.time())) is not None:
            frame, sources = item
            if sources:
                half.draw(frame, sources)
                half.shown(frame, loop.time())
                shown.numbers.append(frame.number)
                held = {s.source_id for s in half.gallery.at(frame.epoch)}
                shown.not_held += max(source.held.source_id for source, _ in sources.sources) not in held
        await asyncio.sleep(0.002)


async def converse(
    relay: Relay, loss: float, frames: int, sources: int
) -> tuple[CallEncoder, CallDecoder, Shown, Peer, Peer]:
    """A call; its link is still open afterwards, and quiet."""
    a, b = Peer(), Peer()
    settings = EncoderSettings(FPS, 5, SIDE, "max", "none")
    outgoing = CallEncoder(settings, ColourEngine(), make_basis(), EveryN(40))
    incoming, shown, ended = incoming_half(), Shown(), asyncio.Event()
    await relay.connect(a, b)
    relay.there.conditions.loss = relay.back.conditions.loss = loss
    showing = asyncio.ensure_future(show(incoming, shown))
    async with asyncio.timeout(120):
        results = await asyncio.gather(
            run_call(a, outgoing, ended), run_call(b, incoming, asyncio.Event()), send(outgoing, frames, sources, ended)
        )
    assert results[:2] == ["this side ended the call", "the other side ended the call: the end"]
    relay.there.conditions.loss = relay.back.conditions.loss = 0.0
    await asyncio.sleep(2 * MAX_DELAY)  # the last SACKs
    while incoming.playout.waiting:
        await asyncio.sleep(0.01)
    showing.cancel()
    await asyncio.gather(showing, return_exceptions=True)
    return outgoing, incoming, shown, a, b


@pytest.fixture(autouse=True)
def one_path_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine with several addresses sends from the others does not go through the relay."""
    monkeypatch.setattr(aioice.ice.ifaddr, "get_adapters", list)


async def test_both_sides_count_what_the_relay_counts() -> None:
    async with Relay() as relay:
        outgoing, incoming, _, a, b = await converse(relay, 0.0, 150, 2)
        counted = {
            "sent": (a.wire().sent, replace(relay.there.entered), b.wire().received, replace(relay.there.left)),
            "received": (a.wire().received, replace(relay.back.left), b.wire().sent, replace(relay.back.entered)),
        }
        payload = a.payload().sent
        await asyncio.gather(a.close(), b.close())
    for way, (ours, offered, theirs, delivered) in counted.items():
        assert (ours.packets, ours.size) == (offered.packets, offered.size), way
        assert (theirs.packets, theirs.size) == (delivered.packets, delivered.size), way
        assert ours == theirs
    sent, received = counted["sent"][0].kinds, counted["received"][0].kinds
    for channel in Channel:
        assert sent[Kind(channel.value)] == payload[channel].size > 0
    assert received[Kind.SACKS] > 0 and received[Kind.CONTROL] > 0
    assert received[Kind.MOTION] == received[Kind.PICTURES] == 0
    assert sent[Kind.CONNECTION] > 1000 and received[Kind.CONNECTION] > 1000
    assert outgoing.counts.frames_sent == incoming.counts.frames_received


async def test_a_call_survives_20_percent_loss_both_ways() -> None:
    async with Relay(seed=5) as relay:
        outgoing, incoming, shown, a, b = await converse(relay, 0.2, 300, 3)
        assert relay.there.entered.packets > relay.there.left.packets
        assert a.wire().sent.packets == relay.there.entered.packets
        assert b.wire().received.size == relay.there.left.size
        repeated = a.wire().sent.kinds[Kind.MOTION] - a.payload().sent[Channel.MOTION].size
        await asyncio.gather(a.close(), b.close())
    counts, playout = incoming.counts, incoming.playout
    assert repeated > 0
    assert shown.not_held == 0
    assert counts.malformed == outgoing.counts.malformed == 0
    assert counts.frames_received == outgoing.counts.frames_sent  # all are repeated until they arrive
    late = playout.late + playout.late_here
    accounted = counts.frames_shown + late + playout.skipped + playout.waiting + counts.not_drawable
    assert accounted == counts.frames_received
    assert playout.waiting == 0
    assert outgoing.counts.sources_held >= 3  # pictures go on after losses
    assert shown.numbers == sorted(shown.numbers)
    assert shown.numbers[-1] > 150  # nothing stalls, though a busy machine may make the last frames late
