"""The calling side's connection: made by a join link, whichever kind it is, and made again whenever it was lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from shared.call.state import SenderState, forget_state, peer_name, read_sender, write_state
from shared.rendezvous.client import join_room
from shared.signalling.direct import join
from shared.signalling.hello import RUN, Hello
from shared.signalling.links import BY_HAND, RoomLink, parse_link
from shared.signalling.offer_answer import RefusedForGood, SignallingError
from shared.signalling.pasting import Terminal, join_by_hand
from shared.tasks import one_line, watched
from shared.transport.ice import IceSettings
from shared.transport.link import LinkClosed
from shared.transport.resuming import ResumingLink
from shared.transport.webrtc import BadDescription, Peer

logger = logging.getLogger(__name__)
QUIET_SECONDS = 5.0
"""Without a single packet, after which a connection is taken for lost: an acknowledgement is one, so loss alone hardly
ever is so quiet."""
LOOK_SECONDS = 0.25
PROBE_SECONDS = (1.0, 2.0, 3.0)
"""That an attempt waits for the receiver's machine, in turn: the first packet of one that was begun before the network
came back is lost, so most are short; a link with long queues needs more."""
PAUSE_SECONDS = (0.25, 0.5, 1.0)
"""Between attempts that the network refused at once; the last for ever."""
REFUSED_PAUSE_SECONDS = 2.0
"""After an attempt that somebody answered, but not with a connection."""
OFFER_SECONDS = 10.0
"""For an offer to be answered: on 8 kbit/s it takes six."""
OPEN_SECONDS = 10.0
Meet = Callable[[str, Hello, Callable[[], Awaitable[str]], Callable[[str], None]], Awaitable[tuple[Hello, str]]]


def check_peer(peer: str) -> None:
    """Raises SignallingError if nobody can be reached that way, whatever is tried."""
    if peer != BY_HAND:
        parse_link(peer)


async def meet(
    peer: str,
    hello: Hello,
    make_offer: Callable[[], Awaitable[str]],
    on_pass: Callable[[str], None] = lambda resume: None,
    tls: ssl.SSLContext | None = None,
) -> tuple[Hello, str]:
    """The receiver's hello and SDP answer. Raises SignallingError, and whatever `make_offer` raises.

    `on_pass` is told what resumes the call: `resume_link` makes a link of it. `tls` says whom to trust.
    """
    if peer == BY_HAND:
        return await join_by_hand(Terminal(), hello, make_offer)
    link = parse_link(peer)
    if isinstance(link, RoomLink):
        return await join_room(link, hello, make_offer, on_pass, tls)
    return await join(peer, hello, make_offer, on_pass, tls)


def resume_link(peer: str, resume: str) -> str:
    """The link that resumes a call made by the link `peer`. Raises SignallingError if the token is none."""
    return str(parse_link(peer).with_pass(resume))


async def reachable(peer: str, within: float) -> bool:
    """Whether the machine that a link names takes a connection: much cheaper than an offer, and counted by nobody."""
    place = parse_link(peer).place
    host, _, port = place.rpartition(":")
    try:
        async with asyncio.timeout(within):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


@asynccontextmanager
async def calling(
    peer: str,
    hello: Hello,
    ice: IceSettings,
    *,
    state: Path | None = None,
    say: Callable[[str], None] = print,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[ResumingLink, Hello]]:
    """An open link to the receiver that the join link `peer` leads to, closed with the block, and its hello.

    `state`: where to keep what resumes the call after this program was started again; if that is there already, the
    call is resumed. `tls` says whom to trust. Raises SignallingError, LinkClosed and StateError.
    """
    if state is not None and peer == BY_HAND:
        raise SignallingError("a call joined by hand cannot be resumed: leave out --state, or take a join link")
    hello = replace(hello, capabilities={**hello.capabilities, RUN: secrets.token_hex(4)})
    before = None if state is None else read_sender(state)
    if before is not None and before.peer != peer_name(peer):
        before = None  # of another call
    caller = Caller(before.link if before else peer, hello, ice, by_hand=peer == BY_HAND, tls=tls)
    if state is not None:
        caller.on_link = lambda link: write_state(state, SenderState(peer_name(peer), link))
    link = await _first(caller, resumed=before is not None, state=state)
    keeping = watched(keep_connected(link, caller, say), "connecting again failed") if caller.resumes else None
    try:
        assert caller.theirs is not None
        yield link, caller.theirs
    except LinkClosed:
        raise  # the call may be resumed by who starts this program again
    except BaseException:
        if state is not None:
            forget_state(state)
        raise
    else:
        if state is not None:
            forget_state(state)
    finally:
        try:
            if keeping is not None:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
        finally:
            await link.close()


async def _first(caller: Caller, resumed: bool, state: Path | None) -> ResumingLink:
    try:
        connection = await caller.connect(first=True)
        return ResumingLink(connection, lasting=caller.resumes, resumed=resumed)
    except RefusedForGood as error:
        if not resumed or state is None:
            raise
        forget_state(state)
        raise RefusedForGood(f"{error}; the call kept in '{state}' cannot be resumed, and was forgotten") from error


class Caller:
    """Makes connections to one receiver, the later ones by the token that the first one yielded."""

    def __init__(
        self, link: str, hello: Hello, ice: IceSettings, *, by_hand: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        self.resumes = False
        """Whether the receiver has given a token: an older one gives none, and nobody does by hand."""
        self.on_link: Callable[[str], None] = lambda link: None
        """Called with the link that resumes the call, once it is known."""
        self.theirs: Hello | None = None
        """The receiver's, from the newest connection."""
        self.replaced = False
        """Whether the receiver's program was started again between the last two connections."""
        self._link, self._hello, self._ice, self._by_hand = link, hello, ice, by_hand
        self._meet: Meet = partial(meet, tls=tls)

    async def reachable(self, within: float) -> bool:
        """Whether the machine that knows of the receiver takes connections."""
        return await reachable(self._link, within)

    async def connect(self, *, first: bool = False) -> Peer:
        """An open connection. Raises SignallingError and LinkClosed."""
        peer = Peer(self._ice, by_hand=self._by_hand)
        try:
            async with asyncio.timeout(None if first else OFFER_SECONDS):
                theirs, answer = await self._meet(self._link, self._hello, peer.create_offer, self._take_pass)
            try:
                await peer.accept_answer(answer)
            except BadDescription as error:
                raise SignallingError(str(error)) from error
            if first:
                await peer.wait_open()
            else:
                await peer.wait_open(OPEN_SECONDS)
        except TimeoutError as error:
            await peer.close()
            raise SignallingError(f"the offer was not answered within {OFFER_SECONDS:g} s") from error
        except BaseException:
            await peer.close()
            raise
        before, self.theirs = self.theirs, theirs
        self.replaced = before is not None and before.capabilities.get(RUN) != theirs.capabilities.get(RUN)
        return peer

    def _take_pass(self, resume: str) -> None:
        link = resume_link(self._link, resume)
        self.resumes = True
        if link != self._link:
            self._link = link
            self.on_link(link)


