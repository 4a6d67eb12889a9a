"""Both sides of a call at a rendezvous server: a receiver waiting in its room, a sender calling into it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Self

import aiohttp

from shared.rendezvous import CALLER_BYTES, HEARTBEAT, MESSAGE_LIMIT, SEALED_LIMIT, VERSION, VERSION_HEADER
from shared.rendezvous.rooms import room_code
from shared.signalling.direct import post, unreachable
from shared.signalling.hello import Hello
from shared.signalling.links import RoomLink, parse_server, token_key
from shared.signalling.offer_answer import (
    Answerer,
    OnOffer,
    Reply,
    SignallingError,
    clean,
    read_answer,
    refusal,
    write_offer,
)
from shared.signalling.sealing import NotOpened, answer_context, new_key, offer_context, seal, unseal
from shared.signalling.tokens import AccessTokens, TokenRejected
from shared.tasks import watched

OPEN_SECONDS = 10.0
"""For a server to open a room."""
JOIN_SECONDS = 40.0
"""For a call into a room: longer than the server waits for the receiver."""
RETRY_SECONDS = (0.5, 1.0, 1.0, 2.0, 3.0)
"""Between attempts to have the room back after the server was lost; the last for ever: a call may wait for it."""
REOPEN_SECONDS = (2.0, 3.0, OPEN_SECONDS)
"""For each such attempt, in turn: most are short, since one begun before the network is back is lost."""
OFFERS_AT_ONCE = 8
"""More than an honest server lets wait."""

_HEADERS = {VERSION_HEADER: str(VERSION)}


class RendezvousHost:
    """A receiver's room. `async with` opens and closes it; `serve` answers those who call."""

    def __init__(
        self,
        server: str,
        on_offer: OnOffer,
        say: Callable[[str], None],
        *,
        tokens: AccessTokens | None = None,
        secret: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`say` is told when the server is lost and found again. Raises ValueError if `server` is no URL.

        `tokens` has the keys, and says which calls are resumed; without it any number of calls come by one link.
        `secret` is that of the room to have back, if this program was started again. `tls` says whom to trust.
        """
        base, place = parse_server(server)
        self.secret = secret or secrets.token_urlsafe(24)
        """What opens this room, and no other."""
        self._tokens, self._tls = tokens or AccessTokens(), tls
        self._stranger_key = new_key()
        self._room = RoomLink(base, place, room_code(self.secret), self._stranger_key)
        self._answerer = Answerer(on_offer)
        self._refresh = asyncio.Event()
        self._say = say
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._answering: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Opens the room. Raises SignallingError."""
        self._session = aiohttp.ClientSession()
        try:
            self._socket = await self._open(self._session)
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        async with AsyncExitStack() as closing:
            for each in (self._session, self._socket):
                if each is not None:
                    closing.push_async_callback(each.close)
            for task in self._answering:
                task.cancel()
            await asyncio.gather(*self._answering, return_exceptions=True)

    @property
    def link(self) -> RoomLink:
        """For the sender; one that opens nothing if no further call is taken."""
        invitation = self._tokens.invitation
        return self._room if invitation is None else self._room.with_pass(invitation)

    def refresh(self) -> None:
        """Opens the room again, in the place of itself: the network was gone, and the connection may be dead."""
        self._refresh.set()

    async def serve(self) -> None:
        """Answers until it is cancelled; a server that was lost is sought again. Raises SignallingError."""
        while True:
            assert self._session is not None and self._socket is not None
            listening = asyncio.ensure_future(self._listen(self._socket))
            asked = asyncio.ensure_future(self._refresh.wait())
            try:
                await asyncio.wait({listening, asked}, return_when=asyncio.FIRST_COMPLETED)
                if listening.done():
                    listening.result()
                    self._say(f"the rendezvous server {self._room.place} was lost: nobody can join until it is back")
                self._refresh.clear()
                before, self._socket = self._socket, await self._reopen(self._session)
                if listening.done():
                    self._say("the rendezvous server is back: the join link holds")
                else:
                    self._close_later(before)
            finally:
                listening.cancel()
                asked.cancel()
                await asyncio.gather(listening, asked, return_exceptions=True)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY and len(self._answering) < OFFERS_AT_ONCE:
                task = watched(self._answer(socket, message.data), "an offer was not answered")
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            elif message.type is aiohttp.WSMsgType.TEXT and "expired" in (data := _decoded(message.data)):
                raise SignallingError(f"{clean(str(data['expired']))}: start the receiver again for a new link")

    async def _answer(self, socket: aiohttp.ClientWebSocketResponse, message: bytes) -> None:
        caller, sealed = message[:CALLER_BYTES], message[CALLER_BYTES:]
        key, reply = await self._judge(sealed)
        answer = seal(key, reply.to_bytes(), answer_context(self._room.room, sealed))
        with contextlib.suppress(ConnectionError):  # the server is lost: `serve` sees that
            await socket.send_bytes(caller + answer)

    async def _judge(self, sealed: bytes) -> tuple[bytes, Reply]:
        """The key that an offer came with, and what to say to it."""
        refused = "the key does not fit the message"
        for each in self._tokens.known:
            key = token_key(each)
            try:
                offer = unseal(key, sealed, offer_context(self._room.room))
            except NotOpened as error:
                refused = str(error)
                continue
            try:
                return key, await self._answerer.answer(offer, self._tokens.find(each))
            except TokenRejected as error:
                return key, refusal(error.status, str(error))
        # Sealed too: who has another key learns from that alone what is wrong.
        return self._stranger_key, refusal(403, refused)

    def _close_later(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async def close() -> None:
            await socket.close()

        task = watched(close(), "the connection of before did not close")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _reopen(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        attempt = 0
        while True:
            await asyncio.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
            attempt += 1
            try:
                return await self._open(session, REOPEN_SECONDS[attempt % len(REOPEN_SECONDS)])
            except SignallingError:
                continue

    async def _open(self, session: aiohttp.ClientSession, within: float = 0.0) -> aiohttp.ClientWebSocketResponse:
        async with AsyncExitStack() as opened:
            socket = await self._greeted(session, within or OPEN_SECONDS, opened)
            opened.pop_all()
        return socket

    async def _greeted(
        self, session: aiohttp.ClientSession, within: float, opened: AsyncExitStack
    ) -> aiohttp.ClientWebSocketResponse:
        """A connection in which the server has opened the room."""
        place = self._room.place
        try:
            async with asyncio.timeout(within):
                socket = await session.ws_connect(
                    f"{self._room.server}/open",
                    headers=_HEADERS | {"Authorization": f"Bearer {self.secret}"},
                    heartbeat=HEARTBEAT,
                    max_msg_size=MESSAGE_LIMIT,
                    ssl=True if self._tls is None else self._tls,
                )
                opened.push_async_callback(socket.close)
                first = await socket.receive()
        except TimeoutError as error:
            message = f"{place} did not answer within {within:g} s: is the rendezvous server running?"
            raise SignallingError(message) from error
        except aiohttp.WSServerHandshakeError as error:
            raise SignallingError(_stranger(place, error.status, error.headers or {})) from error
        except aiohttp.ClientError as error:
            raise SignallingError(unreachable(error, place, "the rendezvous server")) from error
        greeting = _decoded(first.data)
        if greeting.get("room") == self._room.room and greeting.get("version") == VERSION:
            return socket
        if "error" in greeting:
            raise SignallingError(f"the rendezvous server refused: {clean(str(greeting['error']))}")
        raise SignallingError(_stranger(place, 200, {}))


async def join_room(
    link: RoomLink,
    hello: Hello,
    make_offer: Callable[[], Awaitable[str]],
    on_pass: Callable[[str], None] = lambda resume: None,
    tls: ssl.SSLContext | None = None,
) -> tuple[Hello, str]:
    """The receiver's hello and SDP answer. Raises SignallingError, and whatever `make_offer` raises.

    `on_pass` is told what resumes the call; `tls` says whom to trust, None: whom the system trusts.
    """
    sealed = seal(link.key, write_offer(hello, await make_offer()), offer_context(link.room))
    url, headers = f"{link.server}/r/{link.room}", _HEADERS | {"Content-Type": "application/octet-stream"}
    posted = await post(
        url,
        sealed,
        headers,
        place=link.place,
        who="the rendezvous server",
        within=JOIN_SECONDS,
        limit=SEALED_LIMIT,
        tls=tls,
    )
    if posted.status != 200 or posted.headers.get(VERSION_HEADER) != str(VERSION):
        error = _decoded(posted.body).get("error") if posted.headers.get(VERSION_HEADER) == str(VERSION) else None
        if isinstance(error, str):
            raise SignallingError(clean(error))
        raise SignallingError(_stranger(link.place, posted.status, posted.headers))
    try:
        answer = unseal(link.key, posted.body, answer_context(link.room, sealed))
    except NotOpened as error:
        raise SignallingError(
            "the answer cannot be read: the key in the link is not the receiver's; copy the whole link again, and "
            "update the older side if that does not help"
        ) from error
    return read_answer(link.place, answer, hello, on_pass)


def _stranger(place: str, status: int, headers: Any) -> str:
    """What a server is whose answer is not this version's."""
    theirs = headers.get(VERSION_HEADER)
    if theirs is None:
        return f"what answers at {place} is not a Pinhole rendezvous server (HTTP {status}): check the link"
    if theirs == str(VERSION):
        return f"the rendezvous server {place} refused the request (HTTP {status}): update the older side"
    return (
        f"the rendezvous server {place} speaks version {clean(theirs)[:8]}, this side {VERSION}: update the older one"
    )


def _decoded(text: object) -> dict[str, Any]:
    """A JSON object; an empty one if it is anything else."""
    try:
        data = json.loads(text) if isinstance(text, str | bytes) else None
    except (ValueError, RecursionError):
        data = None
    return data if isinstance(data, dict) else {}
