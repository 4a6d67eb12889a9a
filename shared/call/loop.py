"""The loop of a call: one link, the halves that use it, and when it is over."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Literal, Protocol

from shared.errors import PinholeError
from shared.transport.link import Channel, Link, LinkClosed
from shared.transport.resuming import Change, ResumingLink

SILENT_AFTER = 5.0
"""Seconds without a message after which the user is told."""
DEAD_AFTER = 90.0
"""Seconds without a message after which the call is over; a train's tunnel is shorter."""
logger = logging.getLogger(__name__)
Outgoing = tuple[Channel, bytes]
"""A message to send, and the channel for it."""
TICK_SECONDS = 0.02
GOODBYE_SECONDS = 3.0
"""How long the other side may take to answer a goodbye: a lost one is repeated after a second."""


class Silence:
    """Judges how long nothing came from the other side, on any channel."""

    def __init__(self, now: float, *, silent_after: float = SILENT_AFTER, dead_after: float = DEAD_AFTER) -> None:
        self._last = now
        self._silent_after = silent_after
        self._dead_after = dead_after

    def heard(self, now: float) -> None:
        """Note a message."""
        self._last = max(self._last, now)

    def state(self, now: float) -> Literal["ok", "silent", "dead"]:
        """What the silence up to `now` means."""
        silence = now - self._last
        if silence >= self._dead_after:
            return "dead"
        return "silent" if silence >= self._silent_after else "ok"


class TooManyErrors(PinholeError):
    """The other side keeps sending garbage; the call is ended with this text."""


class Half(Protocol):
    """One direction of a call, as the loop below drives it. Times are `time.monotonic()`."""

    def receive(self, channel: Channel, data: bytes, now: float) -> None:
        """Takes in a message. Raises TooManyErrors to end the call."""

    def tick(self, now: float, link_queued: int) -> list[Outgoing]:
        """What to send now."""

    def finish(self, reason: str, now: float) -> list[Outgoing]:
        """The last messages."""

    @property
    def peer_bye(self) -> str | None:
        """The reason the other side gave for ending the call, once it did."""


class Resumable(Protocol):
    """A half of a call that can go on over another connection."""

    def link_changed(self, change: Change, now: float) -> None:
        """The connection was lost, or there is a new one."""


def follow(link: Link, half: Resumable) -> None:
    """Has a half told what becomes of the connection below a link, if that can change."""
    if isinstance(link, ResumingLink):
        link.on_change(lambda change: half.link_changed(change, time.monotonic()))


async def run_call(
    link: Link,
    half: Half,
    ended: asyncio.Event,
    on_silence: Callable[[bool], None] = lambda silent: None,
    *,
    waits: bool = False,
) -> str:
    """Drives `half` over an open link until `ended` is set, the other side says goodbye, or is gone for 90 s.

    With `waits` it may be gone for ever.

    Why the call ended comes back, as a sentence part. Raises TooManyErrors if the other side sends garbage, and
    LinkClosed if the link breaks without a goodbye. The goodbye is said in every case where it can be.
    """
    silence, failure = Silence(time.monotonic()), []

    def take(channel: Channel, data: bytes) -> None:
        now = time.monotonic()
        silence.heard(now)
        try:
            half.receive(channel, data, now)
        except TooManyErrors as error:
            failure.append(error)

    link.on_message(take)
    closed = asyncio.ensure_future(link.wait_closed())
    silent = False
    try:
        while True:
            now = time.monotonic()
            if half.peer_bye is not None:
                with contextlib.suppress(LinkClosed):  # who says goodbye may be gone before the answer
                    for channel, data in half.finish("goodbye", now):
                        link.send(channel, data)
                return f"the other side ended the call: {half.peer_bye}"
            if failure:
                await _say_goodbye(link, half, "too many malformed messages")
                raise failure[0]
            if closed.done():
                raise LinkClosed(f"the link broke: {closed.result()}")
            if ended.is_set():
                await _say_goodbye(link, half, "the end")
                return "this side ended the call"
            state = silence.state(now)
            if state == "dead" and not waits:
                raise LinkClosed("the other side has been silent for 90 s")
            if (state != "ok") != silent:
                silent = not silent
                on_silence(silent)
            for channel, data in half.tick(now, link.queued):
                link.send(channel, data)
            await asyncio.wait([closed], timeout=TICK_SECONDS)
    except asyncio.CancelledError:
        await _say_goodbye(link, half, "interrupted")
        raise
    finally:
        closed.cancel()


async def _say_goodbye(link: Link, half: Half, reason: str) -> None:
    """Sends the last messages and waits for the other side's goodbye: the link repeats what was lost meanwhile."""
    try:
        for channel, data in half.finish(reason, time.monotonic()):
            link.send(channel, data)
        deadline = time.monotonic() + GOODBYE_SECONDS
        while half.peer_bye is None and time.monotonic() < deadline:
            await asyncio.sleep(TICK_SECONDS)
    except LinkClosed:
        logger.debug("the link closed before the goodbye")
