"""What strangers can do to the servers of a receiver: little, and not for long. Real HTTP on the loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from certificate_examples import make_certificate

from receiver.output.page import server as page_server
from receiver.output.page.server import PageServer
from receiver.output.page.view import WebView
from shared.rendezvous.client import RendezvousHost, join_room
from shared.rendezvous.server import RendezvousServer
from shared.signalling import direct
from shared.signalling.direct import SignallingServer, join
from shared.signalling.hello import Hello
from shared.signalling.limits import ConnectionLimiter
from shared.signalling.offer_answer import Answerer, Reply, SignallingError
from shared.signalling.tokens import AccessTokens, TokenRejected, expire
from shared.transport.viewers import Viewers
from shared.trust.certificate import Https, named_host, trusting

WITHIN = 30.0
SENDER = Hello("compact", "0123456789abcdef", "sender", "camera", 25.0, 15, 256)
RECEIVER = replace(SENDER, role="receiver")
OFFER = json.dumps({"hello": SENDER.to_dict(), "sdp": "v=0"}).encode()


async def accept(hello: Hello, sdp: str) -> tuple[Hello, str]:
    return RECEIVER, "the answer"


async def offer() -> str:
    return "the offer"


@pytest.fixture
def limiter(monkeypatch: pytest.MonkeyPatch) -> ConnectionLimiter:
    """Of the servers that are made after it."""
    made = ConnectionLimiter()
    for module in (direct, page_server):
        monkeypatch.setattr(module, "ConnectionLimiter", lambda *_: made)
    return made


@pytest.fixture
async def server() -> AsyncIterator[SignallingServer]:
    async with SignallingServer("127.0.0.1", 0, accept) as each:
        yield each


@pytest.fixture
async def page() -> AsyncIterator[PageServer]:
    async with PageServer("127.0.0.1", 0, WebView(Viewers())) as each:
        yield each


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN)) as session:
        yield session


async def raw(port: int, request: bytes) -> bytes:
    """All that comes back before the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), WITHIN)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_wrong_token_is_refused_before_its_offer_has_come(
    server: SignallingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[bytes] = []
    answer = Answerer.answer

    async def counted(self: Answerer, body: bytes, *rest: object) -> Reply:
        answered.append(body)
        return await answer(self, body, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Answerer, "answer", counted)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /join/wrong HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n")  # and no body
    assert b" 403 " in await asyncio.wait_for(reader.readline(), WITHIN)
    writer.close()
    assert answered == []
    assert (await join(server.join_url, SENDER, offer))[1] == "the answer"
    assert len(answered) == 1


PATHS = (
    *("/", "/etc/passwd", "/../../etc/passwd", "/join/", "/join/%ff", "/join/%2e%2e%2f%2e%2e", "/join/a/../../b"),
    *("/join/\\..\\..", "/join/" + "a" * 200, "*", "//x/join/y", "/join/%00", "/join/%ed%a0%80"),
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_path_leads_anywhere(server: SignallingServer, method: str, path: str) -> None:
    answer = await raw(server.port, f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.split()[1] in (b"400", b"403", b"404", b"405")
    assert b"root:" not in answer


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(5000)) + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
    ],
)
async def test_heads_that_are_too_large_or_none_are_refused(server: SignallingServer, request_head: bytes) -> None:
    answer = await raw(server.port, request_head)
    assert not answer or answer.split()[1] in (b"400", b"431")


async def test_a_page_of_any_site_cannot_join(server: SignallingServer, client: aiohttp.ClientSession) -> None:
    for origin in ("https://elsewhere.example", f"http://127.0.0.1:{server.port}", "null"):
        async with client.post(server.join_url, data=OFFER, headers={"Origin": origin}) as response:
            assert response.status == 403
            assert "web page" in (await response.json())["error"]
            assert not [name for name in response.headers if name.startswith("Access-Control")]
    async with client.options(server.join_url, headers={"Origin": "https://elsewhere.example"}) as response:
        assert response.status == 405
        assert not [name for name in response.headers if name.startswith("Access-Control")]


