"""The directions of a call: one or, in a two-way call, both over one link."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from shared.call.loop import Half, Outgoing, Resumable, TooManyErrors, follow, run_call
from shared.call.report import write_report
from shared.tasks import one_line, unbroken
from shared.transport.link import Channel, Link, LinkClosed
from shared.trust.identity import Trust
from shared.trust.verified import Verified, verified

WAIT_SECONDS = 0.5
"""How long what the incoming half has to say may wait for motion to ride with, whose packet it then shares."""
logger = logging.getLogger(__name__)


class Pair:
    """An outgoing and an incoming half over one link, driven as one.

    Motion and pictures that come are for the incoming half. Control messages go to both: each takes those that are
    meant for it. What the incoming half answers (statistics, the sources held) goes in the packets of this side's own
    motion, where it costs no packet of its own.
    """

    def __init__(self, outgoing: Half, incoming: Half) -> None:
        self._outgoing, self._incoming = outgoing, incoming
        self._answered = float("-inf")

    @property
    def peer_bye(self) -> str | None:
        """See `Half.peer_bye`."""
        return self._incoming.peer_bye or self._outgoing.peer_bye

    def receive(self, channel: Channel, data: bytes, now: float) -> None:
        """See `Half.receive`."""
        self._incoming.receive(channel, data, now)
        if channel is Channel.CONTROL:
            self._outgoing.receive(channel, data, now)

    def tick(self, now: float, link_queued: int) -> list[Outgoing]:
        """See `Half.tick`."""
        out = self._outgoing.tick(now, link_queued)
        rides = any(channel is Channel.MOTION for channel, _ in out)
        if rides or now - self._answered >= WAIT_SECONDS:
            self._answered = now
            out += self._incoming.tick(now, link_queued)  # made now, so that the clock in it is not late
        return out

    def finish(self, reason: str, now: float) -> list[Outgoing]:
        """See `Half.finish`: the last answers, and one goodbye."""
        return [*self._incoming.finish(reason, now)[:-1], *self._outgoing.finish(reason, now)]


class ResumableHalf(Half, Resumable, Protocol):
    """A half that goes on over another connection."""


class Direction(Protocol):
    """One direction of a call: a half, and what feeds it or shows what it gives."""

    name: str
    """"sent" or "received": where its figures stand in the report of a two-way call."""

    @property
    def half(self) -> ResumableHalf:
        """What speaks with the other side."""

    def watch_over(self, verified: Verified) -> None:
        """Shows what is found out about who is at the other end."""

    async def run(self) -> None:
        """Until there is a reason to end the call, or cancelled. Raises what goes wrong."""

    async def play_out(self) -> None:
        """What is still to be done after the goodbye; `run` goes on meanwhile."""

    def look(self) -> str:
        """Notes what is new and gives the status text."""

    def brief(self) -> str:
        """A few words on how it goes, for the end of the other part's status text."""

    async def close(self, ended: str) -> None:
        """Frees everything, after `run` has; `ended` is why the call is over. Raises what goes wrong."""

    def report(self) -> dict[str, Any]:
        """The figures, once closed."""


async def run_directions(
    link: Link, parts: Sequence[Direction], other: str, say: Callable[[str], None], report_to: Path | None = None, *,
    trust: Trust | None = None, offerer: bool = False, waits: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Runs a call over an open link; the report comes back: the figures of the first part, with the second's in them.

    `parts`: one, or an outgoing and an incoming one in the order of their weight for the report, which is written to
    `report_to` however the call ends. `other` is what the other side is called. `trust`: by which it is found out who
    that is, None: it is not; `offerer`: whether this side made the offer. `waits`: however long the other side is
    silent. Raises LinkClosed, TooManyErrors, and what goes wrong in a part.
    """
    ended, reason = asyncio.Event(), "interrupted"
    running: list[asyncio.Task[None]] = []

    def silence(silent: bool) -> None:
        say(f"nothing heard from {other} for 5 s" if silent else f"{other} is back")

    try:
        running += [asyncio.ensure_future(part.run()) for part in parts]
        for task in running:
            task.add_done_callback(lambda _: ended.set())
        half = _half(parts)
        if trust is not None:
            half = verified(half, link, trust, say, offerer=offerer)
            for part in parts:
                part.watch_over(half)
        for part in parts:
            follow(link, part.half)
        reason = await run_call(link, half, ended, silence, waits=waits)
        await asyncio.gather(*(part.play_out() for part in parts))
    except BaseException as error:
        if isinstance(error, LinkClosed | TooManyErrors):
            reason = str(error)
        _, wrong = await unbroken(_end(parts, running, reason, report_to))
        for each in wrong:
            logger.warning("as the call ended: %s", one_line(each))
        raise
    report, wrong = await unbroken(_end(parts, running, reason, report_to))
    if wrong:
        raise wrong[0]
    return report


async def _end(
    parts: Sequence[Direction], running: Sequence[asyncio.Task[None]], reason: str, report_to: Path | None
) -> tuple[dict[str, Any], list[Exception]]:
    """The report, and what went wrong in the parts or as they were closed: nothing of it keeps the rest from being."""
    for task in running:
        task.cancel()
    results = [*await asyncio.gather(*running, return_exceptions=True)]
    for part in parts:
        results += await asyncio.gather(part.close(reason), return_exceptions=True)
    report = _report(parts, reason)
    try:
        if report_to is not None:
            write_report(report_to, report)
    except OSError as error:
        results.append(error)
    return report, [each for each in results if isinstance(each, Exception)]


def status_text(parts: Sequence[Direction]) -> str:
    """How a call is doing, as one line; every look is one of the parts'."""
    return " | ".join([parts[0].look(), *(part.brief() for part in parts[1:])])


def _report(parts: Sequence[Direction], ended: str) -> dict[str, Any]:
    report = parts[0].report()
    for part in parts[1:]:
        report[part.name] = part.report()
    return report | {"ended": ended}


def _half(parts: Sequence[Direction]) -> Half:
    if len(parts) == 1:
        return parts[0].half
    by_name = {part.name: part.half for part in parts}
    return Pair(by_name["sent"], by_name["received"])
