"""The page in a browser: static files, and one WebSocket per viewer for everything that is live.

`GET /watch/TOKEN/` is the page; whoever has the URL may watch, and join while nobody calls. Only the files of this
package, held in memory, the sources of the running call and the code of the join link can be had. A viewer lasts as
long as its WebSocket.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import resources
from typing import Self

from aiohttp import WSCloseCode, web

from receiver.output.page.view import WebView
from receiver.output.page.viewer_session import serve_viewer
from receiver.settings import ReceiverSettings
from shared.signalling.direct import listen
from shared.signalling.limits import ConnectionLimiter, RateLimiter, foreign, neighbourhood, rebound, runner
from shared.signalling.links import qr_svg
from shared.tasks import watched
from shared.transport.viewers import Viewers
from shared.trust.certificate import Https

BODY_LIMIT = 64 * 1024
"""Bytes of a message; a browser's offer of a picture and sound has 5 to 10 KB."""
SOUND_SECONDS = 0.01
"""Between two looks at which sound is due, while somebody hears it: half a block."""
IDLE_SECONDS = 0.1
"""Between two looks while nobody does."""
MOST_CONNECTIONS, CONNECTIONS_EACH = 96, 32
"""At a time, in all and from one address; a browser has at most six and a WebSocket."""
HEARTBEAT_SECONDS = 15.0
"""Between pings; a browser that does not answer one within half of it is gone."""
CLOSE_SECONDS = 2.0
"""For a browser to say goodbye when its WebSocket is closed."""
FILES = {
    "": ("page.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "draw.js": ("draw.js", "text/javascript"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # the URL holds the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",  # nothing of a face stays on a disk
    "Server": "Pinhole",
}


class PageServer:
    """Serves a web view to browsers. `async with` starts and stops it."""

    def __init__(self, host: str, port: int, view: WebView, https: Https | None = None) -> None:
        """Port 0 takes any free one. Raises OSError if a certificate is given that is none."""
        self.token = secrets.token_urlsafe(16)
        self._host, self._port, self._view = host, port, view
        self._failures, self._limiter = RateLimiter(), ConnectionLimiter(MOST_CONNECTIONS, CONNECTIONS_EACH)
        https = https or Https()
        self._tls, self._named = https.serving(), https.named(self._own_host())
        self._sockets: set[web.WebSocketResponse] = set()
        self._playing: asyncio.Task[None] | None = None
        folder = resources.files("receiver.output.page")
        self._files = {path: (folder.joinpath(name).read_bytes(), kind) for path, (name, kind) in FILES.items()}
        app = web.Application(client_max_size=BODY_LIMIT)
        app.on_response_prepare.append(_add_headers)
        app.router.add_get("/watch/{token}", self._moved)
        app.router.add_get("/watch/{token}/live", self._live)
        app.router.add_get(r"/watch/{token}/source/{call:\d{1,9}}-{source:\d{1,9}}.jpg", self._source)
        app.router.add_get("/watch/{token}/join.svg", self._join_code)
        app.router.add_get(r"/watch/{token}/{name:[a-z.]*}", self._file)
        self._runner = runner(app)

    @property
    def port(self) -> int:
        """The port listened on, once started."""
        return int(self._runner.addresses[0][1]) if self._runner.addresses else self._port

    @property
    def url(self) -> str:
        """What to open in a browser, once started."""
        host = self._named or self._own_host()
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{self.port}/watch/{self.token}/"

    async def start(self) -> None:
        """Listen. Raises CannotListen."""
        await listen(self._runner, self._host, self._port, self._tls, self._limiter)
        self._playing = watched(self._play(), "the page has no sound any more")

    async def stop(self) -> None:
        """Stop listening, and let go of all viewers."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._view.viewers.close)
            closing.push_async_callback(self._runner.cleanup)
            if self._playing is not None:
                self._playing.cancel()
                await asyncio.gather(self._playing, return_exceptions=True)
            goodbyes = (socket.close(code=WSCloseCode.GOING_AWAY) for socket in self._sockets)
            await asyncio.gather(*goodbyes, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    @property
    def _scheme(self) -> str:
        return "http" if self._tls is None else "https"

    def _own_host(self) -> str:
        return "127.0.0.1" if self._host in ("", "0.0.0.0", "::") else self._host

    def _admit(self, request: web.Request) -> None:
        """Raises the refusal that a wrong token gets, or a request that another site's page made."""
        # With a certificate a name that was made to point here shows nobody anything: the browser refuses it.
        if self._tls is None and rebound(request.headers.get("Host"), self._host):
            raise web.HTTPMisdirectedRequest(text=f"Open the address that the receiver prints ({self._scheme}://...).")
        if foreign(request.headers.get("Origin"), f"{self._scheme}://{request.host}"):
            raise web.HTTPForbidden(text="Only the receiver's own page may watch.")
        now, address = asyncio.get_running_loop().time(), neighbourhood(request.remote or "")
        if self._failures.blocked(address, now):
            raise web.HTTPTooManyRequests(text="Too many wrong addresses were tried from here: wait a minute.")
        if not hmac.compare_digest(request.match_info["token"].encode(), self.token.encode()):
            self._failures.record(address, now)
            raise web.HTTPForbidden(text="This address is not valid (any more): open the one that the receiver prints.")

    async def _play(self) -> None:
        while True:
            self._view.play(time.monotonic())
            await asyncio.sleep(SOUND_SECONDS if self._view.viewers.hearing else IDLE_SECONDS)

    async def _moved(self, request: web.Request) -> web.Response:
        self._admit(request)
        raise web.HTTPPermanentRedirect(f"/watch/{self.token}/")

    async def _file(self, request: web.Request) -> web.Response:
        self._admit(request)
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text="There is nothing here.")
        return web.Response(body=found[0], content_type=found[1], charset="utf-8")

    async def _source(self, request: web.Request) -> web.Response:
        self._admit(request)
        call, number = self._view.call, int(request.match_info["call"])
        picture = call.source_jpeg(int(request.match_info["source"])) if call and call.number == number else None
        if picture is None:
            raise web.HTTPNotFound(text="This source is not held (any more).")
        return web.Response(body=picture, content_type="image/jpeg")

    async def _join_code(self, request: web.Request) -> web.Response:
        self._admit(request)
        if self._view.call is not None or not self._view.link:
            raise web.HTTPNotFound(text="There is no link to join with at the moment.")
        return web.Response(body=qr_svg(self._view.link), content_type="image/svg+xml")

    async def _live(self, request: web.Request) -> web.WebSocketResponse:
        self._admit(request)
        socket = web.WebSocketResponse(
            timeout=CLOSE_SECONDS, heartbeat=HEARTBEAT_SECONDS, max_msg_size=BODY_LIMIT, compress=False
        )
        await socket.prepare(request)
        self._limiter.keep(request.transport)
        self._sockets.add(socket)
        try:
            await serve_viewer(socket, self._view, time.monotonic)
        finally:
            self._sockets.discard(socket)
        return socket


@asynccontextmanager
async def page(settings: ReceiverSettings) -> AsyncIterator[WebView]:
    """A web view that browsers see as long as the block lasts; its address is printed. Raises CannotListen."""
    assert settings.page is not None
    view = WebView(Viewers(), sound=settings.audio)
    async with PageServer(settings.page_host, settings.page, view, settings.https) as server:
        print(f"watch at: {server.url}", flush=True)
        yield view


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