async def test_too_many_requests_even_with_the_token(
    server: SignallingServer, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = []
    for _ in range(direct.REQUESTS + 2):
        async with client.post(server.join_url, data=b"{}") as response:
            statuses.append(response.status)
    assert statuses == [400] * direct.REQUESTS + [429] * 2


async def test_a_compressed_offer_is_not_unpacked(server: SignallingServer, client: aiohttp.ClientSession) -> None:
    async with client.post(server.join_url, data=OFFER, compress="deflate") as response:
        assert response.status == 400


async def test_slow_requests_are_cut(limiter: ConnectionLimiter, server: SignallingServer) -> None:
    limiter.seconds = 0.05
    assert await raw(server.port, b"POST /join/abc HTT") == b""
    assert await raw(server.port, b"") == b""
    assert limiter.open == 0


async def test_connections_are_counted(limiter: ConnectionLimiter, server: SignallingServer) -> None:
    limiter.each = 3
    held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
    async with asyncio.timeout(WITHIN):
        while limiter.open < 3:
            await asyncio.sleep(0.01)
    assert await raw(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    for _, writer in held:
        writer.close()
    async with asyncio.timeout(WITHIN):
        while limiter.open:
            await asyncio.sleep(0.01)
    assert (await join(server.join_url, SENDER, offer))[1] == "the answer"


async def test_a_watching_browser_outlasts_the_limit(
    limiter: ConnectionLimiter, page: PageServer, client: aiohttp.ClientSession
) -> None:
    limiter.seconds = 0.2
    socket = await client.ws_connect(page.url + "live")
    for _ in range(3):  # half a second apart
        assert (await socket.receive(WITHIN)).type is aiohttp.WSMsgType.TEXT
    await socket.close()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8766", "127.0.0.1.evil.example", "", "[::1"])
async def test_a_name_made_to_point_here_shows_nothing(
    page: PageServer, client: aiohttp.ClientSession, host: str
) -> None:
    async with client.get(page.url, headers={"Host": host}) as response:
        assert response.status in (400, 421)
        assert page.token not in await response.text()


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST:8766", "192.168.1.7:8766", "[::1]:8766"])
async def test_names_and_addresses_of_this_machine_hold(
    page: PageServer, client: aiohttp.ClientSession, host: str
) -> None:
    async with client.get(page.url, headers={"Host": host}) as response:
        assert response.status == 200


@pytest.mark.parametrize("file", ["", "page.js", "live", "join.svg", "source/1-1.jpg"])
async def test_another_site_gets_nothing_of_the_page(
    page: PageServer, client: aiohttp.ClientSession, file: str
) -> None:
    for origin in ("https://elsewhere.example", f"https://127.0.0.1:{page.port}", "null"):
        async with client.get(page.url + file, headers={"Origin": origin}) as response:
            assert response.status == 403


async def test_https_from_link_to_answer(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "localhost")
    https = Https(certificate, key, certificate)
    async with SignallingServer("127.0.0.1", 0, accept, tls=https.serving(), named=https.named("127.0.0.1")) as server:
        assert server.join_url.startswith("https://localhost:")
        assert (await join(server.join_url, SENDER, offer, tls=https.trusting()))[1] == "the answer"
        with pytest.raises(SignallingError, match=r"certificate of localhost:\d+ is not trusted.*--ca"):
            await join(server.join_url, SENDER, offer)
        with pytest.raises(SignallingError, match="is not trusted"):  # of another host
            await join(server.join_url.replace("localhost", "127.0.0.1"), SENDER, offer, tls=https.trusting())
        with pytest.raises(SignallingError, match=r"cannot reach|does not speak HTTP"):
            await join(server.join_url.replace("https:", "http:"), SENDER, offer)


async def test_https_through_a_rendezvous_server_of_ones_own(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "127.0.0.1")
    https = Https(certificate, key, certificate)
    async with (
        RendezvousServer("127.0.0.1", 0, tls=https.serving()) as meeting,
        RendezvousHost(meeting.url, accept, print, tls=https.trusting()) as room,
    ):
        serving = asyncio.create_task(room.serve())
        assert (await join_room(room.link, SENDER, offer, tls=https.trusting()))[1] == "the answer"
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_the_page_over_https(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    certificate, key = make_certificate(tmp_path, "127.0.0.1", "localhost")
    https = Https(certificate, key)
    async with PageServer("127.0.0.1", 0, WebView(Viewers()), https) as page:
        assert page.url.startswith("https://127.0.0.1:")
        trusted = trusting(certificate)
        assert trusted is not None
        async with client.get(page.url, ssl=trusted) as response:
            assert response.status == 200
        own = f"https://127.0.0.1:{page.port}"
        socket = await client.ws_connect(page.url + "live", ssl=trusted, origin=own)
        assert (await socket.receive(WITHIN)).type is aiohttp.WSMsgType.TEXT
        await socket.close()


def test_links_name_a_host_of_the_certificate(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "call.example", "192.168.1.7")
    assert named_host(certificate, "192.168.1.7") == "192.168.1.7"
    assert named_host(certificate, "10.0.0.1") == "call.example"
    with pytest.raises(OSError, match="is no certificate in PEM"):
        named_host(key, "10.0.0.1")
    with pytest.raises(OSError, match="give the authority's certificate to --ca"):
        trusting(key)
    with pytest.raises(OSError, match="cannot read"):
        trusting(tmp_path / "none")
    with pytest.raises(OSError, match="subjectAltName"):
        named_host(make_certificate(tmp_path)[0], "10.0.0.1")


async def test_an_unused_link_expires() -> None:
    now = 1000.0
    tokens = AccessTokens(clock=lambda: now, lasts=60.0)
    invitation = tokens.invitation
    assert invitation is not None
    expiring = asyncio.create_task(expire(tokens, look=0.001))
    await asyncio.sleep(0.01)
    now += 59
    await asyncio.sleep(0.02)
    assert tokens.invitation == invitation and not expiring.done()
    now += 2
    with pytest.raises(SignallingError, match="nobody called within"):
        await asyncio.wait_for(expiring, WITHIN)
    with pytest.raises(TokenRejected, match="has expired"):
        tokens.find(invitation)


async def test_where_more_calls_are_taken_another_link_follows() -> None:
    now = 1000.0
    tokens = AccessTokens(more=True, clock=lambda: now, lasts=60.0)
    told: list[str | None] = []
    tokens.on_change = lambda: told.append(tokens.invitation)
    expiring = asyncio.create_task(expire(tokens, look=0.001))
    await asyncio.sleep(0.01)
    now += 61
    async with asyncio.timeout(WITHIN):
        while not told:
            await asyncio.sleep(0.001)
    assert told == [tokens.invitation] and not expiring.done()
    expiring.cancel()


async def test_nothing_expires_while_somebody_joins_or_is_there() -> None:
    now = 1000.0
    tokens = AccessTokens(clock=lambda: now, lasts=60.0)
    call = tokens.admit(accept)
    expiring = asyncio.create_task(expire(tokens, look=0.001))
    await asyncio.sleep(0.01)
    now += 61
    await asyncio.sleep(0.02)
    tokens.begin(call)
    now += 3600
    await asyncio.sleep(0.02)
    tokens.look()
    assert not expiring.done() and tokens.find(call) is accept
    expiring.cancel()
