"""The call registry: who may come in and who may come back, kept in a file if it is given one.

And where callers come in: this machine's own HTTP server, a room on a rendezvous server, or a terminal.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable

from receiver.output.page.view import WebView
from receiver.settings import ReceiverSettings
from shared.call.state import ReceiverState, read_receiver, write_state
from shared.rendezvous.client import RendezvousHost
from shared.signalling.answering import ResumableCalls
from shared.signalling.direct import SignallingServer, shown_host
from shared.signalling.hello import Hello
from shared.signalling.links import show_qr
from shared.signalling.offer_answer import Answer, OnOffer
from shared.signalling.pasting import Terminal, answer_by_hand
from shared.signalling.tokens import AccessTokens, expire
from shared.tasks import first_of

logger = logging.getLogger(__name__)


class CallRegistry:
    """The tokens, the calls that can be resumed, and the file."""

    def __init__(self, settings: ReceiverSettings, answer: Callable[[Hello, str, str], Awaitable[Answer]]) -> None:
        """`answer` takes a call of before this program was started again: hello, SDP and token of its sender.

        Raises StateError and PrivateFileError.
        """
        self._file = settings.state
        kept = (None if self._file is None else read_receiver(self._file)) or ReceiverState()
        more = settings.keep or settings.calls > 1
        self.tokens = AccessTokens(kept.invitation, more=more, invited_at=kept.invited_at)
        self.resumable = ResumableCalls(self.tokens, settings.ice, lambda: self._refresh())
        self.resumable.restore(kept.calls, answer)
        self.room = kept.room
        """Secret of the room to wait in; None: a new one."""
        self.port = settings.port or kept.port or 0
        """To listen on: where any will do, the one of before."""
        self._refresh: Callable[[], None] = lambda: None
        self._invite: Callable[[], None] = lambda: None
        self._invited: str | None = None
        """The invitation that was told; none yet if None, that there is no more if empty."""
        self.tokens.on_change = self._changed

    def open(
        self,
        invite: Callable[[], None],
        *,
        room: str | None = None,
        port: int | None = None,
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        """Callers are listened for: tells it with `invite`, now and whenever there is a new link, or no link any more.

        `refresh` is called while nothing is heard from a caller: this machine's network may have been gone. Raises
        PrivateFileError.
        """
        self._invite, self._refresh, self.room = invite, refresh, room
        self.port = port or 0
        self._changed()

    def _changed(self) -> None:
        tokens = self.tokens
        state = ReceiverState(tokens.invitation, tokens.calls, self.room, self.port or None, tokens.invited_at)
        if self._file is not None:
            try:
                write_state(self._file, state)
            except OSError as error:
                if self._invited is None:
                    raise
                logger.warning("the call could not be resumed if this program were started again: %s", error)
        if (tokens.invitation or "") != self._invited:
            self._invited = tokens.invitation or ""
            self._invite()


async def listen_for_callers(
    settings: ReceiverSettings,
    registry: CallRegistry,
    on_offer: OnOffer,
    say: Callable[[str], None],
    view: WebView | None = None,
) -> None:
    """Prints how to join, shows it on the page if there is a `view`, and has `on_offer` answer who does; ends by being
    cancelled.

    Raises CannotListen, or SignallingError once nobody can join any more.
    """
    if settings.by_hand:
        await answer_by_hand(Terminal(), on_offer)
        await asyncio.Event().wait()
    elif settings.rendezvous is not None:
        async with RendezvousHost(settings.rendezvous, on_offer, say, tokens=registry.tokens, secret=registry.room,
                               tls=settings.https.trusting()) as room:  # fmt: skip
            registry.open(
                lambda: _invite(str(room.link) if registry.tokens.invitation else "", settings.qr, view),
                room=room.secret, refresh=room.refresh,
            )  # fmt: skip
            await first_of(room.serve(), expire(registry.tokens))
    else:
        async with SignallingServer(
            settings.host, registry.port, on_offer, tokens=registry.tokens, tls=settings.https.serving(),
            named=settings.https.named(shown_host(settings.host)),
        ) as server:  # fmt: skip
            registry.open(
                lambda: _invite(server.join_url if registry.tokens.invitation else "", settings.qr, view),
                port=server.port,
            )  # fmt: skip
            await expire(registry.tokens)


def _invite(link: str, qr: bool, view: WebView | None) -> None:
    """Tells the link; an empty one: that the last one is spent, and no further call is taken."""
    if view is not None:
        view.link = link
    if not link:
        return
    if qr:
        show_qr(link, sys.stdout)
    print(f"join with: python -m sender --peer {link}", flush=True)
