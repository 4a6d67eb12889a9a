"""The answering side's connections: which call an offer belongs to, and a new connection for a call that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.signalling.hello import RUN, Hello, Incompatible, check
from shared.signalling.offer_answer import Answer, Busy, OnOffer
from shared.signalling.tokens import AccessTokens
from shared.tasks import watched
from shared.transport.ice import IceSettings
from shared.transport.link import LinkClosed
from shared.transport.resuming import ResumingLink
from shared.transport.webrtc import BadDescription, Peer

QUIET_SECONDS = 5.0
"""Without a single packet from a caller, after which `on_quiet` is told."""
_LOOK_SECONDS = 1.0


@dataclass
class _ResumableCall:
    """A call that was let in."""

    mine: Hello
    theirs: Hello
    link: ResumingLink | None = None
    opening: asyncio.Task[None] | None = None
    watching: asyncio.Task[None] | None = None


class ResumableCalls:
    """The calls that can be resumed, each by its token."""

    def __init__(self, tokens: AccessTokens, ice: IceSettings, on_quiet: Callable[[], None] = lambda: None) -> None:
        """`on_quiet` is called again and again while nothing is heard from a caller."""
        self._tokens, self._ice, self._on_quiet = tokens, ice, on_quiet
        self._calls: dict[str, _ResumableCall] = {}
        self._doors: dict[str, OnOffer] = {}
        """How the calls of before are answered whose callers have not come back yet."""

    def restore(self, calls: tuple[str, ...], answer: Callable[[Hello, str, str], Awaitable[Answer]]) -> None:
        """The calls of before this program was started again: `answer` begins each anew, when its caller comes."""

        def limiter(call: str) -> OnOffer:
            return lambda hello, sdp: answer(hello, sdp, call)

        self._doors = {call: limiter(call) for call in calls}
        self._tokens.restore(self._doors)

    def admit(self, mine: Hello, theirs: Hello, call: str | None = None) -> str:
        """The token of a call that is about to begin: `begin` and `end`, or `end` alone, follow.

        `call`: the token that it has already.
        """
        admitted = self._tokens.admit(lambda hello, sdp: self._resume(admitted, hello, sdp), call)
        self._calls[admitted] = _ResumableCall(mine, theirs)
        return admitted

    def begin(self, peer: Peer, call: str | None, *, resumed: bool = False) -> ResumingLink:
        """The link of a call whose first connection is open; without a token it ends with that.

        `resumed`: the caller was in the call before this program was started again.
        """
        line = None if call is None else self._calls.get(call)
        link = ResumingLink(peer, lasting=line is not None, resumed=resumed)
        if line is not None and call is not None:
            self._doors.pop(call, None)
            line.link = link
            line.watching = watched(self._watch(link), "whether a caller is heard is not looked at any more")
            self._tokens.begin(call)
        return link

    def end(self, call: str | None) -> None:
        """The call is over: its token holds no longer.

        A call of before this program was started again is still waited for if its caller did not connect.
        """
        line = None if call is None else self._calls.pop(call, None)
        if line is not None and call is not None:
            for task in (line.opening, line.watching):
                if task is not None:
                    task.cancel()
            if call in self._doors:
                self._tokens.restore({call: self._doors[call]})
            else:
                self._tokens.end(call)

    async def _resume(self, call: str, theirs: Hello, sdp: str) -> Answer:
        line = self._calls[call]
        if line.link is None:
            raise Busy("the receiver is taking this call at this moment: try again in a moment")
        check(line.mine, theirs)
        _check_same(line.theirs, theirs)
        peer = Peer(self._ice)
        try:
            answer = await peer.accept_offer(sdp)
        except BaseException as error:
            await peer.close()
            if isinstance(error, BadDescription):
                raise ValueError(str(error)) from error
            raise
        if line.opening is not None:
            line.opening.cancel()  # its answer has not arrived, or the caller would not have asked again
        line.opening = watched(self._open(line, line.link, peer, theirs), "a new connection of a call failed")
        return Answer(line.mine, answer, call)

    @staticmethod
    async def _open(line: _ResumableCall, link: ResumingLink, peer: Peer, theirs: Hello) -> None:
        try:
            await peer.wait_open()
        except LinkClosed:
            return
        except BaseException:
            await peer.close()
            raise
        replaced = line.theirs.capabilities.get(RUN) != theirs.capabilities.get(RUN)
        line.theirs = theirs
        link.renew(peer, replaced=replaced)

    async def _watch(self, link: ResumingLink) -> None:
        loop = asyncio.get_running_loop()
        packets, heard = -1, loop.time()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = link.wire().received.packets
            if now != packets:
                packets, heard = now, loop.time()
            elif loop.time() - heard >= QUIET_SECONDS:
                heard = loop.time()
                self._on_quiet()


def _check_same(before: Hello, now: Hello) -> None:
    """Raises Incompatible unless what is shown and recorded of a call can go on."""
    same = (before.fps, before.source_kind, before.keypoints) == (now.fps, now.source_kind, now.keypoints)
    if not same:
        raise Incompatible(
            f"the call was begun with a {before.source_kind} at {before.fps:g} fps, and cannot go on with a "
            f"{now.source_kind} at {now.fps:g} fps: start the sender as before, or ask for a new link"
        )
