"""The relay that stands between two peers in tests and benchmarks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from benchmarks.relay import Conditions, Relay, _moved

HEADERS = 28
OFFER = (
    "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 127.0.0.1\r\n"
    "a=candidate:1 1 udp 2130706431 2001:db8::1 50000 typ host\r\n"
    "a=candidate:2 1 udp 2130706431 127.0.0.1 {port} typ host\r\n"
    "a=candidate:3 1 udp 2130706431 192.0.2.9 50001 typ host\r\na=end-of-candidates\r\n"
)


class End(asyncio.DatagramProtocol):
    """A socket that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.senders: list[int] = []
        """The ports they came from."""
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(data)
        self.senders.append(addr[1])

    @property
    def port(self) -> int:
        assert self.transport is not None
        return int(self.transport.get_extra_info("sockname")[1])

    def send(self, data: bytes, port: int) -> None:
        assert self.transport is not None
        self.transport.sendto(data, ("127.0.0.1", port))


@pytest.fixture
async def ends() -> AsyncIterator[tuple[End, End]]:
    loop = asyncio.get_running_loop()
    made = [await loop.create_datagram_endpoint(End, local_addr=("127.0.0.1", 0)) for _ in range(2)]
    yield made[0][1], made[1][1]
    for transport, _ in made:
        transport.close()


def place(sdp: str) -> int:
    """The port of the only candidate in a description."""
    (line,) = [line for line in sdp.splitlines() if line.startswith("a=candidate")]
    assert line.split()[4] == "127.0.0.1"
    return int(line.split()[5])


async def ports(relay: Relay, a: End, b: End) -> tuple[int, int]:
    """Where a finds b, and where b finds a."""
    for_b = place(await relay.offer(OFFER.format(port=a.port)))
    return place(relay.answer(OFFER.format(port=b.port))), for_b


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def test_packets_go_both_ways_and_are_counted(ends: tuple[End, End]) -> None:
    a, b = ends
    async with Relay() as relay:
        for_a, for_b = await ports(relay, a, b)
        b.send(b"hello", for_b)
        await until(lambda: a.heard)
        for n in range(10):
            a.send(bytes([n]) * 20, for_a)
        await until(lambda: len(b.heard) == 10)
    assert a.heard == [b"hello"]
    assert b.heard == [bytes([n]) * 20 for n in range(10)]
    assert (relay.there.entered.packets, relay.there.entered.size) == (10, 10 * (20 + HEADERS))
    assert relay.there.left == relay.there.entered
    assert (relay.back.entered.packets, relay.back.left.size) == (1, 5 + HEADERS)


async def test_lost_packets_entered_but_did_not_leave(ends: tuple[End, End]) -> None:
    a, b = ends
    async with Relay(Conditions(loss=0.5), seed=3) as relay:
        for_a, for_b = await ports(relay, a, b)
        b.send(b"hello", for_b)
        await until(lambda: a.heard)
        for n in range(100):
            a.send(bytes([n]), for_a)
            await asyncio.sleep(0)
        await until(lambda: relay.there.entered.packets == 100)
        await asyncio.sleep(0.05)
    assert 25 < relay.there.left.packets < 75
    assert relay.there.left.packets == len(b.heard)
    assert relay.back.left.packets == 1


async def test_a_thin_line_keeps_order_and_loses_what_its_queue_does_not_hold(ends: tuple[End, End]) -> None:
    a, b = ends
    async with Relay(Conditions(rate=1e6, delay=0.01, queue=10 * 128)) as relay:
        for_a, for_b = await ports(relay, a, b)
        b.send(b"hello", for_b)
        await until(lambda: a.heard)
        for n in range(30):
            a.send(bytes([n]) * 100, for_a)
        await until(lambda: relay.there.entered.packets == 30)
        await until(lambda: relay.there.left.packets >= 10)
        await asyncio.sleep(0.05)
    numbers = [data[0] for data in b.heard]
    assert numbers == sorted(numbers)
    assert numbers[:10] == list(range(10))
    assert 10 <= len(numbers) < 30


async def test_strangers_are_not_let_in(ends: tuple[End, End]) -> None:
    a, b = ends
    async with Relay() as relay:
        for_a, for_b = await ports(relay, a, b)
        b.send(b"hello", for_b)
        await until(lambda: a.heard)
        b.send(b"not from a", for_a)
        a.send(b"from a", for_a)
        await until(lambda: b.heard)
    assert b.heard == [b"from a"]


def test_a_description_keeps_one_candidate_only() -> None:
    moved = _moved(OFFER.format(port=4), ("127.0.0.1", 77))
    assert place(moved) == 77
    assert "a=end-of-candidates" in moved and "m=application" in moved


async def test_a_description_without_an_ipv4_address_is_refused() -> None:
    with pytest.raises(ValueError, match="no IPv4 address"):
        await Relay().offer("v=0\r\na=candidate:1 1 udp 1 2001:db8::1 5 typ host\r\n")


async def test_a_cut_and_its_return(ends: tuple[End, End]) -> None:
    a, b = ends
    async with Relay() as relay:
        for_a, for_b = await ports(relay, a, b)
        b.send(b"hello", for_b)
        await until(lambda: a.heard)
        relay.change(Conditions(cut=True))
        a.send(b"lost", for_a)
        await until(lambda: relay.there.entered.packets == 1)
        relay.change(Conditions(delay=0.01))
        a.send(b"back", for_a)
        await until(lambda: b.heard)
    assert b.heard == [b"back"]


async def test_what_stalls_comes_in_the_end_unless_it_is_lost(ends: tuple[End, End]) -> None:
    a, b = ends
    async with Relay() as relay:
        for_a, for_b = await ports(relay, a, b)
        b.send(b"hello", for_b)
        await until(lambda: a.heard)
        relay.stall(0.1)
        a.send(b"waits", for_a)
        await until(lambda: b.heard)
        relay.stall(3600.0, lost=True)
        a.send(b"lost", for_a)
        await until(lambda: relay.there.entered.packets == 2)
        assert relay.there.left.packets == 1
    assert b.heard == [b"waits"]


async def test_a_peer_that_moves_is_heard_from_elsewhere_and_lost_where_it_was(ends: tuple[End, End]) -> None:
    a, b = ends
    async with Relay() as relay:
        for_a, for_b = await ports(relay, a, b)
        b.send(b"hello", for_b)
        await until(lambda: a.heard)
        a.send(b"before", for_a)
        await until(lambda: len(b.heard) == 1)
        await relay.move_offering()
        a.send(b"after", for_a)
        await until(lambda: len(b.heard) == 2)
        b.send(b"to where it was", for_b)
        b.send(b"to where it is", b.senders[-1])
        await until(lambda: len(a.heard) == 2)
    assert b.senders == [for_b, b.senders[-1]] and b.senders[-1] != for_b
    assert a.heard == [b"hello", b"to where it is"]
