"""A link that outlives the connection that carries it: for a call that goes on after the network was gone.

Nothing here knows how a new connection is made; who makes one hands it to `renew`. Messages that were under way when a
connection ended are lost, so both halves of a call say anew what the other must know (see `Change`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from enum import Enum, auto

from shared.tasks import watched
from shared.transport.link import (
    Channel,
    Fingerprints,
    Handler,
    Kind,
    Link,
    LinkClosed,
    PayloadBytes,
    Tally,
    Traffic,
    WireBytes,
)

logger = logging.getLogger(__name__)

NOTHING_GOES = 1 << 30
"""Bytes that `queued` says while there is no connection: whatever judges by it holds its messages back."""


class Change(Enum):
    """What became of the connection below a link."""

    LOST = auto()
    """There is none: messages are dropped until there is a new one."""
    RENEWED = auto()
    """There is a new one, to the same program on the other side, or to one that holds nothing and says so."""
    REPLACED = auto()
    """There is a new one, to a program on the other side that was started again and numbers everything from 0."""


class ResumingLink:
    """A `Link` over one connection after the other. Needs a running event loop once `on_message` is called."""

    def __init__(self, carrier: Link, *, lasting: bool = True, resumed: bool = False) -> None:
        """`lasting`: whether it outlives its connection; if not, it ends with it.

        `resumed`: the other side was in a call already: whoever asks for changes is told of a renewal at once.
        """
        self._carrier, self._lasting, self._resumed = carrier, lasting, resumed
        self._alive = True
        self._reason: str | None = None
        self._ended = asyncio.Event()
        self._handler: Handler | None = None
        self._acts: list[Callable[[Change], None]] = []
        self._watching: asyncio.Task[None] | None = None
        self._closing: dict[asyncio.Task[None], Link] = {}
        self._past = _NOTHING
        self._past_payload = _NO_PAYLOAD
        self.renewals = 0
        """How often a new connection took the place of another."""

    @property
    def carrier(self) -> Link:
        """The present connection, or the last one."""
        return self._carrier

    @property
    def alive(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._alive and self._reason is None

    @property
    def queued(self) -> int:
        """See `Link.queued`; NOTHING_GOES while there is no connection."""
        return self._carrier.queued if self._alive else NOTHING_GOES

    @property
    def fingerprints(self) -> Fingerprints | None:
        """See `Link.fingerprints`: those of the present connection."""
        return self._carrier.fingerprints

    def on_message(self, handler: Handler) -> None:
        """See `Link.on_message`."""
        self._handler = handler
        self._attach(self._carrier)

    def on_change(self, act: Callable[[Change], None]) -> None:
        """Have `act` called whenever the connection is lost, and before the first message of a new one."""
        self._acts.append(act)
        if self._resumed:
            act(Change.RENEWED)

    def send(self, channel: Channel, data: bytes) -> None:
        """Queue one message; it is dropped while there is no connection. Raises LinkClosed after the end."""
        if self._reason is not None:
            raise LinkClosed(self._reason)
        if not self._alive:
            return
        try:
            self._carrier.send(channel, data)
        except LinkClosed as error:
            self._lose(str(error))
            if self._reason is not None:
                raise

    def renew(self, carrier: Link, *, replaced: bool = False) -> None:
        """Goes on over an open connection; the one before is closed. After the end the new one is closed instead.

        `replaced`: the program on the other side was started again.
        """
        if self._reason is not None:
            self._put_away(carrier)
            return
        before, self._carrier = self._carrier, carrier
        self._alive = True
        self.renewals += 1
        self._put_away(before)
        self._tell(Change.REPLACED if replaced else Change.RENEWED)
        if self._handler is not None:
            self._attach(carrier)

    def give_up(self, reason: str) -> None:
        """The end: there will be no other connection. `reason` is a part of a sentence."""
        if self._reason is None:
            self._reason = reason
            self._ended.set()

    def wire(self) -> WireBytes:
        """See `Link.wire`: of all connections together."""
        each = [self._past, self._carrier.wire(), *(link.wire() for link in self._closing.values())]
        return WireBytes(_traffic([w.sent for w in each]), _traffic([w.received for w in each]))

    def payload(self) -> PayloadBytes:
        """See `Link.payload`: of all connections together."""
        each = [self._past_payload, self._carrier.payload(), *(link.payload() for link in self._closing.values())]
        return PayloadBytes(_tallies([p.sent for p in each]), _tallies([p.received for p in each]))

    async def wait_closed(self) -> str:
        """Wait for the end, which the end of a connection is not if the link is `lasting`."""
        await self._ended.wait()
        assert self._reason is not None
        return self._reason

    async def close(self) -> None:
        """See `Link.close`."""
        self.give_up("closed on this side")
        if self._watching is not None:
            self._watching.cancel()
        try:
            await asyncio.gather(self._carrier.close(), *self._closing, return_exceptions=True)
        finally:
            # a connection that has closed lives on in its libraries for a while, and with it all that hears from it
            self._handler = None
            self._acts.clear()

    def _attach(self, carrier: Link) -> None:
        if self._watching is not None:
            self._watching.cancel()
        self._watching = watched(self._watch(carrier), "the end of a connection is not seen")
        carrier.on_message(lambda channel, data: self._take(carrier, channel, data))

    def _take(self, carrier: Link, channel: Channel, data: bytes) -> None:
        if carrier is self._carrier and self._handler is not None:
            self._handler(channel, data)

    async def _watch(self, carrier: Link) -> None:
        reason = await carrier.wait_closed()
        if carrier is self._carrier:
            self._lose(reason)

    def _lose(self, reason: str) -> None:
        if not self._alive:
            return
        self._alive = False
        logger.info("the connection was lost: %s", reason)
        if not self._lasting:
            self.give_up(reason)
        self._tell(Change.LOST)

    def _tell(self, change: Change) -> None:
        for act in self._acts:
            act(change)

    def _put_away(self, carrier: Link) -> None:
        task = asyncio.ensure_future(carrier.close())
        self._closing[task] = carrier
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        """Only the sum of what a closed connection carried is kept: a call may see many of them."""
        carrier = self._closing.pop(task)
        wire, payload = carrier.wire(), carrier.payload()
        self._past = WireBytes(_traffic([self._past.sent, wire.sent]), _traffic([self._past.received, wire.received]))
        self._past_payload = PayloadBytes(
            _tallies([self._past_payload.sent, payload.sent]), _tallies([self._past_payload.received, payload.received])
        )
        if not task.cancelled() and task.exception() is not None:
            logger.warning("a connection did not close cleanly: %s", task.exception())


def _traffic(each: list[Traffic]) -> Traffic:
    kinds = {kind: sum(one.kinds[kind] for one in each) for kind in Kind}
    return Traffic(sum(one.packets for one in each), kinds)


def _tallies(each: list[Mapping[Channel, Tally]]) -> dict[Channel, Tally]:
    return {
        channel: Tally(sum(one[channel].messages for one in each), sum(one[channel].size for one in each))
        for channel in Channel
    }


_NOTHING = WireBytes(_traffic([]), _traffic([]))
_NO_PAYLOAD = PayloadBytes(_tallies([]), _tallies([]))
