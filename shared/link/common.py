"""The half of a link that does not depend on what carries it: counting, dispatch and the end."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque

from shared.link.base import Channel, Fingerprints, Handler, PayloadBytes, Tally

logger = logging.getLogger(__name__)

HELD_BYTES = 256 * 1024
"""Bytes of early messages kept until there is a handler: the other side may find the link open first, and nothing
on a reliable channel is sent twice."""


class _PayloadMeter:
    def __init__(self) -> None:
        self._messages: Counter[Channel] = Counter()
        self._size: Counter[Channel] = Counter()

    def count(self, channel: Channel, data: bytes) -> None:
        self._messages[channel] += 1
        self._size[channel] += len(data)

    def snapshot(self) -> dict[Channel, Tally]:
        return {channel: Tally(self._messages[channel], self._size[channel]) for channel in Channel}


class CommonLink:
    """Base class of links; must be made while an event loop runs."""

    def __init__(self) -> None:
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._handler: Handler | None = None
        self._held: deque[tuple[Channel, bytes]] = deque()
        self._held_bytes = 0
        self._sent = _PayloadMeter()
        self._received = _PayloadMeter()

    @property
    def fingerprints(self) -> Fingerprints | None:
        """See `Link.fingerprints`."""
        return None

    def on_message(self, handler: Handler) -> None:
        """See `Link.on_message`."""
        self._handler = handler
        while self._held:
            self._hand_over(handler, *self._held.popleft())

    def payload(self) -> PayloadBytes:
        """See `Link.payload`."""
        return PayloadBytes(self._sent.snapshot(), self._received.snapshot())

    async def wait_closed(self) -> str:
        """See `Link.wait_closed`."""
        return await asyncio.shield(self._ended)

    def _end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)

    def _deliver(self, channel: Channel, data: bytes) -> None:
        if self._ended.done():
            return
        self._received.count(channel, data)
        if self._handler is not None:
            self._hand_over(self._handler, channel, data)
        elif self._held_bytes + len(data) <= HELD_BYTES:
            self._held.append((channel, data))
            self._held_bytes += len(data)
        else:
            logger.warning("a %s message was dropped: nobody has asked for messages yet", channel)

    @staticmethod
    def _hand_over(handler: Handler, channel: Channel, data: bytes) -> None:
        try:
            handler(channel, data)
        except Exception:
            # An error that left this frame would end the transport's receive loop, and the call with it.
            logger.exception("the handler of %s messages failed", channel)
