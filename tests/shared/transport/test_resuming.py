"""A link over one connection after the other, joined in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from memory_link import FAR_CLOSED, MemoryLink, memory_pair
from virtual_time import in_virtual_time

from shared.transport.link import Channel, LinkClosed
from shared.transport.resuming import NOTHING_GOES, Change, ResumingLink


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


class Far(list[bytes]):
    """What arrives at the other end."""

    def listen(self, link: MemoryLink) -> None:
        link.on_message(lambda channel, data: self.append(data))


async def broken() -> tuple[ResumingLink, list[bytes], list[Change]]:
    """A link whose first connection is gone, what came over it, and what it said."""
    near, far = memory_pair()
    link, got, changes = ResumingLink(near), list[bytes](), list[Change]()
    link.on_message(lambda channel, data: got.append(data))
    link.on_change(changes.append)
    far.send(Channel.CONTROL, b"before")
    await until(lambda: got == [b"before"])
    await far.close()
    await until(lambda: not link.alive)
    return link, got, changes


@in_virtual_time
async def test_it_goes_on_over_another_connection() -> None:
    link, got, changes = await broken()
    near, far = memory_pair()
    heard = Far()
    heard.listen(far)
    link.renew(near)
    assert link.alive and link.carrier is near
    link.send(Channel.MOTION, b"here")
    far.send(Channel.CONTROL, b"after")
    await until(lambda: heard == [b"here"] and got == [b"before", b"after"])
    assert changes == [Change.LOST, Change.RENEWED]
    await link.close()


@in_virtual_time
async def test_messages_are_dropped_and_held_back_while_there_is_none() -> None:
    link, _, _ = await broken()
    assert link.queued == NOTHING_GOES
    link.send(Channel.MOTION, b"lost")
    near, far = memory_pair()
    heard = Far()
    heard.listen(far)
    link.renew(near)
    assert link.queued == 0
    link.send(Channel.CONTROL, b"next")
    await until(lambda: bool(heard))
    assert heard == [b"next"]
    await link.close()


@in_virtual_time
async def test_bytes_are_those_of_all_connections() -> None:
    link, _, _ = await broken()
    for round_ in range(3):
        near, far = memory_pair()
        heard = Far()
        heard.listen(far)
        before = link.wire()
        link.renew(near)
        link.send(Channel.PICTURES, b"x" * 100)
        await until(lambda heard=heard: bool(heard))  # type: ignore[misc]
        far.send(Channel.CONTROL, b"back")
        await until(lambda n=round_: link.payload().received[Channel.CONTROL].messages == n + 2)  # type: ignore[misc]
        assert link.payload().sent[Channel.PICTURES].messages == round_ + 1
        assert link.payload().sent[Channel.PICTURES].size == 100 * (round_ + 1)
        assert link.wire().sent.packets > before.sent.packets
        assert link.wire().received.size > before.received.size
    assert link.renewals == 3
    await link.close()
    assert link.payload().sent[Channel.PICTURES].size == 300


@in_virtual_time
async def test_an_old_connection_has_no_more_to_say() -> None:
    near, old = memory_pair(delay=0.02)
    link, got = ResumingLink(near), list[bytes]()
    link.on_message(lambda channel, data: got.append(data))
    old.send(Channel.CONTROL, b"late")
    newer, far = memory_pair()
    link.renew(newer)
    far.send(Channel.CONTROL, b"in time")
    await old.wait_closed()  # the one before is closed
    await until(lambda: bool(got))
    assert got == [b"in time"]
    assert link.alive  # and its end is not the link's
    await link.close()


@in_virtual_time
async def test_changes_are_told_before_the_first_message() -> None:
    link, _, _ = await broken()
    near, far = memory_pair()
    far.send(Channel.CONTROL, b"early")
    await asyncio.sleep(0.02)
    order: list[object] = []
    link.on_change(order.append)
    link.on_message(lambda channel, data: order.append(data))
    link.renew(near, replaced=True)
    await until(lambda: len(order) == 2)
    assert order == [Change.REPLACED, b"early"]
    await link.close()


@in_virtual_time
async def test_one_that_cannot_be_made_again_ends_with_its_connection() -> None:
    near, far = memory_pair()
    link = ResumingLink(near, lasting=False)
    link.on_message(lambda channel, data: None)
    await far.close()
    assert await asyncio.wait_for(link.wait_closed(), 30) == FAR_CLOSED
    with pytest.raises(LinkClosed, match=FAR_CLOSED):
        link.send(Channel.MOTION, b"x")


@in_virtual_time
async def test_it_can_be_given_up_and_takes_no_connection_then() -> None:
    link, _, changes = await broken()
    link.give_up("the receiver refused")
    assert await asyncio.wait_for(link.wait_closed(), 30) == "the receiver refused"
    near, far = memory_pair()
    link.renew(near)
    assert await asyncio.wait_for(far.wait_closed(), 30)
    assert changes == [Change.LOST]
    await link.close()
    assert await link.wait_closed() == "the receiver refused"


@in_virtual_time
async def test_the_end_of_the_connection_alone_does_not_end_it() -> None:
    link, _, _ = await broken()
    waiting = asyncio.ensure_future(link.wait_closed())
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    await link.close()
    assert await waiting == "closed on this side"


@in_virtual_time
async def test_a_call_of_before_tells_so_at_once() -> None:
    near, _ = memory_pair()
    changes: list[Change] = []
    ResumingLink(near, resumed=True).on_change(changes.append)
    assert changes == [Change.RENEWED]
