"""The limit on connections: so many, so many from one address, and none for long that is not kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from shared.signalling.limits import LONGEST_LINE, ConnectionLimiter, open_site, runner

WITHIN = 60.0
"""Seconds after which a test that hangs fails."""


class Transport(asyncio.Transport):
    """A connection from an address, that can be cut."""

    def __init__(self, address: str | None = "192.0.2.1") -> None:
        super().__init__()
        self.cut = asyncio.Event()
        self._peer = None if address is None else (address, 4711)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._peer if name == "peername" else default

    def abort(self) -> None:
        self.cut.set()


def entered(limiter: ConnectionLimiter, *addresses: str | None) -> list[bool]:
    return [limiter.enter(Transport(address)) is not None for address in addresses]


async def test_so_many_from_one_address_and_so_many_in_all() -> None:
    limiter = ConnectionLimiter(most=3, each=2)
    assert entered(limiter, "192.0.2.1", "192.0.2.1", "192.0.2.1") == [True, True, False]
    assert entered(limiter, "192.0.2.2", "192.0.2.3") == [True, False]
    assert limiter.open == 3


async def test_one_too_many_is_cut_and_not_counted() -> None:
    limiter, late = ConnectionLimiter(most=1), Transport("192.0.2.2")
    assert entered(limiter, "192.0.2.1") == [True]
    assert limiter.enter(late) is None
    assert late.cut.is_set()
    assert limiter.open == 1


async def test_who_leaves_makes_room() -> None:
    limiter, first = ConnectionLimiter(most=2, each=1), Transport()
    name = limiter.enter(first)
    assert name is not None
    assert entered(limiter, "192.0.2.1") == [False]
    limiter.leave(first, name)
    assert limiter.open == 0
    assert entered(limiter, "192.0.2.1") == [True]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),  # the network of one customer
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),  # IPv4 on a socket for both
        ("192.0.2.1", "192.0.2.2", False),
        (None, None, True),  # an address that is not known is one, too
        (None, "192.0.2.1", False),
    ],
)
async def test_what_counts_as_one_address(one: str | None, other: str | None, same: bool) -> None:
    assert entered(ConnectionLimiter(each=1), one, other) == [True, not same]


async def test_one_that_is_not_kept_is_cut_when_its_time_is_over() -> None:
    limiter, idle = ConnectionLimiter(seconds=0.0), Transport()
    assert limiter.enter(idle) is not None
    await asyncio.wait_for(idle.cut.wait(), WITHIN)
    assert limiter.open == 1  # until its end has come


async def test_one_that_is_kept_lasts_and_still_counts() -> None:
    limiter, kept, idle = ConnectionLimiter(most=2, seconds=0.01), Transport(), Transport()
    limiter.enter(kept)
    limiter.keep(kept)
    limiter.enter(idle)
    await asyncio.wait_for(idle.cut.wait(), WITHIN)  # it came later, so the other's time was over, too
    assert not kept.cut.is_set()
    assert limiter.open == 2
    assert entered(limiter, "192.0.2.9") == [False]


async def test_who_has_left_is_not_cut() -> None:
    limiter, gone, idle = ConnectionLimiter(seconds=0.01), Transport(), Transport()
    name = limiter.enter(gone)
    assert name is not None
    limiter.leave(gone, name)
    limiter.enter(idle)
    await asyncio.wait_for(idle.cut.wait(), WITHIN)
    assert not gone.cut.is_set()


async def test_keeping_nothing_and_twice_is_allowed() -> None:
    limiter, kept = ConnectionLimiter(), Transport()
    limiter.keep(None)
    limiter.keep(kept)
    limiter.enter(kept)
    limiter.keep(kept)
    limiter.keep(kept)
    assert limiter.open == 1


async def served(request: web.Request) -> web.Response:
    return web.Response(text="welcome")


@pytest.fixture
async def site() -> AsyncIterator[tuple[ConnectionLimiter, int]]:
    """A server behind a limiter that lets two in; the limiter and its port."""
    app, limiter = web.Application(), ConnectionLimiter(most=2, each=2)
    app.router.add_get("/", served)
    run = runner(app)
    await open_site(run, "127.0.0.1", 0, None, limiter)
    try:
        yield limiter, run.addresses[0][1]
    finally:
        await run.cleanup()


async def ask(port: int, head: bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") -> tuple[bytes, asyncio.StreamWriter]:
    """The first line that comes back, nothing where the connection is cut; the connection stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head)
        return await asyncio.wait_for(reader.readline(), WITHIN), writer
    except ConnectionError:
        return b"", writer


async def until_open(limiter: ConnectionLimiter, count: int) -> None:
    async with asyncio.timeout(WITHIN):
        while limiter.open != count:
            await asyncio.sleep(0.001)


async def test_a_server_behind_it_serves_as_many_as_may_enter(site: tuple[ConnectionLimiter, int]) -> None:
    limiter, port = site
    first, held = await ask(port)
    second, other = await ask(port)
    assert first == second == b"HTTP/1.1 200 OK\r\n"
    assert (await ask(port))[0] == b""
    assert limiter.open == 2
    held.close()
    await until_open(limiter, 1)
    assert (await ask(port))[0] == first
    other.close()


async def test_a_first_line_without_end_is_refused(site: tuple[ConnectionLimiter, int]) -> None:
    line, writer = await ask(site[1], b"GET /" + b"a" * (LONGEST_LINE + 1) + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert line.split()[1] == b"400"
    writer.close()
    await until_open(site[0], 0)


async def test_what_cannot_listen_is_an_error(site: tuple[ConnectionLimiter, int]) -> None:
    run = runner(web.Application())
    with pytest.raises(OSError, match=r"in use|only one usage"):
        await open_site(run, "127.0.0.1", site[1], None, ConnectionLimiter())
    await run.cleanup()
