"""Where callers come in: this machine's own HTTP server, a room on a rendezvous server, or a terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from receiver.call import ReceiverSettings
from receiver.guests import Guests
from receiver.page.stage import Stage
from shared.session.exchange import OnOffer
from shared.session.expiry import expire
from shared.session.pasting import Terminal, answer_by_hand
from shared.session.qr import show_qr
from shared.session.rendezvous_client import WaitingRoom
from shared.session.signalling import SignallingServer, shown_host
from shared.tasks import first_of


async def let_in(
    settings: ReceiverSettings,
    guests: Guests,
    on_offer: OnOffer,
    say: Callable[[str], None],
    stage: Stage | None = None,
) -> None:
    """Prints how to join, shows it on the page if there is a `stage`, and has `on_offer` answer who does; ends by being
    cancelled.

    Raises CannotListen, or SignallingError once nobody can join any more.
    """
    if settings.by_hand:
        await answer_by_hand(Terminal(), on_offer)
        await asyncio.Event().wait()
    elif settings.rendezvous is not None:
        async with WaitingRoom(settings.rendezvous, on_offer, say, passes=guests.passes, secret=guests.room,
                               tls=settings.https.trusting()) as room:  # fmt: skip
            guests.open(
                lambda: _invite(str(room.link) if guests.passes.invitation else "", settings.qr, stage),
                room=room.secret, refresh=room.refresh,
            )  # fmt: skip
            await first_of(room.serve(), expire(guests.passes))
    else:
        async with SignallingServer(
            settings.host, guests.port, on_offer, passes=guests.passes, tls=settings.https.serving(),
            named=settings.https.named(shown_host(settings.host)),
        ) as server:  # fmt: skip
            guests.open(
                lambda: _invite(server.join_url if guests.passes.invitation else "", settings.qr, stage),
                port=server.port,
            )  # fmt: skip
            await expire(guests.passes)


def _invite(link: str, qr: bool, stage: Stage | None) -> None:
    """Tells the link; an empty one: that the last one is spent, and no further call is taken."""
    if stage is not None:
        stage.link = link
    if not link:
        return
    if qr:
        show_qr(link, sys.stdout)
    print(f"join with: python -m sender --peer {link}", flush=True)
