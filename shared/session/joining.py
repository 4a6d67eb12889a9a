"""The sender's way to a receiver, whichever the link names."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable

from shared.session.hello import Hello
from shared.session.join_link import BY_HAND, RoomLink, parse_link
from shared.session.pasting import Terminal, join_by_hand
from shared.session.rendezvous_client import join_room
from shared.session.signalling import join


def check_peer(peer: str) -> None:
    """Raises SignallingError if nobody can be reached that way, whatever is tried."""
    if peer != BY_HAND:
        parse_link(peer)


async def meet(
    peer: str,
    hello: Hello,
    make_offer: Callable[[], Awaitable[str]],
    on_pass: Callable[[str], None] = lambda resume: None,
    tls: ssl.SSLContext | None = None,
) -> tuple[Hello, str]:
    """The receiver's hello and SDP answer. Raises SignallingError, and whatever `make_offer` raises.

    `on_pass` is told what resumes the call: `resume_link` makes a link of it. `tls` says whom to trust.
    """
    if peer == BY_HAND:
        return await join_by_hand(Terminal(), hello, make_offer)
    link = parse_link(peer)
    if isinstance(link, RoomLink):
        return await join_room(link, hello, make_offer, on_pass, tls)
    return await join(peer, hello, make_offer, on_pass, tls)


def resume_link(peer: str, resume: str) -> str:
    """The link that resumes a call made by the link `peer`. Raises SignallingError if the pass is none."""
    return str(parse_link(peer).with_pass(resume))


async def reachable(peer: str, within: float) -> bool:
    """Whether the machine that a link names takes a connection: much cheaper than an offer, and counted by nobody."""
    place = parse_link(peer).place
    host, _, port = place.rpartition(":")
    try:
        async with asyncio.timeout(within):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
