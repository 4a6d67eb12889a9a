"""Both directions of a call as one half: for a two-way call over one link."""

from __future__ import annotations

from shared.link.base import Channel
from shared.session.call import Half, Outgoing

WAIT_SECONDS = 0.5
"""How long what the incoming half has to say may wait for motion to ride with, whose packet it then shares."""


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