async def keep_connected(link: ResumingLink, caller: Caller, say: Callable[[str], None]) -> None:
    """Sees to it that a link has a connection, until cancelled or until the receiver refuses for good.

    Whatever goes wrong here ends the link: nobody else would connect it again.
    """
    try:
        while True:
            await _until_lost(link)
            say("the connection was lost: connecting again")
            connection = await _reconnect(link, caller)
            if connection is None:
                say("the connection is back by itself")
            else:
                link.renew(connection, replaced=caller.replaced)
                say("connected again")
    except RefusedForGood as error:
        link.give_up(f"the call cannot be resumed, {error}")
    except Exception as error:
        link.give_up(f"the call cannot be resumed ({one_line(error)})")
        raise


async def _until_lost(link: ResumingLink) -> None:
    loop = asyncio.get_running_loop()
    packets, heard = -1, loop.time()
    while link.alive and loop.time() - heard < QUIET_SECONDS:
        await asyncio.sleep(LOOK_SECONDS)
        now = link.carrier.wire().received.packets
        if now != packets:
            packets, heard = now, loop.time()


async def _reconnect(link: ResumingLink, caller: Caller) -> Peer | None:
    """A new connection; None if the old one was heard again before the receiver was asked for one."""
    packets, attempt, refused = link.carrier.wire().received.packets, 0, 0
    while True:
        if await _answers(caller, PROBE_SECONDS[attempt % len(PROBE_SECONDS)]):
            if link.alive and link.carrier.wire().received.packets != packets:
                return None
            try:
                return await caller.connect()
            except RefusedForGood:
                raise
            except (SignallingError, LinkClosed) as error:
                logger.info("attempt %d to connect again failed: %s", attempt + 1, error)
            except Exception as error:  # of the libraries below, in a network that comes and goes
                logger.warning("attempt %d to connect again failed (%s)", attempt + 1, one_line(error))
            refused += 1
            await asyncio.sleep(min(0.5 * refused, REFUSED_PAUSE_SECONDS))
        else:
            await asyncio.sleep(PAUSE_SECONDS[min(attempt, len(PAUSE_SECONDS) - 1)])
        attempt += 1


async def _answers(caller: Caller, within: float) -> bool:
    try:
        return await caller.reachable(within)
    except Exception as error:
        logger.warning("the way to the receiver could not be tried (%s)", one_line(error))
        return False
