from __future__ import annotations

import asyncio

import pytest
from memory_link import FAR_CLOSED, MemoryLink, memory_pair
from virtual_time import in_virtual_time

from shared.transport.link import ACK_SIZE, HELD_BYTES, Channel, Kind, LinkClosed, chunk_cost, wire_cost

COUNT = 400
SENT = [n.to_bytes(2, "big") for n in range(COUNT)]


async def carry(a: MemoryLink, b: MemoryLink, channel: Channel) -> list[bytes]:
    got: list[bytes] = []
    b.on_message(lambda channel, data: got.append(data))
    for data in SENT:
        a.send(channel, data)
    await a.close()
    await b.wait_closed()
    await asyncio.sleep(0.02)
    return got


@in_virtual_time
async def test_perfect_by_default() -> None:
    for channel in Channel:
        a, b = memory_pair()
        got: list[tuple[Channel, bytes]] = []
        b.on_message(lambda channel, data, got=got: got.append((channel, data)))
        a.send(channel, b"x")
        await asyncio.sleep(0.01)
        assert got == [(channel, b"x")]


@in_virtual_time
async def test_motion_is_lost_and_reordered() -> None:
    a, b = memory_pair(1, loss=0.2, jitter=0.003)
    got: list[bytes] = []
    b.on_message(lambda channel, data: got.append(data))
    for data in SENT:
        a.send(Channel.MOTION, data)
    await asyncio.sleep(0.05)
    assert 0.7 * COUNT < len(got) < 0.9 * COUNT
    assert len(set(got)) == len(got)
    assert got != sorted(got)


@in_virtual_time
async def test_reliable_motion_and_pictures_all_arrive_in_disorder() -> None:
    for channel in (Channel.MOTION, Channel.PICTURES):
        a, b = memory_pair(2, loss=0.2, delay=0.001, jitter=0.003, reliable=True)
        got: list[bytes] = []
        b.on_message(lambda channel, data, got=got: got.append(data))
        for data in SENT:
            a.send(channel, data)
        await asyncio.sleep(0.1)
        assert sorted(got) == SENT
        assert got != SENT
        assert a.wire().sent.size > COUNT * wire_cost(2)  # losses are sent again


@in_virtual_time
async def test_control_keeps_its_order_and_comes_before_the_end() -> None:
    a, b = memory_pair(3, loss=0.5, delay=0.001, jitter=0.003, duplicate=0.5)
    assert await carry(a, b, Channel.CONTROL) == SENT


@in_virtual_time
async def test_duplicates() -> None:
    a, b = memory_pair(4, duplicate=0.5)
    got: list[bytes] = []
    b.on_message(lambda channel, data: got.append(data))
    for data in SENT:
        a.send(Channel.PICTURES, data)
    await asyncio.sleep(0.05)
    assert set(got) == set(SENT)
    assert 1.3 * COUNT < len(got) < 1.7 * COUNT


@in_virtual_time
async def test_counts_messages_and_their_acknowledgements() -> None:
    a, b = memory_pair()
    b.on_message(lambda channel, data: None)
    for _ in range(10):
        a.send(Channel.MOTION, bytes(30))
    await asyncio.sleep(0.01)
    assert a.wire().sent == b.wire().received
    assert a.wire().received == b.wire().sent
    assert a.wire().sent.size == 10 * wire_cost(30)
    assert a.wire().sent.kinds[Kind.MOTION] == 300
    assert a.wire().received.size == a.wire().received.kinds[Kind.SACKS] == 5 * ACK_SIZE
    assert a.payload().sent[Channel.MOTION].messages == b.payload().received[Channel.MOTION].messages == 10
    assert a.payload().sent[Channel.MOTION].size == 300


@in_virtual_time
async def test_early_messages_wait_for_a_handler_within_bounds(caplog: pytest.LogCaptureFixture) -> None:
    a, b = memory_pair()
    for data in (b"1", b"2", bytes(HELD_BYTES), b"3"):
        a.send(Channel.CONTROL, data)
    await asyncio.sleep(0.01)
    got: list[bytes] = []
    b.on_message(lambda channel, data: got.append(data))
    assert got == [b"1", b"2", b"3"]
    assert caplog.text.count("a control message was dropped") == 1
    a.send(Channel.CONTROL, b"4")
    await asyncio.sleep(0.01)
    assert got == [b"1", b"2", b"3", b"4"]


@in_virtual_time
async def test_closed_link_refuses_and_says_why() -> None:
    a, b = memory_pair()
    await a.close()
    assert await b.wait_closed() == FAR_CLOSED
    with pytest.raises(LinkClosed, match="the other side closed"):
        b.send(Channel.MOTION, b"x")
    with pytest.raises(LinkClosed, match="on this side"):
        a.send(Channel.MOTION, b"x")


@pytest.mark.parametrize(("size", "cost"), [(10, 97), (20, 105), (30, 117), (100, 185), (500, 585), (4000, 4340)])
def test_wire_cost_is_what_was_measured(size: int, cost: int) -> None:
    assert wire_cost(size) == cost


def test_sharing_a_packet_saves_its_headers() -> None:
    assert wire_cost(38) - chunk_cost(38) == 69
    assert wire_cost(3000) - chunk_cost(3000) == 3 * 69
    assert chunk_cost(0) == chunk_cost(1) == 20
