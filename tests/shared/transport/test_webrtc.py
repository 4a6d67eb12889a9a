"""Two peers in one process, over real sockets."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator

import aioice.ice
import pytest

from shared.transport.aiortc_patches import consent
from shared.transport.aiortc_patches.sack_bundling import MAX_DELAY
from shared.transport.link import ACK_SIZE, Channel, Kind, LinkClosed, wire_cost
from shared.transport.webrtc import BadDescription, Peer, fingerprint

Messages = list[tuple[Channel, bytes]]


async def connect(a: Peer, b: Peer) -> None:
    await a.accept_answer(await b.accept_offer(await a.create_offer()))
    await asyncio.gather(a.wait_open(), b.wait_open())


def collect(peer: Peer, count: int) -> tuple[Messages, asyncio.Event]:
    """What a peer receives, and an event that is set once `count` messages are there."""
    got: Messages = []
    complete = asyncio.Event()

    def handler(channel: Channel, data: bytes) -> None:
        got.append((channel, data))
        if len(got) == count:
            complete.set()

    peer.on_message(handler)
    return got, complete


@pytest.fixture
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice.ifaddr, "get_adapters", list)


@pytest.fixture
async def peers(only_loopback: None) -> AsyncIterator[tuple[Peer, Peer]]:
    a, b = Peer(), Peer()
    yield a, b
    await asyncio.gather(a.close(), b.close())


async def test_all_channels_carry_both_ways(peers: tuple[Peer, Peer]) -> None:
    a, b = peers
    sent = [(channel, bytes([n]) * 40) for n, channel in enumerate(Channel)]
    at_a, a_complete = collect(a, 3)
    at_b, b_complete = collect(b, 3)
    await connect(a, b)
    for channel, data in sent:
        a.send(channel, data)
        b.send(channel, data[::-1])
    await asyncio.wait_for(asyncio.gather(a_complete.wait(), b_complete.wait()), 10)
    assert sorted(at_b) == sorted(sent)
    assert sorted(at_a) == sorted(sent)
    assert a.payload().sent == b.payload().received
    assert a.payload().sent[Channel.MOTION].size == 40
    assert a.queued == 0


async def test_machine_with_addresses_needs_no_loopback() -> None:
    if not aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True):
        pytest.skip("this machine has no network")
    peer = Peer()
    try:
        assert " 127.0.0.1 " not in await peer.create_offer()
    finally:
        await peer.close()


async def test_loopback_is_offered_where_there_is_nothing_else(peers: tuple[Peer, Peer]) -> None:
    offer = await peers[0].create_offer()
    assert " 127.0.0.1 " in offer


async def test_wire_bytes_are_those_of_the_measured_formula(peers: tuple[Peer, Peer]) -> None:
    a, b = peers
    count, size = 40, 30
    _, complete = collect(b, count)
    await connect(a, b)
    for traffic in (a.wire().sent, a.wire().received):
        assert 1400 < traffic.kinds[Kind.CONNECTION] == traffic.size < 5000
    for _ in range(count):
        a.send(Channel.MOTION, bytes(size))
        await asyncio.sleep(0.002)
    await asyncio.wait_for(complete.wait(), 10)
    await asyncio.sleep(MAX_DELAY + 0.1)  # the last SACK
    out, back = a.wire().sent.kinds, a.wire().received.kinds
    assert out[Kind.MOTION] == count * size == a.payload().sent[Channel.MOTION].size
    assert out[Kind.MOTION] + out[Kind.HEADERS] <= count * wire_cost(size)  # some may have shared a packet
    assert out[Kind.PICTURES] == out[Kind.CONTROL] == out[Kind.SACKS] == 0
    assert ACK_SIZE <= back[Kind.SACKS] <= (count // 2 + 1) * ACK_SIZE
    assert back[Kind.MOTION] == back[Kind.HEADERS] == 0
    assert a.wire().sent == b.wire().received
    assert a.wire().received == b.wire().sent


async def test_each_end_knows_both_certificates(peers: tuple[Peer, Peer]) -> None:
    a, b = peers
    offer = await a.create_offer()
    assert a.fingerprints is None
    await a.accept_answer(await b.accept_offer(offer))
    ours, theirs = a.fingerprints, b.fingerprints
    assert ours is not None and theirs is not None
    assert (ours.ours, ours.theirs) == (theirs.theirs, theirs.ours)
    assert ours.ours != ours.theirs and len(ours.ours) == len(ours.theirs) == 32


def test_all_fingerprints_of_a_description_count() -> None:
    one, other = "a=fingerprint:sha-256 AA:BB\r\n", "a=fingerprint:sha-512 CC:DD\r\n"
    both = fingerprint("v=0\r\n" + one + other)
    assert both == fingerprint(other + "s=-\r\n" + one) == fingerprint(one.lower() + other)
    assert len({fingerprint(each) for each in (one, other, one + other, one + other.replace("DD", "DE"))}) == 4


async def test_long_message_arrives_whole_and_queues_meanwhile(peers: tuple[Peer, Peer]) -> None:
    a, b = peers
    got, complete = collect(b, 1)
    await connect(a, b)
    data = bytes(range(256)) * 200
    a.send(Channel.PICTURES, data)
    assert a.queued == len(data)
    await asyncio.sleep(0)
    assert 0 < a.queued < len(data)  # in SCTP's own queue now
    await asyncio.wait_for(complete.wait(), 10)
    assert got == [(Channel.PICTURES, data)]


async def test_closing_one_side_ends_the_other(peers: tuple[Peer, Peer]) -> None:
    a, b = peers
    got, _ = collect(b, 1)
    await connect(a, b)
    a.send(Channel.CONTROL, b"bye")
    await a.close()
    assert await asyncio.wait_for(b.wait_closed(), 10) == "the other side closed the connection"
    assert got == [(Channel.CONTROL, b"bye")]
    assert await a.wait_closed() == "closed on this side"
    for peer in (a, b):
        with pytest.raises(LinkClosed, match="closed"):
            peer.send(Channel.MOTION, b"late")


async def test_silence_ends_the_call_with_its_reason(peers: tuple[Peer, Peer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "CONSENT_INTERVAL", 0.02)
    monkeypatch.setattr(consent, "CONSENT_SILENCE", 0.3)
    a, b = peers
    await connect(a, b)
    for protocol in b._pc.sctp.transport.transport._connection._protocols:
        monkeypatch.setattr(protocol, "datagram_received", lambda data, addr: None)
    assert await asyncio.wait_for(a.wait_closed(), 10) == "nothing was heard from the other side"


async def test_nobody_answers(peers: tuple[Peer, Peer]) -> None:
    a, b = peers
    await b.accept_offer(await a.create_offer())
    with pytest.raises(LinkClosed, match=r"within 0\.1 s"):
        await b.wait_open(within=0.1)
    with pytest.raises(LinkClosed, match="not open yet"):
        a.send(Channel.MOTION, b"early")


@pytest.mark.parametrize(
    "sdp",
    [
        "",
        "nonsense",
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=fingerprint:sha-256 00\r\n",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=fingerprint:sha-256\r\n",
    ],
)
async def test_bad_offer_is_refused(peers: tuple[Peer, Peer], sdp: str) -> None:
    with pytest.raises(BadDescription):
        await peers[0].accept_offer(sdp)


async def test_failing_handler_does_not_end_the_call(
    peers: tuple[Peer, Peer], caplog: pytest.LogCaptureFixture
) -> None:
    a, b = peers
    seen = asyncio.Queue[bytes]()

    def handler(channel: Channel, data: bytes) -> None:
        seen.put_nowait(data)
        raise RuntimeError("a bug")

    b.on_message(handler)
    await connect(a, b)
    for data in (b"one", b"two"):
        a.send(Channel.CONTROL, data)
        assert await asyncio.wait_for(seen.get(), 10) == data
    assert caplog.text.count("the handler of control messages failed") == 2


async def test_close_leaves_nothing_behind(only_loopback: None, caplog: pytest.LogCaptureFixture) -> None:
    before = asyncio.all_tasks()
    with caplog.at_level(logging.ERROR, "asyncio"):
        a, b = Peer(), Peer()
        await connect(a, b)
        for _ in range(20):
            a.send(Channel.MOTION, bytes(50))
            b.send(Channel.PICTURES, bytes(3000))
        await asyncio.gather(a.close(), b.close())
        await a.close()
        never_connected = Peer()
        await never_connected.close()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
        del a, b, never_connected
        gc.collect()
    assert not caplog.records
