"""The sender's way to a receiver, whichever the link names."""

from __future__ import annotations

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


async def meet(peer: str, hello: Hello, make_offer: Callable[[], Awaitable[str]]) -> tuple[Hello, str]:
    """The receiver's hello and SDP answer. Raises SignallingError, and whatever `make_offer` raises."""
    if peer == BY_HAND:
        return await join_by_hand(Terminal(), hello, make_offer)
    link = parse_link(peer)
    if isinstance(link, RoomLink):
        return await join_room(link, hello, make_offer)
    return await join(peer, hello, make_offer)
