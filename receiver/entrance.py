"""Where callers come in: this machine's own HTTP server, a room on a rendezvous server, or a terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from receiver.call import ReceiverSettings
from shared.session.exchange import OnOffer
from shared.session.pasting import Terminal, answer_by_hand
from shared.session.qr import show_qr
from shared.session.rendezvous_client import WaitingRoom
from shared.session.signalling import SignallingServer


async def let_in(settings: ReceiverSettings, on_offer: OnOffer, say: Callable[[str], None]) -> None:
    """Prints how to join, and has `on_offer` answer who does; ends by being cancelled.

    Raises CannotListen, or SignallingError once nobody can join any more.
    """
    if settings.by_hand:
        await answer_by_hand(Terminal(), on_offer)
        await asyncio.Event().wait()
    elif settings.rendezvous is not None:
        async with WaitingRoom(settings.rendezvous, on_offer, say) as room:
            _invite(str(room.link), settings.qr)
            await room.serve()
    else:
        async with SignallingServer(settings.host, settings.port, on_offer) as server:
            _invite(server.join_url, settings.qr)
            await asyncio.Event().wait()


def _invite(link: str, qr: bool) -> None:
    if qr:
        show_qr(link, sys.stdout)
    print(f"join with: python -m sender --peer {link}", flush=True)
